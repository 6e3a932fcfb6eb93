package tracking

import (
	"bytes"
	"cmp"
	"context"
	"crypto/md5"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
)

// How a version comes from elsewhere
//
// A process elsewhere cannot hand over a Draft: it announces a version, sends
// its files one by one, perhaps from several machines, says which paths have
// which contents, and then asks for the commit. What the server must remember
// in between is a Pending, a document. What was uploaded for it stands in
// documents of a kind of its own, one for each transaction, so that a thousand
// uploads do not write one growing document a thousand times.
//
// gc leaves alone what was uploaded for a draft, for as long as the draft is
// there; and it forgets drafts that nobody has touched for a week. See inUse.

// DraftLife is how long after its last sign of life a draft is forgotten.
const DraftLife = 7 * 24 * time.Hour

// A Pending is a version to be, whose files are on their way.
type Pending struct {
	ID          string        `json:"-"` // given by Open
	Project     string        `json:"project"`
	Artifact    string        `json:"artifact"`
	Type        string        `json:"type"`
	Run         solera.RunID  `json:"run,omitempty"` // that makes it; "" = none, and the commit records one of stage "upload"
	Claim       string        `json:"claim"`         // what the client says the digest is: opaque here
	Metadata    solera.Fields `json:"metadata"`
	Remarks     solera.Fields `json:"remarks,omitempty"` // see Tracker.Remark; nil = none
	Description string        `json:"description"`
	Aliases     []string      `json:"aliases"`
	Tags        []string      `json:"tags"`
	// Lifetime is after how many seconds from the commit the version expires; 0 =
	// never.
	Lifetime int64 `json:"lifetime"`
	// Group joins the clients that fill one draft together; "" = one client.
	Group string `json:"group,omitempty"`
	// Client and Line are names that the client gave the version and its artifact
	// before it heard from us: see ByClient. "" = none.
	Client string       `json:"client,omitempty"`
	Line   string       `json:"line,omitempty"`
	Lists  []UploadList `json:"lists,omitempty"`
	// Since is when the draft was opened, as the audit log counts: see presence.
	Since int64 `json:"since"`
}

// An UploadList is a list of files that a client is to upload for a draft. What
// it looks like is between the client and its protocol.
type UploadList struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Kind string `json:"kind"`
	Base string `json:"base,omitempty"` // of the version that it is an addition to
	MD5  string `json:"md5,omitempty"`  // of its bytes, which are an upload of the draft; "" = not announced yet
}

// Drafts takes versions from elsewhere into one store. Tracker, whose Project
// does not matter, must be set. It is safe for many goroutines. All that counts
// is in the store; what it holds itself are uploads that wait for a
// transaction, and MD5 digests that were worked out.
type Drafts struct {
	Tracker *Tracker

	mu      sync.Mutex // guards the next two
	waiting []*arrival
	writing bool

	sums md5Cache
}

// An arrival is an upload whose bytes are stored and that is to be recorded.
type arrival struct {
	draft string
	entry solera.Entry
	part  bool
	turn  chan bool // true: it is written, or err says why not; false: write
	err   error
}

func (d *Drafts) at(project string) *Tracker {
	t := *d.Tracker
	t.Project = project
	return &t
}

// check refuses what could not be committed before anything is uploaded.
func (p Pending) check() error {
	draft := Draft{Artifact: p.Artifact, Type: p.Type, Aliases: p.Aliases}
	if err := draft.Check(); err != nil {
		return err
	}
	if err := solera.CheckName(p.Project); err != nil {
		return fmt.Errorf("project: %w", err)
	}
	for _, tag := range p.Tags {
		if err := checkTag(tag); err != nil {
			return err
		}
	}
	if len(p.Tags) > maxTags {
		return fmt.Errorf("%w: %d tags, at most %d are allowed", solera.ErrInvalid, len(p.Tags), maxTags)
	}
	if err := checkDescription(p.Description); err != nil {
		return err
	}
	if p.Lifetime < 0 || p.Lifetime > maxLifetime {
		return fmt.Errorf("lifetime of %d s: %w: want 1 s to 100 years", p.Lifetime, solera.ErrInvalid)
	}
	for _, id := range []string{p.Client, p.Line, p.Group} {
		if id == "" {
			continue
		}
		if err := (solera.Document{Kind: clientKind, ID: id}).Check(); err != nil {
			return fmt.Errorf("name given by the client: %w", err)
		}
	}
	if _, err := p.Metadata.MarshalJSON(); err != nil {
		return err
	}
	_, err := p.Remarks.MarshalJSON()
	return err
}

const maxLifetime = 100 * 366 * 24 * 3600 // s

// An Origin is what a draft became, or is: one of the two is set.
type Origin struct {
	Draft   *Pending
	Version solera.VersionID
}

