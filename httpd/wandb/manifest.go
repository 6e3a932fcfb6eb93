package wandb

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
	wire "github.com/solera-ml/solera/wandb"
)

const (
	// artifactsRoot is where clients fetch files without having asked for addresses.
	artifactsRoot = "/artifactsV2/"

	manifestName = "wandb_manifest.json"
	// maxManifest is the most bytes of a manifest: a million files with long names.
	maxManifest = 512 << 20

	// An artifactScheme is that of a reference to a file of another version; its
	// host is the identifier of that version in hexadecimal digits. Under the other
	// the host is the name that the client gave it.
	artifactScheme       = "wandb-artifact"
	clientArtifactScheme = "wandb-client-artifact"

	// referKey is the key in solera.Entry.Extra of the reference that a file came
	// by. The file is kept as any other, with its bytes, so that it stays when what
	// it refers to is deleted.
	referKey = "ref"
)

// manifestDigest is what a manifest says that a file is: the MD5 of its bytes in
// base64, or what the home of a reference says.
func manifestDigest(e solera.Entry) string {
	switch {
	case e.ETag != "":
		return e.ETag
	case e.MD5 != "":
		sum, _ := hex.DecodeString(e.MD5) // as solera.CheckFiles wants it
		return base64.StdEncoding.EncodeToString(sum)
	}
	return e.Digest.String() // an external file that a client of Solera described
}

// summary is what clients want of a version beside its record, and what takes
// its files to know.
type summary struct {
	digest string // in 32 hexadecimal digits
	files  int
}

// summaries remembers them by the digest of the content, which decides them, in
// two halves: when the younger is full, it takes the place of the older.
type summaries struct {
	mu           sync.Mutex
	young, older map[solera.Digest]summary
}

const halfSummaries = 20_000

func (s *summaries) get(d solera.Digest) (summary, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x, ok := s.young[d]; ok {
		return x, true
	}
	x, ok := s.older[d]
	if ok {
		s.add(d, x)
	}
	return x, ok
}

func (s *summaries) put(d solera.Digest, x summary) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(d, x)
}

func (s *summaries) add(d solera.Digest, x summary) {
	if s.young == nil || len(s.young) >= halfSummaries {
		s.older, s.young = s.young, map[solera.Digest]summary{}
	}
	s.young[d] = x
}

// summary returns the digest and number of files of a version. For what Solera
// made itself the bytes are read once.
func (s *service) summary(ctx context.Context, sp *space, v solera.Version) (summary, error) {
	if x, ok := s.summaries.get(v.Digest); ok {
		return x, nil
	}
	m, err := s.manifest(ctx, sp, v)
	if err != nil {
		if v.Deleted != 0 && errors.Is(err, solera.ErrNotFound) {
			// Its bytes are gone, and with them their MD5. The record stays.
			return summary{digest: v.Digest.Hex()[:32], files: len(v.Files)}, nil
		}
		return summary{}, err
	}
	x := summary{m.Digest(), len(m.Entries)}
	s.summaries.put(v.Digest, x)
	return x, nil
}

// manifest returns the list of files of a version as clients read it.
func (s *service) manifest(ctx context.Context, sp *space, v solera.Version) (wire.Manifest, error) {
	if v.Files == nil {
		full, err := versionOf(ctx, sp, v.ID())
		if err != nil {
			return wire.Manifest{}, err
		}
		v = full
	}
	files, err := s.drafts(sp).Summed(ctx, v.Files)
	if err != nil {
		return wire.Manifest{}, err
	}
	birth := versionID(sp, v.ID())
	m := wire.Manifest{Layout: "V2", Entries: make([]wire.ManifestEntry, len(files))}
	for i, e := range files {
		entry := wire.ManifestEntry{Path: e.Path, Digest: manifestDigest(e), Size: e.Size, Ref: e.Ref}
		switch {
		case e.Ref != "":
			entry.Extra = json.RawMessage(e.Extra)
		case e.Extra != "":
			var extra map[string]any
			if err := json.Unmarshal([]byte(e.Extra), &extra); err != nil {
				return m, fmt.Errorf("%s of %v: %w: its extra cannot be read: %v", e.Path, v.ID(), solera.ErrCorrupt, err)
			}
			entry.Ref, _ = extra[referKey].(string)
		}
		if entry.Ref == "" {
			entry.Birth = birth
		}
		m.Entries[i] = entry
	}
	return m, nil
}

