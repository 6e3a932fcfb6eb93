package wandb

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// A Viewer is whoever a key belongs to.
type Viewer struct {
	Name      string   // of the user
	Workspace string   // used where none is named; may be ""
	Teams     []string // further workspaces
}

// Viewer asks who the key belongs to. A key that is not known is an error.
func (c *Client) Viewer(ctx context.Context) (Viewer, error) {
	var out struct {
		Viewer *struct {
			ID       string
			Entity   *string
			Username *string
			Name     *string
			Teams    *struct {
				Edges []struct{ Node struct{ Name string } }
			}
		}
	}
	err := c.query(ctx, operation{"viewer", `query Viewer { viewer { id entity username name teams { edges { node { name } } } } }`}, nil, &out)
	if err != nil {
		return Viewer{}, err
	}
	if out.Viewer == nil {
		return Viewer{}, &StatusError{What: "viewer", Status: http.StatusUnauthorized, Message: "the key belongs to nobody"}
	}
	v := Viewer{Workspace: text(out.Viewer.Entity), Name: text(out.Viewer.Username)}
	if v.Name == "" {
		v.Name = text(out.Viewer.Name)
	}
	if out.Viewer.Teams != nil {
		for _, e := range out.Viewer.Teams.Edges {
			v.Teams = append(v.Teams, e.Node.Name)
		}
	}
	return v, nil
}

// HasWorkspace reports whether the key may see a workspace.
func (c *Client) HasWorkspace(ctx context.Context, name string) (bool, error) {
	var out struct{ Entity *struct{ ID string } }
	err := c.query(ctx, operation{"entity", `query EntityByName($name: String!) { entity(name: $name) { id name } }`}, map[string]any{"name": name}, &out)
	if errors.Is(err, solera.ErrNotFound) {
		return false, nil
	}
	return out.Entity != nil, err
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// A Bucket is what the server is told of a run: what is nil stays as it is.
type Bucket struct {
	Workspace, Project, Name string

	DisplayName, Notes, Group, JobType, Host, Program, Commit, Repo *string
	Tags                                                            []string // nil = as they are
	Config                                                          map[string]any
}

// A BucketAnswer is what the server says of the run.
type BucketAnswer struct {
	ID           string // of the server
	DisplayName  string
	Workspace    string
	Project      string
	HistoryLines int64 // that the server has
	Inserted     bool  // the run is new
}

const upsertBucket = `mutation UpsertBucket($name: String, $project: String, $entity: String, $groupName: String, $displayName: String, $notes: String, $commit: String, $config: JSONString, $host: String, $program: String, $repo: String, $jobType: String, $tags: [String!]) {
  upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, groupName: $groupName, displayName: $displayName, notes: $notes, commit: $commit, config: $config, host: $host, jobProgram: $program, jobRepo: $repo, jobType: $jobType, tags: $tags}) {
    bucket { id name displayName historyLineCount project { id name entity { id name } } }
    inserted
  }
}`

// UpsertBucket makes the run, or changes it.
func (c *Client) UpsertBucket(ctx context.Context, b Bucket) (BucketAnswer, error) {
	variables := map[string]any{
		"name": b.Name, "project": b.Project, "entity": b.Workspace,
		"groupName": b.Group, "displayName": b.DisplayName, "notes": b.Notes, "commit": b.Commit, "host": b.Host,
		"program": b.Program, "repo": b.Repo, "jobType": b.JobType,
	}
	if b.Tags != nil {
		variables["tags"] = b.Tags
	}
	if b.Config != nil {
		// Not with bare NaN: a server may keep the text in a column of JSON.
		config, err := EncodeStrict(b.Config)
		if err != nil {
			return BucketAnswer{}, fmt.Errorf("config of run %s: %w", b.Name, err)
		}
		variables["config"] = string(config)
	}
	var out struct {
		UpsertBucket *struct {
			Bucket *struct {
				ID, Name         string
				DisplayName      *string
				HistoryLineCount *int64
				Project          *struct {
					Name   string
					Entity struct{ Name string }
				}
			}
			Inserted *bool
		}
	}
	err := c.again(ctx, func() error {
		err := c.queryOnce(ctx, operation{"upsertBucket", upsertBucket}, variables, &out)
		var status *StatusError
		if errors.As(err, &status) && status.Status == http.StatusConflict {
			// Of two that make one run or project at the same moment, one comes too
			// late, and finds it made the next time.
			return &networkError{"upsertBucket", err}
		}
		return err
	})
	if err != nil {
		return BucketAnswer{}, err
	}
	if out.UpsertBucket == nil || out.UpsertBucket.Bucket == nil || out.UpsertBucket.Bucket.Project == nil {
		return BucketAnswer{}, empty("upsertBucket")
	}
	bucket := out.UpsertBucket.Bucket
	a := BucketAnswer{ID: bucket.ID, DisplayName: text(bucket.DisplayName), Workspace: bucket.Project.Entity.Name, Project: bucket.Project.Name}
	if bucket.HistoryLineCount != nil {
		a.HistoryLines = *bucket.HistoryLineCount
	}
	a.Inserted = out.UpsertBucket.Inserted != nil && *out.UpsertBucket.Inserted
	return a, nil
}

// empty is the error of an answer without what was asked for.
func empty(what string) error {
	return fmt.Errorf("%s: %w: the answer is empty", what, solera.ErrInvalid)
}

// A Content is some bytes to be sent. Open is called for each try.
type Content struct {
	Name string // slash-separated
	Size int64
	Open func(context.Context) (io.ReadCloser, error)
	MD5  string // in base64; "" = not known yet
}

// sum fills in the MD5 by reading the content once.
func (f *Content) sum(ctx context.Context) error {
	if f.MD5 != "" {
		return nil
	}
	r, err := f.Open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	h := md5.New()
	n, err := io.Copy(h, stoppable{ctx, r})
	if err != nil {
		return err
	}
	if n != f.Size {
		return fmt.Errorf("%s: %w: it has %d bytes, not %d", f.Name, solera.ErrCorrupt, n, f.Size)
	}
	f.MD5 = base64.StdEncoding.EncodeToString(h.Sum(nil))
	return nil
}

// stoppable is a reader that fails once ctx has ended.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(b []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(b)
}