// Open announces a version. One with the Client and the Claim, or the Group, of a
// draft of this artifact that there is already is the same again: what it has
// become is returned, and created is false. An artifact of another type is ErrConflict, as is a name
// that a collection has.
func (d *Drafts) Open(ctx context.Context, p Pending) (o Origin, created bool, err error) {
	fail := func(err error) (Origin, bool, error) {
		return Origin{}, false, fmt.Errorf("draft of %.80s: %w", p.Artifact, err)
	}
	if err := p.check(); err != nil {
		return fail(err)
	}
	before, err := presenceNow(ctx, d.Tracker.Store)
	if err != nil {
		return fail(err)
	}
	p.ID, p.Since, p.Lists = strings.ToLower(rand.Text()), before.since, nil
	err = d.Tracker.Store.Update(ctx, func(tx solera.Tx) error {
		o, created = Origin{}, false
		if p.Run != "" {
			if _, err := tx.Run(p.Run); err != nil {
				return err
			}
		}
		if err := mayCommit(tx, p.Project, p.Artifact, p.Type); err != nil {
			return err
		}
		if p.Client != "" {
			switch known, err := saidBefore(tx, p); {
			case err == nil:
				o = known
				return nil
			case !errors.Is(err, solera.ErrNotFound):
				return err
			}
		}
		if p.Group != "" {
			all, err := openDrafts(tx)
			if err != nil {
				return err
			}
			for _, other := range all {
				if other.Project == p.Project && other.Artifact == p.Artifact && other.Group == p.Group {
					o = Origin{Draft: &other}
					return d.introduce(tx, p, mark{Draft: other.ID})
				}
			}
		}
		created, o = true, Origin{Draft: &p}
		if err := keep(tx, draftKind, p.ID, p); err != nil {
			return err
		}
		return d.introduce(tx, p, mark{Draft: p.ID})
	})
	if err != nil {
		return fail(err)
	}
	return o, created, nil
}

// A mark says what a name stands for.
type mark struct {
	Draft   string `json:"draft,omitempty"`
	Version string `json:"version,omitempty"`
	Claim   string `json:"claim,omitempty"` // of the Pending that a client named so
}

// saidBefore returns what a client announced before by the same words, as when
// it did not hear the answer. It takes more than the name it gave: some draw that
// by chance from a source that scripts seed, so that every script of a project,
// and every run of it, gives the same names to other things. ErrNotFound: this is
// new, and the name is its own from now on.
func saidBefore(tx solera.Tx, p Pending) (Origin, error) {
	o, err := byClient(tx, p.Client)
	if err != nil {
		return Origin{}, err
	}
	var m mark
	if _, err := recall(tx, clientKind, p.Client, &m); err != nil {
		return Origin{}, err
	}
	project, artifact := o.Version.Project, o.Version.Artifact
	if o.Draft != nil {
		project, artifact = o.Draft.Project, o.Draft.Artifact
	}
	if project != p.Project || artifact != p.Artifact || m.Claim != p.Claim {
		return Origin{}, fmt.Errorf("client's name %.20q for %s: %w", p.Client, p.Artifact, solera.ErrNotFound)
	}
	return o, nil
}

// introduce keeps the names that a client gave.
func (d *Drafts) introduce(tx solera.Tx, p Pending, m mark) error {
	if p.Client != "" {
		m.Claim = p.Claim
		if err := keep(tx, clientKind, p.Client, m); err != nil {
			return err
		}
	}
	if p.Line == "" {
		return nil
	}
	return keep(tx, clientLineKind, p.Line, lineMark{Project: p.Project, Artifact: p.Artifact})
}

type lineMark struct {
	Project  string `json:"project"`
	Artifact string `json:"artifact"`
}

// mayCommit reports ErrConflict if no version of the type can be committed
// under the name.
func mayCommit(tx solera.Tx, project, artifact, typ string) error {
	a, err := tx.Artifact(project, artifact)
	switch {
	case err == nil && a.Type != typ:
		return fmt.Errorf("%w: %s is a %s, not a %s; log it under another name", solera.ErrConflict, artifact, a.Type, typ)
	case err == nil:
		return nil
	case !errors.Is(err, solera.ErrNotFound):
		return err
	}
	_, err = tx.Document(collectionKind, project+"/"+artifact)
	switch {
	case err == nil:
		return fmt.Errorf("%w: %s is a collection; log it under another name, and link it to the collection", solera.ErrConflict, artifact)
	case errors.Is(err, solera.ErrNotFound):
		return nil
	}
	return err
}

// Repeat notes that a run, or nobody in particular (""), announced what the
// version id has already: aliases go to it, and names that the client gave name
// it.
func (d *Drafts) Repeat(ctx context.Context, id solera.VersionID, p Pending) (solera.Version, error) {
	fail := func(err error) (solera.Version, error) {
		return solera.Version{}, fmt.Errorf("draft of %.80s: %w", p.Artifact, err)
	}
	if err := p.check(); err != nil {
		return fail(err)
	}
	var v solera.Version
	err := d.Tracker.Store.Update(ctx, func(tx solera.Tx) (err error) {
		if v, err = tx.Version(id); err != nil {
			return err
		}
		if v.Deleted != 0 {
			return errDeleted(v)
		}
		if p.Run != "" {
			if err := recommit(tx, p.Run, v); err != nil {
				return err
			}
		}
		if err := setAliases(tx, id, p.Aliases); err != nil {
			return err
		}
		if err := d.introduce(tx, p, mark{Version: id.String()}); err != nil {
			return err
		}
		v, err = tx.Version(id)
		return err
	})
	if err != nil {
		return fail(err)
	}
	return v, nil
}

// recommit ties a run to a version whose content it committed again.
func recommit(tx solera.Tx, run solera.RunID, v solera.Version) error {
	kind := solera.Same
	if v.Run == run {
		kind = solera.Made
	}
	return tx.AddEdge(solera.Edge{Run: run, Version: v.ID(), Kind: kind})
}

