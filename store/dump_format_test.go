package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
)

func sampleDump(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "sample.dump"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// signed closes lines as Dump would: whoever alters a dump can do that too.
func signed(t testing.TB, lines []string) string {
	t.Helper()
	body := strings.Join(lines, "\n") + "\n"
	counts := make(map[string]int64)
	for _, line := range lines {
		var one map[string]json.RawMessage
		json.Unmarshal([]byte(line), &one)
		for kind := range one {
			counts[kind]++
		}
	}
	end, err := json.Marshal(record{End: &dumpEnd{counts, sha256.Sum256([]byte(body))}})
	if err != nil {
		t.Fatal(err)
	}
	return body + string(end) + "\n"
}

// A dump that somebody made up to do harm has all its sums right. Nothing of it
// gets past what the store refuses elsewhere.
func TestLoadBelievesNothing(t *testing.T) {
	d := solera.DigestOf([]byte("x")).String()
	const run = `{"run":{"id":"r","project":"p","state":"finished","finished":1}}`
	content := `{"content":{"digest":"` + d + `","type":"dataset","metadata":{},"size":1}}`
	entry := func(path, more string) string {
		return `{"entry":{"content":"` + d + `","path":"` + path + `","digest":"` + d + `","size":1` + more + `}}`
	}
	const artifact = `{"artifact":{"project":"p","name":"wine","type":"dataset","next":1}}`
	version := `{"version":{"project":"p","artifact":"wine","number":0,"content":"` + d + `","run":"r","tags":[]}}`
	points := func(run string, first int, rest string) string {
		return fmt.Sprintf(`{"points":{"run":%q,"first":%d,%s}}`, run, first, rest)
	}
	const one = `"keys":["k"],"key":[0],"step":[1],"value":[1],"time":[1]`
	tests := []struct {
		name  string
		lines []string
		want  string // of the error; "" = it is fine
	}{
		{"a whole one", []string{run, points("r", 1, one), points("r", 2, one), content, entry("a", ""), artifact, version}, ""},
		{"a path that leaves", []string{content, entry("../a", "")}, `line 3: corrupt: path "../a"`},
		{"an absolute path", []string{content, entry("/etc/passwd", "")}, "line 3: corrupt: path"},
		{"a backslash", []string{content, entry(`a\\b`, "")}, "line 3: corrupt: path"},
		{"a file that is a folder", []string{content, entry("a", ""), entry("a/b", "")}, "line 5: corrupt: content"},
		{"a path twice", []string{content, entry("a", ""), entry("a", "")}, "line 5: corrupt: content"},
		{"a password in a reference", []string{content, entry("a", `,"ref":"https://u:p@h/a"`)}, "line 3: corrupt"},
		{"a file of no content", []string{entry("a", "")}, "line 2: corrupt"},
		{"a version without artifact", []string{run, content, version}, "line 4: corrupt"},
		{"a version without run", []string{content, artifact, version}, "line 4: corrupt"},
		{"an alias like a number", []string{run, content, artifact, version, `{"alias":{"project":"p","artifact":"wine","number":0,"alias":"v3"}}`}, "line 6: corrupt"},
		{"an alias of nothing", []string{run, content, artifact, version, `{"alias":{"project":"p","artifact":"wine","number":1,"alias":"a"}}`}, "line 6: corrupt"},
		{"a name with a slash", []string{`{"artifact":{"project":"p","name":"a/b","type":"t","next":1}}`}, "line 2: corrupt"},
		{"a name of look-alikes", []string{`{"artifact":{"project":"p","name":"wіne","type":"t","next":1}}`}, "line 2: corrupt"},
		{"a run's name", []string{`{"run":{"id":"../r"}}`}, "line 2: corrupt"},
		{"a run twice", []string{run, run}, "line 3: corrupt"},
		{"a zero byte", []string{`{"run":{"id":"r","notes":"\u0000"}}`}, "line 2: corrupt"},
		{"an unknown kind of edge", []string{run, `{"edge":{"run":"r","kind":"likes","project":"p","artifact":"a","number":0}}`}, "line 3: corrupt"},
		{"a negative number", []string{run, content, artifact, strings.Replace(version, `"number":0`, `"number":-1`, 1)}, "line 5: corrupt"},
		{"records in another order", []string{content, run}, "line 3: corrupt: a run after a content"},
		{"a second header", []string{`{"solera":{"dump":1,"schema":1}}`}, "line 2: corrupt"},
		{"points with a gap", []string{run, points("r", 2, one)}, "line 3: corrupt: point 2"},
		{"points of nobody", []string{points("r", 1, one)}, "line 2: corrupt"},
		{"points without keys", []string{run, points("r", 1, `"keys":[],"key":[0],"step":[1],"value":[1],"time":[1]`)}, "line 3: corrupt"},
		{"points with steps missing", []string{run, points("r", 1, `"keys":["k"],"key":[0],"step":[],"value":[1],"time":[1]`)}, "line 3: corrupt"},
		{"points of an empty key", []string{run, points("r", 1, `"keys":[""],"key":[0],"step":[1],"value":[1],"time":[1]`)}, "line 3: corrupt"},
		{"a value that is none", []string{run, points("r", 1, `"keys":["k"],"key":[0],"step":[1],"value":["x"],"time":[1]`)}, "line 3: corrupt"},
		{"console lines of number 0", []string{run, `{"line":{"run":"r","n":0,"stream":"out","text":""}}`}, "line 3: corrupt"},
		{"a deletion of nothing", []string{`{"deletion":{"digest":"","planned":1,"size":0,"done":0}}`}, "line 2: corrupt"},
		{"deep JSON", []string{`{"run":{"id":"r","params":{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}}}`}, "line 2: corrupt"},
		{"a record that is nothing", []string{`{"run":null}`}, "line 2: corrupt"},
		{"a list", []string{`[]`}, "line 2: corrupt"},
	}
	path := filepath.Join(t.TempDir(), "solera.db")
	s, err := OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	for i := len(tests) - 1; i >= 0; i-- { // the whole one last: nothing before it may have left anything
		tt := tests[i]
		t.Run(tt.name, func(t *testing.T) {
			err := s.Load(context.Background(), strings.NewReader(signed(t, append([]string{`{"solera":{"dump":1,"schema":1}}`}, tt.lines...))))
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no error", err)
			case tt.want != "" && (!errors.Is(err, solera.ErrCorrupt) || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %.300v, want %s", err, tt.want)
			}
		})
	}
}

// A manifest without end is given up at the limit, not at the end of memory.
func TestAManifestWithoutEndIsRefused(t *testing.T) {
	d := solera.DigestOf([]byte("x"))
	in := &dumpReader{content: d, files: make([]solera.Entry, solera.MaxFiles-1)}
	next := &record{Entry: &dumpEntry{d, solera.Entry{Path: "a", Digest: d}}}
	if err := in.check(next); err != nil {
		t.Errorf("the last file that is allowed: %v", err)
	}
	if err := in.check(next); !errors.Is(err, solera.ErrCorrupt) {
		t.Errorf("one more: got %v, want it refused", err)
	}
}

// What is read without an error is written again as something that is read
// without an error and written the same.
func FuzzReadDump(f *testing.F) {
	whole := sampleDump(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	lines := strings.Split(strings.TrimSuffix(string(whole), "\n"), "\n")
	for i := 1; i < len(lines)-1; i++ {
		f.Add([]byte(signed(f, []string{lines[0], lines[i]})))
	}
	f.Add([]byte(signed(f, lines[:1])))
	f.Add([]byte(`{"solera":{"dump":1,"schema":1}}` + "\n" + `{"points":{"run":"r","first":1,"keys":["k"],"key":[0,0,0],"step":[1,-1,0],"value":[null,"+","-"],"time":[0,0,0]}}`))
	rewrite := func(raw []byte) ([]byte, error) {
		var b bytes.Buffer
		out, err := newDumpWriter(&b, 9)
		if err != nil {
			return nil, err
		}
		err = readDump(bytes.NewReader(raw), 9, func(_ int64, r *record) error { return out.write(r) })
		if err != nil {
			return nil, err
		}
		err = out.end()
		return b.Bytes(), err
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		// The sum at the end would keep the fuzzer from everything behind it.
		if at := bytes.LastIndexByte(bytes.TrimSuffix(raw, []byte("\n")), '\n'); at >= 0 {
			raw = []byte(signed(t, strings.Split(string(raw[:at]), "\n")))
		}
		first, err := rewrite(raw)
		if err != nil {
			if !errors.Is(err, solera.ErrCorrupt) && !errors.Is(err, solera.ErrInvalid) {
				t.Fatalf("an error of no kind: %v", err)
			}
			return
		}
		second, err := rewrite(first)
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if !bytes.Equal(first, second) {
			t.Fatal("written again it is something else")
		}
	})
}

// The connection to a server can be lost in the middle of a load.
func TestLoadBeginsAgainWhereItCan(t *testing.T) {
	lost := errors.New("connection lost")
	for _, tt := range []struct {
		name string
		r    func() io.Reader
		ok   bool
	}{
		{"a file", func() io.Reader { return bytes.NewReader(sampleDump(t)) }, true},
		{"a pipe", func() io.Reader { return io.MultiReader(bytes.NewReader(sampleDump(t))) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := OpenSQLite(context.Background(), filepath.Join(t.TempDir(), "solera.db"))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			before, batch, calls := d.obstacle, d.batch, 0
			d.engine.obstacle = func(err error) obstacle {
				if errors.Is(err, lost) {
					return away
				}
				return before(err)
			}
			d.engine.batch = func(t *tx, query string, n int, args func(int) []any) error {
				if calls++; calls == 3 {
					return lost
				}
				return batch(t, query, n, args)
			}
			err = d.Load(context.Background(), tt.r())
			switch {
			case tt.ok && err != nil:
				t.Errorf("got %v, want another try", err)
			case !tt.ok && (!errors.Is(err, lost) || !strings.Contains(err.Error(), "nothing was loaded")):
				t.Errorf("got %v, want the loss and that nothing was loaded", err)
			}
			if !tt.ok {
				if err := d.Load(context.Background(), tt.r()); err != nil {
					t.Errorf("the next load: %v", err)
				}
			}
			err = d.View(context.Background(), func(tx solera.Tx) error {
				runs, err := tx.Runs(solera.RunQuery{Deleted: true})
				if len(runs) != 1 {
					t.Errorf("got %d runs, want 1", len(runs))
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}
