package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The document names every capability of the scripts and no other, so that it
// cannot go stale between two runs of `make interop`, which needs Python.
func TestDocumentNamesWhatScriptsShow(t *testing.T) {
	t.Chdir("../..")
	marked := regexp.MustCompile(`(?m)^@capability\("([^"]+)", "((?:[^"\\]|\\.)+)"`)
	var shown []string
	for _, script := range scripts {
		text, err := os.ReadFile(filepath.Join(scriptFolder, script+".py"))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range marked.FindAllStringSubmatch(string(text), -1) {
			shown = append(shown, m[1])
		}
		if n := strings.Count(string(text), "@capability("); n != len(marked.FindAllString(string(text), -1)) {
			t.Errorf("%s.py marks %d capabilities, of which this test reads fewer", script, n)
		}
	}
	text, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), tableBegin)
	table, _, _ := strings.Cut(rest, tableEnd)
	var named []string
	for _, r := range rowsOf(table) {
		named = append(named, r.key)
	}
	slices.Sort(shown)
	slices.Sort(named)
	if !slices.Equal(shown, named) {
		t.Errorf("the table of %s names %v, the scripts show %v (make interop UPDATE=1)", document, missing(named, shown), missing(shown, named))
	}
	gaps, err := readGaps("interop/wandb/gaps.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range gaps {
		if !slices.Contains(shown, g.key) {
			t.Errorf("interop/wandb/gaps.txt: no script shows %s", g.key)
		}
	}
	clients, err := readClients("interop/wandb/clients.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range clients {
		if !strings.Contains(table, " "+c.version+" |") {
			t.Errorf("the table of %s has no column for the client %s", document, c.version)
		}
	}
}

func TestTable(t *testing.T) {
	h := &harness{clients: []client{{version: "2"}, {version: "1"}}}
	t.Chdir(t.TempDir())
	if err := os.Mkdir("docs", 0o755); err != nil {
		t.Fatal(err)
	}
	of := func(key, script, version, said string) outcome {
		return outcome{result{Key: key, Title: "title of " + key, Result: said}, script, "", version, onDisk}
	}
	seen := []outcome{
		of("b", "runs", "2", "works"), of("b", "runs", "1", "absent"), of("a", "media", "2", "fails"), of("a", "media", "1", "works"), of("c", "big", "2", "works"),
		{result{Key: "c", Result: "fails"}, "big", "", "2", onCluster},
	}
	gaps := []gap{{"a", "2", "*", "partly", "why"}}
	want := `
| what | 2 | 1 | shown by |
|---|---|---|---|
| title of b | works | – | [b](../interop/wandb/conformance/runs.py) |
| title of a. Why | partly | works | [a](../interop/wandb/conformance/media.py) |
| title of c | works | not run | [c](../interop/wandb/conformance/big.py) |

`
	write := func(table string) {
		if err := os.WriteFile(document, []byte("before\n"+tableBegin+table+tableEnd+"after\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	if err := h.table(seen, gaps, true); err == nil {
		t.Error("an empty table is taken for what was seen")
	}
	h.update = true
	if err := h.table(seen, gaps, true); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(document); string(got) != "before\n"+tableBegin+want+tableEnd+"after\n" {
		t.Errorf("got %s", got)
	}
	h.update = false
	if err := h.table(seen, gaps, true); err != nil {
		t.Error(err)
	}
	if err := h.table(seen[:2], gaps, false); err != nil {
		t.Errorf("a part of the scripts: %v", err)
	}
	if err := h.table([]outcome{of("b", "runs", "2", "fails")}, nil, false); err == nil {
		t.Error("a part of the scripts that fails now is not noticed")
	}
	if err := h.table(seen[:4], gaps, true); err == nil {
		t.Error("a row of what is no more is not noticed")
	}
}

// missing returns what of a is not in b.
func missing(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return slices.Contains(b, s) })
}

