package main

import (
	"bytes"
	"os"
	"testing"
	"testing/fstest"
)

// The committed digests are those of the committed source.
func TestGeneratedFileIsFresh(t *testing.T) {
	repo := os.DirFS("../../..")
	want, err := generate(repo)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../code_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	// A checkout may have the line ends of another system.
	if !bytes.Equal(bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n")), want) {
		t.Errorf("pipeline/code_gen.go is older than the source it names; run `make generate` and commit the file")
	}
}

func TestStageDigest(t *testing.T) {
	repo := func() fstest.MapFS {
		return fstest.MapFS{
			"go.mod":             {Data: []byte("module github.com/solera-ml/solera\n\nrequire (\n\texample.com/parquet v1.2.3\n)\n")},
			"words.go":           {Data: []byte("package solera\n")},
			"pipeline/load.go":   {Data: []byte("package pipeline\n\nimport (\n\t_ \"github.com/solera-ml/solera/table\"\n\t_ \"github.com/solera-ml/solera/tracking\"\n)\n")},
			"table/table.go":     {Data: []byte("package table\n\nimport (\n\t_ \"github.com/solera-ml/solera\"\n\t_ \"github.com/solera-ml/solera/numeric\"\n\t_ \"example.com/parquet/format\"\n)\n\n//go:embed data/*.csv\n")},
			"table/data/a.csv":   {Data: []byte("1\n")},
			"table/other.bin":    {Data: []byte("x")},
			"table/a_test.go":    {Data: []byte("package table\n")},
			"table/gen.go":       {Data: []byte("//go:build ignore\n\npackage main\n")},
			"numeric/exp.go":     {Data: []byte("package numeric\n")},
			"numeric/asm_s390.s": {Data: []byte("TEXT\n")},
			"server/server.go":   {Data: []byte("package server\n")},
			"tracking/run.go":    {Data: []byte("package tracking\n")},
		}
	}
	digest := func(fsys fstest.MapFS) [32]byte {
		t.Helper()
		versions, err := requirements(fsys)
		if err != nil {
			t.Fatal(err)
		}
		d, err := stageDigest(fsys, versions, []string{"load.go"})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	before := digest(repo())
	for _, tt := range []struct {
		file   string
		change bool
	}{
		{"pipeline/load.go", true},
		{"table/table.go", true},
		{"numeric/exp.go", true},
		{"numeric/asm_s390.s", true},
		{"table/data/a.csv", true},
		{"words.go", true},
		{"table/other.bin", false},
		{"table/a_test.go", false},
		{"table/gen.go", false},
		{"server/server.go", false},
		{"tracking/run.go", false},
	} {
		fsys := repo()
		old := fsys[tt.file].Data
		fsys[tt.file] = &fstest.MapFile{Data: append(bytes.Clone(old), "\n// changed\n"...)}
		if got := digest(fsys) != before; got != tt.change {
			t.Errorf("a change in %s changes the digest: got %t, want %t", tt.file, got, tt.change)
		}
	}

	fsys := repo()
	fsys["go.mod"] = &fstest.MapFile{Data: bytes.Replace(fsys["go.mod"].Data, []byte("v1.2.3"), []byte("v1.2.4"), 1)}
	if digest(fsys) == before {
		t.Error("a new version of a module that the stage imports does not change the digest")
	}
}

func TestMissingEmbeddedFileIsAnError(t *testing.T) {
	fsys := fstest.MapFS{"pipeline/a.go": {Data: []byte("package pipeline\n\n//go:embed gone.csv\nvar x string\n")}}
	if _, err := stageDigest(fsys, nil, []string{"a.go"}); err == nil {
		t.Error("got no error")
	}
}
