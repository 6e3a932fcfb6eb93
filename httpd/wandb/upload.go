package wandb

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
	wire "github.com/solera-ml/solera/wandb"
)

// How a client makes a version: createArtifact announces it; a manifest, the
// list of its files, gets an identifier; createArtifactFiles gives an address
// for each content, to which it is sent; then the manifest is sent; then
// commitArtifact. What there is in between is a tracking.Pending.

// Kinds of manifests.
const (
	full        = "FULL"
	patch       = "PATCH"       // of one of several clients that fill one draft
	incremental = "INCREMENTAL" // adds to another version
)

// pending are the drafts of each workspace, and the joins under way.
type pending struct {
	mu      sync.Mutex
	known   map[string]*tracking.Drafts
	joining map[string]*joining
}

// joining is a file that is being put together of its parts.
type joining struct {
	done  chan struct{}
	entry solera.Entry
	err   error
}

func (s *service) uploadMutations() map[string]root {
	return map[string]root{
		"createArtifact":                  s.createArtifact,
		"createArtifactManifest":          s.createManifest,
		"updateArtifactManifest":          s.updateManifest,
		"createArtifactFiles":             s.createFiles,
		"completeMultipartUploadArtifact": s.completeParts,
		"commitArtifact":                  s.commitArtifact,
		"createArtifactType":              s.createArtifactType,
	}
}

