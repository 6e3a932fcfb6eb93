package api_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/solera-ml/solera/httpd/api"
)

// The description is a contract with programs of others, and the dashboard's
// types are made from it: it changes on purpose only. `make generate` writes it.
func TestDescriptionIsCurrent(t *testing.T) {
	const file = "testdata/openapi.json"
	got, err := api.OpenAPI("")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the API is: run make generate, look at the difference, and commit it", file)
	}
}