// localError is one of this machine: reading what is to be sent failed, and
// the network has no part in it.
type localError struct{ error }

func (e localError) Unwrap() error { return e.error }

// put sends a content to an address once.
func (c *Client) put(ctx context.Context, f Content, address string, headers []string) error {
	r, err := f.Open(ctx)
	if err != nil {
		return fmt.Errorf("upload %s: %w", f.Name, err)
	}
	defer r.Close()
	local := &failing{r: r}
	err = c.putOnce(ctx, "upload "+f.Name, address, headers, local, f.Size)
	if local.err != nil {
		return fmt.Errorf("upload %s: %w", f.Name, localError{local.err})
	}
	return err
}

const createRunFiles = `mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
  createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) { runID uploadHeaders files { name uploadUrl } }
}`

// UploadRunFile sends one file of a run. Sending it again replaces it. The
// server learns that it is there from the file stream.
func (c *Client) UploadRunFile(ctx context.Context, workspace, project, run string, f Content) error {
	return c.again(ctx, func() error {
		var out struct {
			CreateRunFiles *struct {
				UploadHeaders []string
				Files         []struct {
					Name      string
					UploadURL *string `json:"uploadUrl"`
				}
			}
		}
		// A new address each time: the old one may have expired.
		err := c.queryOnce(ctx, operation{"createRunFiles", createRunFiles}, map[string]any{
			"entity": workspace, "project": project, "run": run, "files": []string{f.Name},
		}, &out)
		if err != nil {
			return err
		}
		if out.CreateRunFiles == nil || len(out.CreateRunFiles.Files) != 1 {
			return empty("createRunFiles")
		}
		address := text(out.CreateRunFiles.Files[0].UploadURL)
		if address == "" {
			return nil // the server has it
		}
		return expired(c.put(ctx, f, address, out.CreateRunFiles.UploadHeaders))
	})
}

