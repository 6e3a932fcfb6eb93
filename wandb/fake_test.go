package wandb

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// A fake is a server that does what the protocol says of one, and notes what no
// client should do: a line that changes, a gap, a commit without its files.
type fake struct {
	*httptest.Server
	t   *testing.T
	key string

	mu        sync.Mutex
	runs      map[string]*fakeRun // by project/name
	artifacts []*fakeArtifact
	byClient  map[string]*fakeArtifact
	objects   map[string][]byte // by path of the address
	faults    []string
	stopped   bool           // said in every answer of a stream
	asked     map[string]int // operations
	sought    map[string]int // how often a client id was not known, less what was created for it
}

type fakeRun struct {
	project, name string
	vars          map[string]any
	lines         map[string]map[int64]string
	uploaded      []string
	files         map[string][]byte
	complete      bool
	exit          int
	used          []string
	beat          time.Time
	posts         int
}

type fakeArtifact struct {
	id, project, collection, typ, run, state, digest string
	metadata, description                            string
	number                                           int
	aliases                                          []string
	entries                                          map[string]string // path → md5 in base64, as announced
	manifest                                         []byte
}

const fakeKey = "local-0123456789012345678901234567890123456789"

func newFake(t *testing.T) *fake {
	f := &fake{t: t, key: fakeKey, runs: map[string]*fakeRun{}, byClient: map[string]*fakeArtifact{}, objects: map[string][]byte{}, asked: map[string]int{}, sought: map[string]int{}}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // cut off on the way
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if strings.HasPrefix(r.URL.Path, "/object/") {
		if _, _, ok := r.BasicAuth(); ok || r.Header.Get("Authorization") != "" {
			f.fault("the key was sent to an address that needs none: %s", r.URL.Path)
		}
		if r.URL.Query().Get("signature") != "s3cret" {
			http.Error(w, `{"errors":[{"message":"no signature"}]}`, http.StatusForbidden)
			return
		}
		f.object(w, r, body)
		return
	}
	if user, key, ok := r.BasicAuth(); !ok || user != "api" || key != f.key {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"message":"user is not logged in with `+key+`"}]}`)
		return
	}
	if strings.HasSuffix(r.URL.Path, "/file_stream") {
		f.stream(w, r, body)
		return
	}
	var q struct {
		Query     string
		Variables map[string]any
	}
	if err := json.Unmarshal(body, &q); err != nil {
		http.Error(w, "no JSON", http.StatusBadRequest)
		return
	}
	name := operation{text: q.Query}.operationName()
	f.asked[name]++
	data, status := f.answer(name, q.Variables)
	if status != 0 {
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"errors":[{"message":"%s"}]}`, data)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

type object = map[string]any

func (f *fake) address(path string) string {
	return f.URL + "/object/" + url.PathEscape(path) + "?signature=s3cret"
}

