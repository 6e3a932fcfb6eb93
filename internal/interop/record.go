package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"crypto/md5" //nolint:gosec // what clients say of a file
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// A recording is what one script and a server said to each other, so that tests
// can say it again without Python. It is a file of lines of JSON, one exchange a
// line, in the order in which the requests began, and packed by gzip.
//
// What the server made up and the client sent back later, such as identifiers
// and signed addresses, is a placeholder {{N}}: whoever replays learns its value
// from the answer in which it stands first. A checksum of a body that holds
// placeholders is {{md5:N}} or {{md5hex:N}}, N being the line with that body.
// Keys, hosts and folders are no part of a recording.
type exchange struct {
	Method  string            `json:"method"`
	Path    string            `json:"path"`           // with the query
	Auth    bool              `json:"auth,omitempty"` // the request carried a key
	Header  map[string]string `json:"header,omitempty"`
	Query   string            `json:"query,omitempty"`     // of GraphQL: its name in queries.json
	Vars    json.RawMessage   `json:"variables,omitempty"` // of GraphQL
	Body    string            `json:"body,omitempty"`      // of anything else
	Binary  string            `json:"binary,omitempty"`    // a body that is no text, as base64
	Status  int               `json:"status"`
	Answer  json.RawMessage   `json:"answer,omitempty"` // its shape: see shapeOf
	Content string            `json:"content,omitempty"`
}

// recorded are the scripts of which there are recordings, and of which of their
// capabilities: those that say the same every time.
var recorded = []struct {
	script, only string
	random       bool // the server chooses by chance: only the form of its answers is the same
}{
	{"runs", "runs.init,runs.scalars,runs.nested,runs.nan,runs.text-values,runs.steps,runs.define-metric,runs.config,runs.summary,runs.labels,runs.files,runs.failed,runs.alert,runs.same-id", false},
	{"resume", "resume.allow,resume.must,resume.never,resume.rewind,resume.fork", false},
	{"media", "media.table,media.image,media.histogram,media.html", false},
	{"artifacts", "artifacts.log,artifacts.entry,artifacts.versions,artifacts.dedup,artifacts.draft,artifacts.incremental,artifacts.distributed,artifacts.reference-artifact," +
		"artifacts.aliases,artifacts.tags,artifacts.ttl,artifacts.change,artifacts.lineage,artifacts.delete,artifacts.collections,artifacts.link", false},
	{"sweeps", "sweeps.grid,sweeps.nested,sweeps.prior-runs,sweeps.update", true},
	{"api", "api.runs,api.filters,api.order,api.update,api.files,api.projects", false},
}

const recordings = "httpd/wandb/testdata"

// record lets each script speak to a server of its own and writes down what
// they say.
func (h *harness) record(ctx context.Context) error {
	for _, c := range h.clients {
		folder := filepath.Join(recordings, c.version)
		queries := make(map[string]string)
		if text, err := os.ReadFile(filepath.Join(folder, "queries.json")); err == nil && h.scripts != "" {
			if err := json.Unmarshal(text, &queries); err != nil {
				return err
			}
		}
		for _, r := range recorded {
			if h.scripts != "" && !slices.Contains(strings.Split(h.scripts, ","), r.script) {
				continue
			}
			name := "record-" + r.script + "-" + c.version
			s, err := h.serve(ctx, name, false, "--store", filepath.Join(h.scratch, name))
			if err != nil {
				return err
			}
			p, err := listen(s.url)
			if err != nil {
				return err
			}
			t := task{script: r.script, client: c, place: "record", server: s, base: p.url, only: r.only}
			results, err := h.perform(ctx, t)
			if err != nil {
				return err
			}
			for _, r := range results {
				if r.Result == "fails" {
					return fmt.Errorf("record %s with client %s: %s fails: %s", t.script, c.version, r.Key, r.Note)
				}
			}
			p.close()
			s.stop()
			lines, err := p.finish(h.private(t), queries, r.random)
			if err != nil {
				return err
			}
			if err := os.MkdirAll(folder, 0o755); err != nil {
				return err
			}
			var packed bytes.Buffer
			z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
			if err != nil {
				return err
			}
			if _, err := z.Write(lines); err != nil {
				return err
			}
			if err := z.Close(); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, r.script+".jsonl.gz"), packed.Bytes(), 0o644); err != nil {
				return err
			}
			text, err := indented(queries)
			if err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(folder, "queries.json"), text, 0o644); err != nil {
				return err
			}
			fmt.Printf("recorded %s with client %s: %d exchanges, %d bytes\n", r.script, c.version, bytes.Count(lines, []byte("\n")), packed.Len())
		}
	}
	return nil
}