// expired makes a refusal that may be the age of an address one that passes,
// since the next try asks for another. A few times: it may be meant.
func expired(err error) error {
	var status *StatusError
	if errors.As(err, &status) && (status.Status == http.StatusForbidden || status.Status == http.StatusUnauthorized) {
		return &expiredError{err}
	}
	return err
}

// A NewArtifact is a version to be made.
type NewArtifact struct {
	Workspace, Project string
	Collection, Type   string
	Run                string // that makes it; "" = none
	Description        string
	Metadata           map[string]any
	Aliases, Tags      []string
	Files              []ManifestEntry    // sorted by path; Digest may be "" where Contents has the file
	Contents           map[string]Content // by path: the files that are not references
	// ClientID names the version before the server has made it: whoever comes
	// again with it goes on with the same version. At most 128 letters and digits.
	ClientID string
	Dedup    bool // content that is there already makes no version
}

// An Artifact is a version on the server.
type Artifact struct {
	ID         string // of the server
	State      string // "PENDING", "COMMITTED", "DELETED"
	Digest     string // of the manifest, in hexadecimal
	Collection string
	Number     int // -1 = the server did not say
	Type       string
	Metadata   map[string]any
	Aliases    []string
}

const (
	clientIDMapping = `query ClientIDMapping($clientID: ID!) { clientIDMapping(clientID: $clientID) { serverID } }`

	artifactFields = `id state digest versionIndex metadata artifactType { name } artifactSequence { name } aliases { alias artifactCollection { __typename name } }`
	artifactByID   = `query ArtifactByID($id: ID!) { artifact(id: $id) { ` + artifactFields + ` } }`

	createArtifact = `mutation CreateArtifact($input: CreateArtifactInput!) {
  createArtifact(input: $input) { artifact { id state } }
}`
	createManifest = `mutation CreateArtifactManifest($artifactID: ID!, $name: String!, $digest: String!, $entityName: String!, $projectName: String!, $runName: String!, $manifestType: ArtifactManifestType!, $includeUpload: Boolean!) {
  createArtifactManifest(input: {artifactID: $artifactID, name: $name, digest: $digest, entityName: $entityName, projectName: $projectName, runName: $runName, type: $manifestType}) {
    artifactManifest { id file { id uploadUrl @include(if: $includeUpload) uploadHeaders @include(if: $includeUpload) } }
  }
}`
	createFiles = `mutation CreateArtifactFiles($artifactFiles: [CreateArtifactFileSpecInput!]!, $storageLayout: ArtifactStorageLayout!) {
  createArtifactFiles(input: {artifactFiles: $artifactFiles, storageLayout: $storageLayout}) {
    files { edges { node { storagePath uploadUrl uploadHeaders artifact { id } } } }
  }
}`
	commitArtifact = `mutation CommitArtifact($artifactID: ID!) { commitArtifact(input: {artifactID: $artifactID}) { artifact { id digest } } }`
	useArtifact    = `mutation UseArtifact($input: UseArtifactInput!) { useArtifact(input: $input) { artifact { id } } }`

	membership = `query ArtifactMembershipByName($entity: String!, $project: String!, $name: String!) {
  project(entityName: $entity, name: $project) { artifactCollectionMembership(name: $name) { id versionIndex artifactCollection { __typename name } artifact { ` + artifactFields + ` } } }
}`
	manifestURL = `query FetchArtifactManifest($id: ID!) { artifact(id: $id) { currentManifest { id file { id directUrl } } } }`
	fileURLs    = `query GetArtifactMembershipFileUrls($entity: String!, $project: String!, $collection: String!, $alias: String!, $cursor: String, $perPage: Int) {
  project(entityName: $entity, name: $project) { artifactCollection(name: $collection) { __typename artifactMembership(aliasName: $alias) {
    files(after: $cursor, first: $perPage) { pageInfo { endCursor hasNextPage } edges { node { name directUrl } } } } } }
}`
	addAliases = `mutation AddAliases($input: AddAliasesInput!) { addAliases(input: $input) { success } }`
	dropAlias  = `mutation DeleteAliases($input: DeleteAliasesInput!) { deleteAliases(input: $input) { success } }`
)

