package main

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
)

func TestStoresAndBlobsHaveAHome(t *testing.T) {
	const pg, s3 = "postgres://ana:secret@db/solera?sslmode=disable", "s3://bucket?endpoint=http://127.0.0.1:7070"
	for _, tt := range []struct {
		store, storeEnv, blobs, blobsEnv, dir string
		records, bytes                        home
	}{
		{records: home{folder: ".solera"}, bytes: home{folder: ".solera/blobs"}},
		{dir: "p", records: home{folder: "p/.solera"}, bytes: home{folder: "p/.solera/blobs"}},
		{store: "s", storeEnv: "e", dir: "p", records: home{folder: "p/s"}, bytes: home{folder: "p/s/blobs"}},
		{storeEnv: "e", records: home{folder: "e"}, bytes: home{folder: "e/blobs"}},
		{storeEnv: "/abs", dir: "p", records: home{folder: "/abs"}, bytes: home{folder: "/abs/blobs"}},
		{store: "file:///abs", dir: "p", records: home{folder: "/abs"}, bytes: home{folder: "/abs/blobs"}},
		{store: pg, blobs: s3, records: home{url: pg}, bytes: home{url: s3}},
		{storeEnv: pg, blobsEnv: "b", dir: "p", records: home{url: pg}, bytes: home{folder: "p/b"}},
		{blobsEnv: s3, records: home{folder: ".solera"}, bytes: home{url: s3}},
		{blobs: "file:///b", blobsEnv: s3, records: home{folder: ".solera"}, bytes: home{folder: "/b"}},
	} {
		a, _ := testApp(map[string]string{"SOLERA_STORE": tt.storeEnv, "SOLERA_BLOBS": tt.blobsEnv})
		a.store, a.blobs, a.dir = tt.store, tt.blobs, tt.dir
		records, err := a.storeHome()
		if err != nil {
			t.Fatalf("%+v: %v", tt, err)
		}
		bytes, err := a.blobHome(records)
		slash := func(h home) home { h.folder = filepath.ToSlash(h.folder); return h }
		if err != nil || slash(records) != tt.records || slash(bytes) != tt.bytes {
			t.Errorf("%+v: got %+v, %+v, %v", tt, records, bytes, err)
		}
	}
}

func TestHomesThatMakeNoSense(t *testing.T) {
	for _, tt := range []struct{ store, blobs, says string }{
		{"mysql://ana:secret@db/solera", "b", "postgres://"},
		{"s3://bucket?key=secret", "b", "postgres://"},
		{"", "gs://bucket", "s3://"},
		{"", "postgres://ana:secret@db/solera", "s3://"},
		{"postgres://ana:secret@db/solera?sslmode=disable&password=secret", "", "add --blobs s3://BUCKET"},
		{"mysql://ana:secret@[/", "", "postgres://"},
	} {
		a, _ := testApp(nil)
		a.store, a.blobs = tt.store, tt.blobs
		records, err := a.storeHome()
		if err == nil {
			_, err = a.blobHome(records)
		}
		if !errors.Is(err, solera.ErrUsage) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v: got error %v, want wrong usage that says %q and no secret", tt, err, tt.says)
		}
	}
}