func TestJudge(t *testing.T) {
	gaps := []gap{{"a", "*", "*", "not", "why"}, {"b", "1", onDisk, "partly", "why"}}
	of := func(key, said, version string) outcome {
		return outcome{result{Key: key, Result: said, Note: "note"}, "s", "", version, onDisk}
	}
	for _, tt := range []struct {
		name string
		seen outcome
		want string
	}{
		{"what works", of("c", "works", "1"), ""},
		{"what fails", of("c", "fails", "1"), "c, client 1, sqlite: note"},
		{"what this client has not", of("c", "absent", "1"), ""},
		{"a known gap", of("a", "fails", "2"), ""},
		{"a known gap of another client", of("b", "fails", "2"), "b, client 2, sqlite: note"},
		{"a gap that is none", of("b", "works", "1"), "take it out"},
	} {
		got := judge([]outcome{tt.seen}, gaps)
		if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := unused(gaps, []outcome{of("a", "fails", "1")}); len(got) != 1 || !strings.Contains(got[0], " b") {
		t.Errorf("gaps of which no script knows: got %q", got)
	}
}

func TestReadLines(t *testing.T) {
	name := filepath.Join(t.TempDir(), "list")
	for _, tt := range []struct{ text, want string }{
		{"# a comment\n\na  b   the rest of it\n", "a b the rest of it"},
		{"a b\n", "error"},
		{"a\n", "error"},
	} {
		if err := os.WriteFile(name, []byte(tt.text), 0o644); err != nil {
			t.Fatal(err)
		}
		var got string
		err := readLines(name, 3, func(f []string) error { got = strings.Join(f, " "); return nil })
		if err != nil {
			got = "error"
		}
		if got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.text, got, tt.want)
		}
	}
}

// What the server made up becomes a placeholder wherever it stands later, and a
// checksum over it one that can be computed again.
func TestRecordingHidesWhatIsMadeUp(t *testing.T) {
	p := &proxy{url: "http://127.0.0.1:1"}
	say := func(method, path, body, answer string) {
		p.tape = append(p.tape, &taped{method: method, path: path, body: []byte(body), answer: []byte(answer), status: 200, header: map[string][]string{"Authorization": {"Basic SECRET"}}})
	}
	say("POST", "/graphql", `{"query":"mutation Make{make{id}}","operationName":"Make","variables":{"name":"mine"}}`,
		`{"data":{"make":{"id":"QXJ0ZQ==","state":"PENDING","createdAt":"2026","count":3,"uploadUrl":"http://127.0.0.1:1/storage/SIGNATURE/f","config":"{\"id\":\"QXJ0ZQ==\"}"}}}`)
	// The checksum of the next body, said before it.
	say("POST", "/graphql", `{"query":"mutation Make{make{id}}","operationName":"Make","variables":{"digest":"YdujrSjG2nW5h7FrgUlX7A=="}}`, `{}`)
	say("PUT", "/storage/SIGNATURE/f", `{"birth":"QXJ0ZQ=="}`, ``)
	say("GET", "/old/QXJ0ZQ%3D%3D/x", ``, `no json`)
	queries := map[string]string{}
	got, err := p.finish([][2]string{{"SECRET", "KEY"}}, queries, false)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		`{"method":"POST","path":"/graphql","auth":true,"query":"Make","variables":{"name":"mine"},"status":200,"answer":{"data":{"make":{"config":{"$json":{"id":"{{1}}"}},"count":3,"createdAt":"~text","id":"{{1}}","state":"PENDING","uploadUrl":"{{2}}"}}}}`,
		`{"method":"POST","path":"/graphql","auth":true,"query":"Make","variables":{"digest":"{{md5:2}}"},"status":200,"answer":{}}`,
		`{"method":"PUT","path":"{{2}}","auth":true,"body":"{\"birth\":\"{{1}}\"}","status":200}`,
		`{"method":"GET","path":"/old/{{escaped:1}}/x","auth":true,"status":200,"content":"7 bytes, md5 554d3f2657ac292bb383229326d1438e"}`,
	}, "\n") + "\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if queries["Make"] != "mutation Make{make{id}}" {
		t.Errorf("queries: %v", queries)
	}
}