type artifactNode struct {
	ID               string
	State            string
	Digest           string
	VersionIndex     *int
	Metadata         *string
	ArtifactType     *struct{ Name string }
	ArtifactSequence *struct{ Name string }
	Aliases          []struct {
		Alias              string
		ArtifactCollection *struct{ Name string }
	}
}

func (n *artifactNode) artifact() (Artifact, error) {
	a := Artifact{ID: n.ID, State: n.State, Digest: n.Digest, Number: -1}
	if n.VersionIndex != nil {
		a.Number = *n.VersionIndex
	}
	if n.ArtifactType != nil {
		a.Type = n.ArtifactType.Name
	}
	if n.ArtifactSequence != nil {
		a.Collection = n.ArtifactSequence.Name
	}
	for _, alias := range n.Aliases {
		if alias.ArtifactCollection == nil || alias.ArtifactCollection.Name == a.Collection {
			a.Aliases = append(a.Aliases, alias.Alias)
		}
	}
	if s := strings.TrimSpace(text(n.Metadata)); s != "" && s != "null" {
		var err error
		if a.Metadata, err = DecodeObject([]byte(s)); err != nil {
			return Artifact{}, fmt.Errorf("metadata of the artifact: %w", err)
		}
	}
	return a, nil
}

// ArtifactOf returns the version that a client named; ErrNotFound if the
// server knows none of that name.
func (c *Client) ArtifactOf(ctx context.Context, clientID string) (Artifact, error) {
	var out struct {
		ClientIDMapping *struct{ ServerID *string }
	}
	err := c.query(ctx, operation{"clientIDMapping", clientIDMapping}, map[string]any{"clientID": clientID}, &out)
	if err != nil {
		return Artifact{}, err
	}
	if out.ClientIDMapping == nil || text(out.ClientIDMapping.ServerID) == "" {
		return Artifact{}, fmt.Errorf("artifact of this client: %w", solera.ErrNotFound)
	}
	return c.Artifact(ctx, *out.ClientIDMapping.ServerID)
}

// Artifact returns the version with an identifier of the server.
func (c *Client) Artifact(ctx context.Context, id string) (Artifact, error) {
	var out struct{ Artifact *artifactNode }
	if err := c.query(ctx, operation{"artifact", artifactByID}, map[string]any{"id": id}, &out); err != nil {
		return Artifact{}, err
	}
	if out.Artifact == nil {
		return Artifact{}, fmt.Errorf("artifact %s: %w", clipped(id), solera.ErrNotFound)
	}
	return out.Artifact.artifact()
}

// Named returns the version that name, such as "wine-raw:latest", stands for.
func (c *Client) Named(ctx context.Context, workspace, project, name string) (Artifact, error) {
	var out struct {
		Project *struct {
			Membership *struct {
				VersionIndex       *int
				ArtifactCollection *struct{ Name string }
				Artifact           *artifactNode
			} `json:"artifactCollectionMembership"`
		}
	}
	missing := fmt.Errorf("%s/%s/%s: %w: the server has no such artifact", workspace, project, name, solera.ErrNotFound)
	err := c.query(ctx, operation{"artifactCollectionMembership", membership}, map[string]any{"entity": workspace, "project": project, "name": name}, &out)
	switch {
	case errors.Is(err, solera.ErrNotFound):
		return Artifact{}, missing
	case err != nil:
		return Artifact{}, err
	case out.Project == nil || out.Project.Membership == nil || out.Project.Membership.Artifact == nil:
		return Artifact{}, missing
	}
	a, err := out.Project.Membership.Artifact.artifact()
	if err != nil {
		return Artifact{}, err
	}
	// A link has a number of its own; that is the one which was asked for.
	if m := out.Project.Membership; m.ArtifactCollection != nil && m.VersionIndex != nil {
		a.Collection, a.Number = m.ArtifactCollection.Name, *m.VersionIndex
	}
	return a, nil
}

