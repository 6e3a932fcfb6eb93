package wandb

import (
	"bytes"
	"context"
	"crypto/md5" //nolint:gosec // what clients know of a file
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/blob"
	"github.com/solera-ml/solera/store"
	"github.com/solera-ml/solera/tracking"
	wire "github.com/solera-ml/solera/wandb"
)

// shop is a server with two workspaces, and a client of it that may do all.
type shop struct {
	t      testing.TB
	spaces map[string]*tracking.Tracker
	url    string
	now    time.Time // of the server, if not zero
	who    auth.Principal
}

func newShop(t testing.TB) *shop {
	t.Helper()
	s := &shop{t: t, spaces: map[string]*tracking.Tracker{}, who: auth.Anyone()}
	for _, name := range []string{"default", "other"} {
		dir := t.TempDir()
		st, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "solera.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		blobs, err := blob.OpenDir(filepath.Join(dir, "blobs"))
		if err != nil {
			t.Fatal(err)
		}
		s.spaces[name] = &tracking.Tracker{Store: st, Blobs: blobs, Project: "wine"}
	}
	mux := http.NewServeMux()
	Register(mux, Options{
		Workspace: func(name string) (*tracking.Tracker, error) {
			tr, ok := s.spaces[name]
			if !ok {
				return nil, fmt.Errorf("workspace %q: %w", name, solera.ErrNotFound)
			}
			return tr, nil
		},
		Workspaces: func() []string { return []string{"default", "other"} },
		Clock: func() time.Time {
			if s.now.IsZero() {
				return time.Now()
			}
			return s.now
		},
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(auth.WithPrincipal(r.Context(), s.who)))
	}))
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