// announcement reads the input of createArtifact.
func (s *service) announcement(c *call, in *args) (*space, tracking.Pending, error) {
	p := tracking.Pending{
		Project: in.NeedProject("projectName"), Artifact: in.Text("artifactCollectionName"), Type: in.Need("artifactTypeName"),
		Claim: in.Need("digest"), Description: in.Text("description"), Client: in.Text("clientID"), Line: in.Text("sequenceClientID"),
		Lifetime: max(in.Int("ttlDurationSeconds", 0), 0), Group: in.Text("distributedID"),
		Metadata: in.Object("metadata"),
	}
	if own, ok := wire.Original(p.Metadata); ok {
		// Solera's own client. The version is to have the digest that it has there;
		// clients read back what they sent.
		p.Metadata, p.Remarks = own, p.Metadata
	}
	// Some clients name it as the only one of a list.
	if names := in.Texts("artifactCollectionNames"); p.Artifact == "" && len(names) == 1 {
		p.Artifact = names[0]
	}
	if p.Artifact == "" {
		p.Artifact = in.Need("artifactCollectionName")
	}
	for _, alias := range in.Inputs("aliases") {
		// Those for other collections come with linkArtifact.
		if name := alias.Text("artifactCollectionName"); name == "" || name == p.Artifact {
			p.Aliases = append(p.Aliases, alias.Alias())
		}
	}
	for _, tag := range in.Inputs("tags") {
		p.Tags = append(p.Tags, tag.Need("tagName"))
	}
	if algorithm := in.Text("digestAlgorithm"); algorithm != "" && algorithm != "MANIFEST_MD5" {
		in.fail("digestAlgorithm", "is %.40q; this server knows MANIFEST_MD5 alone", algorithm)
	}
	if p.Claim != "" && !isHex(p.Claim, 32) {
		in.fail("digest", "must have 32 hexadecimal digits")
	}
	entity, run := in.Text("entityName"), in.Text("runName")
	if err := in.Err(); err != nil {
		return nil, p, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil || run == "" {
		return sp, p, err
	}
	p.Run, err = s.runID(c, sp, p.Project, run)
	return sp, p, err
}

// createArtifact announces a version. One that has what the newest version has
// is that one.
func (s *service) createArtifact(c *call, a *args) (any, error) {
	in := a.Input("input")
	sp, p, err := s.announcement(c, in)
	if err != nil {
		return nil, err
	}
	dedup := in.Bool("enableDigestDeduplication")
	if err := in.Err(); err != nil {
		return nil, err
	}
	d := s.drafts(sp)
	own := &line{sp: sp, project: p.Project, name: p.Artifact}
	newest, err := s.memberOf(c.ctx, own, solera.Latest)
	there := err == nil
	if err != nil && !errors.Is(err, solera.ErrNotFound) {
		return nil, err
	}
	if there && newest.version.Type == p.Type {
		x, err := s.summary(c.ctx, sp, newest.version)
		if err != nil {
			return nil, err
		}
		if x.digest == p.Claim && (dedup || p.Run != "" && p.Client == "") {
			v, err := d.Repeat(c.ctx, newest.version.ID(), p)
			if err != nil {
				return nil, err
			}
			return object{"CreateArtifactPayload", fields{"artifact": artifactObject(c, sp, v)}}, nil
		}
	}
	o, _, err := d.Open(c.ctx, p)
	if err != nil {
		return nil, err
	}
	if o.Draft == nil {
		v, err := versionOf(c.ctx, sp, o.Version)
		if err != nil {
			return nil, err
		}
		return object{"CreateArtifactPayload", fields{"artifact": artifactObject(c, sp, v)}}, nil
	}
	return object{"CreateArtifactPayload", fields{"artifact": pendingObject(c, sp, *o.Draft)}}, nil
}

// draft returns the draft that an identifier means.
func (c *call) draft(id string) (*space, tracking.Pending, error) {
	f, err := c.locate(id, auth.Editor)
	if err != nil {
		return nil, tracking.Pending{}, err
	}
	if f.Draft == nil {
		return nil, tracking.Pending{}, fmt.Errorf("artifact %v: %w: it is committed, and takes no more files; log a new version", f.Version, solera.ErrConflict)
	}
	return f.sp, *f.Draft, nil
}

// md5Argument reads an MD5 in base64, "" if there is none.
func md5Argument(in *args, name string) string {
	text := in.Text(name)
	if text == "" {
		return ""
	}
	sum, err := wire.MD5Hex(text)
	if err != nil {
		in.fail(name, "must be the 16 bytes of an MD5 in base64")
	}
	return sum
}

func (s *service) createManifest(c *call, a *args) (any, error) {
	in := a.Input("input")
	id := in.Need("artifactID")
	l := tracking.UploadList{
		Name: in.Need("name"), Kind: in.Text("type"), Base: in.Text("baseArtifactID"), MD5: md5Argument(in, "digest"),
	}
	if l.Kind == "" {
		l.Kind = full
	}
	if !slices.Contains([]string{full, patch, incremental}, l.Kind) {
		in.fail("type", "must be FULL, PATCH or INCREMENTAL")
	}
	if len(l.Name) > solera.MaxName {
		in.fail("name", "has more than %d bytes", solera.MaxName)
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, p, err := c.draft(id)
	if err != nil {
		return nil, err
	}
	// Each of the clients that fill one draft has a manifest of its own, under the
	// same name.
	if l, err = s.drafts(sp).AddList(c.ctx, p.ID, l, l.Kind == full); err != nil {
		return nil, err
	}
	return s.manifestPayload(c, sp, "CreateArtifactManifestPayload", p.ID, l)
}

func (s *service) updateManifest(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, sum, base := in.Need("artifactManifestID"), md5Argument(in, "digest"), in.Text("baseArtifactID")
	if sum == "" {
		in.fail("digest", "is missing")
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	parts, err := parseID("ArtifactManifest", id, 2)
	if err != nil {
		return nil, err
	}
	sp, err := c.enter(parts[0], auth.Editor)
	if err != nil {
		return nil, err
	}
	p, err := s.drafts(sp).AnnounceList(c.ctx, parts[1], base, sum)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(p.Lists, func(l tracking.UploadList) bool { return l.ID == parts[1] })
	return s.manifestPayload(c, sp, "UpdateArtifactManifestPayload", p.ID, p.Lists[i])
}

func (s *service) manifestPayload(c *call, sp *space, typ, draft string, l tracking.UploadList) (any, error) {
	id := globalID("ArtifactManifest", sp.name, l.ID)
	f := fields{"id": globalID("File", id), "name": l.Name, "displayName": l.Name, "uploadUrl": nil, "uploadHeaders": []string{}}
	if l.MD5 != "" {
		f["uploadUrl"] = lazy(func() (any, error) { return c.draftURL(sp, draft, l.MD5, l.Name) })
		f["uploadHeaders"] = []string{"Content-Md5:" + md5Base64(l.MD5), "Content-Type:application/json"}
	}
	return object{typ, fields{"artifactManifest": object{"ArtifactManifest", fields{"id": id, "type": l.Kind, "file": object{"File", f}}}}}, nil
}

func md5Base64(digits string) string {
	sum, _ := hex.DecodeString(digits) // was checked where it came in
	return base64.StdEncoding.EncodeToString(sum)
}

// draftURL is an address to which the content with an MD5 can be sent for a
// draft.
func (c *call) draftURL(sp *space, draft, sum, name string) (string, error) {
	return c.uploadURL(sp, grant{Kind: "draft", Target: []string{draft}, MD5: sum, Size: -1}, name)
}

// fileDraft notes what arrived for a draft.
func (s *service) fileDraft(ctx context.Context, sp *space, g grant, got received) error {
	if len(g.Target) != 1 {
		return fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	return s.drafts(sp).Arrived(ctx, g.Target[0], solera.Entry{Digest: got.Digest, Size: got.Size, MD5: got.MD5}, g.Kind == "part")
}

// maxSpecs is the most files that createArtifactFiles is asked about at once;
// clients ask about 2,000.
const maxSpecs = 10_000

// fileSpec is one file that a client asks about.
type fileSpec struct {
	artifact, name, sum string
	parts               []filePart
}

type filePart struct {
	number int64
	sum    string
}

func fileSpecs(in *args) []fileSpec {
	list := in.Inputs("artifactFiles")
	if len(list) > maxSpecs {
		in.fail("artifactFiles", "has %d members, at most %d are answered at once", len(list), maxSpecs)
		return nil
	}
	specs := make([]fileSpec, len(list))
	for i, f := range list {
		spec := fileSpec{artifact: f.Need("artifactID"), name: f.Need("name"), sum: md5Argument(f, "md5")}
		if spec.sum == "" {
			f.fail("md5", "is missing")
		}
		for _, part := range f.Inputs("uploadPartsInput") {
			p := filePart{part.Int("partNumber", 0), part.Need("hexMD5")}
			if !isHex(p.sum, 32) {
				part.fail("hexMD5", "must have 32 hexadecimal digits")
			}
			if p.number != int64(len(spec.parts)+1) {
				part.fail("partNumber", "is %d, and parts count 1, 2, 3 …", p.number)
			}
			spec.parts = append(spec.parts, p)
		}
		specs[i] = spec
	}
	return specs
}

// createFiles gives an address for each content, or none where it is there.
func (s *service) createFiles(c *call, a *args) (any, error) {
	in := a.Input("input")
	specs := fileSpecs(in)
	if err := in.Err(); err != nil {
		return nil, err
	}
	drafts := map[string]*stock{}
	edges := make([]object, len(specs))
	for i, spec := range specs {
		if err := solera.CheckPath(spec.name); err != nil {
			return nil, fmt.Errorf("artifact file: %w", err)
		}
		have, ok := drafts[spec.artifact]
		if !ok {
			var err error
			if have, err = s.stock(c, spec.artifact); err != nil {
				return nil, err
			}
			drafts[spec.artifact] = have
		}
		node, err := s.fileNode(c, have, spec)
		if err != nil {
			return nil, err
		}
		edges[i] = object{"FileEdge", fields{"node": node, "cursor": ""}}
	}
	return object{"CreateArtifactFilesPayload", fields{"files": object{"FileConnection", fields{"edges": edges}}}}, nil
}

// stock is what a draft has already.
type stock struct {
	sp     *space
	draft  tracking.Pending
	own    map[string]solera.Entry // uploaded, by MD5
	newest map[string]bool         // MD5s in the newest version
	from   string                  // identifier of that
}

func (s *service) stock(c *call, id string) (*stock, error) {
	sp, p, err := c.draft(id)
	if err != nil {
		return nil, err
	}
	have := &stock{sp: sp, draft: p, newest: map[string]bool{}}
	if have.own, err = s.drafts(sp).Uploaded(c.ctx, p.ID); err != nil {
		return nil, err
	}
	m, err := s.memberOf(c.ctx, &line{sp: sp, project: p.Project, name: p.Artifact}, solera.Latest)
	if errors.Is(err, solera.ErrNotFound) {
		return have, nil
	}
	if err != nil {
		return nil, err
	}
	have.from = versionID(sp, m.version.ID())
	for _, e := range m.version.Files {
		// Where the records have no MD5 the upload costs less than to find out.
		if e.Ref == "" && e.MD5 != "" {
			have.newest[e.MD5] = true
		}
	}
	return have, nil
}

func (s *service) fileNode(c *call, have *stock, spec fileSpec) (object, error) {
	sp, draft := have.sp, have.draft.ID
	birth := draftID(sp, draft)
	f := fields{
		"id": globalID("File", birth, spec.name), "name": spec.name, "displayName": spec.name,
		"storagePath": "drafts/" + draft + "/" + spec.sum, "uploadUrl": nil, "uploadHeaders": []string{}, "uploadMultipartUrls": nil,
	}
	_, uploaded := have.own[spec.sum]
	if !uploaded && have.newest[spec.sum] {
		uploaded, birth = true, have.from
	}
	f["artifact"] = object{"Artifact", fields{"id": birth}}
	if uploaded {
		return object{"File", f}, nil
	}
	at, err := c.draftURL(sp, draft, spec.sum, spec.name)
	if err != nil {
		return object{}, err
	}
	f["uploadUrl"] = at
	f["uploadHeaders"] = []string{"Content-Md5:" + md5Base64(spec.sum), "Content-Type:application/octet-stream"}
	if len(spec.parts) > 0 {
		parts := make([]object, len(spec.parts))
		for i, part := range spec.parts {
			if at, err = c.uploadURL(sp, grant{Kind: "part", Target: []string{draft}, MD5: part.sum, Size: -1}, spec.name); err != nil {
				return object{}, err
			}
			parts[i] = object{"UploadUrlPart", fields{"partNumber": part.number, "uploadUrl": at}}
		}
		f["uploadMultipartUrls"] = object{"UploadMultipartUrls", fields{"uploadID": spec.sum, "uploadUrlParts": parts}}
	}
	return object{"File", f}, nil
}

// completeParts puts the parts of a file together.
func (s *service) completeParts(c *call, a *args) (any, error) {
	in := a.Input("input")
	id, sum := in.Need("artifactID"), in.Need("uploadID")
	if !isHex(sum, 32) {
		in.fail("uploadID", "is none that this server gave")
	}
	if action := in.Text("completeMultipartAction"); action != "Complete" {
		in.fail("completeMultipartAction", "must be Complete")
	}
	var parts []string
	for i, part := range in.Inputs("completedParts") {
		if n := part.Int("partNumber", 0); n != int64(i+1) {
			part.fail("partNumber", "is %d, and parts count 1, 2, 3 …", n)
		}
		// The ETag, as the answer to its upload had it.
		parts = append(parts, strings.Trim(part.Need("hexMD5"), `"`))
	}
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, p, err := c.draft(id)
	if err != nil {
		return nil, err
	}
	e, err := s.join(c.ctx, sp, p.ID, parts, sum)
	if err != nil {
		return nil, err
	}
	return object{"CompleteMultipartUploadArtifactPayload", fields{"digest": e.MD5}}, nil
}

// join puts a file together. It takes longer than a client waits for an answer,
// which then asks again; so it goes on when the client has gone, and who asks
// meanwhile waits for the same.
func (s *service) join(ctx context.Context, sp *space, draft string, parts []string, sum string) (solera.Entry, error) {
	key := sp.name + " " + draft + " " + sum
	s.pending.mu.Lock()
	if j, ok := s.pending.joining[key]; ok {
		s.pending.mu.Unlock()
		select {
		case <-j.done:
			return j.entry, j.err
		case <-ctx.Done():
			return solera.Entry{}, ctx.Err()
		}
	}
	j := &joining{done: make(chan struct{})}
	if s.pending.joining == nil {
		s.pending.joining = map[string]*joining{}
	}
	s.pending.joining[key] = j
	s.pending.mu.Unlock()
	defer func() {
		s.pending.mu.Lock()
		delete(s.pending.joining, key)
		s.pending.mu.Unlock()
		close(j.done)
	}()
	j.err = errors.New("join: it was given up") // unless it comes to an end
	j.entry, j.err = s.drafts(sp).Join(context.WithoutCancel(ctx), draft, parts, sum)
	return j.entry, j.err
}

// patience is how long a commit waits for another that it refers to. Then the
// client is told to ask again.
const patience = 5 * time.Second

// commitArtifact makes a draft a version. A second time it is that version.
func (s *service) commitArtifact(c *call, a *args) (any, error) {
	id := a.Input("input").Need("artifactID")
	if err := a.Err(); err != nil {
		return nil, err
	}
	f, err := c.locate(id, auth.Editor)
	if err != nil {
		return nil, err
	}
	if f.Draft == nil {
		v, err := versionOf(c.ctx, f.sp, f.Version)
		if err != nil {
			return nil, err
		}
		return object{"CommitArtifactPayload", fields{"artifact": artifactObject(c, f.sp, v)}}, nil
	}
	files, err := s.listed(c, f.sp, *f.Draft)
	// A client logs several versions at once, and one may refer to another.
	var later *laterError
	for deadline := time.Now().Add(patience); errors.As(err, &later) && time.Now().Before(deadline); {
		select {
		case <-c.ctx.Done():
			return nil, c.ctx.Err()
		case <-time.After(patience / 50):
		}
		files, err = s.listed(c, f.sp, *f.Draft)
	}
	if err != nil {
		return nil, err
	}
	v, _, err := s.drafts(f.sp).Commit(c.ctx, f.Draft.ID, files)
	if err != nil {
		return nil, err
	}
	return object{"CommitArtifactPayload", fields{"artifact": artifactObject(c, f.sp, v)}}, nil
}

// createArtifactType answers that a type may be used: it begins with its first
// artifact.
func (s *service) createArtifactType(c *call, a *args) (any, error) {
	in := a.Input("input")
	entity, project, name := in.Text("entityName"), in.NeedProject("projectName"), in.Need("name")
	if err := in.Err(); err != nil {
		return nil, err
	}
	sp, err := c.enter(entity, auth.Editor)
	if err != nil {
		return nil, err
	}
	if err := solera.CheckName(name); err != nil {
		return nil, fmt.Errorf("artifact type: %w", err)
	}
	return object{"CreateArtifactTypePayload", fields{"artifactType": typeObject(c, sp, project, name)}}, nil
}