// Create makes the version, sends its files and commits it. Whatever happens
// on the way, coming again with the same ClientID ends with one version. With
// Dedup the server may answer with a version that was there before.
func (c *Client) Create(ctx context.Context, a NewArtifact) (Artifact, error) {
	m := Manifest{Layout: "V2", Entries: append([]ManifestEntry(nil), a.Files...)}
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Digest != "" {
			continue
		}
		f := a.Contents[e.Path]
		if err := f.sum(ctx); err != nil {
			return Artifact{}, fmt.Errorf("read %s: %w", e.Path, err)
		}
		e.Digest, a.Contents[e.Path] = f.MD5, f
	}
	made, err := c.begin(ctx, a, m)
	if err != nil || made.State == "COMMITTED" {
		return made, err
	}
	if err := c.fill(ctx, a, m, made.ID); err != nil {
		return Artifact{}, err
	}
	var out struct {
		CommitArtifact *struct {
			Artifact *struct{ ID, Digest string }
		}
	}
	if err := c.query(ctx, operation{"commitArtifact", commitArtifact}, map[string]any{"artifactID": made.ID}, &out); err != nil {
		return Artifact{}, err
	}
	if out.CommitArtifact == nil || out.CommitArtifact.Artifact == nil {
		return Artifact{}, empty("commitArtifact")
	}
	return c.Artifact(ctx, made.ID)
}

// begin returns the version of the ClientID, made now if the server knows none.
// An answer may get lost after the server did its part, so each try first asks
// for what the try before has left.
func (c *Client) begin(ctx context.Context, a NewArtifact, m Manifest) (Artifact, error) {
	input := map[string]any{
		"entityName": a.Workspace, "projectName": a.Project, "artifactTypeName": a.Type, "artifactCollectionName": a.Collection,
		"digest": m.Digest(), "digestAlgorithm": "MANIFEST_MD5", "clientID": a.ClientID, "sequenceClientID": sequenceID(a),
		"enableDigestDeduplication": a.Dedup, "runName": nil,
	}
	if a.Run != "" {
		input["runName"] = a.Run
	}
	if a.Description != "" {
		input["description"] = a.Description
	}
	metadata, err := EncodeStrict(a.Metadata)
	if err != nil {
		return Artifact{}, fmt.Errorf("metadata of %s: %w", a.Collection, err)
	}
	input["metadata"] = string(metadata)
	aliases, tags := []any{}, []any{}
	for _, alias := range a.Aliases {
		aliases = append(aliases, map[string]any{"artifactCollectionName": a.Collection, "alias": alias})
	}
	for _, tag := range a.Tags {
		tags = append(tags, map[string]any{"tagName": tag})
	}
	input["aliases"] = aliases
	if len(tags) > 0 {
		input["tags"] = tags
	}
	for tries := 0; ; tries++ {
		made, err := c.ArtifactOf(ctx, a.ClientID)
		if !errors.Is(err, solera.ErrNotFound) {
			return made, err
		}
		var out struct {
			CreateArtifact *struct {
				Artifact *struct{ ID, State string }
			}
		}
		err = c.queryOnce(ctx, operation{"createArtifact", createArtifact}, map[string]any{"input": input}, &out)
		switch {
		case err == nil && (out.CreateArtifact == nil || out.CreateArtifact.Artifact == nil):
			return Artifact{}, empty("createArtifact")
		case err == nil && out.CreateArtifact.Artifact.State == "COMMITTED":
			return c.Artifact(ctx, out.CreateArtifact.Artifact.ID)
		case err == nil:
			return Artifact{ID: out.CreateArtifact.Artifact.ID, State: out.CreateArtifact.Artifact.State, Number: -1}, nil
		case ctx.Err() != nil:
			return Artifact{}, context.Cause(ctx)
		case final(err):
			return Artifact{}, err
		}
		if err := c.wait(ctx, err, tries); err != nil {
			return Artifact{}, err
		}
	}
}

// sequenceID names the line of versions, the same for every version of it.
func sequenceID(a NewArtifact) string {
	return longID("sequence", a.Workspace, a.Project, a.Collection)
}

