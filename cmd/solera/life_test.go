package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func TestLater(t *testing.T) {
	now := solera.MicrosOf(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	for s, want := range map[string]string{
		"never": "", "90m": "2026-11-22T13:30:00.000000Z", "12h": "2026-11-23T00:00:00.000000Z", "30d": "2026-12-22T12:00:00.000000Z",
		"2w": "2026-12-06T12:00:00.000000Z", "2027-01-01": "2027-01-01T00:00:00.000000Z", "2027-01-01T10:00:00Z": "2027-01-01T10:00:00.000000Z",
	} {
		if got, err := later(s, now); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "d", "-1d", "0d", "1y", "1.5d", "99999999999999999999d", "999999999w", "soon"} {
		if _, err := later(s, now); !errors.Is(err, solera.ErrUsage) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestActor(t *testing.T) {
	a := &app{env: func(string) string { return "" }}
	got := a.actor()
	name, host, ok := strings.Cut(got, "@")
	if !ok || name == "" || host == "" || strings.ContainsAny(got, "\n\x1b") {
		t.Errorf("%q", got)
	}
}

func TestOpenWeb(t *testing.T) {
	content := strings.Repeat("0123456789", 100)
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ranges":
			http.ServeContent(w, r, "x.bin", time.Time{}, strings.NewReader(content))
		case "/whole":
			io.WriteString(w, content)
		case "/wrong":
			w.Header().Set("Content-Range", "bytes 0-9/1000")
			w.WriteHeader(http.StatusPartialContent)
			io.WriteString(w, content[:10])
		case "/plain":
			http.Redirect(w, r, "http://"+r.Host+"/whole?token=geheim", http.StatusFound)
		case "/moved":
			http.Redirect(w, r, "/whole", http.StatusFound)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	server.Config.ErrorLog = nil
	transport := server.Client().Transport
	open := func(path string, offset int64) (string, error) {
		r, err := openWeb(t.Context(), transport, server.URL+path, offset)
		if err != nil {
			return "", err
		}
		defer r.Close()
		b, err := io.ReadAll(r)
		return string(b), err
	}
	for _, path := range []string{"/ranges", "/whole", "/moved"} {
		for _, offset := range []int64{0, 1, 999} {
			if got, err := open(path, offset); err != nil || got != content[offset:] {
				t.Errorf("%s from %d: %d bytes, %v", path, offset, len(got), err)
			}
		}
	}
	for path, want := range map[string]error{"/none": solera.ErrNotFound, "/wrong": solera.ErrCorrupt, "/plain": solera.ErrInvalid, "/round": solera.ErrInvalid, "/broken": nil} {
		_, err := open(path, 5)
		if err == nil || want != nil && !errors.Is(err, want) || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%s: %v", path, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := openWeb(ctx, transport, server.URL+"/whole", 0); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: %v", err)
	}
}

func TestOpenLocal(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "a b%.txt")
	if err := os.WriteFile(name, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" {
		r, err := openLocal("file://"+strings.NewReplacer(" ", "%20", "%", "%25").Replace(name), 3)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if b, err := io.ReadAll(r); err != nil || string(b) != "tent" {
			t.Errorf("%q, %v", b, err)
		}
	}
	for ref, want := range map[string]error{"file://" + dir: solera.ErrInvalid, "file://" + dir + "/none": solera.ErrNotFound, "file://host/x": solera.ErrInvalid, "file:///dev/null": solera.ErrInvalid} {
		if _, err := openLocal(ref, 0); !errors.Is(err, want) {
			t.Errorf("%s: %v", ref, err)
		}
	}
}

func TestColumnsLeaveOutWhatIsEmpty(t *testing.T) {
	var c columns
	for _, row := range [][3]string{{"a", "", ""}, {"b", "", "x"}, {"", "", ""}} {
		c.add("ONE", row[0])
		c.some("TWO", row[1])
		c.some("THREE", row[2])
	}
	headers, rows := c.table()
	if got := fmt.Sprintf("%q %q", headers, rows); got != `["ONE" "THREE"] [["a" ""] ["b" "x"] ["" ""]]` {
		t.Error(got)
	}
}

// Names of runs may be anything; no format lets one break out of its place.
func TestHostileNamesStayInTheirPlace(t *testing.T) {
	name := "\"]; n0 --> n1\n} digraph { x [label=\"\\\" <script>alert(1)</script> #quot; `md` & \u202e\x1b[2J"
	g := tracking.Graph{Nodes: []tracking.GraphNode{{ID: "r1", Kind: "run", Name: name}}}
	var dot, mermaid strings.Builder
	if err := errors.Join(writeDOT(&dot, g), writeMermaid(&mermaid, g)); err != nil {
		t.Fatal(err)
	}
	for format, text := range map[string]string{"dot": dot.String(), "mermaid": mermaid.String()} {
		if strings.ContainsAny(text, "\u202e\x1b") {
			t.Errorf("%s: control characters: %q", format, text)
		}
	}
	if lines := strings.Split(strings.TrimSpace(dot.String()), "\n"); len(lines) != 4 {
		t.Errorf("DOT: %q", lines)
	}
	// Within the label every quote is escaped.
	label := dot.String()[strings.Index(dot.String(), "label=\"")+len("label=\""):]
	for i := 0; ; i++ {
		if label[i] == '\\' {
			i++
			continue
		}
		if label[i] == '"' {
			if !strings.HasPrefix(label[i:], `", shape=ellipse];`) {
				t.Errorf("the label ends at %q", label[i:])
			}
			break
		}
	}
	if lines := strings.Split(strings.TrimSpace(mermaid.String()), "\n"); len(lines) != 2 || strings.Count(lines[1], `"`) != 2 || strings.ContainsAny(lines[1], "<>`&") {
		t.Errorf("Mermaid: %q", lines)
	}
}