func indented(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}

// private lists what must not stand in a recording, and what stands there
// instead; longer texts first.
func (h *harness) private(t task) [][2]string {
	here, _ := os.Getwd()
	host, _ := os.Hostname()
	home := filepath.Join(h.scratch, t.name())
	list := [][2]string{{home, "/home/user"}, {h.scratch, "/tmp"}, {here, "/src"}, {t.server.key, "KEY"}}
	if len(host) > 3 {
		list = append(list, [2]string{host, "host"})
	}
	return list
}

// A taped exchange is one as it came over the wire.
type taped struct {
	start        time.Time
	method, path string
	header       http.Header
	body, answer []byte
	status       int
	contentType  string
}

// A proxy stands between a client and a server and keeps what they say.
type proxy struct {
	url    string // of the proxy, as clients see it
	server *http.Server
	mu     sync.Mutex
	tape   []*taped
}

func listen(target string) (*proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{url: "http://" + l.Addr().String()}
	type key struct{}
	forward := &httputil.ReverseProxy{
		// The host as the client knows it: addresses that the server gives lead
		// through the proxy too.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.Header.Del("Accept-Encoding")
		},
		Transport: &http.Transport{DisableCompression: true},
		ModifyResponse: func(r *http.Response) error {
			x := r.Request.Context().Value(key{}).(*taped)
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return err
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			x.answer, x.status, x.contentType = body, r.StatusCode, r.Header.Get("Content-Type")
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		x := &taped{start: time.Now(), method: r.Method, path: r.URL.RequestURI(), header: r.Header.Clone(), body: body}
		p.mu.Lock()
		p.tape = append(p.tape, x)
		p.mu.Unlock()
		forward.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), key{}, x)))
	})}
	go func() { _ = p.server.Serve(l) }() // until it is closed
	return p, nil
}

func (p *proxy) close() { _ = p.server.Close() }

// unasked are files that a client sends of its own accord and that say much of
// the machine; nobody reads them back.
var unasked = regexp.MustCompile(`/(requirements\.txt|wandb-metadata\.json|diff\.patch|conda-environment\.yaml|output\.log)(\?|$)`)

// kept are the headers of a request that a server looks at.
var kept = []string{"Content-Type", "Content-Md5", "Range", "X-Wandb-Use-Async-Filestream", "X-Wandb-Async-Client-Id", "X-Wandb-Client-Id"}