func (f *fake) object(w http.ResponseWriter, r *http.Request, body []byte) {
	path := strings.TrimPrefix(r.URL.Path, "/object/")
	if r.Method == http.MethodGet {
		content, ok := f.objects[path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
		return
	}
	if want := r.Header.Get("Content-Md5"); want != "" {
		if sum := md5.Sum(body); base64.StdEncoding.EncodeToString(sum[:]) != want {
			http.Error(w, "wrong MD5", http.StatusBadRequest)
			return
		}
	}
	f.objects[path] = body
	kind, rest, _ := strings.Cut(path, "/")
	id, file, _ := strings.Cut(rest, "/")
	switch kind {
	case "run":
		for _, run := range f.runs {
			if run.name == id {
				run.files[file] = body
			}
		}
	case "manifest":
		f.artifact(id).manifest = body
	}
}

func (f *fake) artifact(id string) *fakeArtifact {
	for _, a := range f.artifacts {
		if a.id == id {
			return a
		}
	}
	return nil
}

func (f *fake) stream(w http.ResponseWriter, r *http.Request, body []byte) {
	parts := strings.Split(r.URL.EscapedPath(), "/") // /files/E/P/R/file_stream
	project, _ := url.PathUnescape(parts[3])
	name, _ := url.PathUnescape(parts[4])
	run := f.runs[project+"/"+name]
	if run == nil {
		http.Error(w, `{"errors":[{"message":"no such run"}]}`, http.StatusNotFound)
		return
	}
	s, err := ParseStream(body)
	if err != nil {
		f.fault("stream: %v", err)
	}
	run.posts++
	run.beat = time.Now()
	for file, block := range s.Files {
		lines := run.lines[file]
		if lines == nil {
			lines = map[int64]string{}
			run.lines[file] = lines
		}
		if file != SummaryFile && block.Offset > int64(len(lines)) {
			f.fault("%s: %s: a gap: %d lines, then offset %d", name, file, len(lines), block.Offset)
		}
		for i, line := range block.Content {
			n := block.Offset + int64(i)
			if old, ok := lines[n]; ok && old != line && (file == HistoryFile || file == EventsFile) {
				f.fault("%s: %s: line %d was %s and is %s", name, file, n, old, line)
			}
			lines[n] = line
		}
	}
	run.uploaded = append(run.uploaded, s.Uploaded...)
	if s.Complete {
		run.complete, run.exit = true, *s.ExitCode
	}
	fmt.Fprintf(w, `{"stopped":%v}`, f.stopped)
}

// rows returns the lines of a file of a run, decoded.
func (f *fake) rows(t *testing.T, project, name, file string) []map[string]any {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	run := f.runs[project+"/"+name]
	if run == nil {
		t.Fatalf("the server has no run %s/%s", project, name)
	}
	var out []map[string]any
	for n := range int64(len(run.lines[file])) {
		row, err := DecodeObject([]byte(run.lines[file][n]))
		if err != nil {
			t.Fatalf("%s line %d: %v", file, n, err)
		}
		out = append(out, row)
	}
	return out
}

func (f *fake) answer(name string, v map[string]any) (any, int) {
	str := func(key string) string { s, _ := v[key].(string); return s }
	input, _ := v["input"].(map[string]any)
	in := func(key string) string { s, _ := input[key].(string); return s }
	switch name {
	case "Viewer":
		return object{"viewer": object{"id": "VTox", "entity": "ana", "username": "ana", "name": nil, "teams": object{"edges": []any{object{"node": object{"name": "lab"}}}}}}, 0
	case "UpsertBucket":
		key := str("project") + "/" + str("name")
		run := f.runs[key]
		inserted := run == nil
		if inserted {
			run = &fakeRun{project: str("project"), name: str("name"), vars: map[string]any{}, lines: map[string]map[int64]string{}, files: map[string][]byte{}}
			f.runs[key] = run
		}
		for k, x := range v {
			if x != nil {
				run.vars[k] = x
			}
		}
		return object{"upsertBucket": object{"inserted": inserted, "bucket": object{
			"id": "UnVu", "name": run.name, "displayName": run.vars["displayName"], "historyLineCount": len(run.lines[HistoryFile]),
			"project": object{"id": "UA==", "name": run.project, "entity": object{"id": "RQ==", "name": str("entity")}},
		}}}, 0
	case "RunHeartbeat":
		run := f.runs[str("project")+"/"+str("name")]
		if run == nil {
			return object{"project": object{"run": nil}}, 0
		}
		return object{"project": object{"run": object{"id": "UnVu", "heartbeatAt": run.beat.UTC().Format("2006-01-02T15:04:05")}}}, 0
	case "CreateRunFiles":
		file := v["files"].([]any)[0].(string)
		return object{"createRunFiles": object{"runID": "UnVu", "uploadHeaders": []string{"X-Extra:1"}, "files": []any{object{"name": file, "uploadUrl": f.address("run/" + str("run") + "/" + file)}}}}, 0
	case "ClientIDMapping":
		if a := f.byClient[str("clientID")]; a != nil {
			return object{"clientIDMapping": object{"serverID": a.id}}, 0
		}
		f.sought[str("clientID")]++
		return object{"clientIDMapping": nil}, 0
	case "ArtifactByID":
		if a := f.artifact(str("id")); a != nil {
			return object{"artifact": f.node(a)}, 0
		}
		return object{"artifact": nil}, 0
	case "CreateArtifact":
		if in("runName") != "" && f.runs[in("projectName")+"/"+in("runName")] == nil {
			return "no such run", http.StatusNotFound
		}
		// Whoever creates has asked before whether somebody did. What a sender sent
		// before it was killed may come after the next one has asked: the same is
		// meant.
		if f.sought[in("clientID")]--; f.sought[in("clientID")] < 0 {
			f.fault("%s is created without having asked for its client id", in("artifactCollectionName"))
		}
		if input["enableDigestDeduplication"] == true {
			for _, a := range f.artifacts {
				if a.project == in("projectName") && a.collection == in("artifactCollectionName") && a.state == "COMMITTED" && a.digest == in("digest") && slices.Contains(a.aliases, "latest") {
					f.byClient[in("clientID")] = a
					return object{"createArtifact": object{"artifact": object{"id": a.id, "state": a.state}}}, 0
				}
			}
		}
		if a := f.byClient[in("clientID")]; a != nil {
			return object{"createArtifact": object{"artifact": object{"id": a.id, "state": a.state}}}, 0
		}
		a := &fakeArtifact{
			id: base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "Artifact:%d", len(f.artifacts))), project: in("projectName"), collection: in("artifactCollectionName"),
			typ: in("artifactTypeName"), run: in("runName"), state: "PENDING", digest: in("digest"), metadata: in("metadata"), description: in("description"), number: -1, entries: map[string]string{},
		}
		for _, alias := range input["aliases"].([]any) {
			a.aliases = append(a.aliases, alias.(map[string]any)["alias"].(string))
		}
		f.byClient[in("clientID")] = a
		f.artifacts = append(f.artifacts, a)
		return object{"createArtifact": object{"artifact": object{"id": a.id, "state": a.state}}}, 0
	case "CreateArtifactManifest":
		file := object{"id": "Rg=="}
		if v["includeUpload"] == true {
			file["uploadUrl"], file["uploadHeaders"] = f.address("manifest/"+str("artifactID")), []string{"Content-Md5:" + str("digest")}
		}
		return object{"createArtifactManifest": object{"artifactManifest": object{"id": "TQ==", "file": file}}}, 0
	case "CreateArtifactFiles":
		edges := []any{}
		for _, s := range v["artifactFiles"].([]any) {
			spec := s.(map[string]any)
			a := f.artifact(spec["artifactID"].(string))
			path, sum := spec["name"].(string), spec["md5"].(string)
			a.entries[path] = sum
			node := object{"storagePath": "x", "uploadUrl": nil, "uploadHeaders": []string{"Content-Md5:" + sum}, "artifact": object{"id": a.id}}
			if _, ok := f.objects["file/"+sum]; !ok {
				node["uploadUrl"] = f.address("file/" + sum)
			}
			edges = append(edges, object{"node": node})
		}
		return object{"createArtifactFiles": object{"files": object{"edges": edges}}}, 0
	case "CommitArtifact":
		a := f.artifact(str("artifactID"))
		m, err := ParseManifest(a.manifest)
		if err != nil || m.Digest() != a.digest {
			f.fault("%s committed with the manifest %q: %v", a.collection, a.manifest, err)
			return "bad manifest", http.StatusUnprocessableEntity
		}
		for _, e := range m.Entries {
			if _, ok := f.objects["file/"+e.Digest]; !ok && e.Ref == "" {
				f.fault("%s committed without %s", a.collection, e.Path)
			}
		}
		if a.state == "PENDING" {
			a.state, a.number = "COMMITTED", 0
			for _, other := range f.artifacts {
				if other != a && other.state == "COMMITTED" && other.project == a.project && other.collection == a.collection {
					a.number++
					other.aliases = slices.DeleteFunc(other.aliases, func(s string) bool { return slices.Contains(a.aliases, s) })
				}
			}
		}
		return object{"commitArtifact": object{"artifact": object{"id": a.id, "digest": a.digest}}}, 0
	case "UseArtifact":
		run := f.runs[in("projectName")+"/"+in("runName")]
		a := f.artifact(in("artifactID"))
		if run == nil || a == nil {
			return "no such run or artifact", http.StatusNotFound
		}
		if name := fmt.Sprintf("%s:v%d", a.collection, a.number); !slices.Contains(run.used, name) {
			run.used = append(run.used, name)
		}
		return object{"useArtifact": object{"artifact": object{"id": a.id}}}, 0
	case "AddAliases", "DeleteAliases":
		a := f.artifact(in("artifactID"))
		alias := input["aliases"].([]any)[0].(map[string]any)["alias"].(string)
		for _, other := range f.artifacts {
			if other.collection == a.collection {
				other.aliases = slices.DeleteFunc(other.aliases, func(s string) bool { return s == alias })
			}
		}
		if name == "AddAliases" {
			a.aliases = append(a.aliases, alias)
		}
		return object{"result": object{"success": true}}, 0
	case "ArtifactMembershipByName":
		collection, alias, _ := strings.Cut(str("name"), ":")
		for _, a := range f.artifacts {
			if a.project == str("project") && a.collection == collection && a.state == "COMMITTED" && (slices.Contains(a.aliases, alias) || alias == fmt.Sprintf("v%d", a.number)) {
				return object{"project": object{"artifactCollectionMembership": object{"id": "TQ==", "versionIndex": a.number, "artifactCollection": object{"__typename": "ArtifactSequence", "name": a.collection}, "artifact": f.node(a)}}}, 0
			}
		}
		return object{"project": object{"artifactCollectionMembership": nil}}, 0
	case "FetchArtifactManifest":
		return object{"artifact": object{"currentManifest": object{"id": "TQ==", "file": object{"id": "Rg==", "directUrl": f.address("manifest/" + str("id"))}}}}, 0
	case "GetArtifactMembershipFileUrls":
		for _, a := range f.artifacts {
			if a.project != str("project") || a.collection != str("collection") || str("alias") != fmt.Sprintf("v%d", a.number) {
				continue
			}
			m, _ := ParseManifest(a.manifest)
			from := 0
			if s := str("cursor"); s != "" {
				from, _ = strconv.Atoi(s)
			}
			to := min(from+2, len(m.Entries)) // small pages
			edges := []any{}
			for _, e := range m.Entries[from:to] {
				edges = append(edges, object{"node": object{"name": e.Path, "directUrl": f.address("file/" + e.Digest)}})
			}
			return object{"project": object{"artifactCollection": object{"__typename": "ArtifactSequence", "artifactMembership": object{
				"files": object{"pageInfo": object{"endCursor": strconv.Itoa(to), "hasNextPage": to < len(m.Entries)}, "edges": edges},
			}}}}, 0
		}
		return object{"project": object{"artifactCollection": nil}}, 0
	}
	return "Cannot query field of " + name, http.StatusBadRequest
}

func (f *fake) node(a *fakeArtifact) object {
	aliases := []any{}
	for _, s := range a.aliases {
		aliases = append(aliases, object{"alias": s, "artifactCollection": object{"__typename": "ArtifactSequence", "name": a.collection}})
	}
	number := any(a.number)
	if a.number < 0 {
		number = nil
	}
	return object{
		"id": a.id, "state": a.state, "digest": a.digest, "versionIndex": number, "metadata": a.metadata, "artifactType": object{"name": a.typ},
		"artifactSequence": object{"name": a.collection}, "aliases": aliases,
	}
}
