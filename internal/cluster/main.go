// Command cluster starts a real PostgreSQL and a real S3 server on loopback, in
// a folder that it removes again, and runs tests against them: `make
// test-cluster`. With arguments it runs that command instead:
//
//	go run ./internal/cluster -versitygw .tools/versitygw-v1.8.0 go test ./store
//
// PostgreSQL is that of the system (Debian: apt-get install postgresql). It
// refuses to run as root, so root runs it as the user postgres, whom that package makes.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	gateway := flag.String("versitygw", "versitygw", "program of the S3 server")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The servers die with the thread that started them; see server.start.
	runtime.LockOSThread()
	err := run(ctx, *gateway, flag.Args())
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, gateway string, command []string) (err error) {
	scratch, err := os.MkdirTemp("", "solera-cluster-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	if err := os.Chmod(scratch, 0o711); err != nil { // PostgreSQL's user passes through
		return err
	}
	c := &cluster{scratch: scratch, secret: "never-shown-" + rand.Text()}
	defer func() {
		c.postgres.stop(syscall.SIGINT)
		c.s3.stop(syscall.SIGTERM)
		if err != nil && ctx.Err() == nil {
			c.postgres.tail(os.Stderr)
			c.s3.tail(os.Stderr)
		}
	}()
	start := time.Now()
	if err := c.startPostgres(ctx); err != nil {
		return err
	}
	if err := c.startS3(ctx, gateway); err != nil {
		return err
	}
	control, err := c.control()
	if err != nil {
		return err
	}
	fmt.Printf("PostgreSQL and S3 are up after %.1f s: %s, %s\n", time.Since(start).Seconds(), c.postgresURL(), c.s3URL("BUCKET"))
	env := append(os.Environ(), "SOLERA_STORE=", "SOLERA_BLOBS=",
		"SOLERA_TEST_POSTGRES="+c.postgresURL(), "SOLERA_TEST_S3="+c.s3URL(""),
		"PGPASSWORD="+c.secret, "AWS_ACCESS_KEY_ID=solera", "AWS_SECRET_ACCESS_KEY="+c.secret)
	disturbed := append(env[:len(env):len(env)], "SOLERA_TEST_CONTROL="+control)
	if len(command) > 0 {
		return execute(ctx, disturbed, command...)
	}
	var failed []error
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"suites and stories", func() error {
			return execute(ctx, env, "go", "test", "-count=1", "-short", "./store", "./blob/...", "./tracking", "./pipeline", "./cmd/solera")
		}},
		{"servers that stop, crash and refuse", func() error {
			return execute(ctx, disturbed, "go", "test", "-count=1", "-p=1", "-run=Disturbed", "./store", "./blob", "./cmd/solera")
		}},
		{"the wine example", func() error { return c.wine(ctx, env) }},
	} {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		start := time.Now()
		fmt.Printf("\n%s\n", step.name)
		if err := step.run(); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", step.name, err)) // the others may say why
			continue
		}
		fmt.Printf("ok: %s, %.1f s\n", step.name, time.Since(start).Seconds())
	}
	return errors.Join(failed...)
}

// execute runs a command to its end. A Ctrl-C reaches it from the terminal too.
func execute(ctx context.Context, env []string, command ...string) error {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = env, os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	return cmd.Run()
}

// A cluster is one server of each kind.
type cluster struct {
	scratch      string
	secret       string // password of the database and secret key of S3
	postgres, s3 *server
	postgresPort string
	s3Port       string
}

func (c *cluster) postgresURL() string {
	return "postgres://postgres@127.0.0.1:" + c.postgresPort + "/postgres"
}

func (c *cluster) s3URL(bucket string) string {
	return "s3://" + bucket + "?endpoint=http://127.0.0.1:" + c.s3Port
}