// ask sends a GraphQL document and returns the status, the data and the first
// error.
func (s *shop) ask(query string, variables map[string]any) (int, map[string]any, string) {
	s.t.Helper()
	body, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := http.Post(s.url+"/graphql", "application/json", bytes.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	var out struct {
		Data   map[string]any
		Errors []struct{ Message string }
	}
	if err := json.NewDecoder(res.Body).Decode(&out); err != nil {
		s.t.Fatalf("answer: %v", err)
	}
	why := ""
	if len(out.Errors) > 0 {
		why = out.Errors[0].Message
	}
	return res.StatusCode, out.Data, why
}

// data is what a document that succeeds answers at a path.
func (s *shop) data(query string, variables map[string]any, path ...string) any {
	s.t.Helper()
	status, data, why := s.ask(query, variables)
	if status != http.StatusOK {
		s.t.Fatalf("%d: %s", status, why)
	}
	return at(data, path...)
}

func at(v any, path ...string) any {
	for _, key := range path {
		switch x := v.(type) {
		case map[string]any:
			v = x[key]
		case []any:
			i := 0
			fmt.Sscan(key, &i)
			if i >= len(x) {
				return nil
			}
			v = x[i]
		default:
			return nil
		}
	}
	return v
}

func sums(content string) (hexadecimal, b64 string) {
	sum := md5.Sum([]byte(content)) //nolint:gosec // see the import
	return hex.EncodeToString(sum[:]), base64.StdEncoding.EncodeToString(sum[:])
}

const (
	createArtifactQ = `mutation CreateArtifact($input: CreateArtifactInput!) { createArtifact(input: $input) { artifact { id state artifactSequence { latestArtifact { id } } } } }`
	createFilesQ    = `mutation CreateArtifactFiles($artifactFiles: [CreateArtifactFileSpecInput!]!, $storageLayout: ArtifactStorageLayout!) {
		createArtifactFiles(input: {artifactFiles: $artifactFiles, storageLayout: $storageLayout}) { files { edges { node {
			storagePath uploadUrl uploadHeaders uploadMultipartUrls { uploadID uploadUrlParts { partNumber uploadUrl } } artifact { id } } } } } }`
	createManifestQ = `mutation CreateArtifactManifest($artifactID: ID!, $baseArtifactID: ID, $name: String!, $digest: String!, $entityName: String!, $projectName: String!, $runName: String!, $manifestType: ArtifactManifestType!, $includeUpload: Boolean!) {
		createArtifactManifest(input: {artifactID: $artifactID, baseArtifactID: $baseArtifactID, name: $name, digest: $digest, entityName: $entityName, projectName: $projectName, runName: $runName, type: $manifestType}) {
			artifactManifest { id file { id uploadUrl @include(if: $includeUpload) uploadHeaders @include(if: $includeUpload) } } } }`
	updateManifestQ = `mutation UpdateArtifactManifest($artifactManifestID: ID!, $digest: String, $baseArtifactID: ID, $includeUpload: Boolean!) {
		updateArtifactManifest(input: {artifactManifestID: $artifactManifestID, digest: $digest, baseArtifactID: $baseArtifactID}) {
			artifactManifest { id file { id uploadUrl @include(if: $includeUpload) uploadHeaders @include(if: $includeUpload) } } } }`
	commitQ   = `mutation CommitArtifact($artifactID: ID!) { commitArtifact(input: {artifactID: $artifactID}) { artifact { id digest } } }`
	completeQ = `mutation CompleteMultipartUploadArtifact($completeMultipartAction: CompleteMultipartAction!, $completedParts: [UploadPartsInput!]!, $artifactID: ID!, $storagePath: String!, $uploadID: String!) {
		completeMultipartUploadArtifact(input: {completeMultipartAction: $completeMultipartAction, completedParts: $completedParts, artifactID: $artifactID, storagePath: $storagePath, uploadID: $uploadID}) { digest } }`
	byNameQ = `query ArtifactMembershipByName($entity: String!, $project: String!, $name: String!, $includeAliases: Boolean = false) {
		project(name: $project, entityName: $entity) { artifactCollectionMembership(name: $name) { __typename id versionIndex createdAt aliases { alias }
			artifactCollection { __typename name project { id internalId name entity { name } } }
			artifact { __typename id versionIndex digest size fileCount state description metadata ttlDurationSeconds ttlIsInherited tags { name } artifactType { name }
				aliases @include(if: $includeAliases) { alias artifactCollection { name } } artifactSequence { name } currentManifest { file { directUrl } } } } } }`
	filesQ = `query GetArtifactMembershipFileUrls($entity: String!, $project: String!, $collection: String!, $alias: String!, $cursor: String, $perPage: Int) {
		project(name: $project, entityName: $entity) { artifactCollection(name: $collection) { __typename artifactMembership(aliasName: $alias) {
			files(after: $cursor, first: $perPage) { totalCount pageInfo { endCursor hasNextPage } edges { node { name directUrl sizeBytes md5 digest } } } } } } }`
)

// announce is createArtifact; more is added to the input.
func (s *shop) announce(entity, project, name string, m wire.Manifest, more map[string]any) (int, map[string]any, string) {
	s.t.Helper()
	in := map[string]any{
		"entityName": entity, "projectName": project, "artifactTypeName": "dataset", "artifactCollectionName": name, "runName": nil,
		"digest": m.Digest(), "digestAlgorithm": "MANIFEST_MD5", "enableDigestDeduplication": true,
	}
	maps.Copy(in, more)
	return s.ask(createArtifactQ, map[string]any{"input": in})
}

// manifestOf lists contents by path.
func manifestOf(files map[string]string) wire.Manifest {
	m := wire.Manifest{Layout: "V2"}
	for _, p := range slices.Sorted(maps.Keys(files)) {
		_, sum := sums(files[p])
		m.Entries = append(m.Entries, wire.ManifestEntry{Path: p, Digest: sum, Size: int64(len(files[p]))})
	}
	return m
}

func (s *shop) put(at, content string, headers ...string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(http.MethodPut, at, strings.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	for _, h := range headers {
		k, v, _ := strings.Cut(h, ":")
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(raw)
}

// upload sends contents of a draft and returns how many it sent.
func (s *shop) upload(id string, files map[string]string) int {
	s.t.Helper()
	var specs []map[string]any
	paths := slices.Sorted(maps.Keys(files))
	for _, p := range paths {
		_, sum := sums(files[p])
		specs = append(specs, map[string]any{"artifactID": id, "name": p, "md5": sum})
	}
	edges := s.data(createFilesQ, map[string]any{"artifactFiles": specs, "storageLayout": "V2"}, "createArtifactFiles", "files", "edges").([]any)
	if len(edges) != len(paths) {
		s.t.Fatalf("%d edges for %d files", len(edges), len(paths))
	}
	sent := 0
	for i, e := range edges {
		if to, ok := at(e, "node", "uploadUrl").(string); ok {
			if status, why := s.put(to, files[paths[i]]); status != http.StatusOK {
				s.t.Fatalf("PUT: %d %s", status, why)
			}
			sent++
		}
	}
	return sent
}

// sendManifest sends the list of files of a draft.
func (s *shop) sendManifest(id, kind string, m wire.Manifest) {
	s.t.Helper()
	raw, err := m.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	s.sendRaw(id, kind, raw)
}

func (s *shop) sendRaw(id, kind string, raw []byte) {
	s.t.Helper()
	_, sum := sums(string(raw))
	v := map[string]any{
		"artifactID": id, "name": "wandb_manifest.json", "digest": "", "entityName": "default", "projectName": "wine", "runName": "x",
		"manifestType": kind, "includeUpload": false,
	}
	first := s.data(createManifestQ, v, "createArtifactManifest", "artifactManifest", "id").(string)
	v["digest"], v["includeUpload"] = sum, true
	var file any
	if kind == "FULL" {
		again := s.data(createManifestQ, v, "createArtifactManifest", "artifactManifest")
		if at(again, "id") != first {
			s.t.Fatalf("the manifest changed its identifier: %v, %v", first, at(again, "id"))
		}
		file = at(again, "file")
	} else {
		file = s.data(updateManifestQ, map[string]any{"artifactManifestID": first, "digest": sum, "includeUpload": true}, "updateArtifactManifest", "artifactManifest", "file")
	}
	var headers []string
	for _, h := range at(file, "uploadHeaders").([]any) {
		headers = append(headers, h.(string))
	}
	if status, why := s.put(at(file, "uploadUrl").(string), string(raw), headers...); status != http.StatusOK {
		s.t.Fatalf("PUT of the manifest: %d %s", status, why)
	}
}

// log does what the client does, and returns the identifier and digest.
func (s *shop) log(name string, files map[string]string, more map[string]any) (id, digest string) {
	s.t.Helper()
	m := manifestOf(files)
	status, data, why := s.announce("default", "wine", name, m, more)
	if status != http.StatusOK {
		s.t.Fatalf("createArtifact: %d %s", status, why)
	}
	draft := at(data, "createArtifact", "artifact")
	id = at(draft, "id").(string)
	if at(draft, "state") == "COMMITTED" {
		return id, m.Digest()
	}
	s.upload(id, files)
	s.sendManifest(id, "FULL", m)
	a := s.data(commitQ, map[string]any{"artifactID": id}, "commitArtifact", "artifact")
	return at(a, "id").(string), at(a, "digest").(string)
}

func (s *shop) get(at string) (int, string) {
	s.t.Helper()
	res, err := http.Get(at)
	if err != nil {
		s.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

func (s *shop) byName(name string) any {
	s.t.Helper()
	return s.data(byNameQ, map[string]any{"entity": "default", "project": "wine", "name": name, "includeAliases": true}, "project", "artifactCollectionMembership")
}

// download fetches a version as the client does: its files by address.
func (s *shop) download(name, alias string) map[string]string {
	s.t.Helper()
	got := map[string]string{}
	var cursor any
	for {
		files := s.data(filesQ, map[string]any{"entity": "default", "project": "wine", "collection": name, "alias": alias, "cursor": cursor, "perPage": 2},
			"project", "artifactCollection", "artifactMembership", "files")
		for _, e := range at(files, "edges").([]any) {
			status, content := s.get(at(e, "node", "directUrl").(string))
			if status != http.StatusOK {
				s.t.Fatalf("GET: %d %s", status, content)
			}
			got[at(e, "node", "name").(string)] = content
		}
		if at(files, "pageInfo", "hasNextPage") != true {
			return got
		}
		cursor = at(files, "pageInfo", "endCursor")
	}
}

func (s *shop) project(name string) {
	s.t.Helper()
	for _, sp := range s.spaces {
		if _, _, err := sp.SetProject(context.Background(), name, nil); err != nil {
			s.t.Fatal(err)
		}
	}
}

func TestArtifactGoesThereAndBack(t *testing.T) {
	s := newShop(t)
	files := map[string]string{"a.txt": "one", "sub/b.txt": "two", "ü b%.txt": "three", "empty": ""}
	id, digest := s.log("set", files, map[string]any{
		"aliases": []any{map[string]any{"artifactCollectionName": "set", "alias": "latest"}, map[string]any{"artifactCollectionName": "set", "alias": "best"}},
		"tags":    []any{map[string]any{"tagName": "t1"}}, "description": "words", "metadata": `{"rows": 3, "big": 12345678901234567890}`,
		"clientID": "client1", "sequenceClientID": "line1", "ttlDurationSeconds": 86400,
	})
	if want := manifestOf(files).Digest(); digest != want {
		t.Errorf("digest %s, want %s", digest, want)
	}
	if got := s.download("set", "v0"); !maps.Equal(got, files) {
		t.Errorf("downloaded %v", got)
	}
	m := s.byName("set:best")
	a := at(m, "artifact")
	for path, want := range map[string]any{
		"versionIndex": 0.0, "size": 11.0, "fileCount": 4.0, "state": "COMMITTED", "description": "words", "digest": digest, "id": id,
		"ttlDurationSeconds": 86400.0, "ttlIsInherited": false, "metadata": `{"big":12345678901234567890,"rows":3}`, "__typename": "Artifact",
	} {
		if got := at(a, path); got != want {
			t.Errorf("%s is %v, want %v", path, got, want)
		}
	}
	for _, name := range []string{"set", "set:latest", "set:v0", "set:" + digest} {
		if at(s.byName(name), "artifact", "id") != id {
			t.Errorf("%s is %v", name, s.byName(name))
		}
	}
	for _, name := range []string{"set:v1", "set:nothing", "none", "set:" + strings.Repeat("0", 32), "../x", "set:a:b", ""} {
		status, data, why := s.ask(byNameQ, map[string]any{"entity": "default", "project": "wine", "name": name})
		if status == http.StatusOK && at(data, "project", "artifactCollectionMembership") != nil || status != http.StatusOK && name != "" {
			t.Errorf("%q: %d %v %s", name, status, data, why)
		}
	}
	status, raw := s.get(at(a, "currentManifest", "file", "directUrl").(string))
	if status != http.StatusOK {
		t.Fatalf("manifest: %d %s", status, raw)
	}
	back, err := wire.ParseManifest([]byte(raw))
	if err != nil || back.Digest() != digest || len(back.Entries) != 4 || back.Entries[0].Birth != id {
		t.Errorf("manifest %+v, %v", back, err)
	}
	if got := s.data(`query($c: ID!){clientIDMapping(clientID: $c){serverID}}`, map[string]any{"c": "client1"}, "clientIDMapping", "serverID"); got != id {
		t.Errorf("client1 is %v", got)
	}
	if got := s.data(`query($c: ID!){clientIDMapping(clientID: $c){serverID}}`, map[string]any{"c": "nobody"}, "clientIDMapping"); got != nil {
		t.Errorf("nobody is %v", got)
	}
	// A client goes straight to a file, with its key.
	sum, _ := sums("two")
	for _, where := range []string{"/artifactsV2/default/default/wine/set/" + id + "/" + sum + "/b.txt", "/artifactsV2/default/default/wine/set/" + id + "/" + id + "/" + sum + "/b.txt"} {
		if status, content := s.get(s.url + where); status != http.StatusOK || content != "two" {
			t.Errorf("%s: %d %q", where, status, content)
		}
	}
	for _, where := range []string{"/artifactsV2/default/default/wine/set/" + id + "/" + strings.Repeat("0", 32) + "/b.txt", "/artifactsV2/default/nobody/wine/set/" + id + "/" + sum + "/b.txt"} {
		if status, _ := s.get(s.url + where); status != http.StatusNotFound {
			t.Errorf("%s: %d", where, status)
		}
	}
	if status, _ := s.get(s.url + "/artifactsV2/default/default/wine/set/x/y"); status != http.StatusBadRequest {
		t.Errorf("a malformed address: %d", status)
	}
}

func TestSameContentIsOneVersion(t *testing.T) {
	s := newShop(t)
	first, _ := s.log("set", map[string]string{"a": "1", "b": "2"}, nil)
	again, _ := s.log("set", map[string]string{"a": "1", "b": "2"}, map[string]any{"clientID": "again", "aliases": []any{map[string]any{"alias": "x"}}})
	if first != again {
		t.Errorf("logged again: %s", again)
	}
	if at(s.byName("set:x"), "artifact", "id") != first {
		t.Error("the alias did not go to it")
	}
	// Of what the newest version has only the new is sent.
	m := manifestOf(map[string]string{"a": "1", "c": "3"})
	_, data, _ := s.announce("default", "wine", "set", m, nil)
	draft := at(data, "createArtifact", "artifact", "id").(string)
	if at(data, "createArtifact", "artifact", "artifactSequence", "latestArtifact", "id") != first {
		t.Errorf("the latest is %v", data)
	}
	if sent := s.upload(draft, map[string]string{"a": "1", "c": "3"}); sent != 1 {
		t.Errorf("%d files were sent", sent)
	}
	s.sendManifest(draft, "FULL", m)
	for range 2 {
		if got := s.data(commitQ, map[string]any{"artifactID": draft}, "commitArtifact", "artifact", "digest"); got != m.Digest() {
			t.Errorf("digest %v", got)
		}
	}
	if got := s.download("set", "latest"); !maps.Equal(got, map[string]string{"a": "1", "c": "3"}) {
		t.Errorf("downloaded %v", got)
	}
	// The identifier of the draft goes on to mean the version.
	if got := s.data(`query($id: ID!){artifact(id: $id){versionIndex state}}`, map[string]any{"id": draft}, "artifact"); at(got, "versionIndex") != 1.0 {
		t.Errorf("the draft is %v", got)
	}
}

func TestClientReadsWhatSoleraMade(t *testing.T) {
	s := newShop(t)
	run, err := s.spaces["default"].Start(context.Background(), tracking.RunSpec{Stage: "load"})
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"train.parquet": "rows", "schema.json": "{}"}
	draft := tracking.Draft{Artifact: "wine-raw", Type: "dataset", Files: map[string]tracking.Source{}}
	for p, c := range files {
		draft.Files[p] = tracking.Bytes([]byte(c))
	}
	draft.Files["far"] = tracking.Reference("https://host/x", solera.DigestOf([]byte("x")), 1)
	if _, _, err := run.Commit(context.Background(), draft); err != nil {
		t.Fatal(err)
	}
	if err := run.Finish(context.Background(), nil, nil); err != nil {
		t.Fatal(err)
	}
	m := manifestOf(files)
	m.Entries = append(m.Entries, wire.ManifestEntry{Path: "far", Digest: solera.DigestOf([]byte("x")).String()})
	if got := at(s.byName("wine-raw"), "artifact", "digest"); got != m.Digest() {
		t.Errorf("digest %v, want %s", got, m.Digest())
	}
	who := s.data(`query($id: ID!){artifact(id: $id){createdBy{__typename ...on Run{name project{name}}}}}`,
		map[string]any{"id": at(s.byName("wine-raw"), "artifact", "id")}, "artifact", "createdBy")
	if at(who, "__typename") != "Run" || at(who, "name") != string(run.ID()) {
		t.Errorf("made by %v", who)
	}
	// An addition to it is made of its bytes, and what is new.
	id, _ := s.log("wine-raw", map[string]string{"train.parquet": "rows", "more": "!"}, nil)
	if at(s.byName("wine-raw:v1"), "artifact", "id") != id {
		t.Error("the addition is no version")
	}
}

// A version that another Solera sends has the digest that it has there, and
// clients read the metadata that were sent.
func TestVersionOfSoleraKeepsItsDigest(t *testing.T) {
	s := newShop(t)
	for _, tt := range []struct{ name, sent, kept string }{
		{"set", `{"rows": 3, "solera": {"digest": "sha256:x", "metadata": "{\"rows\":3}"}}`, `{"rows":3}`},
		{"own", `{"rows": 3, "solera": {"digest": "sha256:x", "metadata": "{\"rows\":3,\"solera\":\"mine\"}"}}`, `{"rows":3,"solera":"mine"}`},
		// Two that contradict each other, and what only looks so.
		{"two", `{"rows":4,"solera":{"digest":"sha256:x","metadata":"{\"rows\":3}"}}`, `{"rows":4,"solera":{"digest":"sha256:x","metadata":"{\"rows\":3}"}}`},
		{"text", `{"solera":"words"}`, `{"solera":"words"}`},
		{"broken", `{"solera":{"metadata":"{"}}`, `{"solera":{"metadata":"{"}}`},
	} {
		s.log(tt.name, map[string]string{"a": "1"}, map[string]any{"metadata": tt.sent})
		v, err := s.spaces["default"].Version(context.Background(), tt.name)
		if err != nil {
			t.Fatal(err)
		}
		var kept, sent solera.Fields
		if err := errors.Join(kept.UnmarshalJSON([]byte(tt.kept)), sent.UnmarshalJSON([]byte(tt.sent))); err != nil {
			t.Fatal(err)
		}
		digest, err := solera.ContentDigest("dataset", kept, []solera.Entry{{Path: "a", Digest: solera.DigestOf([]byte("1")), Size: 1}})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := v.Metadata.MarshalJSON(); err != nil || string(got) != tt.kept || v.Digest != digest {
			t.Errorf("%s: kept %s with %s (%v), want %s with %s", tt.name, got, v.Digest, err, tt.kept, digest)
		}
		if want, err := sent.MarshalJSON(); err != nil || at(s.byName(tt.name), "artifact", "metadata") != string(want) {
			t.Errorf("%s: read back %v, want %s (%v)", tt.name, at(s.byName(tt.name), "artifact", "metadata"), want, err)
		}
	}
}

func TestMultipart(t *testing.T) {
	s := newShop(t)
	parts := []string{"first ", "second ", "third"}
	whole := strings.Join(parts, "")
	files := map[string]string{"big.bin": whole}
	m := manifestOf(files)
	_, data, _ := s.announce("default", "wine", "big", m, nil)
	id := at(data, "createArtifact", "artifact", "id").(string)
	_, sum := sums(whole)
	var list []any
	for i, p := range parts {
		h, _ := sums(p)
		list = append(list, map[string]any{"partNumber": i + 1, "hexMD5": h})
	}
	node := s.data(createFilesQ, map[string]any{"artifactFiles": []any{map[string]any{"artifactID": id, "name": "big.bin", "md5": sum, "uploadPartsInput": list}}, "storageLayout": "V2"},
		"createArtifactFiles", "files", "edges", "0", "node")
	urls := at(node, "uploadMultipartUrls", "uploadUrlParts").([]any)
	if len(urls) != 3 {
		t.Fatalf("node %v", node)
	}
	complete := map[string]any{
		"completeMultipartAction": "Complete", "artifactID": id, "storagePath": at(node, "storagePath"), "uploadID": at(node, "uploadMultipartUrls", "uploadID"),
	}
	var done []any
	for i, u := range urls {
		if i == 2 {
			complete["completedParts"] = append(slices.Clone(done), list[2])
			if status, _, why := s.ask(completeQ, complete); status != http.StatusNotFound || !strings.Contains(why, "part 3") {
				t.Errorf("without the last part: %d %s", status, why)
			}
		}
		to := at(u, "uploadUrl").(string)
		if status, _ := s.put(to, "other bytes"); status != http.StatusBadRequest {
			t.Errorf("other bytes for part %d: %d", i+1, status)
		}
		req, _ := http.NewRequest(http.MethodPut, to, strings.NewReader(parts[i]))
		res, err := http.DefaultClient.Do(req)
		if err != nil || res.Header.Get("ETag") == "" {
			t.Fatalf("part %d: %v %v", i+1, res, err)
		}
		res.Body.Close()
		done = append(done, map[string]any{"partNumber": i + 1, "hexMD5": res.Header.Get("ETag")})
	}
	complete["completedParts"] = []any{done[0], done[2]}
	if status, _, _ := s.ask(completeQ, complete); status != http.StatusBadRequest {
		t.Errorf("with a part left out: %d", status)
	}
	complete["completedParts"] = done
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if status, _, why := s.ask(completeQ, complete); status != http.StatusOK {
				t.Errorf("complete: %d %s", status, why)
			}
		})
	}
	group.Wait()
	s.sendManifest(id, "FULL", m)
	s.data(commitQ, map[string]any{"artifactID": id})
	if got := s.download("big", "latest"); !maps.Equal(got, files) {
		t.Errorf("downloaded %v", got)
	}
}

func TestDistributedAndIncremental(t *testing.T) {
	s := newShop(t)
	parts := []map[string]string{{"a": "1"}, {"b": "2"}}
	more := map[string]any{"distributedID": "group 1"}
	var id string
	for i, files := range parts {
		more["clientID"] = fmt.Sprint("client", i)
		status, data, why := s.announce("default", "wine", "set", manifestOf(files), more)
		if status != http.StatusOK {
			t.Fatal(why)
		}
		draft := at(data, "createArtifact", "artifact", "id").(string)
		if id != "" && id != draft {
			t.Fatalf("two drafts: %s, %s", id, draft)
		}
		id = draft
		s.upload(id, files)
		s.sendManifest(id, "PATCH", manifestOf(files))
	}
	s.data(commitQ, map[string]any{"artifactID": id})
	if got := s.download("set", "v0"); !maps.Equal(got, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("joined by all: %v", got)
	}
	change := map[string]string{"b": "3", "c": "4"}
	_, data, _ := s.announce("default", "wine", "set", manifestOf(change), nil)
	id = at(data, "createArtifact", "artifact", "id").(string)
	s.upload(id, change)
	s.sendManifest(id, "INCREMENTAL", manifestOf(change))
	s.data(commitQ, map[string]any{"artifactID": id})
	if got := s.download("set", "v1"); !maps.Equal(got, map[string]string{"a": "1", "b": "3", "c": "4"}) {
		t.Errorf("added to: %v", got)
	}
}

func TestReferences(t *testing.T) {
	s := newShop(t)
	target, _ := s.log("target", map[string]string{"dir/x.txt": "pinned"}, map[string]any{"clientID": "named"})
	raw, _ := base64.StdEncoding.DecodeString(target)
	_, sum := sums("pinned")
	m := wire.Manifest{Layout: "V2", Entries: []wire.ManifestEntry{
		{Path: "by-id", Digest: sum, Ref: "wandb-artifact://" + hex.EncodeToString(raw) + "/dir/x.txt"},
		{Path: "by-name", Digest: sum, Ref: "wandb-client-artifact://named/dir/x.txt"},
		{Path: "far/file", Digest: sum, Ref: "file:///data/x", Size: 6},
		{Path: "far/gs", Digest: "CJ/1=", Ref: "gs://bucket/key", Size: 7, Extra: json.RawMessage(`{"versionID":"12"}`)},
		{Path: "far/http", Digest: "http://host/x?y=1", Ref: "http://host/x?y=1"},
		{Path: "far/s3", Digest: "etag", Ref: "s3://bucket/key", Size: 1},
	}}
	_, data, _ := s.announce("default", "wine", "refs", m, nil)
	id := at(data, "createArtifact", "artifact", "id").(string)
	s.sendManifest(id, "FULL", m)
	if got := s.data(commitQ, map[string]any{"artifactID": id}, "commitArtifact", "artifact", "digest"); got != m.Digest() {
		t.Errorf("digest %v, want %s", got, m.Digest())
	}
	_, text := s.get(at(s.byName("refs"), "artifact", "currentManifest", "file", "directUrl").(string))
	back, err := wire.ParseManifest([]byte(text))
	if err != nil || len(back.Entries) != len(m.Entries) {
		t.Fatalf("manifest %+v, %v", back, err)
	}
	for i, e := range back.Entries {
		want := m.Entries[i]
		if e.Path == "by-name" {
			want.Ref = m.Entries[0].Ref
		}
		if e.Ref != want.Ref || e.Digest != want.Digest || string(e.Extra) != string(want.Extra) || e.Birth != "" {
			t.Errorf("got %+v, want %+v", e, want)
		}
	}
	files := s.data(filesQ, map[string]any{"entity": "default", "project": "wine", "collection": "refs", "alias": "v0"}, "project", "artifactCollection", "artifactMembership", "files")
	if n := len(at(files, "edges").([]any)); n != 6 {
		t.Errorf("%d files are listed", n)
	}
	// The bytes stay when what is referred to goes.
	if _, err := s.spaces["default"].Delete(context.Background(), "target:v0", true); err != nil {
		t.Fatal(err)
	}
	for _, e := range at(files, "edges").([]any) {
		if name := at(e, "node", "name"); name == "by-id" {
			if status, content := s.get(at(e, "node", "directUrl").(string)); status != http.StatusOK || content != "pinned" {
				t.Errorf("%s: %d %q", name, status, content)
			}
		}
	}
}

// refused expects a status, and words in the message.
func (s *shop) refused(name string, status int, words, query string, variables map[string]any) {
	s.t.Helper()
	got, _, why := s.ask(query, variables)
	if got != status || !strings.Contains(why, words) {
		s.t.Errorf("%s: %d %s, want %d and %q", name, got, why, status, words)
	}
}

func TestHostileUploads(t *testing.T) {
	s := newShop(t)
	files := map[string]string{"a": "content"}
	m := manifestOf(files)
	for name, c := range map[string]struct {
		more   map[string]any
		status int
		words  string
	}{
		"a space in the name":       {map[string]any{"artifactCollectionName": "my set"}, 400, "not allowed"},
		"a slash in an alias":       {map[string]any{"aliases": []any{map[string]any{"alias": "a/b"}}}, 400, "alias"},
		"an alias like a version":   {map[string]any{"aliases": []any{map[string]any{"alias": "v7"}}}, 400, "version number"},
		"no name":                   {map[string]any{"artifactCollectionName": nil}, 400, "artifactCollectionName"},
		"two names":                 {map[string]any{"artifactCollectionName": nil, "artifactCollectionNames": []any{"set", "other"}}, 400, "artifactCollectionName"},
		"its name in a list":        {map[string]any{"artifactCollectionName": nil, "artifactCollectionNames": []any{"listed"}}, 200, ""},
		"no digest":                 {map[string]any{"digest": "zz"}, 400, "32 hexadecimal"},
		"another algorithm":         {map[string]any{"digestAlgorithm": "MANIFEST_XXH128"}, 400, "MANIFEST_MD5"},
		"a run that is not":         {map[string]any{"runName": "nobody"}, 404, "nobody"},
		"a workspace that is not":   {map[string]any{"entityName": "nobody"}, 404, "there is default"},
		"metadata that is a number": {map[string]any{"metadata": "3"}, 400, "metadata"},
		"a wrong type":              {map[string]any{"aliases": "x"}, 400, "aliases"},
	} {
		if status, _, why := s.announce("default", "wine", "set", m, c.more); status != c.status || !strings.Contains(why, c.words) {
			t.Errorf("%s: %d %s, want %d and %q", name, status, why, c.status, c.words)
		}
	}
	_, data, _ := s.announce("default", "wine", "set", m, nil)
	id := at(data, "createArtifact", "artifact", "id").(string)
	commit := func() (int, string) {
		status, _, why := s.ask(commitQ, map[string]any{"artifactID": id})
		return status, why
	}
	if status, why := commit(); status != 409 || !strings.Contains(why, "no manifest") {
		t.Errorf("commit without a manifest: %d %s", status, why)
	}
	s.sendManifest(id, "FULL", m)
	if status, why := commit(); status != 409 || !strings.Contains(why, "was not uploaded") {
		t.Errorf("commit of what was half uploaded: %d %s", status, why)
	}
	for name, raw := range map[string]string{
		"a path that leaves":  `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V2"},"contents":{"../a":{"digest":"XrY7u+Ae7tCTyyK7j1rNww==","size":1}}}`,
		"an absolute path":    `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V2"},"contents":{"/etc/x":{"digest":"XrY7u+Ae7tCTyyK7j1rNww==","size":1}}}`,
		"a file as a folder":  `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{},"contents":{"a":{"ref":"gs://b/a","digest":"x"},"a/b":{"ref":"gs://b/b","digest":"x"}}}`,
		"a digest of 3 bytes": `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V2"},"contents":{"a":{"digest":"XrY7","size":1}}}`,
		"no JSON":             `{"version":1,`,
		"a password":          `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{},"contents":{"a":{"ref":"https://u:p@h/a","digest":"x"}}}`,
	} {
		s.sendRaw(id, "FULL", []byte(raw))
		if status, why := commit(); status != 400 {
			t.Errorf("a manifest with %s: %d %s", name, status, why)
		}
	}
	_, sum := sums("content")
	spec := func(more map[string]any) map[string]any {
		f := map[string]any{"artifactID": id, "name": "a", "md5": sum}
		maps.Copy(f, more)
		return map[string]any{"artifactFiles": []any{f}, "storageLayout": "V2"}
	}
	s.refused("a file that leaves", 400, "path", createFilesQ, spec(map[string]any{"name": "../a"}))
	s.refused("no MD5", 400, "md5", createFilesQ, spec(map[string]any{"md5": "x"}))
	s.refused("no artifact", 400, "none of an artifact", createFilesQ, spec(map[string]any{"artifactID": "x"}))
	s.refused("a draft that is not", 404, "draft", createFilesQ, spec(map[string]any{"artifactID": globalID("ArtifactDraft", "default", "abc")}))
	to := s.data(createFilesQ, spec(nil), "createArtifactFiles", "files", "edges", "0", "node", "uploadUrl").(string)
	for name, content := range map[string]string{"cut off": "cont", "other bytes": "CONTENT", "more": "content and more"} {
		if status, _ := s.put(to, content); status != 400 {
			t.Errorf("PUT %s: %d", name, status)
		}
		if _, err := s.spaces["default"].Blobs.Stat(context.Background(), solera.DigestOf([]byte(content))); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("PUT %s left its bytes: %v", name, err)
		}
	}
	if status, _ := s.get(to); status != 403 {
		t.Errorf("GET of an address for PUT: %d", status)
	}
	if status, _ := s.put(strings.Replace(to, "/storage/default/", "/storage/other/", 1), "content"); status != 403 {
		t.Errorf("PUT to another workspace: %d", status)
	}
	s.now = time.Now().Add(48 * time.Hour)
	if status, why := s.put(to, "content"); status != 403 || !strings.Contains(why, "over since") {
		t.Errorf("PUT too late: %d %s", status, why)
	}
	s.now = time.Time{}
	for range 2 { // a client whose answer was lost sends it again
		if status, why := s.put(to, "content"); status != 200 {
			t.Errorf("PUT: %d %s", status, why)
		}
	}
	s.sendManifest(id, "FULL", m)
	if status, why := commit(); status != 200 {
		t.Errorf("commit: %d %s", status, why)
	}
	if status, _ := s.put(to, "content"); status != 409 {
		t.Errorf("PUT after the commit: %d", status)
	}
	s.refused("files for a version", 409, "is committed", createFilesQ, spec(nil))
}

