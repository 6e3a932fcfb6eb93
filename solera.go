// Package solera holds the words that the whole product shares: runs, points,
// artifacts, versions, references, edges, and the two doors to memory (Store
// and Blobs). It imports the standard library only and knows no database, no
// protocol and no file format.
package solera
