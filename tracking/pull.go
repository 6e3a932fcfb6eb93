package tracking

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/solera-ml/solera"
)

// PullOptions say how a version is brought into a folder.
type PullOptions struct {
	// Pattern chooses files, as path.Match: one without a slash is compared with
	// the last segment of a path too, and one that names a folder chooses all in
	// it. "" = every file.
	Pattern string
	// Force replaces files that have other content. Without it they are
	// ErrConflict, and nothing is written.
	Force bool
	// Progress is told how many bytes are in place; it may be called by several
	// goroutines. nil = nobody is told.
	Progress func(done, total int64)
}

// What became of a file that was pulled.
const (
	PullWritten  = "written"
	PullKept     = "kept"       // was there already, with the right bytes
	PullExternal = "not copied" // an external file, to which this program knows no way, or that cannot be checked
)

// A PulledFile is one file of a pulled version.
type PulledFile struct {
	solera.Entry
	State string `json:"state"` // PullWritten, PullKept, PullExternal
}

// A Pulled is what Pull did.
type Pulled struct {
	Files []PulledFile // by path
	Bytes int64        // written
	Notes []string     // for people: what another system would make of the names
}

// pullers is how many files are written at a time.
const pullers = 4

// Pull brings the files of v, which must have them, into the folder dir, which
// it makes. Nothing is written outside the folder, whatever the manifest and the
// folder hold: names are checked, and symbolic links on the way are refused.
//
// Each file grows as NAME.part and gets its name once all its bytes are checked
// and on disk. A file that is there with the right bytes is kept. A Pull that
// was stopped, by the end of ctx or a kill, is gone on with by the next: what
// is in a part is read, and the rest added to it.
func (t *Tracker) Pull(ctx context.Context, v solera.Version, dir string, o PullOptions) (Pulled, error) {
	pulled, err := t.pull(ctx, v, dir, o)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("%w: the same command goes on from here", solera.ErrStopped)
	}
	if err != nil {
		return pulled, fmt.Errorf("pull %s: %w", v.Name(), err)
	}
	return pulled, nil
}

func (t *Tracker) pull(ctx context.Context, v solera.Version, dir string, o PullOptions) (Pulled, error) {
	if v.Deleted != 0 {
		return Pulled{}, errDeleted(v)
	}
	// What a store says is not trusted with a folder: its manifest may be
	// anybody's.
	digest, err := solera.ContentDigest(v.Type, v.Metadata, v.Files)
	if err != nil {
		return Pulled{}, fmt.Errorf("its manifest: %w", err)
	}
	if digest != v.Digest {
		return Pulled{}, fmt.Errorf("%w: the manifest is not the one that was committed; solera verify tells more", solera.ErrCorrupt)
	}
	files, err := matching(v.Files, o.Pattern)
	if err != nil {
		return Pulled{}, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Pulled{}, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Pulled{}, err
	}
	defer root.Close()
	p := &puller{tracker: t, root: root, options: o, parts: partNames(v.Files)}
	for _, f := range files {
		p.total += f.Size
	}
	return p.pull(ctx, files)
}

// matching returns the files that a pattern chooses, by path.
func matching(files []solera.Entry, pattern string) ([]solera.Entry, error) {
	pattern = strings.TrimSuffix(pattern, "/")
	if _, err := path.Match(pattern, ""); err != nil {
		return nil, fmt.Errorf("file pattern %q: %w: * and ? stand for characters, [a-z] for one of them", pattern, solera.ErrInvalid)
	}
	var chosen []solera.Entry
	for _, f := range files {
		ok, _ := path.Match(pattern, f.Path) // the pattern was checked
		if !ok && !strings.Contains(pattern, "/") {
			ok, _ = path.Match(pattern, path.Base(f.Path))
		}
		if pattern == "" || ok || strings.HasPrefix(f.Path, pattern+"/") {
			chosen = append(chosen, f)
		}
	}
	if pattern != "" && len(chosen) == 0 {
		return nil, fmt.Errorf("file pattern %q: %w: no file of this version is called so", pattern, solera.ErrNotFound)
	}
	slices.SortFunc(chosen, byPath)
	return chosen, nil
}

// A puller is one Pull under way.
type puller struct {
	tracker *Tracker
	root    *os.Root
	options PullOptions
	parts   map[string]string // by path
	total   int64
	done    atomic.Int64
}

func (p *puller) tell(n int64) {
	done := p.done.Add(n)
	if p.options.Progress != nil {
		p.options.Progress(done, p.total)
	}
}

