package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// wine runs the wine example in a folder and on the servers: the digests of all
// artifacts must agree. Neither what commands print nor what the database and
// the bucket hold may show the password.
func (c *cluster) wine(ctx context.Context, env []string) error {
	bin := filepath.Join(c.scratch, "solera")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/solera")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build solera: %w\n%s", err, out)
	}
	config, err := os.ReadFile("examples/wine/solera.yaml")
	if err != nil {
		return err
	}
	server, err := minio.New("127.0.0.1:"+c.s3Port, &minio.Options{
		Creds: credentials.NewStaticV4("solera", c.secret, ""), BucketLookup: minio.BucketLookupPath, Region: "us-east-1",
	})
	if err != nil {
		return err
	}
	if err := server.MakeBucket(ctx, "wine", minio.MakeBucketOptions{}); err != nil {
		return err
	}
	// The password in the URL, where it does not belong: still it is not shown.
	withPassword := strings.Replace(c.postgresURL(), "postgres@", "postgres:"+c.secret+"@", 1) + "?search_path=wine"
	if err := c.query(ctx, "CREATE SCHEMA wine", nil); err != nil {
		return err
	}
	results := make(map[string]map[string]string)
	for _, place := range []struct{ name, store, blobs string }{
		{"folder", "", ""},
		{"servers", withPassword, c.s3URL("wine")},
	} {
		dir := filepath.Join(c.scratch, "wine-"+place.name)
		if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "solera.yaml"), config, 0o644)); err != nil {
			return err
		}
		command := func(verb ...string) ([]byte, error) {
			args := verb
			if place.store != "" {
				args = append([]string{"--store", place.store, "--blobs", place.blobs}, args...)
			}
			cmd := exec.CommandContext(ctx, bin, append([]string{"-C", dir}, args...)...)
			cmd.Env = append(env, "XDG_CONFIG_HOME="+filepath.Join(dir, ".config"))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if strings.Contains(stdout.String()+stderr.String(), c.secret) {
				return nil, fmt.Errorf("solera %v shows the password", verb)
			}
			if err != nil {
				return nil, fmt.Errorf("solera %v in the %s: %w\n%s", verb, place.name, err, stderr.String())
			}
			return stdout.Bytes(), nil
		}
		for _, verb := range []string{"run", "status", "runs", "lineage wine-raw", "verify"} {
			if _, err := command(append(strings.Fields(verb), "--json")...); err != nil {
				return err
			}
		}
		out, err := command("artifacts", "--json")
		if err != nil {
			return err
		}
		var versions []struct{ Name, Version, Digest string }
		if err := json.Unmarshal(out, &versions); err != nil {
			return fmt.Errorf("solera artifacts --json: %w", err)
		}
		digests := make(map[string]string)
		for _, v := range versions {
			digests[v.Name+":"+v.Version] = v.Digest
		}
		results[place.name] = digests
	}
	for _, name := range slices.Sorted(maps.Keys(results["folder"])) {
		fmt.Printf("  %-32s %s\n", name, results["folder"][name])
	}
	if len(results["folder"]) != 6 || !maps.Equal(results["folder"], results["servers"]) {
		return fmt.Errorf("the digests differ: in the folder %v, on the servers %v", results["folder"], results["servers"])
	}
	return errors.Join(c.searchDatabase(ctx, "wine"), c.searchBucket(ctx, server, "wine"))
}

// query runs a statement; each row's first column goes to each.
func (c *cluster) query(ctx context.Context, statement string, each func(text string) error) error {
	config, err := pgx.ParseConfig(c.postgresURL())
	if err != nil {
		return err
	}
	config.Password = c.secret
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var text string
		if err := rows.Scan(&text); err != nil {
			return err
		}
		if err := each(text); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (c *cluster) searchDatabase(ctx context.Context, schema string) error {
	var tables []string
	err := c.query(ctx, "SELECT tablename FROM pg_tables WHERE schemaname = '"+schema+"'", func(name string) error {
		tables = append(tables, name)
		return nil
	})
	if err != nil {
		return err
	}
	rows := 0
	for _, table := range tables {
		err := c.query(ctx, "SELECT t::text FROM "+schema+"."+table+" t", func(row string) error {
			rows++
			if strings.Contains(row, c.secret) {
				return fmt.Errorf("table %s holds the password", table)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	fmt.Printf("  no password in %d rows of %d tables\n", rows, len(tables))
	if rows == 0 {
		return errors.New("nothing was searched for the password")
	}
	return nil
}

func (c *cluster) searchBucket(ctx context.Context, server *minio.Client, bucket string) error {
	for o := range server.ListObjects(ctx, bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			return o.Err
		}
		r, err := server.GetObject(ctx, bucket, o.Key, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		var content bytes.Buffer
		_, err = content.ReadFrom(r)
		r.Close()
		if err != nil {
			return err
		}
		if bytes.Contains(content.Bytes(), []byte(c.secret)) {
			return fmt.Errorf("object %s holds the password", o.Key)
		}
	}
	return nil
}
