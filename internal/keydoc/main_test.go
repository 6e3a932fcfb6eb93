package main

import (
	"bytes"
	"os"
	"testing"
)

// Every key of solera.yaml is documented, with the default that the program has.
func TestTableOfKeysIsFresh(t *testing.T) {
	page, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("../../docs/solera.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	page = bytes.ReplaceAll(page, []byte("\r\n"), []byte("\n"))
	want, err := update(page, source)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, want) {
		t.Error("docs/configuration.md is older than docs/solera.schema.json; run `make generate` and commit the file")
	}
}