func setAliases(tx solera.Tx, id solera.VersionID, aliases []string) error {
	for _, alias := range aliases {
		if alias == solera.Latest {
			continue
		}
		if err := tx.SetAlias(id, alias); err != nil {
			return err
		}
	}
	return nil
}

// Find returns what the draft of that ID is, or has become; ErrNotFound if there
// never was one, or it was forgotten.
func (d *Drafts) Find(ctx context.Context, id string) (Origin, error) {
	var o Origin
	err := d.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		o, err = findDraft(tx, id)
		return err
	})
	return o, err
}

func findDraft(tx solera.Tx, id string) (Origin, error) {
	p, err := pending(tx, id)
	if err == nil {
		return Origin{Draft: &p}, nil
	}
	if !errors.Is(err, solera.ErrNotFound) {
		return Origin{}, err
	}
	var m mark
	if _, err := recall(tx, committedKind, id, &m); err != nil {
		if errors.Is(err, solera.ErrNotFound) {
			err = fmt.Errorf("draft %.80q: %w: nobody finished it for a week, or it never was; begin anew", id, solera.ErrNotFound)
		}
		return Origin{}, err
	}
	v, err := parseVersionID(m.Version)
	return Origin{Version: v}, err
}

func pending(tx solera.Tx, id string) (Pending, error) {
	var p Pending
	if (solera.Document{Kind: draftKind, ID: id}).Check() != nil {
		return p, fmt.Errorf("draft %.80q: %w", id, solera.ErrNotFound)
	}
	_, err := recall(tx, draftKind, id, &p)
	p.ID = id
	return p, err
}

func openDrafts(tx solera.Tx) ([]Pending, error) {
	list, err := tx.Documents(draftKind)
	if err != nil {
		return nil, err
	}
	var out []Pending
	for _, doc := range list {
		p := Pending{}
		if err := readDocument(doc, &p); err != nil {
			return nil, err
		}
		p.ID = doc.ID
		out = append(out, p)
	}
	return out, nil
}

// ByClient returns what a client calls by a name that it gave itself.
func (d *Drafts) ByClient(ctx context.Context, client string) (Origin, error) {
	var o Origin
	err := d.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		o, err = byClient(tx, client)
		return err
	})
	return o, err
}

func byClient(tx solera.Tx, client string) (Origin, error) {
	if (solera.Document{Kind: clientKind, ID: client}).Check() != nil {
		return Origin{}, fmt.Errorf("client's name %.20q: %w", client, solera.ErrNotFound)
	}
	var m mark
	if _, err := recall(tx, clientKind, client, &m); err != nil {
		return Origin{}, err
	}
	if m.Version != "" {
		v, err := parseVersionID(m.Version)
		return Origin{Version: v}, err
	}
	return findDraft(tx, m.Draft)
}

// LineByClient returns the artifact that a client calls by a name that it gave
// itself.
func (d *Drafts) LineByClient(ctx context.Context, client string) (project, artifact string, err error) {
	if (solera.Document{Kind: clientLineKind, ID: client}).Check() != nil {
		return "", "", fmt.Errorf("client's name %.20q: %w", client, solera.ErrNotFound)
	}
	var m lineMark
	err = d.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		_, err := recall(tx, clientLineKind, client, &m)
		return err
	})
	return m.Project, m.Artifact, err
}

func parseVersionID(s string) (solera.VersionID, error) {
	ref, err := solera.ParseRef(s)
	if err == nil && (ref.Project == "" || ref.Alias != "") {
		err = fmt.Errorf("%.80q: %w: no version", s, solera.ErrInvalid)
	}
	return solera.VersionID{Project: ref.Project, Artifact: ref.Artifact, Number: ref.Number}, err
}

// AddList adds a list of files to a draft and returns it with its ID. Where
// again is set, one of the same name and kind takes the place of the older.
func (d *Drafts) AddList(ctx context.Context, id string, list UploadList, again bool) (UploadList, error) {
	const most = 1000
	if err := checkMD5(list.MD5); list.MD5 != "" && err != nil {
		return UploadList{}, err
	}
	err := d.change(ctx, id, func(p *Pending) error {
		if i := slices.IndexFunc(p.Lists, func(l UploadList) bool { return again && l.Name == list.Name && l.Kind == list.Kind }); i >= 0 {
			list.ID = p.Lists[i].ID
			p.Lists[i] = list
			return nil
		}
		if len(p.Lists) >= most {
			return fmt.Errorf("draft of %s: %w: it has %d lists of files, more are not taken", p.Artifact, solera.ErrInvalid, most)
		}
		list.ID = p.ID + "-" + strconv.Itoa(len(p.Lists))
		p.Lists = append(p.Lists, list)
		return nil
	})
	return list, err
}

// AnnounceList says which bytes a list of files has.
func (d *Drafts) AnnounceList(ctx context.Context, list, base, sum string) (Pending, error) {
	if err := checkMD5(sum); err != nil {
		return Pending{}, err
	}
	id, _, _ := strings.Cut(list, "-")
	var out Pending
	err := d.change(ctx, id, func(p *Pending) error {
		i := slices.IndexFunc(p.Lists, func(l UploadList) bool { return l.ID == list })
		if i < 0 {
			return fmt.Errorf("list of files %.80q: %w", list, solera.ErrNotFound)
		}
		p.Lists[i].MD5 = sum
		p.Lists[i].Base = cmp.Or(base, p.Lists[i].Base)
		out = *p
		return nil
	})
	return out, err
}