func (p *puller) pull(ctx context.Context, files []solera.Entry) (Pulled, error) {
	pulled := Pulled{Files: make([]PulledFile, len(files))}
	var err error
	if pulled.Notes, err = p.collisions(files); err != nil {
		return Pulled{}, err
	}
	// All is looked at before anything is written.
	inTheWay := make([]bool, len(files))
	err = side(ctx, len(files), func(ctx context.Context, i int) error {
		pulled.Files[i] = PulledFile{Entry: files[i]}
		if files[i].ETag != "" {
			// Whatever has its name there, nobody can tell whether it is that file.
			pulled.Files[i].State = PullExternal
			p.tell(files[i].Size)
			return nil
		}
		state, err := p.look(ctx, files[i])
		if err == nil && state == present {
			pulled.Files[i].State = PullKept
			p.tell(files[i].Size)
		}
		inTheWay[i] = state == different
		return err
	})
	if err != nil {
		return Pulled{}, err
	}
	if !p.options.Force {
		var names []string
		for i, f := range files {
			if inTheWay[i] {
				names = append(names, f.Path)
			}
		}
		if len(names) > 0 {
			more := ""
			if len(names) > 5 {
				more = fmt.Sprintf(" and %d more", len(names)-5)
			}
			return Pulled{}, fmt.Errorf("%w: the folder has other files under the names %s%s; choose another folder, or replace them with --force",
				solera.ErrConflict, strings.Join(names[:min(5, len(names))], ", "), more)
		}
	}
	var written atomic.Int64
	err = side(ctx, len(files), func(ctx context.Context, i int) error {
		if pulled.Files[i].State != "" {
			return nil
		}
		err := p.fetch(ctx, files[i])
		switch {
		case errors.Is(err, errors.ErrUnsupported) && files[i].Ref != "":
			pulled.Files[i].State = PullExternal
			p.tell(files[i].Size)
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", files[i].Path, err)
		}
		pulled.Files[i].State = PullWritten
		written.Add(files[i].Size)
		return nil
	})
	pulled.Bytes = written.Load()
	if err != nil {
		return pulled, err
	}
	return pulled, p.syncFolders(pulled.Files)
}

