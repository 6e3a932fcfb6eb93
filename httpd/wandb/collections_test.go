package wandb

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
	wire "github.com/solera-ml/solera/wandb"
)

const (
	linkQ = `mutation LinkArtifact($input: LinkArtifactInput!, $includeAliases: Boolean = true) { result: linkArtifact(input: $input) {
		versionIndex artifactMembership { __typename id versionIndex createdAt aliases { alias } artifactCollection { __typename id name project { name } } artifact { id } } } }`
	collectionQ = `query($project: String!, $type: String!, $name: String!) { project(entityName: "default", name: $project) { artifactType(name: $type) { name createdAt artifactCollection(name: $name) {
		__typename id name description createdAt type: defaultArtifactType { name } tags { edges { node { name } } } aliases { edges { node { alias } } } } } } }`
	versionsQ = `query($type: String!, $name: String!, $order: String, $filters: JSONString) { project(entityName: "default", name: "wine") { artifactType(name: $type) { artifactCollection(name: $name) {
		artifacts(first: 50, order: $order, filters: $filters) { totalCount pageInfo { hasNextPage } edges { version node { versionIndex } } } } } } }`
)

// run makes a run under way.
func (s *shop) run(name string) *tracking.Tracker {
	s.t.Helper()
	tr := *s.spaces["default"]
	if _, _, err := tr.Register(context.Background(), tracking.RegisterSpec{Name: name}); err != nil {
		s.t.Fatal(err)
	}
	return &tr
}

func aliasInput(alias string) map[string]any {
	return map[string]any{"artifactCollectionName": "set", "alias": alias, "entityName": "default", "projectName": "wine"}
}

func TestLineage(t *testing.T) {
	s := newShop(t)
	s.run("maker")
	s.run("user")
	id, _ := s.log("set", map[string]string{"a": "1"}, map[string]any{"runName": "maker"})
	const useQ = `mutation UseArtifact($input: UseArtifactInput!) { useArtifact(input: $input) { artifact { id digest state } } }`
	use := func(run, artifact string) map[string]any {
		return map[string]any{"input": map[string]any{"artifactID": artifact, "entityName": "default", "projectName": "wine", "runName": run}}
	}
	for range 2 {
		if got := s.data(useQ, use("user", id), "useArtifact", "artifact", "id"); got != id {
			t.Errorf("used %v", got)
		}
	}
	made, _ := s.log("out", map[string]string{"b": "2"}, map[string]any{"runName": "user"})
	s.refused("a circle", http.StatusConflict, "use it in another run", useQ, use("maker", made))
	s.refused("a run that is not", http.StatusNotFound, "nobody", useQ, use("nobody", id))
	s.refused("a version that is not", http.StatusNotFound, "set", useQ, use("user", versionID(&space{name: "default"}, solera.VersionID{Project: "wine", Artifact: "set", Number: 9})))
	const usedByQ = `query($id: ID!) { artifact(id: $id) { usedBy { edges { node { __typename id name project { name } } } } createdBy { __typename ... on Run { name } } } }`
	a := s.data(usedByQ, map[string]any{"id": id}, "artifact")
	if at(a, "usedBy", "edges", "0", "node", "name") != "user" || at(a, "usedBy", "edges", "1") != nil || at(a, "createdBy", "name") != "maker" {
		t.Errorf("lineage %v", a)
	}
	const ofRunQ = `query($run: String!) { project(entityName: "default", name: "wine") { run(name: $run) {
		in: inputArtifacts(first: 10) { totalCount edges { node { id } } } out: outputArtifacts(first: 10) { totalCount edges { node { id } } } } } }`
	r := s.data(ofRunQ, map[string]any{"run": "user"}, "project", "run")
	if at(r, "in", "edges", "0", "node", "id") != id || at(r, "out", "edges", "0", "node", "id") != made || at(r, "in", "totalCount") != 1.0 {
		t.Errorf("of the run: %v", r)
	}
	// What nobody's run made is a user's.
	alone, _ := s.log("alone", map[string]string{"c": "3"}, nil)
	if got := s.data(usedByQ, map[string]any{"id": alone}, "artifact", "createdBy", "__typename"); got != "User" {
		t.Errorf("made by a %v", got)
	}
}