// fill sends the files of a version and then its manifest.
func (c *Client) fill(ctx context.Context, a NewArtifact, m Manifest, id string) error {
	manifestID, _, err := c.manifest(ctx, a, id, "")
	if err != nil {
		return err
	}
	index := make(map[string]int, len(m.Entries))
	var todo []string
	for i, e := range m.Entries {
		index[e.Path] = i
		if e.Ref == "" {
			todo = append(todo, e.Path)
		}
	}
	// Addresses expire, so they are asked for in small lots, and anew for what
	// could not be sent.
	for tries := 0; len(todo) > 0; {
		lot := todo[:min(len(todo), filesAtOnce)]
		left, err := c.uploadLot(ctx, id, manifestID, lot, a.Contents, func(path, birth string) { m.Entries[index[path]].Birth = birth })
		if len(left) < len(lot) {
			tries = 0
		}
		todo = append(left, todo[len(lot):]...)
		if len(left) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if hopeless(err, tries) {
			return err
		}
		if err := c.wait(ctx, err, tries); err != nil {
			return err
		}
		tries++
	}
	text, err := m.Encode()
	if err != nil {
		return err
	}
	sum := md5.Sum(text)
	whole := Content{
		Name: manifestName, Size: int64(len(text)),
		Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(text)), nil },
	}
	return c.again(ctx, func() error {
		_, up, err := c.manifest(ctx, a, id, base64.StdEncoding.EncodeToString(sum[:]))
		if err != nil || up.address == "" {
			return err
		}
		return expired(c.put(ctx, whole, up.address, up.headers))
	})
}

const (
	manifestName = "wandb_manifest.json"
	filesAtOnce  = 100
	putsAtOnce   = 4
)

// An upload is where bytes go to.
type upload struct {
	address string // "" = the server has them
	headers []string
}

// manifest announces the manifest of a version, and with its digest asks where
// it goes to.
func (c *Client) manifest(ctx context.Context, a NewArtifact, artifact, digest string) (id string, up upload, err error) {
	var out struct {
		CreateArtifactManifest *struct {
			ArtifactManifest *struct {
				ID   string
				File *struct {
					UploadURL     *string `json:"uploadUrl"`
					UploadHeaders []string
				}
			}
		}
	}
	err = c.query(ctx, operation{"createArtifactManifest", createManifest}, map[string]any{
		"artifactID": artifact, "name": manifestName, "digest": digest, "entityName": a.Workspace,
		"projectName": a.Project, "runName": a.Run, "manifestType": "FULL", "includeUpload": digest != "",
	}, &out)
	if err != nil {
		return "", up, err
	}
	if out.CreateArtifactManifest == nil || out.CreateArtifactManifest.ArtifactManifest == nil {
		return "", up, empty("createArtifactManifest")
	}
	made := out.CreateArtifactManifest.ArtifactManifest
	if made.File != nil {
		up = upload{text(made.File.UploadURL), made.File.UploadHeaders}
	}
	return made.ID, up, nil
}

// uploadLot sends files of a version, some side by side, and returns those that
// could not be sent, with why; an error that is final before others.
func (c *Client) uploadLot(ctx context.Context, artifact, manifest string, paths []string, contents map[string]Content, born func(path, id string)) (left []string, err error) {
	specs := make([]any, len(paths))
	for i, path := range paths {
		specs[i] = map[string]any{"artifactID": artifact, "artifactManifestID": manifest, "name": path, "md5": contents[path].MD5}
	}
	var out struct {
		CreateArtifactFiles *struct {
			Files *struct {
				Edges []struct {
					Node *struct {
						UploadURL     *string `json:"uploadUrl"`
						UploadHeaders []string
						Artifact      *struct{ ID string }
					}
				}
			}
		}
	}
	if err := c.query(ctx, operation{"createArtifactFiles", createFiles}, map[string]any{"artifactFiles": specs, "storageLayout": "V2"}, &out); err != nil {
		return paths, err
	}
	if out.CreateArtifactFiles == nil || out.CreateArtifactFiles.Files == nil || len(out.CreateArtifactFiles.Files.Edges) != len(paths) {
		return paths, empty("createArtifactFiles")
	}
	failed := make([]error, len(paths))
	var puts sync.WaitGroup
	places := make(chan struct{}, putsAtOnce)
	for i, path := range paths {
		node := out.CreateArtifactFiles.Files.Edges[i].Node
		if node == nil {
			failed[i] = empty("createArtifactFiles")
			continue
		}
		if node.Artifact != nil {
			born(path, node.Artifact.ID)
		}
		if text(node.UploadURL) == "" {
			continue // the server has these bytes
		}
		places <- struct{}{}
		puts.Go(func() {
			defer func() { <-places }()
			failed[i] = expired(c.put(ctx, contents[path], *node.UploadURL, node.UploadHeaders))
		})
	}
	puts.Wait()
	for i, e := range failed {
		if e == nil {
			continue
		}
		left = append(left, paths[i])
		if err == nil || final(e) && !final(err) {
			err = e
		}
	}
	return left, err
}