// finish turns the tape into a recording. queries gets the texts of GraphQL.
func (p *proxy) finish(private [][2]string, queries map[string]string, random bool) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	clean := func(text string) string {
		text = strings.ReplaceAll(text, p.url, "{{base}}")
		for _, hide := range private {
			if hide[0] != "" {
				text = strings.ReplaceAll(text, hide[0], hide[1])
			}
		}
		return text
	}
	var list []*exchange
	var answers []any // parsed; nil = no JSON
	var bodies [][]byte
	for _, t := range p.tape {
		if strings.HasPrefix(t.path, "/api/") || t.status == 0 || strings.HasPrefix(t.path, "/sdk/") || strings.Contains(t.path, "/history.parquet") {
			// Solera's own API has its tests; a request that was cut off says
			// nothing; and what part of a Parquet file a client asks for depends
			// on how well it was packed.
			continue
		}
		x := &exchange{Method: t.method, Path: clean(t.path), Auth: t.header.Get("Authorization") != "", Status: t.status}
		for _, name := range kept {
			if v := t.header.Get(name); v != "" {
				if x.Header == nil {
					x.Header = map[string]string{}
				}
				x.Header[name] = v
			}
		}
		body := t.body
		if t.header.Get("Content-Encoding") == "gzip" {
			r, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			if body, err = io.ReadAll(r); err != nil {
				return nil, err
			}
		}
		if t.method == http.MethodPut && unasked.MatchString(t.path) {
			body = []byte("left out\n")
		}
		switch {
		case t.path == "/graphql":
			if err := x.graphql(clean(string(body)), queries); err != nil {
				return nil, err
			}
		case utf8.Valid(body):
			x.Body = clean(string(body))
		default:
			x.Binary = base64.StdEncoding.EncodeToString(body)
		}
		var answer any
		if d := json.NewDecoder(strings.NewReader(clean(string(t.answer)))); len(t.answer) > 0 {
			d.UseNumber()
			if d.Decode(&answer) != nil {
				answer = nil
				x.Content = fmt.Sprintf("%d bytes, md5 %x", len(t.answer), md5.Sum(t.answer))
			}
		}
		if strings.Contains(queries[x.Query], "__type(") {
			// What older clients ask first: what the server can do. That grows.
			answer = nil
		}
		list, answers, bodies = append(list, x), append(answers, answer), append(bodies, body)
	}
	m := mint{values: map[string]int{}}
	m.find(list, answers)
	m.checksums(list, bodies)
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	for i, x := range list {
		x.Path, x.Body, x.Vars = m.hide(x.Path), m.hide(x.Body), json.RawMessage(m.hide(string(x.Vars)))
		if len(x.Vars) > 0 && !json.Valid(x.Vars) {
			return nil, fmt.Errorf("line %d: what was taken for made up stands across the quotes of %s", i+1, x.Vars)
		}
		for k, v := range x.Header {
			x.Header[k] = m.hide(v)
		}
		if answers[i] != nil {
			// What a client says of its config and what it says of its steps are on
			// their way at once.
			m.racing = strings.HasPrefix(x.Query, "UpsertBucket")
			shape, err := json.Marshal(m.shape(answers[i], "", random))
			if err != nil {
				return nil, err
			}
			x.Answer = shape
		}
		if err := e.Encode(x); err != nil {
			return nil, err
		}
	}
	for _, hide := range private {
		if hide[0] != "" && bytes.Contains(out.Bytes(), []byte(hide[0])) {
			return nil, fmt.Errorf("the recording would show %s", hide[1])
		}
	}
	return out.Bytes(), nil
}

func (x *exchange) graphql(body string, queries map[string]string) error {
	var request struct {
		Query     string
		Variables json.RawMessage
		Name      string `json:"operationName"`
	}
	if err := json.Unmarshal([]byte(body), &request); err != nil {
		return err
	}
	name := request.Name
	if m := regexp.MustCompile(`(?:query|mutation)\s+(\w+)`).FindStringSubmatch(request.Query); name == "" && m != nil {
		name = m[1]
	}
	name = cmp.Or(name, "nameless")
	for i := 1; ; i++ {
		x.Query = name
		if i > 1 {
			x.Query += "-" + strconv.Itoa(i)
		}
		if have, ok := queries[x.Query]; !ok || have == request.Query {
			break
		}
	}
	queries[x.Query] = request.Query
	x.Vars = request.Variables
	return nil
}

// mint is what the server made up and the client sent back.
type mint struct {
	values map[string]int    // value → N
	sums   map[string]string // checksum → its placeholder
	racing bool              // the answer tells how many steps had come by then
}

// find looks for texts of answers that are in a later request, and were in none
// before.
func (m *mint) find(list []*exchange, answers []any) {
	said := "" // by the client, so far
	var later []string
	for _, x := range list {
		later = append(later, x.Path+"\n"+unescaped(x.Path)+"\n"+x.Body+"\n"+string(x.Vars))
	}
	for i := range list {
		said += later[i]
		rest := strings.Join(later[i+1:], "\n")
		for _, text := range texts(answers[i], "") {
			text = strings.TrimPrefix(text, "{{base}}")
			if _, known := m.values[text]; known || len(text) < 6 || strings.ContainsAny(text, " \n{\"") || fixed.MatchString(text) {
				continue
			}
			if strings.Contains(rest, text) && !strings.Contains(said, text) {
				m.values[text] = len(m.values) + 1
			}
		}
	}
}

// fixed are words that a server says and clients repeat, which are not made up,
// and numbers.
var fixed = regexp.MustCompile(`^([0-9]+|default|latest|[A-Z_]+|running|pending|finished|failed|crashed|wandb-.*|application/.*)$`)

