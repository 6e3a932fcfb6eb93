package tracking

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
)

// VerifyOptions say what to verify. The zero value verifies every version of
// every project, by the keys that the store knows.
type VerifyOptions struct {
	Ref     string // one version; "" = all
	Project string // all versions of one project; "" = of every project. Not with Ref
	// Keys are the keys to trust. None: those that the store holds, which shows
	// that versions were altered by somebody who could not add a key to it.
	Keys []provenance.Key
	// OpenReference opens an external file. Its error errors.ErrUnsupported
	// leaves the file out. nil = external files are counted and not read.
	OpenReference func(context.Context, solera.Entry) (io.ReadCloser, error)
	// Sign signs versions that have no statement and nothing else wrong, from
	// their records as they are now. Tracker.Sign must be set.
	Sign bool
	// Workers is how many contents are read at once; 0 = 4. It should exceed the
	// cores where reading waits.
	Workers int
	// Progress is told now and then, by one goroutine, how many bytes of how many
	// were read. nil = nobody is.
	Progress func(done, total int64)
}

// The four things that Verify finds.
const (
	Missing      = "missing"       // bytes or a record are not there
	Altered      = "altered"       // they are not what was committed or signed
	Unsigned     = "unsigned"      // nobody vouches for the version
	BadSignature = "bad signature" // the statement is not signed by a key to trust, or is no statement
)

// A Verification is what Verify found.
type Verification struct {
	OK         bool             `json:"ok"` // no problem
	Versions   int              `json:"versions"`
	Blobs      int              `json:"blobs"` // different contents that they need
	Bytes      int64            `json:"bytes"` // that were read
	Problems   []solera.Problem `json:"problems"`
	Deleted    int              `json:"deleted"`    // versions that were given up: only their records were checked
	References int              `json:"references"` // external files that were not read; those with an ETag never are
	Signed     int              `json:"signed"`     // versions that were signed now, as VerifyOptions.Sign asks
	Keys       []VerifiedKey    `json:"keys"`       // that have signed, by ID
}

// A VerifiedKey is a key whose signatures were found good.
type VerifiedKey struct {
	ID       string `json:"id"`
	Owner    string `json:"owner"` // who brought it to the store, "" if the store does not know it
	Versions int    `json:"versions"`
}

// Verify checks that what is stored is what was committed and signed: each
// content that a version needs is read and hashed once; each version's digest
// is computed again from its record; its statement must be signed, and say of
// its content, its run and what it was made from what the records say.
//
// What it finds wrong with the store is in the result. The error is for what
// kept it from looking: a reference to nothing, a database or an object store
// that does not answer, a cancelled context. It changes nothing unless asked
// to sign.
func (t *Tracker) Verify(ctx context.Context, opts VerifyOptions) (Verification, error) {
	v := &verifier{tracker: t, opts: opts, contents: map[solera.Digest]*content{}, keys: map[string]int{}, owners: map[string]string{}}
	if opts.Sign && t.Sign == nil {
		return Verification{}, fmt.Errorf("verify: sign: %w: there is no signing key", solera.ErrInvalid)
	}
	if err := v.records(ctx); err != nil {
		return Verification{}, fmt.Errorf("verify: %w", err)
	}
	if err := v.bytes(ctx); err != nil {
		return Verification{}, fmt.Errorf("verify: %w", err)
	}
	if err := v.sign(ctx); err != nil {
		return Verification{}, fmt.Errorf("verify: %w", err)
	}
	return v.result(), nil
}

// A verifier is one call of Verify.
type verifier struct {
	tracker *Tracker
	opts    VerifyOptions
	trusted []provenance.Key
	owners  map[string]string // of the store's keys

	versions   []solera.VersionID // that are not deleted
	deleted    int
	references int
	keys       map[string]int // good signatures by key
	signed     int
	contents   map[solera.Digest]*content
	read       atomic.Int64 // bytes

	mu       sync.Mutex // guards problems while contents are read
	problems []solera.Problem
	faulty   map[solera.VersionID]bool // have a problem other than Unsigned
	unsigned []solera.VersionID
}

// A content is one blob, or one external file, and who needs it.
type content struct {
	digest solera.Digest
	entry  solera.Entry // of the first that needs it
	uses   []use
}

type use struct {
	version solera.VersionID
	path    string
	size    int64
}

func (v *verifier) say(id solera.VersionID, path, problem, format string, args ...any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note(id, v.problem(id, path, problem, fmt.Sprintf(format, args...)))
}

func (v *verifier) problem(id solera.VersionID, path, problem, detail string) solera.Problem {
	return solera.Problem{Ref: v.name(id), Path: path, Problem: problem, Detail: detail}
}

