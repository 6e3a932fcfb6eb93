package tracking_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/internal/clustertest"
	"github.com/solera-ml/solera/store"
)

// newHome returns a folder that stands for a new store. Where servers are named
// in the environment, the store is on them, and the folder holds its addresses.
func newHome(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if records, bytes := clustertest.Postgres(t), clustertest.S3(t); records != "" && bytes != "" {
		if err := os.WriteFile(filepath.Join(dir, "homes"), []byte(records+"\n"+bytes), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openHome opens the store of a folder, in this process or another.
func openHome(dir string) (*store.DB, solera.Blobs, error) {
	homes, err := os.ReadFile(filepath.Join(dir, "homes"))
	if errors.Is(err, fs.ErrNotExist) {
		db, err := store.OpenSQLite(ctx, filepath.Join(dir, "solera.db"))
		if err != nil {
			return nil, nil, err
		}
		blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
		return db, blobs, err
	}
	if err != nil {
		return nil, nil, err
	}
	records, bytes, _ := strings.Cut(string(homes), "\n")
	db, err := store.OpenPostgres(ctx, records)
	if err != nil {
		return nil, nil, err
	}
	blobs, err := blob.OpenS3(bytes)
	return db, blobs, err
}