func unescaped(path string) string {
	if s, err := url.PathUnescape(path); err == nil {
		return s
	}
	return path
}

// texts lists the texts in an answer, and in the JSON that texts hold.
func texts(v any, key string) []string {
	var list []string
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if k != "__typename" {
				list = append(list, texts(v[k], k)...)
			}
		}
	case []any:
		for _, e := range v {
			list = append(list, texts(e, key)...)
		}
	case string:
		if inner, ok := jsonIn(v); ok {
			return texts(inner, key)
		}
		list = append(list, v)
	}
	return list
}

// jsonIn returns what a text holds that is a JSON object or list.
func jsonIn(text string) (any, bool) {
	if text == "" || text[0] != '{' && text[0] != '[' || strings.HasPrefix(text, "{{") {
		return nil, false
	}
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil, false
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, false
	}
	return v, true
}

// checksums finds those of bodies that hold what was made up.
func (m *mint) checksums(list []*exchange, bodies [][]byte) {
	m.sums = map[string]string{}
	for i, x := range list {
		if x.Body == "" || x.Method != http.MethodPut || m.replace(x.Body) == x.Body {
			continue
		}
		sum := md5.Sum(bodies[i])
		m.sums[base64.StdEncoding.EncodeToString(sum[:])] = fmt.Sprintf("{{md5:%d}}", i)
		m.sums[hex.EncodeToString(sum[:])] = fmt.Sprintf("{{md5hex:%d}}", i)
	}
}

// replace puts placeholders for what was made up, the longest first: one may
// hold another.
func (m *mint) replace(text string) string {
	values := slices.Collect(maps.Keys(m.values))
	sort.Slice(values, func(i, j int) bool {
		return len(values[i]) > len(values[j]) || len(values[i]) == len(values[j]) && values[i] < values[j]
	})
	for _, v := range values {
		text = strings.ReplaceAll(text, v, fmt.Sprintf("{{%d}}", m.values[v]))
		if escaped := url.PathEscape(v); escaped != v {
			text = strings.ReplaceAll(text, escaped, fmt.Sprintf("{{escaped:%d}}", m.values[v]))
		}
		if escaped := url.QueryEscape(v); escaped != v {
			text = strings.ReplaceAll(text, escaped, fmt.Sprintf("{{escaped:%d}}", m.values[v]))
		}
	}
	return text
}

func (m *mint) hide(text string) string {
	for sum, placeholder := range m.sums {
		text = strings.ReplaceAll(text, sum, placeholder)
	}
	return m.replace(text)
}

// passing are fields whose value is another each time.
var passing = regexp.MustCompile(`(?i)^(id|storagePath|createdAt|updatedAt|heartbeatAt|startedAt|linkedAt|_timestamp|_runtime|runtime|etag|uploadUrl|directUrl|url|uploadID|features|displayName|cliVersionInfo|version|host|sizeBytes|size|md5|e|t|batch|username|email)$`)

// shape is what of an answer is the same each time: what was made up is its
// placeholder; what passes is only its kind, as ~text or ~number; JSON in a text
// is {"$json": shape}.
func (m *mint) shape(v any, key string, random bool) any {
	switch v := v.(type) {
	case map[string]any:
		if key == "e" || key == "t" || key == "features" {
			return "~any"
		}
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[m.hide(k)] = m.shape(e, k, random)
		}
		return out
	case []any:
		if key == "features" {
			return "~any"
		}
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = m.shape(e, key, random)
		}
		return out
	case string:
		if inner, ok := jsonIn(v); ok {
			return map[string]any{"$json": m.shape(inner, key, random)}
		}
		hidden := m.replace(strings.TrimPrefix(v, "{{base}}"))
		if n, ok := m.values[strings.TrimPrefix(v, "{{base}}")]; ok {
			return fmt.Sprintf("{{%d}}", n)
		}
		if passing.MatchString(key) || random || hidden != strings.TrimPrefix(v, "{{base}}") || strings.HasPrefix(v, "{{base}}") || m.hide(v) != v {
			return "~text"
		}
		return v
	case json.Number:
		if passing.MatchString(key) || random || m.racing && key == "historyLineCount" {
			return "~number"
		}
		return v
	}
	return v
}