// Use notes that a run read a version.
func (c *Client) Use(ctx context.Context, workspace, project, run, artifact string) error {
	var out struct {
		UseArtifact *struct{ Artifact *struct{ ID string } }
	}
	err := c.query(ctx, operation{"useArtifact", useArtifact}, map[string]any{
		"input": map[string]any{"artifactID": artifact, "entityName": workspace, "projectName": project, "runName": run},
	}, &out)
	if err == nil && (out.UseArtifact == nil || out.UseArtifact.Artifact == nil) {
		return empty("useArtifact")
	}
	return err
}

// SetAlias makes an alias name a version, or with drop no longer.
func (c *Client) SetAlias(ctx context.Context, workspace, project, collection, artifact, alias string, drop bool) error {
	op := operation{"addAliases", addAliases}
	if drop {
		op = operation{"deleteAliases", dropAlias}
	}
	var out map[string]any
	return c.query(ctx, op, map[string]any{"input": map[string]any{
		"artifactID": artifact,
		"aliases":    []any{map[string]any{"artifactCollectionName": collection, "alias": alias, "entityName": workspace, "projectName": project}},
	}}, &out)
}

// Manifest fetches the manifest of a version and checks it against the
// version's digest.
func (c *Client) Manifest(ctx context.Context, a Artifact) (Manifest, error) {
	var m Manifest
	err := c.again(ctx, func() error {
		var out struct {
			Artifact *struct {
				CurrentManifest *struct {
					File *struct {
						DirectURL *string `json:"directUrl"`
					}
				}
			}
		}
		if err := c.queryOnce(ctx, operation{"artifact", manifestURL}, map[string]any{"id": a.ID}, &out); err != nil {
			return err
		}
		if out.Artifact == nil || out.Artifact.CurrentManifest == nil || out.Artifact.CurrentManifest.File == nil {
			return fmt.Errorf("manifest: %w: the version has none", solera.ErrNotFound)
		}
		var content []byte
		err := c.getOnce(ctx, "download the manifest", text(out.Artifact.CurrentManifest.File.DirectURL), func(r io.Reader) (err error) {
			content, err = io.ReadAll(io.LimitReader(r, maxManifest+1))
			return err
		})
		if err != nil {
			return expired(err)
		}
		if len(content) > maxManifest {
			return fmt.Errorf("manifest: %w: it has more than %d bytes", solera.ErrInvalid, maxManifest)
		}
		m, err = ParseManifest(content)
		return err
	})
	if err != nil {
		return Manifest{}, err
	}
	if got := m.Digest(); got != a.Digest {
		return Manifest{}, fmt.Errorf("manifest: %w: its digest is %s, the server promised %s", solera.ErrCorrupt, got, clipped(a.Digest))
	}
	return m, nil
}

