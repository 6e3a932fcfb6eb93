package store_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/clustertest"
	"github.com/solera-ml/solera/store"
)

// open opens a store by its URL or path, as a process of its own would.
func open(ctx context.Context, url string) (*store.DB, error) {
	if strings.HasPrefix(url, "postgres://") {
		return store.OpenPostgres(ctx, url)
	}
	return store.OpenSQLite(ctx, url)
}

// eachDatabase runs a test on a new store of each kind.
func eachDatabase(t *testing.T, run func(*testing.T, solera.Store)) {
	t.Helper()
	eachURL(t, func(t *testing.T, url string) { run(t, openURL(t, url)) })
}

// eachURL runs a test with the URL of a place for a new store of each kind.
func eachURL(t *testing.T, run func(*testing.T, string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { run(t, filepath.Join(t.TempDir(), "solera.db")) })
	t.Run("postgres", func(t *testing.T) { run(t, postgres(t)) })
}

// postgres returns the URL of an empty schema, or skips the test.
func postgres(t testing.TB) string {
	t.Helper()
	url := clustertest.Postgres(t)
	if url == "" {
		t.Skip("SOLERA_TEST_POSTGRES is not set: make test-cluster sets it")
	}
	return url
}

func openURL(t testing.TB, url string) solera.Store {
	t.Helper()
	s, err := open(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
