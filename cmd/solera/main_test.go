package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
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
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"json": jsonValue, "exits": exits, "generate": generate},
	})
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

// exits CODE COMMAND… runs a command and checks its exit code, which "! exec"
// does not tell apart.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE ARGUMENTS OF SOLERA")
	}
	var out, errs bytes.Buffer
	env := func(key string) string { return ts.Getenv(key) }
	// In this process: the same code, and the exit code in hand.
	code := Main(append([]string{"-C", ts.MkAbs(".")}, args[1:]...), strings.NewReader(""), &out, &errs, env)
	if want := args[0]; want != string(rune('0'+code)) {
		ts.Fatalf("exit code %d, want %s\nstdout: %s\nstderr: %s", code, want, out.String(), errs.String())
	}
	ts.Check(os.WriteFile(ts.MkAbs("out"), out.Bytes(), 0o644))
	ts.Check(os.WriteFile(ts.MkAbs("err"), errs.Bytes(), 0o644))
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
			b.WriteString(jsonNumber(i))
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

func jsonNumber(i int) string {
	b, _ := json.Marshal(i)
	return string(b)
}