// Who knows an MD5, or an identifier, gets no bytes by it.
func TestNothingLeaksBetweenWorkspaces(t *testing.T) {
	s := newShop(t)
	secret, _ := s.log("secret", map[string]string{"s": "the secret"}, map[string]any{"entityName": "other"})
	_, sum := sums("the secret")
	hexSum, _ := sums("the secret")
	raw, _ := base64.StdEncoding.DecodeString(secret)
	try := func(name string, e wire.ManifestEntry) {
		t.Helper()
		e.Path, e.Digest, e.Size = "s", sum, 10
		m := wire.Manifest{Layout: "V2", Entries: []wire.ManifestEntry{e}}
		_, data, _ := s.announce("default", "wine", "theft", m, nil)
		id := at(data, "createArtifact", "artifact", "id").(string)
		s.sendManifest(id, "FULL", m)
		if status, _, why := s.ask(commitQ, map[string]any{"artifactID": id}); status != 404 && status != 409 {
			t.Errorf("%s: %d %s", name, status, why)
		}
	}
	both := func() {
		try("by its MD5", wire.ManifestEntry{})
		try("by its birth", wire.ManifestEntry{Birth: secret})
		try("by reference", wire.ManifestEntry{Ref: "wandb-artifact://" + hex.EncodeToString(raw) + "/s"})
	}
	both() // who may read both workspaces does not copy by naming either
	if status, _ := s.get(s.url + "/artifactsV2/default/default/wine/secret/" + secret + "/" + hexSum + "/s"); status != 404 {
		t.Errorf("another workspace's file by its identifier: %d", status)
	}
}