func TestAliasesAndWhatIsSaid(t *testing.T) {
	s := newShop(t)
	id, _ := s.log("set", map[string]string{"a": "1"}, map[string]any{"metadata": `{"k": 1}`})
	const addQ = `mutation AddAliases($input: AddAliasesInput!) { result: addAliases(input: $input) { success } }`
	const deleteQ = `mutation DeleteAliases($input: DeleteAliasesInput!) { result: deleteAliases(input: $input) { success } }`
	s.data(addQ, map[string]any{"input": map[string]any{"artifactID": id, "aliases": []any{aliasInput("x"), aliasInput("y"), aliasInput("latest")}}})
	s.data(deleteQ, map[string]any{"input": map[string]any{"artifactID": id, "aliases": []any{aliasInput("x"), aliasInput("latest")}}})
	if v, err := s.spaces["default"].Version(context.Background(), "set"); err != nil || !slices.Equal(v.Aliases, []string{"latest", "y"}) {
		t.Errorf("aliases %v, %v", v.Aliases, err)
	}
	s.refused("an alias that is not", 404, "no such alias", deleteQ, map[string]any{"input": map[string]any{"artifactID": id, "aliases": []any{aliasInput("z")}}})
	s.refused("an alias that cannot be", 400, "version number", addQ, map[string]any{"input": map[string]any{"artifactID": id, "aliases": []any{aliasInput("v1")}}})
	const updateQ = `mutation UpdateArtifact($input: UpdateArtifactInput!) { result: updateArtifact(input: $input) { artifact { description metadata ttlDurationSeconds ttlIsInherited tags { name } digest } } }`
	update := func(more map[string]any) any {
		t.Helper()
		in := map[string]any{"artifactID": id}
		maps.Copy(in, more)
		return s.data(updateQ, map[string]any{"input": in}, "result", "artifact")
	}
	before := at(update(nil), "digest")
	a := update(map[string]any{
		"description": "words", "metadata": `{"k": 2, "l": [1]}`, "ttlDurationSeconds": 60,
		"tagsToAdd": []any{map[string]any{"tagName": "b"}, map[string]any{"tagName": "a"}},
	})
	if at(a, "description") != "words" || at(a, "metadata") != `{"k":2,"l":[1]}` || at(a, "ttlDurationSeconds") != 60.0 || at(a, "tags", "0", "name") != "a" || at(a, "digest") != before {
		t.Errorf("updated: %v", a)
	}
	a = update(map[string]any{"metadata": `{"k": 1}`, "ttlDurationSeconds": -2, "tagsToDelete": []any{map[string]any{"tagName": "a"}}})
	if at(a, "description") != "words" || at(a, "metadata") != `{"k":1}` || at(a, "ttlIsInherited") != true || at(a, "tags", "1") != nil {
		t.Errorf("updated back: %v", a)
	}
	for name, more := range map[string]map[string]any{
		"a life of 1000 years": {"ttlDurationSeconds": 1 << 40}, "metadata that is a list": {"metadata": "[1]"}, "a tag with a line": {"tagsToAdd": []any{map[string]any{"tagName": "a\nb"}}},
	} {
		in := map[string]any{"artifactID": id}
		maps.Copy(in, more)
		s.refused(name, 400, "", updateQ, map[string]any{"input": in})
	}
	const removeQ = `mutation DeleteArtifact($input: DeleteArtifactInput!) { result: deleteArtifact(input: $input) { artifact { id } } }`
	s.refused("deleting what has an alias", 409, "set:y", removeQ, map[string]any{"input": map[string]any{"artifactID": id}})
	s.data(removeQ, map[string]any{"input": map[string]any{"artifactID": id, "deleteAliases": true}})
	if s.byName("set:v0") != nil || s.byName("set") != nil {
		t.Error("it is there still")
	}
	if got := s.data(`query($id: ID!){artifact(id: $id){state}}`, map[string]any{"id": id}, "artifact", "state"); got != "DELETED" {
		t.Errorf("its record is %v", got)
	}
}