// FileURLs returns where the files of a version are, by path, as long as the
// addresses last.
func (c *Client) FileURLs(ctx context.Context, workspace, project string, a Artifact) (map[string]string, error) {
	urls := map[string]string{}
	cursor := any(nil)
	for {
		var out struct {
			Project *struct {
				Collection *struct {
					Membership *struct {
						Files *struct {
							PageInfo struct {
								EndCursor   *string
								HasNextPage bool
							}
							Edges []struct {
								Node struct {
									Name      string
									DirectURL *string `json:"directUrl"`
								}
							}
						}
					} `json:"artifactMembership"`
				} `json:"artifactCollection"`
			}
		}
		err := c.query(ctx, operation{"artifactCollection", fileURLs}, map[string]any{
			"entity": workspace, "project": project, "collection": a.Collection, "alias": fmt.Sprintf("v%d", a.Number), "cursor": cursor, "perPage": 1000,
		}, &out)
		if err != nil {
			return nil, err
		}
		if out.Project == nil || out.Project.Collection == nil || out.Project.Collection.Membership == nil || out.Project.Collection.Membership.Files == nil {
			return nil, fmt.Errorf("files of %s:v%d: %w", a.Collection, a.Number, solera.ErrNotFound)
		}
		files := out.Project.Collection.Membership.Files
		before := len(urls)
		for _, e := range files.Edges {
			urls[e.Node.Name] = text(e.Node.DirectURL)
		}
		if !files.PageInfo.HasNextPage {
			return urls, nil
		}
		if len(urls) == before || files.PageInfo.EndCursor == nil || len(urls) > solera.MaxFiles {
			return nil, fmt.Errorf("files of %s: %w: the server's pages do not end", a.Collection, solera.ErrInvalid)
		}
		cursor = *files.PageInfo.EndCursor
	}
}

// Download passes the bytes of an entry to save, checked: save gets an error in
// place of the end if they are not those of the manifest. It is called anew for
// each try. find gives the address, fresh if the one before did not work.
func (c *Client) Download(ctx context.Context, e ManifestEntry, find func(fresh bool) (string, error), save func(io.Reader) error) error {
	want, err := MD5Hex(e.Digest)
	if err != nil {
		return err
	}
	fresh := false
	return c.again(ctx, func() error {
		address, err := find(fresh)
		if err != nil {
			return err
		}
		fresh = true
		return expired(c.getOnce(ctx, "download "+e.Path, address, func(r io.Reader) error {
			return save(&checked{r: io.LimitReader(r, e.Size+1), sum: md5.New(), entry: e, want: want})
		}))
	})
}

// checked is a reader that fails in place of its end when the bytes are not
// those that were promised.
type checked struct {
	r     io.Reader
	sum   hash.Hash
	n     int64
	entry ManifestEntry
	want  string
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	if err != io.EOF {
		return n, err
	}
	if c.n != c.entry.Size {
		// Fewer by a broken line would have been an error of the line.
		return n, fmt.Errorf("download %s: %w: it has %d bytes or more, the manifest says %d", c.entry.Path, solera.ErrCorrupt, c.n, c.entry.Size)
	}
	if got := hex.EncodeToString(c.sum.Sum(nil)); got != c.want {
		return n, fmt.Errorf("download %s: %w: its MD5 is %s, the manifest says %s", c.entry.Path, solera.ErrCorrupt, got, c.want)
	}
	return n, io.EOF
}

// longID is an identifier of 128 hexadecimal digits that follows from parts.
func longID(parts ...string) string {
	text, _ := json.Marshal(parts) // cannot fail: texts
	sum := sha512.Sum512(text)
	return hex.EncodeToString(sum[:])
}

const runHeartbeat = `query RunHeartbeat($entity: String!, $project: String!, $name: String!) {
  project(entityName: $entity, name: $project) { run(name: $name) { id heartbeatAt } }
}`

// heartbeat returns when a run last gave a sign of life, 0 if the server does
// not say; ErrNotFound if there is no such run.
func (c *Client) heartbeat(ctx context.Context, workspace, project, run string) (solera.Micros, error) {
	var out struct {
		Project *struct {
			Run *struct{ HeartbeatAt *string }
		}
	}
	err := c.query(ctx, operation{"run", runHeartbeat}, map[string]any{"entity": workspace, "project": project, "name": run}, &out)
	if err != nil {
		return 0, err
	}
	if out.Project == nil || out.Project.Run == nil {
		return 0, fmt.Errorf("run %s: %w", run, solera.ErrNotFound)
	}
	at, err := time.Parse(time.RFC3339Nano, text(out.Project.Run.HeartbeatAt))
	if err != nil {
		if at, err = time.Parse("2006-01-02T15:04:05", text(out.Project.Run.HeartbeatAt)); err != nil {
			return 0, nil
		}
	}
	return solera.MicrosOf(at), nil
}
