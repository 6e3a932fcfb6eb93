package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// UPDATE=1 writes the fixtures of the schema that this program knows:
//
//	UPDATE=1 go test ./store -run TestFixtures
//
// A release does it once; a fixture that is there is the past and is never
// rewritten.
var update1 = os.Getenv("UPDATE") != ""

func TestFixtures(t *testing.T) {
	path := filepath.Join("testdata", "sample.dump")
	if _, err := os.Stat(path); os.IsNotExist(err) && update1 {
		s := openSQLite(t)
		rapid.Custom(func(rt *rapid.T) int { fill(t, rt, s); return 0 }).Example(4)
		if err := os.WriteFile(path, dump(t, s), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}