func (d *Drafts) change(ctx context.Context, id string, fn func(*Pending) error) error {
	return d.Tracker.Store.Update(ctx, func(tx solera.Tx) error {
		p, err := stillPending(tx, id)
		if err != nil {
			return err
		}
		if err := fn(&p); err != nil {
			return err
		}
		return keep(tx, draftKind, id, p)
	})
}

// stillPending returns the draft; one that is committed is ErrConflict.
func stillPending(tx solera.Tx, id string) (Pending, error) {
	o, err := findDraft(tx, id)
	if err != nil {
		return Pending{}, err
	}
	if o.Draft == nil {
		return Pending{}, fmt.Errorf("draft %s: %w: it is committed as %s, and takes nothing more", id, solera.ErrConflict, o.Version)
	}
	return *o.Draft, nil
}

func checkMD5(s string) error {
	if b, err := hex.DecodeString(s); err != nil || len(b) != md5.Size || strings.ToLower(s) != s {
		return fmt.Errorf("MD5 %.80q: %w: want 32 hexadecimal digits in lower case", s, solera.ErrInvalid)
	}
	return nil
}

// sumReader fails at the end unless what was read has an MD5.
type sumReader struct {
	r    io.Reader
	want string
	sum  interface {
		io.Writer
		Sum([]byte) []byte
	}
	n int64
}

func newSumReader(r io.Reader, want string) *sumReader {
	return &sumReader{r: r, want: want, sum: md5.New()}
}

func (s *sumReader) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.sum.Write(b[:n])
	s.n += int64(n)
	if err == io.EOF {
		if got := hex.EncodeToString(s.sum.Sum(nil)); got != s.want {
			return n, fmt.Errorf("%w: %d bytes with the MD5 %s came, %s was announced; nothing was kept", solera.ErrInvalid, s.n, got, s.want)
		}
	}
	return n, err
}

// Upload stores what r holds to its end for a draft, if it has that MD5;
// otherwise it is ErrInvalid and nothing is kept. When it returns nil, the
// content survives a kill and gc. The same again is no error.
func (d *Drafts) Upload(ctx context.Context, id, sum string, r io.Reader) (solera.Entry, error) {
	fail := func(err error) (solera.Entry, error) {
		return solera.Entry{}, fmt.Errorf("upload: %w", err)
	}
	if err := checkMD5(sum); err != nil {
		return fail(err)
	}
	if err := d.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		_, err := stillPending(tx, id)
		return err
	}); err != nil {
		return fail(err)
	}
	digest, size, err := d.Tracker.Blobs.Put(ctx, newSumReader(r, sum))
	if err != nil {
		return fail(err)
	}
	e := solera.Entry{Digest: digest, Size: size, MD5: sum}
	if err := d.record(ctx, id, e, false); err != nil {
		return fail(err)
	}
	return e, nil
}

// Arrived notes that a content which the blobs have was uploaded for a draft.
// e.MD5 must be that of the bytes. When it returns nil, the content survives gc.
// A part is no file of the version: see Join.
func (d *Drafts) Arrived(ctx context.Context, id string, e solera.Entry, part bool) error {
	if err := checkMD5(e.MD5); err != nil {
		return err
	}
	return d.record(ctx, id, e, part)
}

// record writes that e was uploaded for a draft. Those that come at the same
// time, for whatever draft, share a transaction: one of them writes for all that
// wait, and then lets the first that came meanwhile go on.
func (d *Drafts) record(ctx context.Context, id string, e solera.Entry, part bool) error {
	a := &arrival{draft: id, entry: e, part: part, turn: make(chan bool, 1)}
	d.mu.Lock()
	d.waiting = append(d.waiting, a)
	if d.writing {
		d.mu.Unlock()
		if written := <-a.turn; written {
			return a.err
		}
		d.mu.Lock() // it is this one's turn to write, and it is the first that waits
	}
	d.writing = true
	batch := d.waiting
	d.waiting = nil
	d.mu.Unlock()
	// Others wait for what is written here, so it does not end with this request.
	d.write(context.WithoutCancel(ctx), batch)
	for _, other := range batch {
		if other != a {
			other.turn <- true
		}
	}
	d.mu.Lock()
	d.writing = len(d.waiting) > 0
	if d.writing {
		d.waiting[0].turn <- false
	}
	d.mu.Unlock()
	return a.err
}

// write records a batch, and each of it alone if it fails together.
func (d *Drafts) write(ctx context.Context, batch []*arrival) {
	err := d.writeAll(ctx, batch)
	if err != nil && len(batch) > 1 {
		for _, a := range batch {
			a.err = d.writeAll(ctx, []*arrival{a})
		}
		return
	}
	for _, a := range batch {
		a.err = err
	}
}

