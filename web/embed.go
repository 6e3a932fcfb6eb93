// Package web holds the dashboard, as built from src by make web, and nothing
// else. A program that was built without Node holds no pages; Files says so.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Files returns the files of the dashboard, each compressed by gzip under its
// name and ".gz", and whether there are any.
func Files() (files fs.FS, ok bool) {
	files, err := fs.Sub(dist, "dist")
	if err != nil {
		return nil, false
	}
	_, err = fs.Stat(files, "index.html.gz")
	return files, err == nil
}