func (v *verifier) note(id solera.VersionID, p solera.Problem) {
	v.problems = append(v.problems, p)
	if p.Problem == Unsigned {
		v.unsigned = append(v.unsigned, id)
		return
	}
	if v.faulty == nil {
		v.faulty = map[solera.VersionID]bool{}
	}
	v.faulty[id] = true
}

// name is how whoever asked names the version.
func (v *verifier) name(id solera.VersionID) string {
	if id.Project == v.tracker.Project {
		return id.Name()
	}
	return id.String()
}

// batch is how many versions are checked in one transaction: a snapshot that
// stays open for long keeps the database from tidying up.
const batch = 128

// records checks what the database says, and collects the contents to read.
func (v *verifier) records(ctx context.Context) error {
	t := v.tracker
	var ids []solera.VersionID
	var keys []solera.SigningKey
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		ids = nil
		if keys, err = tx.SigningKeys(); err != nil {
			return err
		}
		if v.opts.Ref != "" {
			ref, err := solera.ParseRef(v.opts.Ref)
			if err != nil {
				return err
			}
			ref.Project = cmp.Or(ref.Project, t.Project)
			id, err := tx.Resolve(ref)
			ids = append(ids, id)
			return err
		}
		versions, err := tx.Versions(solera.VersionQuery{Project: v.opts.Project, Deleted: true})
		for _, version := range versions {
			ids = append(ids, version.ID())
		}
		return err
	})
	if err != nil {
		return err
	}
	v.trusted = v.opts.Keys
	for _, k := range keys {
		v.owners[k.ID] = k.Owner
		if len(v.opts.Keys) > 0 {
			continue
		}
		// A key that does not read trusts nobody; its ID may lie, so it is
		// computed from the key.
		if key, err := provenance.ParsePublic(k.Public); err == nil {
			v.trusted = append(v.trusted, key)
		}
	}
	for some := range slices.Chunk(ids, batch) {
		var found []finding
		err := t.Store.View(ctx, func(tx solera.Tx) error {
			found = nil
			runs := map[solera.RunID]runRecord{}
			for _, id := range some {
				if err := ctx.Err(); err != nil {
					return err
				}
				f, err := v.check(tx, id, runs)
				if err != nil {
					return err
				}
				found = append(found, f)
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, f := range found {
			v.add(f)
		}
	}
	return nil
}

// A finding is what the records say of one version.
type finding struct {
	id       solera.VersionID
	gone     bool // its record is not there any more
	version  solera.Version
	key      string // that signed it, "" if none that counts
	problems []solera.Problem
}

func (v *verifier) add(f finding) {
	if f.gone {
		return
	}
	for _, p := range f.problems {
		v.note(f.id, p)
	}
	if f.key != "" {
		v.keys[f.key]++
	}
	if f.version.Deleted != 0 {
		v.deleted++
		return
	}
	v.versions = append(v.versions, f.id)
	for _, file := range f.version.Files {
		if file.Ref != "" && (v.opts.OpenReference == nil || file.ETag != "") {
			v.references++
			continue
		}
		if file.Digest.IsZero() {
			continue // its record is altered, which was said
		}
		// The same content as a blob and outside is read in both places.
		at := file.Digest
		if file.Ref != "" {
			at = solera.DigestOf([]byte(file.Ref + "\x00" + file.Digest.Hex()))
		}
		c := v.contents[at]
		if c == nil {
			c = &content{digest: file.Digest, entry: file}
			v.contents[at] = c
		}
		c.uses = append(c.uses, use{f.id, file.Path, file.Size})
	}
}

// A runRecord is a run with what it used, as many versions of one run need it.
type runRecord struct {
	run  solera.Run
	used []solera.Version
	err  error // the run, or something that it used, has no record
}

// check compares the record of one version with itself, with its run and with
// what was signed. Its error is for what kept it from looking.
func (v *verifier) check(tx solera.Tx, id solera.VersionID, runs map[solera.RunID]runRecord) (finding, error) {
	f := finding{id: id}
	say := func(path, problem, format string, args ...any) {
		f.problems = append(f.problems, v.problem(id, path, problem, fmt.Sprintf(format, args...)))
	}
	version, err := tx.Version(id)
	switch {
	case errors.Is(err, solera.ErrNotFound):
		f.gone = true // removed since it was listed
		return f, nil
	case errors.Is(err, solera.ErrInvalid), errors.Is(err, solera.ErrCorrupt):
		say("", Altered, "its record cannot be read: %v", err)
		return f, nil
	case err != nil:
		return f, err
	}
	f.version = version
	digest, err := solera.ContentDigest(version.Type, version.Metadata, version.Files)
	if err != nil {
		say("", Altered, "its record makes no sense: %v", err)
	} else if digest != version.Digest {
		say("", Altered, "type, metadata or files in its record are not those that were committed (digest %s, want %s)", digest.Short(), version.Digest.Short())
	}
	var size int64
	for _, file := range version.Files {
		size += file.Size
	}
	if size != version.Size {
		say("", Altered, "its record says %d bytes, its files have %d", version.Size, size)
	}

	edges, err := tx.Edges(solera.EdgeQuery{Version: id, Kind: solera.Made})
	if err != nil {
		return f, err
	}
	if len(edges) != 1 || edges[0].Run != version.Run {
		say("", Altered, "the lineage does not say that run %s, and no other, made it", version.Run)
	}
	record, ok := runs[version.Run]
	if !ok {
		if record, err = readRun(tx, version.Run); err != nil {
			return f, err
		}
		runs[version.Run] = record
	}
	if record.err != nil {
		say("", Missing, "where it comes from is lost: %v", record.err)
	}

	envelope, err := tx.Statement(id)
	switch {
	case errors.Is(err, solera.ErrNotFound):
		say("", Unsigned, "it has no signed statement of where it comes from")
		return f, nil
	case err != nil:
		return f, err
	}
	parsed, err := provenance.ParseEnvelope(envelope)
	if err != nil {
		say("", BadSignature, "its statement cannot be read: %v", err)
		return f, nil
	}
	statement, key, err := parsed.Verify(v.trusted)
	if err != nil {
		say("", BadSignature, "%s", strings.ReplaceAll(err.Error(), solera.ErrCorrupt.Error()+": ", ""))
		return f, nil
	}
	f.key = key.ID()
	if record.err != nil {
		return f, nil // there is nothing to compare with
	}
	for _, d := range provenance.Compare(statement, provenance.New(record.run, version, record.used)) {
		say(d.Path, Altered, "%s", d.Detail)
	}
	return f, nil
}

func readRun(tx solera.Tx, id solera.RunID) (runRecord, error) {
	run, err := tx.Run(id)
	var used []solera.Version
	if err == nil {
		used, err = usedBy(tx, id)
	}
	for i := range used {
		used[i].Files = nil // a batch of manifests need not be kept
	}
	if errors.Is(err, solera.ErrNotFound) || errors.Is(err, solera.ErrInvalid) || errors.Is(err, solera.ErrCorrupt) {
		return runRecord{err: err}, nil
	}
	return runRecord{run: run, used: used}, err
}

// unreadable is how many contents may fail to be read, for another reason than
// not being there, before it is the disk or the network that is wrong.
const unreadable = 16

// bytes reads every content once.
func (v *verifier) bytes(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var total int64
	var list []*content
	for _, c := range v.contents {
		total += c.entry.Size
		list = append(list, c)
	}
	// The largest first, so that none of them is left for one worker at the end.
	slices.SortFunc(list, func(a, b *content) int {
		return cmp.Or(cmp.Compare(b.entry.Size, a.entry.Size), slices.Compare(a.digest[:], b.digest[:]))
	})
	stop := v.progress(total)
	defer stop()

	todo := make(chan *content)
	var failed atomic.Int64
	var wg sync.WaitGroup
	for range min(cmp.Or(v.opts.Workers, 4), len(list)) {
		wg.Go(func() {
			buf := make([]byte, 1<<20)
			for c := range todo {
				if err := v.readContent(ctx, c, buf); err != nil && ctx.Err() == nil {
					// One bad sector must not hide what else is wrong.
					for _, u := range c.uses {
						v.say(u.version, u.path, Missing, "it cannot be read: %v", err)
					}
					if failed.Add(1) > unreadable {
						cancel(fmt.Errorf("%d contents cannot be read, the last because: %w", unreadable+1, err))
					}
				}
			}
		})
	}
feed:
	for _, c := range list {
		select {
		case todo <- c:
		case <-ctx.Done():
			break feed
		}
	}
	close(todo)
	wg.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// progress tells Progress until the returned function is called.
func (v *verifier) progress(total int64) (stop func()) {
	if v.opts.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			v.opts.Progress(v.read.Load(), total)
			select {
			case <-tick.C:
			case <-done:
				v.opts.Progress(v.read.Load(), total)
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// readContent hashes one content and says what is wrong with it. Its error is
// for bytes that are there and cannot be read.
func (v *verifier) readContent(ctx context.Context, c *content, buf []byte) error {
	r, err := v.open(ctx, c)
	switch {
	case errors.Is(err, errors.ErrUnsupported) && c.entry.Ref != "":
		v.mu.Lock()
		defer v.mu.Unlock()
		v.references += len(c.uses)
		return nil
	case errors.Is(err, solera.ErrNotFound), errors.Is(err, fs.ErrNotExist):
		return v.missing(ctx, c)
	case err != nil:
		return err
	}
	defer r.Close()
	h := sha256.New()
	var n int64
	for err == nil {
		if err := ctx.Err(); err != nil {
			return err
		}
		var got int
		got, err = r.Read(buf)
		h.Write(buf[:got])
		n += int64(got)
		v.read.Add(int64(got))
	}
	switch {
	case errors.Is(err, solera.ErrCorrupt): // a home of blobs that checks for itself
	case err != io.EOF:
		return err
	}
	digest := solera.Digest(h.Sum(nil))
	for _, u := range c.uses {
		switch {
		case digest == c.digest && n == u.size:
		case n != u.size:
			v.say(u.version, u.path, Altered, "it has %d bytes, committed were %d", n, u.size)
		default:
			v.say(u.version, u.path, Altered, "its bytes have the digest %s, committed was %s", digest.Short(), c.digest.Short())
		}
	}
	return nil
}

func (v *verifier) open(ctx context.Context, c *content) (io.ReadCloser, error) {
	if c.entry.Ref != "" {
		return v.opts.OpenReference(ctx, c.entry)
	}
	return v.tracker.Blobs.Open(ctx, c.digest)
}

// missing says whose content is not there, unless they were deleted since the
// records were read.
func (v *verifier) missing(ctx context.Context, c *content) error {
	var left []use
	err := v.tracker.Store.View(ctx, func(tx solera.Tx) error {
		left = nil
		for _, u := range c.uses {
			version, err := tx.Version(u.version)
			if errors.Is(err, solera.ErrNotFound) || err == nil && version.Deleted != 0 {
				continue
			}
			if err != nil {
				return err
			}
			left = append(left, u)
		}
		return nil
	})
	if err != nil {
		return err
	}
	where := "the blobs do not have " + c.digest.Short()
	if c.entry.Ref != "" {
		where = "nothing is at " + c.entry.Ref
	}
	for _, u := range left {
		v.say(u.version, u.path, Missing, "%s", where)
	}
	return nil
}

// sign signs the versions with which nothing else is wrong.
func (v *verifier) sign(ctx context.Context) error {
	if !v.opts.Sign {
		return nil
	}
	done := map[string]bool{}
	for _, id := range v.unsigned {
		if v.faulty[id] {
			continue
		}
		err := v.tracker.Store.Update(ctx, func(tx solera.Tx) error {
			if _, err := tx.Statement(id); !errors.Is(err, solera.ErrNotFound) {
				return err // somebody was faster
			}
			version, err := tx.Version(id)
			if err != nil {
				return err
			}
			return v.tracker.sign(tx, version)
		})
		if err != nil {
			return err
		}
		done[v.name(id)] = true
		v.signed++
		v.keys[v.tracker.Key.ID]++
		v.owners[v.tracker.Key.ID] = cmp.Or(v.owners[v.tracker.Key.ID], v.tracker.Key.Owner)
	}
	v.problems = slices.DeleteFunc(v.problems, func(p solera.Problem) bool { return p.Problem == Unsigned && done[p.Ref] })
	return nil
}

func (v *verifier) result() Verification {
	r := Verification{
		OK: len(v.problems) == 0, Versions: len(v.versions), Bytes: v.read.Load(),
		Problems: slices.Clone(v.problems), Deleted: v.deleted, References: v.references, Signed: v.signed, Keys: []VerifiedKey{},
	}
	if r.Problems == nil {
		r.Problems = []solera.Problem{}
	}
	for _, c := range v.contents {
		if c.entry.Ref == "" {
			r.Blobs++
		}
	}
	slices.SortStableFunc(r.Problems, func(a, b solera.Problem) int {
		return cmp.Or(cmp.Compare(a.Ref, b.Ref), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Problem, b.Problem), cmp.Compare(a.Detail, b.Detail))
	})
	for id, n := range v.keys {
		r.Keys = append(r.Keys, VerifiedKey{ID: id, Owner: v.owners[id], Versions: n})
	}
	slices.SortFunc(r.Keys, func(a, b VerifiedKey) int { return cmp.Compare(a.ID, b.ID) })
	return r
}

// Statement returns the signed statement of the version that ref names now, as
// it is kept. A version that was not signed is ErrNotFound.
func (t *Tracker) Statement(ctx context.Context, ref string) (v solera.Version, envelope []byte, err error) {
	err = t.Store.View(ctx, func(tx solera.Tx) (err error) {
		if v, err = t.resolve(tx, ref); err != nil {
			return err
		}
		envelope, err = tx.Statement(v.ID())
		return err
	})
	return v, envelope, err
}