func (d *Drafts) writeAll(ctx context.Context, batch []*arrival) error {
	return d.Tracker.update(ctx, func(tx solera.Tx) error {
		byDraft := make(map[string]uploads)
		for _, a := range batch {
			if byDraft[a.draft] == nil {
				byDraft[a.draft] = uploads{}
			}
			byDraft[a.draft].add(a.entry.MD5, upload{a.entry.Digest, a.entry.Size, a.part})
		}
		for _, id := range slices.Sorted(maps.Keys(byDraft)) {
			p, err := stillPending(tx, id)
			if err != nil {
				return err
			}
			got := byDraft[id]
			if err := d.Tracker.stillThere(ctx, tx, presence{p.Since}, got.entries()); err != nil {
				return err
			}
			if err := keep(tx, uploadsKind+id, rand.Text(), uploadsBody{got}); err != nil {
				return err
			}
		}
		return nil
	})
}

// uploads are contents by MD5.
type (
	uploads map[string]upload
	upload  struct {
		Digest solera.Digest `json:"digest"`
		Size   int64         `json:"size"`
		Part   bool          `json:"part,omitempty"` // of a file, and no file
	}
	uploadsBody struct {
		Uploads uploads `json:"uploads"`
	}
)

// add notes an upload. What came as a file and as a part of one is a file.
func (u uploads) add(sum string, got upload) {
	if was, ok := u[sum]; ok {
		got.Part = got.Part && was.Part
	}
	u[sum] = got
}

func (u uploads) entries() []solera.Entry {
	list := make([]solera.Entry, 0, len(u))
	for _, sum := range slices.Sorted(maps.Keys(u)) {
		list = append(list, solera.Entry{Path: sum, Digest: u[sum].Digest, Size: u[sum].Size, MD5: sum})
	}
	return list
}

// uploaded returns what was uploaded for a draft, and when last.
func uploaded(tx solera.Tx, id string) (uploads, solera.Micros, error) {
	list, err := tx.Documents(uploadsKind + id)
	if err != nil {
		return nil, 0, err
	}
	all := uploads{}
	var last solera.Micros
	for _, doc := range list {
		var body uploadsBody
		if err := readDocument(doc, &body); err != nil {
			return nil, 0, err
		}
		for sum, got := range body.Uploads {
			all.add(sum, got)
		}
		last = max(last, doc.Updated)
	}
	return all, last, nil
}

// Uploaded returns the files that were uploaded for a draft by their MD5, which
// is the Path.
func (d *Drafts) Uploaded(ctx context.Context, id string) (map[string]solera.Entry, error) {
	return d.arrived(ctx, id, false)
}

// arrived is Uploaded, perhaps with the parts of files.
func (d *Drafts) arrived(ctx context.Context, id string, parts bool) (map[string]solera.Entry, error) {
	out := make(map[string]solera.Entry)
	err := d.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		clear(out)
		got, _, err := uploaded(tx, id)
		for _, e := range got.entries() {
			if parts || !got[e.MD5].Part {
				out[e.MD5] = e
			}
		}
		return err
	})
	return out, err
}

// Join makes one upload of several, in their order, if it has the MD5 sum. Each
// part is named by its own. A whole that is there already is not made again. The
// parts are freed, unless somebody else needs their contents.
func (d *Drafts) Join(ctx context.Context, id string, parts []string, sum string) (solera.Entry, error) {
	fail := func(err error) (solera.Entry, error) {
		return solera.Entry{}, fmt.Errorf("join %d parts: %w", len(parts), err)
	}
	got, err := d.arrived(ctx, id, true)
	if err != nil {
		return fail(err)
	}
	if whole, ok := got[sum]; ok && len(parts) > 1 {
		return whole, nil
	}
	list := make([]solera.Entry, len(parts))
	for i, part := range parts {
		e, ok := got[part]
		if !ok {
			return fail(fmt.Errorf("part %d with the MD5 %.80q: %w: it was not uploaded", i+1, part, solera.ErrNotFound))
		}
		list[i] = e
	}
	r := &joined{ctx: ctx, blobs: d.Tracker.Blobs, parts: list}
	defer r.Close()
	whole, err := d.Upload(ctx, id, sum, r)
	if err != nil {
		return fail(err)
	}
	// What cannot be freed now, because a backup is being made or the disk does not
	// answer, is garbage that gc finds.
	_ = d.discard(ctx, id, list)
	return whole, nil
}

