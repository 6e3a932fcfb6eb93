package blob

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob/blobtest"
	"github.com/solera-ml/solera/internal/clustertest"
)

// fakeS3 is a server in this process; wrap may stand before it.
func fakeS3(t testing.TB, wrap func(http.Handler) http.Handler) *S3 {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not to be shown")
	handler := gofakes3.New(s3mem.New()).Server()
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	s, err := OpenS3("s3://bucket/some/where?endpoint=" + url.QueryEscape(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.core.MakeBucket(context.Background(), s.bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	s.spool = t.TempDir()
	return s
}

func TestS3(t *testing.T) {
	blobtest.Test(t, func(t *testing.T) solera.Blobs { return fakeS3(t, nil) })
}

func TestRealS3(t *testing.T) {
	if clustertest.S3(t) == "" {
		t.Skip("SOLERA_TEST_S3 is not set: make test-cluster sets it")
	}
	blobtest.Test(t, func(t *testing.T) solera.Blobs { return realS3(t) })
}

func realS3(t testing.TB) *S3 {
	t.Helper()
	s, err := OpenS3(clustertest.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	s.spool = t.TempDir()
	return s
}

// each runs a test on both servers, as far as there are both.
func each(t *testing.T, run func(*testing.T, *S3)) {
	t.Run("fake", func(t *testing.T) { run(t, fakeS3(t, nil)) })
	t.Run("real", func(t *testing.T) {
		if clustertest.S3(t) == "" {
			t.Skip("SOLERA_TEST_S3 is not set: make test-cluster sets it")
		}
		run(t, realS3(t))
	})
}

var _ = bytes.NewReader
