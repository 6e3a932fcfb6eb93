package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// stoppingStore cancels the backup after its dump.
type stoppingStore struct {
	solera.Store
	stop func()
}

func (s stoppingStore) Update(ctx context.Context, fn func(solera.Tx) error) error {
	err := s.Store.Update(ctx, fn)
	s.stop()
	return err
}

func TestStoppedBackupLeavesNoFile(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	a := &app{name: "solera", stdout: &out, stderr: &out, env: func(string) string { return "" }, dir: dir, quiet: true}
	w, err := a.open(context.Background(), "p", true)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	r, err := w.Start(context.Background(), tracking.RunSpec{Stage: "load"})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Finish(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	archives := filepath.Join(dir, "archives")
	if err := os.Mkdir(archives, 0o777); err != nil {
		t.Fatal(err)
	}
	old := filepath.Join(archives, "old.tar")
	if err := os.WriteFile(old, []byte("the backup of yesterday"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"new.tar", "old.tar"} {
		ctx, stop := context.WithCancel(context.Background())
		stopped := *w
		tracker := *w.Tracker
		tracker.Store = stoppingStore{w.Store, stop}
		stopped.Tracker = &tracker
		if _, err := a.backupFile(ctx, &stopped, filepath.Join(archives, name), true); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
		stop()
	}
	files, err := os.ReadDir(archives)
	if err != nil || len(files) != 1 {
		t.Errorf("the folder has %v, %v; want old.tar alone", files, err)
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "the backup of yesterday" {
		t.Errorf("old.tar is now %q, %v", b, err)
	}
	if _, err := a.backupFile(context.Background(), w, old, true); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(old); err != nil || info.Mode().Perm() != 0o600 || info.Size() < 1000 {
		t.Errorf("the backup of today: %v, %v", info, err)
	}
}