// discard forgets parts that were uploaded for a draft, and frees their contents. It
// is a gc of these alone that does not wait for their grace: whoever else put
// the same contents and has not named them yet finds out as from any gc.
func (d *Drafts) discard(ctx context.Context, id string, parts []solera.Entry) error {
	free := make(map[string]solera.Deletion, len(parts))
	for _, e := range parts {
		free[e.MD5] = solera.Deletion{Digest: e.Digest, Size: e.Size}
	}
	err := d.Tracker.Store.Update(ctx, func(tx solera.Tx) error {
		list, err := tx.Documents(uploadsKind + id)
		if err != nil {
			return err
		}
		for _, doc := range list {
			var body uploadsBody
			if err := readDocument(doc, &body); err != nil {
				return err
			}
			before := len(body.Uploads)
			maps.DeleteFunc(body.Uploads, func(sum string, got upload) bool {
				_, ok := free[sum]
				return ok && got.Part
			})
			switch len(body.Uploads) {
			case before:
			case 0:
				err = tx.DeleteDocument(doc.Kind, doc.ID)
			default:
				err = keep(tx, doc.Kind, doc.ID, body)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	g := newCollector(ctx, d.Tracker.Store, d.Tracker.Blobs, GCOptions{Delete: true})
	return g.look(slices.Collect(maps.Values(free)), nil)
}

// joined reads contents one after the other.
type joined struct {
	ctx   context.Context
	blobs solera.Blobs
	parts []solera.Entry
	open  io.ReadCloser
}

func (j *joined) Read(b []byte) (int, error) {
	for {
		if err := j.ctx.Err(); err != nil {
			return 0, err
		}
		if j.open == nil {
			if len(j.parts) == 0 {
				return 0, io.EOF
			}
			var err error
			if j.open, err = j.blobs.Open(j.ctx, j.parts[0].Digest); err != nil {
				return 0, err
			}
			j.parts = j.parts[1:]
		}
		n, err := j.open.Read(b)
		if err == io.EOF {
			err = j.open.Close()
			j.open = nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (j *joined) Close() error {
	if j.open == nil {
		return nil
	}
	return j.open.Close()
}

// A NamedFile is a file of a version as a client lists it: it knows the MD5 of
// the bytes and not their digest.
type NamedFile struct {
	Path string
	MD5  string // of the bytes; "" for a file that lies elsewhere
	Size int64  // -1 = not said
	// From is a version that has the content already; zero = none in particular.
	// With FromPath, the file is what that version has there.
	From     solera.VersionID
	FromPath string
	// Ref, ETag and Extra are as those of solera.Entry.
	Ref, ETag, Extra string
}

// Commit makes the draft a version with those files, in one transaction, as
// Run.Commit does. Each content must have been uploaded for the draft, or be in
// the version that From names or in the newest of the artifact: nobody gets at
// bytes by knowing their MD5. A draft that is committed already is what it
// became, whatever the files.
func (d *Drafts) Commit(ctx context.Context, id string, files []NamedFile) (v solera.Version, isNew bool, err error) {
	o, err := d.Find(ctx, id)
	if err != nil {
		return v, false, err
	}
	if o.Draft == nil {
		v, err = d.version(ctx, o.Version)
		return v, false, err
	}
	p := *o.Draft
	fail := func(err error) (solera.Version, bool, error) {
		return solera.Version{}, false, fmt.Errorf("commit %s: %w", p.Artifact, err)
	}
	staged, err := d.stage(ctx, p, files)
	if err != nil {
		return fail(err)
	}
	t := d.at(p.Project)
	for tries := 0; ; tries++ {
		taken := false
		err = t.update(ctx, func(tx solera.Tx) (err error) {
			taken = false
			switch now, err := findDraft(tx, id); {
			case err != nil:
				return err
			case now.Draft == nil: // another request was faster
				isNew = false
				v, err = tx.Version(now.Version)
				return err
			}
			v, isNew, taken, err = d.commit(ctx, tx, t, p, staged)
			return err
		})
		if err == nil || !taken || tries == 5 {
			break
		}
	}
	if err != nil {
		return fail(err)
	}
	return v, isNew, nil
}

func (d *Drafts) version(ctx context.Context, id solera.VersionID) (v solera.Version, err error) {
	err = d.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		v, err = tx.Version(id)
		return err
	})
	return v, err
}

// stage finds the contents of the files.
func (d *Drafts) stage(ctx context.Context, p Pending, files []NamedFile) (solera.Version, error) {
	v := solera.Version{
		Project: p.Project, Artifact: p.Artifact, Type: p.Type, Metadata: p.Metadata, Run: p.Run,
		Tags: p.Tags, Description: p.Description, Created: solera.MicrosOf(d.Tracker.now()),
	}
	if p.Lifetime > 0 {
		v.Expires = solera.MicrosOf(v.Created.Time().Add(time.Duration(p.Lifetime) * time.Second))
	}
	got, err := d.Uploaded(ctx, p.ID)
	if err != nil {
		return v, err
	}
	known := have{drafts: d, draft: p, got: got, others: make(map[solera.VersionID]listing)}
	for _, f := range files {
		e, err := known.entry(ctx, f)
		if err != nil {
			return v, fmt.Errorf("%.80q: %w", f.Path, err)
		}
		v.Files = append(v.Files, e)
		v.Size += e.Size
	}
	slices.SortFunc(v.Files, func(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) })
	v.Digest, err = solera.ContentDigest(v.Type, v.Metadata, v.Files)
	return v, err
}

// have knows the contents that a draft may be made of.
type have struct {
	drafts *Drafts
	draft  Pending
	got    map[string]solera.Entry // uploaded for it, by MD5
	others map[solera.VersionID]listing
}

// listing are the files of a version.
type listing struct {
	byMD5, byPath map[string]solera.Entry
}

// entry returns the file that a client lists, with the digest of its bytes.
func (h have) entry(ctx context.Context, f NamedFile) (solera.Entry, error) {
	if f.Ref != "" {
		if err := checkReference(f.Ref); err != nil {
			return solera.Entry{}, err
		}
		return solera.Entry{
			Path: f.Path, Digest: solera.DigestOf([]byte(f.ETag)), Size: max(f.Size, 0), Ref: f.Ref, ETag: f.ETag, Extra: f.Extra,
		}, nil
	}
	if f.FromPath != "" {
		from, err := h.of(ctx, f.From)
		if err != nil {
			return solera.Entry{}, err
		}
		e, ok := from.byPath[f.FromPath]
		switch {
		case !ok:
			return e, fmt.Errorf("%w: %v has no file %.80q", solera.ErrNotFound, f.From, f.FromPath)
		case f.MD5 != "" && e.MD5 != f.MD5 || f.ETag != "" && e.ETag != f.ETag:
			return e, fmt.Errorf("%w: %s of %v is not what it refers to", solera.ErrConflict, f.FromPath, f.From)
		}
		e.Path, e.Extra = f.Path, cmp.Or(f.Extra, e.Extra)
		return e, nil
	}
	e, err := h.content(ctx, f)
	if err != nil {
		return e, err
	}
	if f.Size >= 0 && f.Size != e.Size {
		return e, fmt.Errorf("%w: its list says %d bytes, and the content with its MD5 has %d", solera.ErrInvalid, f.Size, e.Size)
	}
	return solera.Entry{Path: f.Path, Digest: e.Digest, Size: e.Size, MD5: f.MD5, Extra: f.Extra}, nil
}

// content finds the bytes that a list names by their MD5: among the uploads, in
// the version that they are said to come from, in the newest of the artifact.
func (h have) content(ctx context.Context, f NamedFile) (solera.Entry, error) {
	if err := checkMD5(f.MD5); err != nil {
		return solera.Entry{}, err
	}
	if e, ok := h.got[f.MD5]; ok {
		return e, nil
	}
	for _, id := range []solera.VersionID{f.From, {Project: h.draft.Project, Artifact: h.draft.Artifact, Number: newestNumber}} {
		if id == (solera.VersionID{}) {
			continue
		}
		from, err := h.of(ctx, id)
		if err != nil {
			return solera.Entry{}, err
		}
		if e, ok := from.byMD5[f.MD5]; ok {
			return e, nil
		}
	}
	return solera.Entry{}, fmt.Errorf("%w: its content, with the MD5 %s, was not uploaded for this version, and the version that it is said to come from has none such", solera.ErrConflict, f.MD5)
}

const newestNumber = -1 // in place of a version's number

// of returns the files of a version. One that is not there, or is deleted, has
// none.
func (h have) of(ctx context.Context, id solera.VersionID) (listing, error) {
	if c, ok := h.others[id]; ok {
		return c, nil
	}
	c := listing{byMD5: map[string]solera.Entry{}, byPath: map[string]solera.Entry{}}
	var v solera.Version
	err := h.drafts.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		if id.Number == newestNumber {
			v, err = newest(tx, id.Project, id.Artifact)
		} else {
			v, err = tx.Version(id)
		}
		return err
	})
	if err != nil && !errors.Is(err, solera.ErrNotFound) {
		return c, err
	}
	if err == nil && v.Deleted == 0 {
		files, err := h.drafts.Summed(ctx, v.Files)
		if err != nil {
			return c, err
		}
		for _, e := range files {
			c.byPath[e.Path] = e
			if e.Ref == "" {
				c.byMD5[e.MD5] = e
			}
		}
	}
	h.others[id] = c
	return c, nil
}

// commit is what Commit does in its transaction. taken says that the drawn ID of
// a run was in use.
func (d *Drafts) commit(ctx context.Context, tx solera.Tx, t *Tracker, p Pending, staged solera.Version) (v solera.Version, isNew, taken bool, err error) {
	if err := t.stillThere(ctx, tx, presence{p.Since}, staged.Files); err != nil {
		return v, false, false, err
	}
	if err := mayCommit(tx, p.Project, p.Artifact, p.Type); err != nil {
		return v, false, false, err
	}
	if staged.Run == "" {
		run, err := t.newRun(RunSpec{Stage: "upload", Name: "upload " + p.Artifact, Params: solera.Fields{"artifact": p.Artifact}})
		if err != nil {
			return v, false, false, err
		}
		if run.Heartbeat, err = tx.Now(); err != nil {
			return v, false, false, err
		}
		run.State, run.Finished = solera.Finished, run.Started
		if err := tx.CreateRun(run); err != nil {
			return v, false, errors.Is(err, solera.ErrConflict), err
		}
		staged.Run = run.ID
	}
	if v, isNew, err = t.commit(tx, staged); err != nil {
		return v, false, false, err
	}
	if err := setAliases(tx, v.ID(), p.Aliases); err != nil {
		return v, false, false, err
	}
	if p.Remarks != nil {
		if err := remark(tx, v.ID(), p.Remarks); err != nil {
			return v, false, false, err
		}
	}
	if err := forget(tx, p.ID); err != nil {
		return v, false, false, err
	}
	if err := keep(tx, committedKind, p.ID, mark{Version: v.ID().String()}); err != nil {
		return v, false, false, err
	}
	v, err = tx.Version(v.ID())
	return v, isNew, false, err
}

// forget removes a draft and what was noted of its uploads.
func forget(tx solera.Tx, id string) error {
	list, err := tx.Documents(uploadsKind + id)
	if err != nil {
		return err
	}
	for _, doc := range list {
		if err := tx.DeleteDocument(doc.Kind, doc.ID); err != nil {
			return err
		}
	}
	return tx.DeleteDocument(draftKind, id)
}

// Read returns an upload of a draft, of at most so many bytes.
func (d *Drafts) Read(ctx context.Context, id, sum string, most int64) ([]byte, error) {
	got, err := d.Uploaded(ctx, id)
	if err != nil {
		return nil, err
	}
	e, ok := got[sum]
	if !ok {
		return nil, fmt.Errorf("upload with the MD5 %.80q: %w: it has not arrived", sum, solera.ErrConflict)
	}
	if e.Size > most {
		return nil, fmt.Errorf("upload with the MD5 %s: %w: it has %d bytes, at most %d are allowed here", sum, solera.ErrInvalid, e.Size, most)
	}
	r, err := d.Tracker.Blobs.Open(ctx, e.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var b bytes.Buffer
	b.Grow(int(e.Size) + bytes.MinRead)
	_, err = b.ReadFrom(solera.VerifyReader(r, e.Digest))
	return b.Bytes(), err
}

// inUse is Tx.InUse for gc: contents that open drafts wait with are needed too.
func inUse(tx solera.Tx, digests []solera.Digest) (map[solera.Digest]bool, error) {
	used, err := tx.InUse(digests)
	if err != nil {
		return nil, err
	}
	drafts, err := tx.Documents(draftKind)
	if err != nil || len(drafts) == 0 {
		return used, err
	}
	asked := make(map[solera.Digest]bool, len(digests))
	for _, digest := range digests {
		asked[digest] = true
	}
	for _, doc := range drafts {
		got, _, err := uploaded(tx, doc.ID)
		if err != nil {
			return nil, err
		}
		for _, u := range got {
			if asked[u.Digest] {
				used[u.Digest] = true
			}
		}
	}
	return used, nil
}

// staleDrafts returns the drafts that nobody has touched for DraftLife.
func staleDrafts(tx solera.Tx, now solera.Micros) ([]string, error) {
	list, err := tx.Documents(draftKind)
	if err != nil {
		return nil, err
	}
	var stale []string
	for _, doc := range list {
		is, err := isStale(tx, doc.ID, now)
		if err != nil {
			return nil, err
		}
		if is {
			stale = append(stale, doc.ID)
		}
	}
	return stale, nil
}

// isStale reports whether nobody has touched a draft for DraftLife. One that is
// gone is not.
func isStale(tx solera.Tx, id string, now solera.Micros) (bool, error) {
	doc, err := tx.Document(draftKind, id)
	if errors.Is(err, solera.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	_, last, err := uploaded(tx, id)
	return err == nil && now.Time().Sub(max(doc.Updated, last).Time()) > DraftLife, err
}

// Summed returns files with the MD5 of each content. What the records do not
// have is worked out from the bytes, once.
func (d *Drafts) Summed(ctx context.Context, files []solera.Entry) ([]solera.Entry, error) {
	const atOnce = 4
	files = slices.Clone(files)
	var missing []int
	for i, e := range files {
		if e.Ref != "" || e.MD5 != "" {
			continue
		}
		if sum, ok := d.sums.get(e.Digest); ok {
			files[i].MD5 = hex.EncodeToString(sum[:])
			continue
		}
		missing = append(missing, i)
	}
	if len(missing) == 0 {
		return files, nil
	}
	within, stop := context.WithCancel(ctx)
	defer stop()
	var group sync.WaitGroup
	failed := make([]error, len(missing))
	places := make(chan struct{}, atOnce)
	for n, i := range missing {
		places <- struct{}{}
		group.Go(func() {
			defer func() { <-places }()
			if within.Err() != nil {
				return
			}
			sum, err := d.sum(within, files[i])
			if err != nil {
				failed[n] = fmt.Errorf("MD5 of %s: %w", files[i].Path, err)
				stop()
				return
			}
			files[i].MD5 = hex.EncodeToString(sum[:])
		})
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	for _, err := range failed {
		if err != nil && !errors.Is(err, context.Canceled) {
			return nil, err
		}
	}
	return files, errors.Join(failed...)
}

// sum reads a content once for its MD5, and believes only what has its digest.
func (d *Drafts) sum(ctx context.Context, e solera.Entry) (sum [md5.Size]byte, err error) {
	r, err := d.Tracker.Blobs.Open(ctx, e.Digest)
	if err != nil {
		return sum, err
	}
	defer r.Close()
	h := md5.New()
	if _, err := io.Copy(h, solera.VerifyReader(readerUntil{ctx, r}, e.Digest)); err != nil {
		return sum, err
	}
	h.Sum(sum[:0])
	d.sums.put(e.Digest, sum)
	return sum, nil
}

// readerUntil fails once its context has ended.
type readerUntil struct {
	ctx context.Context
	io.Reader
}

func (r readerUntil) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// An md5Cache remembers MD5 digests of contents, the most recently asked for.
// It has two halves: when the younger is full, it takes the place of the older.
type md5Cache struct {
	mu           sync.Mutex
	young, older map[solera.Digest][md5.Size]byte
}

const halfCache = 100_000 // of 48 bytes each, and what a map needs

func (c *md5Cache) get(d solera.Digest) (sum [md5.Size]byte, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if sum, ok = c.young[d]; ok {
		return sum, true
	}
	if sum, ok = c.older[d]; ok {
		c.add(d, sum)
	}
	return sum, ok
}

func (c *md5Cache) put(d solera.Digest, sum [md5.Size]byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.add(d, sum)
}

func (c *md5Cache) add(d solera.Digest, sum [md5.Size]byte) {
	if c.young == nil || len(c.young) >= halfCache {
		c.older, c.young = c.young, make(map[solera.Digest][md5.Size]byte)
	}
	c.young[d] = sum
}