func TestPortfolios(t *testing.T) {
	s := newShop(t)
	first, _ := s.log("set", map[string]string{"a": "1"}, map[string]any{"clientID": "named"})
	second, _ := s.log("set", map[string]string{"a": "2"}, nil)
	link := func(project, name string, more map[string]any) any {
		t.Helper()
		in := map[string]any{"artifactPortfolioName": name, "entityName": "default", "projectName": project}
		maps.Copy(in, more)
		return s.data(linkQ, map[string]any{"input": in}, "result")
	}
	for range 2 {
		got := link("wine", "shelf", map[string]any{"artifactID": second, "aliases": []any{map[string]any{"alias": "prod"}, map[string]any{"alias": "latest"}}})
		if at(got, "versionIndex") != 0.0 || at(got, "artifactMembership", "artifactCollection", "__typename") != "ArtifactPortfolio" {
			t.Errorf("linked: %v", got)
		}
	}
	if got := link("wine", "shelf", map[string]any{"clientID": "named"}); at(got, "versionIndex") != 1.0 {
		t.Errorf("linked by the client's name: %v", got)
	}
	for ref, want := range map[string]string{"shelf:prod": second, "shelf:v0": second, "shelf:v1": first, "shelf": first} {
		if got := at(s.byName(ref), "artifact", "id"); got != want {
			t.Errorf("%s is %v, want %s", ref, got, want)
		}
	}
	if got := s.download("shelf", "v0"); got["a"] != "2" {
		t.Errorf("downloaded %v", got)
	}
	places := s.data(`query($id: ID!){artifact(id: $id){artifactMemberships{edges{node{versionIndex aliases{alias} artifactCollection{__typename name}}}}}}`, map[string]any{"id": second}, "artifact", "artifactMemberships", "edges")
	if at(places, "0", "node", "artifactCollection", "__typename") != "ArtifactSequence" || at(places, "1", "node", "artifactCollection", "name") != "shelf" || at(places, "1", "node", "aliases", "0", "alias") != "prod" {
		t.Errorf("places %v", places)
	}
	shelf := s.data(collectionQ, map[string]any{"project": "wine", "type": "dataset", "name": "shelf"}, "project", "artifactType", "artifactCollection")
	const renameQ = `mutation($input: UpdateArtifactPortfolioInput!){result: updateArtifactPortfolio(input: $input){artifactCollection{name description}}}`
	renamed := s.data(renameQ, map[string]any{"input": map[string]any{"artifactPortfolioID": at(shelf, "id"), "name": "rack", "description": "words"}}, "result", "artifactCollection")
	if at(renamed, "name") != "rack" || at(renamed, "description") != "words" {
		t.Errorf("renamed: %v", renamed)
	}
	const tagQ = `mutation($input: X!){result: createArtifactCollectionTagAssignments(input: $input){tags{name}}}`
	for _, name := range []string{"rack", "set"} {
		s.data(tagQ, map[string]any{"input": map[string]any{"entityName": "default", "projectName": "wine", "artifactCollectionName": name, "tags": []any{map[string]any{"tagName": "t"}}}})
		got := s.data(collectionQ, map[string]any{"project": "wine", "type": "dataset", "name": name}, "project", "artifactType", "artifactCollection")
		if at(got, "tags", "edges", "0", "node", "name") != "t" {
			t.Errorf("%s: %v", name, got)
		}
	}
	set := s.data(collectionQ, map[string]any{"project": "wine", "type": "dataset", "name": "set"}, "project", "artifactType", "artifactCollection")
	const sequenceQ = `mutation($input: X!){result: updateArtifactSequence(input: $input){artifactCollection{name description}}}`
	s.data(sequenceQ, map[string]any{"input": map[string]any{"artifactSequenceID": at(set, "id"), "name": "set", "description": "line"}})
	s.refused("a new name for an artifact", 400, "keeps the name", sequenceQ, map[string]any{"input": map[string]any{"artifactSequenceID": at(set, "id"), "name": "other"}})
	const moveQ = `mutation($input: X!){result: moveArtifactSequence(input: $input){artifactCollection{name}}}`
	s.refused("another type", 400, "keeps the type", moveQ, map[string]any{"input": map[string]any{"artifactSequenceID": at(set, "id"), "destinationArtifactTypeName": "model"}})
	rack := s.data(collectionQ, map[string]any{"project": "wine", "type": "dataset", "name": "rack"}, "project", "artifactType", "artifactCollection")
	const unlinkQ = `mutation($input: X!){result: unlinkArtifact(input: $input){success}}`
	unlink := map[string]any{"input": map[string]any{"artifactID": first, "artifactPortfolioID": at(rack, "id")}}
	s.data(unlinkQ, unlink)
	s.refused("unlink twice", 404, "not linked", unlinkQ, unlink)
	s.refused("unlink from its own artifact", 400, "cannot be unlinked", unlinkQ, map[string]any{"input": map[string]any{"artifactID": first, "artifactPortfolioID": at(set, "id")}})
	s.refused("link to an artifact's name", 409, "is an artifact", linkQ, map[string]any{"input": map[string]any{"artifactID": first, "artifactPortfolioName": "set", "entityName": "default", "projectName": "wine"}})
	s.data(`mutation($id: ID!){result: deleteArtifactPortfolio(input: {artifactPortfolioID: $id}){artifactCollection{__typename state}}}`, map[string]any{"id": at(rack, "id")})
	s.data(`mutation($id: ID!){result: deleteArtifactSequence(input: {artifactSequenceID: $id}){artifactCollection{__typename state}}}`, map[string]any{"id": at(set, "id")})
	if s.byName("rack") != nil || s.byName("set") != nil {
		t.Error("they are there still")
	}
}