func (c *cluster) startPostgres(ctx context.Context) (err error) {
	bin, err := postgresFolder()
	if err != nil {
		return err
	}
	credential, err := postgresUser()
	if err != nil {
		return err
	}
	if c.postgresPort, err = freePort(); err != nil {
		return err
	}
	dir := filepath.Join(c.scratch, "postgres")
	password := filepath.Join(c.scratch, "password")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.WriteFile(password, []byte(c.secret), 0o600)); err != nil {
		return err
	}
	if credential != nil {
		for _, path := range []string{dir, password} {
			if err := os.Chown(path, int(credential.Uid), int(credential.Gid)); err != nil {
				return err
			}
		}
	}
	data := filepath.Join(dir, "data")
	// A language of its own, as Debian sets one up: nothing may rest on C.
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8",
		"--auth=scram-sha-256", "--pwfile="+password, "--no-sync", "--no-instructions")
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	initdb.Dir = dir
	if out, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	c.postgres = &server{
		name: "PostgreSQL", log: filepath.Join(c.scratch, "postgres.log"), dir: dir, credential: credential,
		// The system's cache outlives every kill that tests do; only a loss of
		// power would need the disk.
		args: []string{
			filepath.Join(bin, "postgres"), "-D", data, "-c", "listen_addresses=127.0.0.1", "-c", "port=" + c.postgresPort,
			"-c", "unix_socket_directories=" + dir, "-c", "fsync=off", "-c", "max_connections=300", "-c", "shared_buffers=64MB",
		},
		ready: c.postgresReady,
	}
	return c.postgres.start(ctx)
}

func (c *cluster) startS3(ctx context.Context, gateway string) (err error) {
	if c.s3Port, err = freePort(); err != nil {
		return err
	}
	data, sidecar := filepath.Join(c.scratch, "s3"), filepath.Join(c.scratch, "sidecar")
	if err := errors.Join(os.Mkdir(data, 0o700), os.Mkdir(sidecar, 0o700)); err != nil {
		return err
	}
	c.s3 = &server{
		name: "versitygw", log: filepath.Join(c.scratch, "s3.log"), dir: c.scratch,
		env: []string{"ROOT_ACCESS_KEY=solera", "ROOT_SECRET_KEY=" + c.secret},
		// sidecar: a temporary folder may have no extended attributes.
		args: []string{gateway, "--port", "127.0.0.1:" + c.s3Port, "--quiet", "--health", "/health", "posix", "--sidecar", sidecar, data},
		ready: func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+c.s3Port+"/health", nil)
			if err != nil {
				return err
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			return res.Body.Close()
		},
	}
	return c.s3.start(ctx)
}

// control lets tests stop and start the servers: POST /postgres/fast,
// /postgres/immediate and /postgres/kill stop PostgreSQL in the way of that name
// and start it again; /postgres/down and /postgres/up, /s3/down and /s3/up do one of both.
func (c *cluster) control() (url string, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	mux := http.NewServeMux()
	handle := func(path string, do func() error) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := do(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	ctx := context.Background()
	for how, signal := range map[string]syscall.Signal{"fast": syscall.SIGINT, "immediate": syscall.SIGQUIT, "kill": syscall.SIGKILL} {
		handle("/postgres/"+how, func() error {
			c.postgres.stop(signal)
			return c.postgres.start(ctx)
		})
	}
	handle("/postgres/down", func() error { c.postgres.stop(syscall.SIGINT); return nil })
	handle("/postgres/up", func() error { return c.postgres.start(ctx) })
	handle("/s3/down", func() error { c.s3.stop(syscall.SIGKILL); return nil })
	handle("/s3/up", func() error { return c.s3.start(ctx) })
	go func() { _ = http.Serve(listener, mux) }() // until the process ends
	return "http://" + listener.Addr().String(), nil
}

func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}

// postgresFolder finds the server's programs, which Debian keeps off the path.
func postgresFolder() (string, error) {
	var folders []string
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		folders = append(folders, strings.TrimSpace(string(out)))
	}
	versions, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return "", err
	}
	for i := len(versions) - 1; i >= 0; i-- { // the newest first
		folders = append(folders, versions[i])
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if real, err := filepath.EvalSymlinks(initdb); err == nil {
			folders = append(folders, filepath.Dir(real))
		}
	}
	for _, folder := range folders {
		_, initdb := os.Stat(filepath.Join(folder, "initdb"))
		_, postgres := os.Stat(filepath.Join(folder, "postgres"))
		if initdb == nil && postgres == nil {
			return folder, nil
		}
	}
	return "", errors.New("PostgreSQL is not installed (Debian: apt-get install postgresql)")
}
