package solera

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// An Artifact is a named line of versions of one type: a data set, a model.
type Artifact struct {
	Project string `json:"project"`
	Name    string `json:"name"`
	Type    string `json:"type"`    // of the first version and of every later one
	Newest  int    `json:"newest"`  // number of the newest version
	Created Micros `json:"created"` // of the first version
	Updated Micros `json:"updated"` // of the newest version
}

// A VersionID is the address of one version. It is comparable.
type VersionID struct {
	Project  string
	Artifact string
	Number   int
}

// Ref returns the reference that names exactly this version.
func (id VersionID) Ref() Ref {
	return Ref{Project: id.Project, Artifact: id.Artifact, Number: id.Number}
}

// Name returns "wine-raw:v0", which is unique within a project.
func (id VersionID) Name() string { return id.Artifact + ":v" + strconv.Itoa(id.Number) }

// String returns "project/wine-raw:v0".
func (id VersionID) String() string { return id.Ref().String() }

// A Version is one immutable snapshot of an artifact. Versions count from 0
// without a gap. Only Aliases change after the commit.
type Version struct {
	Project  string   `json:"project"`
	Artifact string   `json:"name"`
	Number   int      `json:"number"`
	Type     string   `json:"type"`
	Digest   Digest   `json:"digest"` // see ContentDigest
	Size     int64    `json:"size"`   // bytes of all files
	Metadata Fields   `json:"metadata"`
	Files    []Entry  `json:"files"`   // sorted by path; nil where a list of versions was asked without files
	Aliases  []string `json:"aliases"` // sorted; Latest among them for the newest version
	Run      RunID    `json:"run"`     // that made it
	Created  Micros   `json:"created"`
}

// An Entry is one file of a version.
type Entry struct {
	Path   string `json:"path"` // see CheckPath
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
}

// ID returns the version's address.
func (v Version) ID() VersionID { return VersionID{v.Project, v.Artifact, v.Number} }

// Name returns "wine-raw:v0".
func (v Version) Name() string { return v.ID().Name() }

// File returns the entry of path, and whether there is one.
func (v Version) File(path string) (Entry, bool) {
	i := slices.IndexFunc(v.Files, func(e Entry) bool { return e.Path == path })
	if i < 0 {
		return Entry{}, false
	}
	return v.Files[i], true
}

// VersionQuery chooses versions; zero fields do not restrict. Versions come by
// artifact, the newest first.
type VersionQuery struct {
	Project  string
	Artifact string
	Digest   Digest
	Run      RunID
	Files    bool // also fill Version.Files
	Limit    int  // 0 = all
}

// CheckFiles reports ErrInvalid unless files can be the manifest of a version:
// every path passes CheckPath, none appears twice, none is a folder of
// another, no size is negative, no digest missing.
func CheckFiles(files []Entry) error {
	paths := make(map[string]bool, len(files))
	for _, e := range files {
		if err := CheckPath(e.Path); err != nil {
			return err
		}
		if e.Size < 0 || e.Digest.IsZero() {
			return fmt.Errorf("path %s: %w: a file needs a digest and a size", clip(e.Path), ErrInvalid)
		}
		if paths[e.Path] {
			return fmt.Errorf("path %s: %w: it appears twice", clip(e.Path), ErrInvalid)
		}
		paths[e.Path] = true
	}
	for _, e := range files {
		for i, c := range e.Path {
			if c == '/' && paths[e.Path[:i]] {
				return fmt.Errorf("path %s: %w: %s is a file, it cannot be a folder too", clip(e.Path), ErrInvalid, clip(e.Path[:i]))
			}
		}
	}
	return nil
}

// ContentDigest returns the digest of a version: SHA-256 over the canonical
// JSON {"files":[{"digest","path","size"}…],"metadata":{…},"type":…}, files
// sorted by path, no space between tokens. It depends on content alone: not on
// the artifact's name, the version's number, the run, the time or the host.
// Whatever may differ between two makings of the same thing (durations, paths,
// hosts) therefore belongs to the run and not into metadata.
func ContentDigest(typ string, metadata Fields, files []Entry) (Digest, error) {
	if err := CheckFiles(files); err != nil {
		return Digest{}, err
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	manifest := make([]any, len(sorted))
	for i, e := range sorted {
		manifest[i] = Fields{"path": e.Path, "digest": e.Digest.String(), "size": e.Size}
	}
	content, err := Fields{"type": typ, "metadata": metadata, "files": manifest}.MarshalJSON()
	if err != nil {
		return Digest{}, err
	}
	return DigestOf(content), nil
}

// An EdgeKind says how a run and a version are tied.
type EdgeKind string

const (
	Used EdgeKind = "used" // the run read the version
	Made EdgeKind = "made" // the run committed the version; each version has one such run
	// Same: the run committed content that the version, already the newest of
	// its artifact, had. The run proved the version reproducible; it did not
	// make it. Kept apart from Made so that a run which only copies its input
	// cannot appear as its own ancestor.
	Same EdgeKind = "same"
)

// An Edge ties a run to a version.
type Edge struct {
	Run     RunID
	Version VersionID
	Kind    EdgeKind
}

// EdgeQuery chooses edges; zero fields do not restrict. Edges come sorted by
// run, kind, project, artifact and number.
type EdgeQuery struct {
	Run     RunID
	Version VersionID // zero = any
	Kind    EdgeKind
}