func TestRegistry(t *testing.T) {
	s := newShop(t)
	s.project("wine")
	id, _ := s.log("set", map[string]string{"a": "1"}, nil)
	for i, name := range []string{"model", "other"} {
		in := map[string]any{"artifactID": id, "artifactPortfolioName": fmt.Sprint("best", i), "entityName": "default", "projectName": registryPrefix + name}
		s.data(linkQ, map[string]any{"input": in})
	}
	if got := s.data(`query{entity(name: "default"){organization{name orgEntity{name}} user{organizations{name}}}}`, nil, "entity", "organization", "orgEntity", "name"); got != "default" {
		t.Errorf("organization %v", got)
	}
	const registriesQ = `query($f: JSONString){organization(name: "default"){orgEntity{projects(filters: $f, first: 10){pageInfo{hasNextPage} edges{node{__typename name
		allowAllArtifactTypes: allowAllArtifactTypesInRegistry artifactTypes(includeAll: true){edges{node{name}}}}}}}}}`
	all := s.data(registriesQ, nil, "organization", "orgEntity", "projects", "edges").([]any)
	if len(all) != 2 || at(all, "0", "node", "name") != "wandb-registry-model" || at(all, "0", "node", "artifactTypes", "edges", "0", "node", "name") != "dataset" {
		t.Errorf("registries %v", all)
	}
	some := s.data(registriesQ, map[string]any{"f": `{"name": {"$regex": "other"}}`}, "organization", "orgEntity", "projects", "edges").([]any)
	if len(some) != 1 {
		t.Errorf("registries %v", some)
	}
	const searchQ = `query($r: JSONString, $c: JSONString, $a: JSONString){organization(name: "default"){orgEntity{name
		artifactCollections(projectFilters: $r, filters: $c, first: 10){totalCount edges{node{__typename name project{name}}}}
		artifactMemberships(projectFilters: $r, collectionFilters: $c, filters: $a, first: 10){edges{node{versionIndex artifactCollection{name}}}}}}}`
	for _, tt := range []struct {
		r, c, a       string
		lines, places int
	}{
		{`{}`, `{}`, `{}`, 2, 2},
		{`{"name": "wandb-registry-model"}`, `{}`, `{}`, 1, 1},
		{`{"name": "wandb-registry-none"}`, `{}`, `{}`, 0, 0},
		{`{}`, `{"name": "best1"}`, `{}`, 1, 1},
		{`{}`, `{}`, `{"alias": "latest"}`, 2, 2},
		{`{}`, `{}`, `{"tag": "none"}`, 2, 0},
	} {
		got := s.data(searchQ, map[string]any{"r": tt.r, "c": tt.c, "a": tt.a}, "organization", "orgEntity")
		if lines, places := len(at(got, "artifactCollections", "edges").([]any)), len(at(got, "artifactMemberships", "edges").([]any)); lines != tt.lines || places != tt.places {
			t.Errorf("%s %s %s: %d collections and %d versions, want %d and %d", tt.r, tt.c, tt.a, lines, places, tt.lines, tt.places)
		}
	}
	if got := s.data(`query{organization(name: "nobody"){name}}`, nil, "organization"); got != nil {
		t.Errorf("an organization that is not: %v", got)
	}
}

