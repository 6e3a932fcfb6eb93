package blob

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/solera-ml/solera"
)

func TestOpenObject(t *testing.T) {
	ctx := context.Background()
	s := fakeS3(t, nil)
	content := []byte("what somebody else put there")
	if _, err := s.core.PutObject(ctx, s.bucket, "data/a b.csv", bytes.NewReader(content), int64(len(content)), "", "", minio.PutObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	env := func(name string) string {
		if name == "AWS_ENDPOINT_URL_S3" {
			return s.endpoint
		}
		return ""
	}
	for _, offset := range []int64{0, 5} {
		r, err := openObject(ctx, "s3://bucket/data/a%20b.csv", offset, env)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, content[offset:]) {
			t.Errorf("from %d: %q, %v", offset, got, err)
		}
	}
	if _, err := openObject(ctx, "s3://bucket/data/none", 0, env); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("a missing object: %v", err)
	}
	for _, bad := range []string{"s3://bucket", "s3://bucket/", "https://bucket/key", "s3://key:secret@bucket/key", "s3://bucket/key?endpoint=http://evil.example"} {
		_, err := openObject(ctx, bad, 0, env)
		if !errors.Is(err, solera.ErrInvalid) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
