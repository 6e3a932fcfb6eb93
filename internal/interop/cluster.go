package main

import (
	"context"
	"net/url"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// cluster makes an empty schema and an empty bucket on the servers that
// internal/cluster started, and returns the flags that name them.
func (h *harness) cluster(ctx context.Context) ([]string, error) {
	const name = "interop"
	conn, err := pgx.Connect(ctx, os.Getenv("SOLERA_TEST_POSTGRES"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, "CREATE SCHEMA "+name); err != nil {
		return nil, err
	}
	records, err := url.Parse(os.Getenv("SOLERA_TEST_POSTGRES"))
	if err != nil {
		return nil, err
	}
	q := records.Query()
	q.Set("search_path", name)
	records.RawQuery = q.Encode()
	bytes, err := url.Parse(os.Getenv("SOLERA_TEST_S3"))
	if err != nil {
		return nil, err
	}
	endpoint, err := url.Parse(bytes.Query().Get("endpoint"))
	if err != nil {
		return nil, err
	}
	s3, err := minio.New(endpoint.Host, &minio.Options{Creds: credentials.NewEnvAWS(), BucketLookup: minio.BucketLookupPath, Region: "us-east-1"})
	if err != nil {
		return nil, err
	}
	if err := s3.MakeBucket(ctx, name, minio.MakeBucketOptions{}); err != nil {
		return nil, err
	}
	bytes.Host = name
	return []string{"--store", records.String(), "--blobs", bytes.String()}, nil
}