func TestListsOfVersionsAreFiltered(t *testing.T) {
	s := newShop(t)
	for i := range 4 {
		s.log("set", map[string]string{"a": strings.Repeat("x", i)}, map[string]any{
			"tags": []any{map[string]any{"tagName": fmt.Sprint("t", i%2)}}, "metadata": fmt.Sprintf(`{"n": %d, "deep": {"s": "v%d"}}`, i, i),
		})
	}
	for _, tt := range []struct {
		filter, order string
		want          string // versions, or what is wrong
	}{
		{``, ``, "v3 v2 v1 v0"},
		{`{}`, `versionIndex`, "v0 v1 v2 v3"},
		{`{"state": "COMMITTED"}`, `-size`, "v3 v2 v1 v0"},
		{`{"tag": "t1"}`, ``, "v3 v1"},
		{`{"tag": {"$in": ["t1", "none"]}}`, ``, "v3 v1"},
		{`{"tag": {"$nin": ["t1"]}}`, ``, "v2 v0"},
		{`{"alias": "latest"}`, ``, "v3"},
		{`{"alias": {"$exists": false}}`, ``, "v2 v1 v0"},
		{`{"metadata.n": {"$gte": 1, "$lt": 3}}`, ``, "v2 v1"},
		{`{"metadata.deep.s": {"$regex": "^v[01]$"}}`, `+createdAt`, "v0 v1"},
		{`{"$or": [{"versionIndex": 0}, {"version": "v2"}]}`, ``, "v2 v0"},
		{`{"$nor": [{"versionIndex": 0}, {"version": "v2"}]}`, ``, "v3 v1"},
		{`{"$and": [{"size": {"$gt": 0}}, {"size": {"$ne": 3}}]}`, ``, "v2 v1"},
		{`{"$not": {"size": 1}}`, ``, "v3 v2 v0"},
		{`{"size": {"$not": {"$lte": 1}}}`, ``, "v3 v2"},
		{`{"createdAt": {"$gt": "2020-01-01"}}`, ``, "v3 v2 v1 v0"},
		{`{"nonsense": 1}`, ``, "no key"},
		{`{"$where": "1"}`, ``, "not known"},
		{`{"size": {"$mod": 2}}`, ``, "not known"},
		{`{"$or": {"size": 1}}`, ``, "needs a list"},
		{`{"version": {"$regex": "("}}`, ``, "$regex"},
		{`{"version": {"$regex": "` + strings.Repeat("a", 2000) + `"}}`, ``, "1000 bytes"},
		{strings.Repeat(`{"$not": `, 30) + `{}` + strings.Repeat(`}`, 30), ``, "larger"},
		{`[1]`, ``, "object"},
		{`{}`, `nonsense`, "no such key"},
	} {
		vars := map[string]any{"type": "dataset", "name": "set", "order": tt.order, "filters": nil}
		if tt.filter != "" {
			vars["filters"] = tt.filter
		}
		status, data, why := s.ask(versionsQ, vars)
		if status != http.StatusOK {
			if !strings.Contains(why, tt.want) || status != http.StatusBadRequest {
				t.Errorf("%s: %d %s", tt.filter, status, why)
			}
			continue
		}
		var got []string
		for _, e := range at(data, "project", "artifactType", "artifactCollection", "artifacts", "edges").([]any) {
			got = append(got, at(e, "version").(string))
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: got %v, want %s", tt.filter, got, tt.want)
		}
	}
}

