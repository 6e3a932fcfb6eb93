// Package clustertest gives tests a place of their own on real servers, where
// `make test-cluster` or a developer has started some:
//
//	SOLERA_TEST_POSTGRES=postgres://postgres@127.0.0.1:5432/postgres
//	SOLERA_TEST_S3='s3://?endpoint=http://127.0.0.1:7070'
//
// with PGPASSWORD, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY where the servers
// ask for them. Without these variables tests use SQLite and folders alone.
package clustertest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Secrets returns the variables that programs need to get into the servers, as
// KEY=VALUE.
func Secrets() []string {
	var list []string
	for _, key := range []string{"PGPASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} {
		if value, ok := os.LookupEnv(key); ok {
			list = append(list, key+"="+value)
		}
	}
	return list
}

// Postgres returns the URL of an empty schema that is dropped after the test,
// or "" where there is no server.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv("SOLERA_TEST_POSTGRES")
	if server == "" {
		return ""
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	schema := "t" + strings.ToLower(rand.Text())
	Exec(t, "CREATE SCHEMA "+schema)
	t.Cleanup(func() { Exec(t, "DROP SCHEMA "+schema+" CASCADE") })
	q := u.Query()
	q.Set("search_path", schema)
	u.RawQuery = q.Encode()
	return u.String()
}

// Exec runs one statement on the server. A server that is being restarted by
// another test is waited for.
func Exec(t testing.TB, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for {
		err := exec(ctx, statement)
		if err == nil {
			return
		}
		if ctx.Err() != nil || strings.Contains(err.Error(), "42601") { // syntax
			t.Fatalf("%s: %v", statement, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, os.Getenv("SOLERA_TEST_POSTGRES"))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// Query returns the first column of what a statement gives.
func Query(t testing.TB, statement string) (list []string) {
	t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Getenv("SOLERA_TEST_POSTGRES"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		t.Fatal(err)
	}
	list, err = pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// S3 returns the URL of an empty prefix of a bucket that is removed after the
// test, or "" where there is no server.
func S3(t testing.TB) string {
	t.Helper()
	server := os.Getenv("SOLERA_TEST_S3")
	if server == "" {
		return ""
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	endpoint, err := url.Parse(u.Query().Get("endpoint"))
	if err != nil {
		t.Fatal(err)
	}
	client, err := minio.New(endpoint.Host, &minio.Options{
		Creds: credentials.NewEnvAWS(), Secure: endpoint.Scheme == "https", Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		t.Fatal(err)
	}
	bucket := "t" + strings.ToLower(rand.Text())
	ctx := context.Background()
	if err := client.MakeBucket(ctx, bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		objects := client.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true})
		for e := range client.RemoveObjects(ctx, bucket, objects, minio.RemoveObjectsOptions{}) {
			t.Error(e.Err)
		}
		if err := client.RemoveBucket(ctx, bucket); err != nil {
			t.Error(err)
		}
	})
	u.Host, u.Path = bucket, "/blobs"
	return u.String()
}
