package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheCommittedKernelsAreWhatTheGeneratorWrites(t *testing.T) {
	for name, want := range files() {
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is not up to date: run `go generate ./tensor/internal/kernel`", name)
		}
	}
}