// Whoever may only look changes nothing, and who has no role sees nothing.
func TestRolesHoldForArtifacts(t *testing.T) {
	s := newShop(t)
	id, _ := s.log("set", map[string]string{"a": "1"}, nil)
	s.who = auth.Principal{}
	for name, q := range map[string]string{
		"an artifact by its identifier": `query($id: ID!){artifact(id: $id){digest}}`,
		"a commit":                      `mutation($id: ID!){commitArtifact(input: {artifactID: $id}){artifact{id}}}`,
		"a deletion":                    `mutation($id: ID!){deleteArtifact(input: {artifactID: $id, deleteAliases: true}){artifact{id}}}`,
	} {
		status, data, why := s.ask(q, map[string]any{"id": id})
		if status == http.StatusOK && at(data, "artifact") != nil || status >= 500 || strings.Contains(why, "other") {
			t.Errorf("%s: %d %v %s", name, status, data, why)
		}
	}
	s.who = auth.Anyone()
	if s.byName("set") == nil {
		t.Error("somebody without a role deleted it")
	}
}

func FuzzArtifactFilter(f *testing.F) {
	f.Add(`{"$or": [{"name": {"$regex": "^a"}}, {"tag": {"$in": ["x"]}}]}`, "-createdAt")
	f.Add(`{"size": {"$not": {"$lt": 1e400}}}`, "name")
	f.Fuzz(func(t *testing.T, filter, order string) {
		a := &args{values: map[string]any{"filters": filter, "order": order}, err: new(error)}
		_, err := chosen([]int{1, 2, 3}, a, func(n int, key string) any {
			switch key {
			case "name":
				return fmt.Sprint(n)
			case "size":
				return float64(n)
			case "tag":
				return []string{"x", "y"}[:n%3]
			case "createdAt":
				return solera.Micros(n)
			}
			return unknownKey
		})
		_ = err // any answer will do but a panic
	})
}

// A manifest from anywhere becomes files that a version may have, or an error.
func FuzzManifest(f *testing.F) {
	head := `{"version":1,"storagePolicy":"wandb-storage-policy-v1","storagePolicyConfig":{"storageLayout":"V2"},"contents":`
	f.Add(head + `{"a/b":{"digest":"XrY7u+Ae7tCTyyK7j1rNww==","size":1,"birthArtifactID":"QXJ0aWZhY3Q6ZGVmYXVsdDp3aW5lOnNldDow"}}}`)
	f.Add(head + `{"x":{"digest":"etag","ref":"wandb-artifact://41727469666163743a64656661756c743a77696e653a7365743a30/a%2Fb","size":0}}}`)
	f.Add(head + `{"../x":{"digest":"etag","ref":"s3://b/k","extra":{"etag":"1"}}}}`)
	s := newShop(f)
	s.log("set", map[string]string{"a": "1"}, nil)
	svc := &service{Options: Options{
		Workspace:  func(name string) (*tracking.Tracker, error) { return s.spaces["default"], nil },
		Workspaces: func() []string { return []string{"default"} },
	}}
	c := &call{ctx: auth.WithPrincipal(context.Background(), auth.Anyone()), service: svc}
	sp, err := c.enter("default", auth.Viewer)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		m, err := wire.ParseManifest([]byte(raw))
		if err != nil {
			return
		}
		for _, e := range m.Entries {
			file, err := svc.namedFile(c, sp, e)
			if err != nil {
				continue
			}
			if solera.CheckPath(file.Path) != nil || file.Extra != "" && !json.Valid([]byte(file.Extra)) {
				t.Errorf("%+v became %+v", e, file)
			}
			if file.MD5 != "" && !isHex(file.MD5, 32) {
				t.Errorf("MD5 %q", file.MD5)
			}
		}
	})
}
