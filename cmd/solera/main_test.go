package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/solera-ml/solera/internal/clustertest"
)

// In scripts, solera is this test binary: no build, no path.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"solera": main})
}

// The stories that users live through, in testdata/script at the root.
func TestScripts(t *testing.T) {
	dir := filepath.Join("..", "..", "testdata", "script")
	if files, err := filepath.Glob(filepath.Join(dir, "*.txtar")); err != nil || len(files) == 0 {
		t.Fatalf("no scripts in %s (%v)", dir, err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 dir,
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("CI", "1") // plain lines
			e.Setenv("XDG_CONFIG_HOME", filepath.Join(e.WorkDir, ".config"))
			return homes(t, e)
		},
		Condition: func(word string) (bool, error) {
			if word != "cluster" {
				return false, fmt.Errorf("unknown condition %q", word)
			}
			return onCluster(), nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"json": jsonValue, "exits": exits, "generate": generate, "waitfor": waitFor, "same": same, "tamper": tamper, "http": request, "revoke": revoke},
	})
}

// onCluster says whether stories keep what they make in PostgreSQL and S3; in
// scripts [cluster] asks for it.
func onCluster() bool {
	return os.Getenv("SOLERA_TEST_POSTGRES") != "" && os.Getenv("SOLERA_TEST_S3") != ""
}

// homes gives a story its stores: the one it uses unless it says otherwise, and
// others under the names $OTHER and $THIRD for --store.
func homes(t *testing.T, e *testscript.Env) error {
	if !onCluster() {
		e.Setenv("OTHER", "other")
		e.Setenv("THIRD", "third")
		return nil
	}
	for _, name := range []string{"SOLERA_STORE", "OTHER", "THIRD"} {
		e.Setenv(name, clustertest.Postgres(t))
	}
	e.Setenv("SOLERA_BLOBS", clustertest.S3(t))
	for _, secret := range clustertest.Secrets() {
		name, value, _ := strings.Cut(secret, "=")
		e.Setenv(name, value)
	}
	return nil
}

// json FILE PATH WANT checks one value of a JSON file (or stdout, stderr):
// PATH is dotted, with numbers for list entries and len for the length. WANT is
// JSON, or bare text. With "!", the value must differ or be absent.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: json FILE PATH WANT")
	}
	var v any
	text := ts.ReadFile(args[0])
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		ts.Fatalf("%s is not JSON: %v\n%s", args[0], err, text)
	}
	found := true
	if args[1] != "." {
		for _, key := range strings.Split(args[1], ".") {
			v, found = step(v, key)
			if !found {
				break
			}
		}
	}
	got, err := json.Marshal(v)
	if err != nil {
		ts.Fatalf("%v", err)
	}
	s, isText := v.(string)
	if (found && (string(got) == args[2] || isText && s == args[2])) == neg {
		ts.Fatalf("%s in %s is %s (there: %v), want %s\n%s", args[1], args[0], got, found, args[2], text)
	}
}

func step(v any, key string) (any, bool) {
	switch v := v.(type) {
	case map[string]any:
		if key == "len" {
			return float64(len(v)), true
		}
		x, ok := v[key]
		return x, ok
	case []any:
		if key == "len" {
			return float64(len(v)), true
		}
		var i int
		if json.Unmarshal([]byte(key), &i) == nil && i >= 0 && i < len(v) {
			return v[i], true
		}
	}
	return nil, false
}

// exits CODE ARGUMENTS… runs solera and checks its exit code, which "! exec"
// does not tell apart.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARGUMENTS OF SOLERA")
	}
	code := 0
	if err := ts.Exec("solera", args[1:]...); err != nil {
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if args[0] != strconv.Itoa(code) {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// generate KIND FILE writes input that is too large or too odd for a script.
func generate(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: generate KIND FILE")
	}
	var b bytes.Buffer
	switch args[0] {
	case "wide": // 100,000 columns
		for i := range 100_000 {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString("c")
			b.WriteString(strings.Repeat("x", i%3))
			b.WriteString(strconv.Itoa(i))
		}
		b.WriteString(",y\n" + strings.Repeat("1,", 100_000) + "a\n" + strings.Repeat("2,", 100_000) + "b\n")
	case "longline": // a line longer than a record may be
		b.WriteString("x,y\n")
		b.Write(bytes.Repeat([]byte("1"), 80<<20))
		b.WriteString(",a\n")
	case "latin1":
		b.WriteString("x,y\n1,a\n2,caf\xe9\n")
	default:
		ts.Fatalf("cannot generate %q", args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b.Bytes(), 0o644))
}

// waitfor FILE waits until a file, or something in a folder, is there.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waitfor FILE")
	}
	for range 1000 {
		entries, err := os.ReadDir(ts.MkAbs(args[0]))
		if _, serr := os.Stat(ts.MkAbs(args[0])); serr == nil && (err != nil || len(entries) > 0) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s did not come", args[0])
}

// same A B compares two lists of artifacts by name and digest: the numbers of
// versions may differ.
func same(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: same A B")
	}
	read := func(file string) map[string]string {
		var list []artifactJSON
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(file)), &list))
		m := map[string]string{}
		for _, a := range list {
			m[a.Name] = a.Digest.String()
		}
		return m
	}
	if a, b := read(args[0]), read(args[1]); len(a) == 0 || !maps.Equal(a, b) {
		ts.Fatalf("the digests differ:\n%v\n%v", a, b)
	}
}

// tamper HOW REF FILE changes the bytes of a file of a version in the folder
// .solera/blobs, as somebody with access to the disk could: bit (one bit of
// it), cut (its second half) or remove.
func tamper(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: tamper bit|cut|remove REF FILE")
	}
	ts.Check(ts.Exec("solera", "artifacts", args[1], "--json"))
	var list []artifactJSON
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &list))
	digest := ""
	for _, f := range list[0].Files {
		if f.Path == args[2] {
			digest = f.Digest.Hex()
		}
	}
	found, err := filepath.Glob(filepath.Join(ts.MkAbs(".solera"), "blobs", "sha256", "*", "*"))
	ts.Check(err)
	for _, name := range found {
		if digest == "" || !strings.HasSuffix(digest, filepath.Base(name)) {
			continue
		}
		b, err := os.ReadFile(name)
		ts.Check(err)
		ts.Check(os.Chmod(name, 0o644))
		switch args[0] {
		case "bit":
			b[len(b)/2] ^= 1
			ts.Check(os.WriteFile(name, b, 0o644))
		case "cut":
			ts.Check(os.WriteFile(name, b[:len(b)/2], 0o644))
		case "remove":
			ts.Check(os.Remove(name))
		default:
			ts.Fatalf("cannot %s", args[0])
		}
		return
	}
	ts.Fatalf("no blob of %s %s", args[1], args[2])
}