// side calls do for 0 … n-1, some side by side, until one fails, and waits for
// all of them. Of several errors the first by number is returned.
func side(ctx context.Context, n int, do func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(pullers, n) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n || ctx.Err() != nil {
					return
				}
				if err := do(ctx, i); err != nil {
					cancel(err) // the first to come counts
					return
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// collisions finds names that a file system which does not tell large from
// small letters would take for one. On such a one they are refused.
func (p *puller) collisions(files []solera.Entry) (notes []string, err error) {
	first := make(map[string]string, len(files))
	for _, f := range files {
		// Folders too: A/x and a/y are one folder there, but no file is lost.
		folded := strings.ToLower(f.Path)
		if other, ok := first[folded]; ok {
			notes = append(notes, fmt.Sprintf("%s and %s differ in large and small letters alone: some systems take them for one file", other, f.Path))
			continue
		}
		first[folded] = f.Path
	}
	if len(notes) == 0 {
		return nil, nil
	}
	const probe = ".solera-Probe"
	f, err := p.root.OpenFile(probe, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	_, ferr := p.root.Lstat(strings.ToLower(probe))
	if err := errors.Join(f.Close(), p.root.Remove(probe)); err != nil {
		return nil, err
	}
	if ferr == nil {
		return nil, fmt.Errorf("%w: %s, and this is one; choose with --file, or another disk", solera.ErrConflict, notes[0])
	}
	return notes, nil
}

// What stands where a file is to go.
type occupant int

const (
	absent occupant = iota
	present
	different
)

// look says what is at the place of a file, and refuses what must not be there.
func (p *puller) look(ctx context.Context, e solera.Entry) (occupant, error) {
	local, err := p.place(e.Path)
	if err != nil {
		return absent, err
	}
	info, err := p.root.Lstat(local)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return absent, nil
	case err != nil:
		return absent, err
	case !info.Mode().IsRegular():
		return absent, fmt.Errorf("%s: %w: %s is in the way; remove it", e.Path, solera.ErrConflict, kind(info))
	case info.Size() != e.Size:
		return different, nil
	}
	f, err := p.root.Open(local)
	if err != nil {
		return absent, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.CopyBuffer(struct{ io.Writer }{h}, stoppable{ctx, f}, make([]byte, copySize)); err != nil {
		return absent, fmt.Errorf("%s: %w", e.Path, err)
	}
	if solera.Digest(h.Sum(nil)) != e.Digest {
		return different, nil
	}
	return present, nil
}

// place returns the path of a file in this system's form, after looking at the
// folders on the way. The root would not leave its folder by a link either, but
// a link within it leads somewhere that the manifest does not name.
func (p *puller) place(name string) (string, error) {
	local, err := filepath.Localize(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w: this system allows no such name", name, solera.ErrInvalid)
	}
	for i, c := range name {
		if c != '/' {
			continue
		}
		above := filepath.FromSlash(name[:i])
		info, err := p.root.Lstat(above)
		if errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err != nil {
			return "", err
		}
		if !info.IsDir() {
			return "", fmt.Errorf("%s: %w: %s is in the way at %s, where a folder should be; remove it", name, solera.ErrConflict, kind(info), name[:i])
		}
	}
	return local, nil
}

func kind(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsDir():
		return "a folder"
	case mode.IsRegular():
		return "a file"
	}
	return "something that is no file"
}

const copySize = 256 << 10

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

// partNames gives every file the name under which it grows: NAME.part, unless
// that is a name of the version itself, or another's part, or too long.
func partNames(files []solera.Entry) map[string]string {
	taken := make(map[string]bool, 2*len(files))
	for _, f := range files {
		taken[f.Path] = true
		for i, c := range f.Path {
			if c == '/' {
				taken[f.Path[:i]] = true
			}
		}
	}
	names := make(map[string]string, len(files))
	for _, f := range slices.SortedFunc(slices.Values(files), byPath) { // the same names each time
		part := f.Path + ".part"
		for n := 0; taken[part] || len(path.Base(part)) > 255; n++ {
			part = path.Join(path.Dir(f.Path), fmt.Sprintf("%s-%d.part", solera.DigestOf([]byte(f.Path)).Short(), n))
		}
		taken[part] = true
		names[f.Path] = part
	}
	return names
}

func byPath(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) }

// fetch writes one file.
func (p *puller) fetch(ctx context.Context, e solera.Entry) error {
	local, err := p.place(e.Path)
	if err != nil {
		return err
	}
	part, err := p.place(p.parts[e.Path])
	if err != nil {
		return err
	}
	if folder := filepath.Dir(local); folder != "." {
		if err := p.root.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	f, err := p.openPart(part)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	resumed, err := p.begun(ctx, f, h, e)
	if err == nil {
		err = p.fill(ctx, f, h, e, resumed)
	}
	if errors.Is(err, solera.ErrCorrupt) && resumed > 0 {
		// The part was of something else.
		h.Reset()
		if err = restart(f); err == nil {
			err = p.fill(ctx, f, h, e, 0)
		}
	}
	if err != nil {
		// A part without anything in it, or with something wrong, is of no use.
		if info, serr := f.Stat(); errors.Is(err, solera.ErrCorrupt) || serr == nil && info.Size() == 0 {
			f.Close()
			_ = p.root.Remove(part)
		}
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return p.root.Rename(part, local)
}

// openPart opens a part, or makes it. One that is no plain file is refused: a
// link would have the bytes written elsewhere, a pipe would never end.
func (p *puller) openPart(part string) (*os.File, error) {
	before, err := p.root.Lstat(part)
	if errors.Is(err, fs.ErrNotExist) {
		return p.root.OpenFile(part, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	}
	if err != nil {
		return nil, err
	}
	if !before.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: %s is in the way; remove it", filepath.ToSlash(part), solera.ErrConflict, kind(before))
	}
	f, err := p.root.OpenFile(part, os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if now, err := f.Stat(); err != nil || !os.SameFile(before, now) {
		return nil, errors.Join(fmt.Errorf("%s: %w: it was replaced just now", filepath.ToSlash(part), solera.ErrConflict), err, f.Close())
	}
	return f, nil
}

// begun hashes what a part has already and returns how much that is. f is at
// its end.
func (p *puller) begun(ctx context.Context, f *os.File, h hash.Hash, e solera.Entry) (int64, error) {
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	if info.Size() > e.Size {
		return 0, restart(f)
	}
	return io.CopyBuffer(struct{ io.Writer }{h}, stoppable{ctx, f}, make([]byte, copySize))
}

func restart(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.Seek(0, io.SeekStart)
	return err
}

// fill adds to a part, in which h has hashed from bytes already, what is
// missing. What does not match the manifest is ErrCorrupt.
func (p *puller) fill(ctx context.Context, f *os.File, h hash.Hash, e solera.Entry, from int64) error {
	added := int64(0)
	p.tell(from)
	defer func() {
		if added < 0 {
			p.tell(added)
		}
	}()
	if from < e.Size || e.Size == 0 {
		r, err := p.tracker.openAt(ctx, e, from)
		if err != nil {
			added = -from
			return err
		}
		defer r.Close()
		n, err := io.CopyBuffer(io.MultiWriter(f, h), stoppable{ctx, counted{io.LimitReader(r, e.Size-from+1), p}}, make([]byte, copySize))
		if err != nil {
			return err
		}
		from += n
	}
	if got := solera.Digest(h.Sum(nil)); from != e.Size || got != e.Digest {
		added = -from
		if from > e.Size {
			return fmt.Errorf("%w: it has more than the %d bytes that were committed", solera.ErrCorrupt, e.Size)
		}
		return fmt.Errorf("%w: %d bytes of the digest %s, committed were %d of %s", solera.ErrCorrupt, from, got.Short(), e.Size, e.Digest.Short())
	}
	return nil
}

// counted tells the puller what passes.
type counted struct {
	r io.Reader
	p *puller
}

func (c counted) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	if n > 0 {
		c.p.tell(int64(n))
	}
	return n, err
}

// syncFolders makes the new names survive a loss of power, where folders can be
// synced.
func (p *puller) syncFolders(files []PulledFile) error {
	folders := map[string]bool{}
	for _, f := range files {
		if f.State != PullWritten {
			continue
		}
		for dir := path.Dir(f.Path); !folders[dir]; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	for dir := range folders {
		d, err := p.root.Open(filepath.FromSlash(dir))
		if err != nil {
			return err
		}
		_ = d.Sync() // not every system can
		if err := d.Close(); err != nil {
			return err
		}
	}
	return nil
}