// openManifest opens the manifest of the version that is the target.
func (s *service) openManifest(ctx context.Context, sp *space, g grant) (content, error) {
	if len(g.Target) != 3 {
		return content{}, fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	n, err := strconv.Atoi(g.Target[2])
	if err != nil {
		return content{}, fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	v, err := versionOf(ctx, sp, solera.VersionID{Project: g.Target[0], Artifact: g.Target[1], Number: n})
	if err != nil {
		return content{}, err
	}
	m, err := s.manifest(ctx, sp, v)
	if err != nil {
		return content{}, err
	}
	raw, err := m.Encode()
	if err != nil {
		return content{}, err
	}
	return content{ReadSeekCloser: inMemory{bytes.NewReader(raw)}}, nil
}

type inMemory struct{ io.ReadSeeker }

func (inMemory) Close() error { return nil }

// listed turns the manifests of a draft into the files of its version.
func (s *service) listed(c *call, sp *space, p tracking.Pending) ([]tracking.NamedFile, error) {
	files := map[string]tracking.NamedFile{}
	arrived := 0
	for _, l := range p.Lists {
		if l.MD5 == "" {
			continue // asked for, and never sent
		}
		raw, err := s.drafts(sp).Read(c.ctx, p.ID, l.MD5, maxManifest)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		m, err := wire.ParseManifest(raw)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", l.Name, err)
		}
		arrived++
		if l.Kind == incremental {
			if err := s.addBase(c, sp, p, l.Base, files); err != nil {
				return nil, fmt.Errorf("%s: what it is an addition to: %w", l.Name, err)
			}
		}
		for _, e := range m.Entries {
			f, err := s.namedFile(c, sp, e)
			if err != nil {
				return nil, fmt.Errorf("%s: %.80q: %w", l.Name, e.Path, err)
			}
			files[e.Path] = f
		}
	}
	if arrived == 0 {
		return nil, fmt.Errorf("artifact %s: %w: it has no manifest yet; upload one first", p.Artifact, solera.ErrConflict)
	}
	list := make([]tracking.NamedFile, 0, len(files))
	for _, f := range files {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b tracking.NamedFile) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// addBase adds the files of the version that an incremental manifest adds to;
// the newest, where it does not say. The first version of all has no base.
func (s *service) addBase(c *call, sp *space, p tracking.Pending, base string, files map[string]tracking.NamedFile) error {
	var id solera.VersionID
	if base != "" {
		var err error
		if id, err = s.versionIn(c, sp, base); err != nil {
			return err
		}
	} else {
		l := &line{sp: sp, project: p.Project, name: p.Artifact}
		m, err := s.memberOf(c.ctx, l, solera.Latest)
		if errors.Is(err, solera.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		id = m.version.ID()
	}
	v, err := versionOf(c.ctx, sp, id)
	if err != nil {
		return err
	}
	for _, e := range v.Files {
		files[e.Path] = tracking.NamedFile{Path: e.Path, Size: -1, From: id, FromPath: e.Path}
	}
	return nil
}

// versionIn returns the version of a workspace that an identifier of an artifact
// means. One of another workspace is not found, whoever may read that.
func (s *service) versionIn(c *call, sp *space, id string) (solera.VersionID, error) {
	f, err := c.locate(id, auth.Viewer)
	if err != nil {
		return solera.VersionID{}, err
	}
	if f.sp.name != sp.name {
		return solera.VersionID{}, fmt.Errorf("artifact of the workspace %s: %w in %s; versions do not reach into other workspaces", f.sp.name, solera.ErrNotFound, sp.name)
	}
	if f.Draft != nil {
		return solera.VersionID{}, &laterError{"artifact " + f.Draft.Artifact + ": it is not committed yet"}
	}
	return f.Version, nil
}

// namedFile turns an entry of a manifest into a file of a draft.
func (s *service) namedFile(c *call, sp *space, e wire.ManifestEntry) (tracking.NamedFile, error) {
	f := tracking.NamedFile{Path: e.Path, Size: e.Size}
	switch scheme, rest, _ := strings.Cut(e.Ref, "://"); {
	case e.Ref == "":
		sum, err := wire.MD5Hex(e.Digest)
		if err != nil {
			return f, err
		}
		f.MD5 = sum
		if e.Birth != "" {
			// Clients keep identifiers of versions that are gone, or that another
			// server gave. Without, the bytes must have been uploaded.
			f.From, _ = s.versionIn(c, sp, e.Birth)
		}
		return f, nil
	case scheme == artifactScheme || scheme == clientArtifactScheme:
		return s.referred(c, sp, e, scheme, rest)
	}
	f.Ref, f.ETag, f.Extra = e.Ref, e.Digest, string(e.Extra)
	return f, nil
}

// referred is the file that a reference to another version means.
func (s *service) referred(c *call, sp *space, e wire.ManifestEntry, scheme, rest string) (tracking.NamedFile, error) {
	f := tracking.NamedFile{Path: e.Path, Size: -1}
	host, file, _ := strings.Cut(rest, "/")
	if unescaped, err := url.PathUnescape(file); err == nil && solera.CheckPath(file) != nil {
		file = unescaped
	}
	id := ""
	if scheme == artifactScheme {
		raw, err := hex.DecodeString(host)
		if err != nil {
			return f, fmt.Errorf("reference to %.80q: %w: it names no artifact", e.Ref, solera.ErrInvalid)
		}
		id = base64.StdEncoding.EncodeToString(raw)
	} else {
		named, err := c.byClient(host)
		if err != nil {
			return f, err
		}
		if id = versionID(named.sp, named.Version); named.Draft != nil {
			id = draftID(named.sp, named.Draft.ID)
		}
	}
	var err error
	if f.From, err = s.versionIn(c, sp, id); err != nil {
		return f, fmt.Errorf("reference to another artifact: %w", err)
	}
	f.FromPath = file
	if sum, err := wire.MD5Hex(e.Digest); err == nil {
		f.MD5 = sum
	} else {
		f.ETag = e.Digest
	}
	// Under the identifier that stays, whichever the client used.
	raw, err := base64.StdEncoding.DecodeString(versionID(sp, f.From))
	if err != nil {
		return f, err
	}
	extra, err := json.Marshal(map[string]string{referKey: artifactScheme + "://" + hex.EncodeToString(raw) + "/" + file})
	f.Extra = string(extra)
	return f, err
}

// artifactsV2 answers GET /artifactsV2/{region}/{entity}/{project}/{collection}/
// [{artifact id}/]{birth artifact id}/{hex md5}/{name}: a client goes there
// without having asked for addresses, with its key.
func (s *service) artifactsV2(w http.ResponseWriter, r *http.Request) {
	c := s.call(r)
	found, name, err := s.findV2(c, r)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	defer found.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", "attachment")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", found.etag)
	http.ServeContent(w, r, name, found.changed, found)
}

func (s *service) findV2(c *call, r *http.Request) (content, string, error) {
	bad := func(why string) (content, string, error) {
		return content{}, "", fmt.Errorf("address of a file: %w: %s", solera.ErrInvalid, why)
	}
	rest := strings.Split(r.PathValue("rest"), "/")
	var ids []string
	for len(rest) > 1 && kindOfID(rest[0]) != "" && !isHex(rest[0], 32) {
		ids, rest = append(ids, rest[0]), rest[1:]
	}
	if len(ids) == 0 || len(ids) > 2 || len(rest) < 1 || !isHex(rest[0], 32) {
		return bad("want …/{artifact id}/{md5}/{name}")
	}
	sum, name := rest[0], path.Join(rest[1:]...)
	sp, err := c.enter(r.PathValue("entity"), auth.Viewer)
	if err != nil {
		return content{}, "", err
	}
	var first error
	for _, id := range ids {
		v, err := s.versionIn(c, sp, id)
		if err == nil {
			var e solera.Entry
			if e, err = s.withSum(c.ctx, sp, v, sum); err == nil {
				found, err := s.openBlob(c.ctx, sp, grant{Target: []string{e.Digest.String()}})
				return found, name, err
			}
		}
		first = cmp.Or(first, err)
	}
	return content{}, "", first
}

// withSum returns the file of a version that has an MD5.
func (s *service) withSum(ctx context.Context, sp *space, id solera.VersionID, sum string) (solera.Entry, error) {
	v, err := versionOf(ctx, sp, id)
	if err != nil {
		return solera.Entry{}, err
	}
	if v.Deleted != 0 {
		return solera.Entry{}, fmt.Errorf("%v: %w: it is deleted", id, solera.ErrNotFound)
	}
	files, err := s.drafts(sp).Summed(ctx, v.Files)
	if err != nil {
		return solera.Entry{}, err
	}
	for _, e := range files {
		if e.Ref == "" && e.MD5 == sum {
			return e, nil
		}
	}
	return solera.Entry{}, fmt.Errorf("file with the MD5 %s: %w in %v", sum, solera.ErrNotFound, id)
}