func TestConcurrentCommitsOfOneName(t *testing.T) {
	s := newShop(t)
	const n = 8
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() {
			s.log("set", map[string]string{"a": fmt.Sprint(i)}, map[string]any{"clientID": fmt.Sprint("c", i)})
		})
	}
	group.Wait()
	seen := map[string]bool{}
	for i := range n {
		got := s.download("set", fmt.Sprint("v", i))
		seen[got["a"]] = true
	}
	if len(seen) != n || s.byName(fmt.Sprint("set:v", n)) != nil {
		t.Errorf("versions hold %v", seen)
	}
}

// An alias that is no name here keeps what it names.
func TestAliasesOfAnyName(t *testing.T) {
	s := newShop(t)
	s.log("set", map[string]string{"a": "content"}, map[string]any{"aliases": []any{
		map[string]any{"artifactCollectionName": "set", "alias": "the best"}, map[string]any{"artifactCollectionName": "set", "alias": "año 2"},
	}})
	for _, alias := range []string{"the best", "the-best", "año 2"} {
		if got := at(s.byName("set:"+alias), "versionIndex"); fmt.Sprint(got) != "0" {
			t.Errorf("%s: got version %v", alias, got)
		}
	}
	if got := s.byName("set:the worst"); got != nil {
		t.Errorf("an alias that nobody gave names %v", got)
	}
}
