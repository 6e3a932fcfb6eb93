package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// A Lock is solera.lock: the digests of what solera.yaml comes to, in a file
// that is committed beside it, so that a reviewer sees data and models change.
// It holds contents alone, no version, time, host or foreign path, so that
// everybody who runs the project writes the same file.
type Lock struct {
	Source       string            `yaml:"source" text:"any"` // as solera.yaml has it; a path outside the project as its last name
	SourceDigest string            `yaml:"source_digest"`
	Artifacts    map[string]string `yaml:"artifacts"` // name: digest of the content
}

// LockPath returns where the lock of the configuration is: beside it, under its
// name with the ending .lock.
func (c *Config) LockPath() string {
	return filepath.Join(c.dir, strings.TrimSuffix(filepath.Base(c.file), filepath.Ext(c.file))+".lock")
}

// maxLockBytes is far above what 10,000 experiments need.
const maxLockBytes = 8 << 20

// ReadLock reads a lock. One that is not there is [solera.ErrNotFound]; one that
// holds anything else is a *[solera.InputError] with line and column.
func ReadLock(path string) (*Lock, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &solera.InputError{File: path, Msg: "no such file", Hint: "solera run writes it", Err: solera.ErrNotFound}
	}
	if err != nil {
		return nil, &solera.InputError{Op: "read " + path, File: path, Err: err}
	}
	defer f.Close()
	src, err := io.ReadAll(io.LimitReader(f, maxLockBytes+1))
	if err != nil {
		return nil, &solera.InputError{Op: "read " + path, File: path, Msg: "cannot be read: " + reason(err), Err: err}
	}
	return parseLock(path, src)
}

func parseLock(name string, src []byte) (*Lock, error) {
	l := &Lock{}
	d := &decoder{file: name, at: map[string]place{}, times: maxLockBytes / maxConfigBytes}
	root, err := d.syntax(src)
	if err == nil && root != nil {
		err = d.object(root, reflect.ValueOf(l).Elem(), "", "")
	}
	if err != nil {
		var fault *solera.InputError
		if errors.As(err, &fault) {
			fault.Hint = "solera run writes the file anew"
		}
		return nil, err
	}
	for _, artifact := range slices.Sorted(maps.Keys(l.Artifacts)) {
		if _, err := solera.ParseDigest(l.Artifacts[artifact]); err != nil {
			p := d.at["artifacts."+artifact]
			return nil, &solera.InputError{File: name, Line: p.line, Col: p.col, Msg: fmt.Sprintf("%s has no digest", short(artifact)), Hint: "solera run writes the file anew"}
		}
	}
	return l, nil
}

// Text returns the lock as the file has it: the same lock, the same bytes.
func (l *Lock) Text() []byte {
	var b strings.Builder
	b.WriteString("# Written by solera run: the digests of what solera.yaml comes to. Commit it, and\n" +
		"# a review shows when data or models change. solera run --locked insists on them.\n")
	fmt.Fprintf(&b, "source: %s\nsource_digest: %s\nartifacts:\n", quoted(l.Source), quoted(l.SourceDigest))
	for _, name := range slices.Sorted(maps.Keys(l.Artifacts)) {
		fmt.Fprintf(&b, "  %s: %s\n", quoted(name), l.Artifacts[name])
	}
	return []byte(b.String())
}

// quoted leaves plain words as they are. What could be a number, a word of
// YAML's or punctuation is quoted as JSON quotes it, which YAML reads.
func quoted(s string) string {
	plain := s != ""
	for i, r := range s {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
		plain = plain && (letter || r == '_' || i > 0 && ('0' <= r && r <= '9' || strings.ContainsRune("-./", r) || r == ':' && i+1 < len(s)))
	}
	switch strings.ToLower(s) {
	case "null", "true", "false", "yes", "no", "on", "off", "y", "n":
		plain = false
	}
	if plain {
		return s
	}
	return jsonText(s)
}

// Lock returns the lock after a run of the pipeline that ended well. What the
// run did not touch stays as old has it; old may be nil. A run of all stages
// keeps nothing: experiments that are gone are gone.
func (c *Config) Lock(old *Lock, res *Result) *Lock {
	l := &Lock{Artifacts: map[string]string{}}
	if old != nil && len(res.Stages) < len(Stages()) {
		l.Source, l.SourceDigest = old.Source, old.SourceDigest
		maps.Copy(l.Artifacts, old.Artifacts)
	}
	if res.SourceDigest != "" {
		l.Source, l.SourceDigest = c.lockedSource(), res.SourceDigest
	}
	for _, m := range res.Artifacts {
		l.Artifacts[m.Name] = m.Digest.String()
	}
	return l
}

// lockedSource is the source as a lock names it. A place outside the project is
// this machine's matter.
func (c *Config) lockedSource() string {
	s := c.Data.Source
	if _, ok := c.Sample(); !ok && !filepath.IsLocal(filepath.FromSlash(s)) {
		return filepath.Base(filepath.FromSlash(s))
	}
	return s
}

// A LockChange is an entry in which a lock and what is so differ. An empty text
// means that there is none.
type LockChange struct {
	Name   string `json:"name"` // of an artifact, or "source"
	Locked string `json:"locked"`
	Now    string `json:"now"`
}

// Changes lists where now differs from the lock, by name, the source first.
func (l *Lock) Changes(now *Lock) []LockChange {
	out := []LockChange{}
	if l.SourceDigest != now.SourceDigest {
		out = append(out, LockChange{"source", l.SourceDigest, now.SourceDigest})
	}
	names := maps.Clone(l.Artifacts)
	if names == nil {
		names = map[string]string{}
	}
	maps.Copy(names, now.Artifacts)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if l.Artifacts[name] != now.Artifacts[name] {
			out = append(out, LockChange{name, l.Artifacts[name], now.Artifacts[name]})
		}
	}
	return out
}

// WriteLock writes the lock to path, whole or not at all. A file that says the
// same already stays untouched, its time too.
func WriteLock(path string, l *Lock) error {
	text := l.Text()
	if old, err := os.ReadFile(path); err == nil && string(old) == string(text) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.Write(text)
	// Readable to whom the umask allows, as a file of an editor is.
	err = cmp.Or(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
