package tracking_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
	"github.com/solera-ml/solera/tracking"
)

func signingKey(t testing.TB, seed byte) provenance.Key {
	t.Helper()
	k, err := provenance.NewKey(bytes.NewReader(bytes.Repeat([]byte{seed}, ed25519.SeedSize)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func public(t testing.TB, seed byte) provenance.Key {
	t.Helper()
	k, err := provenance.ParsePublic(signingKey(t, seed).Public())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed lets tr sign with the key of a seed.
func signed(t testing.TB, tr *tracking.Tracker, seed byte) *tracking.Tracker {
	t.Helper()
	key := signingKey(t, seed)
	tr.Key = solera.SigningKey{ID: key.ID(), Public: key.Public(), Owner: "ana@laptop", Created: 1}
	tr.Sign = func(run solera.Run, v solera.Version, used []solera.Version) ([]byte, error) {
		return provenance.Sign(provenance.New(run, v, used), key)
	}
	return tr
}

// A vault is a signed store in a folder that tests break into: wine-raw:v0 of
// two files, and model:v0, which a run with params made from it.
type vault struct {
	*tracking.Tracker
	dir   string
	raw   solera.Version
	model solera.Version
}

func newVault(t testing.TB) *vault {
	t.Helper()
	dir := t.TempDir()
	v := &vault{Tracker: signed(t, openAt(t, dir), 1), dir: dir}
	r := start(t, v.Tracker, "load")
	var err error
	v.raw, _, err = r.Commit(ctx, tracking.Draft{Artifact: "wine-raw", Type: "dataset", Metadata: solera.Fields{"rows": 178}, Files: map[string]tracking.Source{
		"data.txt": tracking.Bytes([]byte("fourteen columns")), "more.txt": tracking.Bytes([]byte("and more")),
	}})
	if err != nil {
		t.Fatal(err)
	}
	finish(t, r)
	r, err = v.Start(ctx, tracking.RunSpec{Stage: "train", Experiment: "exp001", Recipe: recipe("train"), Params: solera.Fields{"optimizer": "adam", "seed": 42}})
	if err != nil {
		t.Fatal(err)
	}
	use(t, r, "wine-raw")
	v.model, _ = commit(t, r, "model", "weights")
	finish(t, r)
	return v
}

// exec changes the database behind the store's back.
func (v *vault) exec(t testing.TB, query string, args ...any) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(v.dir, "solera.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	res, err := db.Exec(query, args...)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		t.Fatalf("%s changed %d rows, %v", query, n, err)
	}
}

// blob returns the path of a file's bytes.
func (v *vault) blob(t testing.TB, version solera.Version, path string) string {
	t.Helper()
	entry, ok := version.File(path)
	if !ok {
		t.Fatalf("%s has no %s", version.Name(), path)
	}
	var found string
	err := filepath.WalkDir(filepath.Join(v.dir, "blobs"), func(p string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() && strings.HasSuffix(strings.ReplaceAll(filepath.ToSlash(p), "/", ""), entry.Digest.Hex()) {
			found = p
		} else if err == nil && !e.IsDir() && strings.HasSuffix(entry.Digest.Hex(), e.Name()) {
			found = p
		}
		return err
	})
	if err != nil || found == "" {
		t.Fatalf("no file holds %s, %v", path, err)
	}
	if err := os.Chmod(found, 0o644); err != nil {
		t.Fatal(err)
	}
	return found
}

func (v *vault) update(t testing.TB, fn func(solera.Tx) error) {
	t.Helper()
	if err := v.Store.Update(ctx, fn); err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, tr *tracking.Tracker, opts tracking.VerifyOptions) tracking.Verification {
	t.Helper()
	got, err := tr.Verify(ctx, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got.OK != (len(got.Problems) == 0) {
		t.Errorf("ok %v with the problems %v", got.OK, got.Problems)
	}
	return got
}

func TestAWholeStoreVerifies(t *testing.T) {
	v := newVault(t)
	var told atomic.Int64
	got := verify(t, v.Tracker, tracking.VerifyOptions{Progress: func(done, total int64) {
		if total != 31 || done > total {
			t.Errorf("progress %d of %d bytes, want at most 31 of 31", done, total)
		}
		told.Store(done)
	}})
	if !got.OK || got.Versions != 2 || got.Blobs != 3 || got.Bytes != 31 || got.Deleted != 0 {
		t.Errorf("got %+v, want 2 versions, 3 contents, 31 bytes and no problem", got)
	}
	if told.Load() != 31 {
		t.Errorf("the last that progress told was %d bytes, want 31", told.Load())
	}
	if len(got.Keys) != 1 || got.Keys[0] != (tracking.VerifiedKey{ID: public(t, 1).ID(), Owner: "ana@laptop", Versions: 2}) {
		t.Errorf("keys %+v", got.Keys)
	}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{Ref: "model"}); !got.OK || got.Versions != 1 || got.Blobs != 1 || got.Bytes != 7 {
		t.Errorf("one version: got %+v", got)
	}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{Project: "other"}); !got.OK || got.Versions != 0 {
		t.Errorf("another project: got %+v", got)
	}
	if _, err := v.Verify(ctx, tracking.VerifyOptions{Ref: "none:v7"}); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("a version that is not there: %v", err)
	}
}

func TestAnEmptyStoreVerifies(t *testing.T) {
	if got := verify(t, open(t), tracking.VerifyOptions{}); !got.OK || got.Versions != 0 || got.Problems == nil || got.Keys == nil {
		t.Errorf("got %+v", got)
	}
}

func TestTamperingIsFound(t *testing.T) {
	other := strings.Repeat("ab", 32)
	tests := []struct {
		name   string
		tamper func(*testing.T, *vault)
		ref    string
		path   string
		want   string // the problem
		detail string
	}{
		{"one bit of a file", func(t *testing.T, v *vault) {
			flipBit(t, v.blob(t, v.raw, "data.txt"), 3)
		}, "wine-raw:v0", "data.txt", tracking.Altered, "bytes have the digest"},
		{"a file that was removed", func(t *testing.T, v *vault) {
			if err := os.Remove(v.blob(t, v.raw, "data.txt")); err != nil {
				t.Fatal(err)
			}
		}, "wine-raw:v0", "data.txt", tracking.Missing, ""},
		{"a file that was cut off", func(t *testing.T, v *vault) {
			if err := os.Truncate(v.blob(t, v.raw, "data.txt"), 4); err != nil {
				t.Fatal(err)
			}
		}, "wine-raw:v0", "data.txt", tracking.Altered, "it has 4 bytes, committed were 16"},
		{"a file that grew", func(t *testing.T, v *vault) {
			if err := os.WriteFile(v.blob(t, v.raw, "data.txt"), make([]byte, 3<<20), 0o644); err != nil {
				t.Fatal(err)
			}
		}, "wine-raw:v0", "data.txt", tracking.Altered, "committed were 16"},
		{"a file that became empty", func(t *testing.T, v *vault) {
			if err := os.Truncate(v.blob(t, v.raw, "data.txt"), 0); err != nil {
				t.Fatal(err)
			}
		}, "wine-raw:v0", "data.txt", tracking.Altered, "it has 0 bytes"},
		{"a folder in the place of a file", func(t *testing.T, v *vault) {
			p := v.blob(t, v.raw, "data.txt")
			if err := errors.Join(os.Remove(p), os.Mkdir(p, 0o755)); err != nil {
				t.Fatal(err)
			}
		}, "wine-raw:v0", "data.txt", tracking.Missing, "cannot be read"},
		{"a row of the manifest names another file", func(t *testing.T, v *vault) {
			more, _ := v.raw.File("more.txt")
			v.exec(t, `UPDATE entries SET digest = ?, size = 8 WHERE path = 'data.txt'`, more.Digest.String())
		}, "wine-raw:v0", "data.txt", tracking.Altered, "not what was signed"},
		{"a row of the manifest was removed", func(t *testing.T, v *vault) {
			v.exec(t, `DELETE FROM entries WHERE path = 'more.txt'`)
		}, "wine-raw:v0", "more.txt", tracking.Altered, "was signed and is not in the record"},
		{"a size in the manifest", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE entries SET size = 17 WHERE path = 'data.txt'`)
		}, "wine-raw:v0", "", tracking.Altered, "not those that were committed"},
		{"a digest in the manifest that is none", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE entries SET digest = 'nonsense' WHERE path = 'data.txt'`)
		}, "wine-raw:v0", "", tracking.Altered, "cannot be read"},
		{"a path in the manifest that leads out", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE entries SET path = '../../etc/passwd' WHERE path = 'data.txt'`)
		}, "wine-raw:v0", "", tracking.Altered, ""},
		{"metadata", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE contents SET metadata = '{"rows":179}' WHERE digest = ?`, v.raw.Digest.String())
		}, "wine-raw:v0", "", tracking.Altered, "not those that were committed"},
		{"the size of a version", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE contents SET size = 1 WHERE digest = ?`, v.raw.Digest.String())
		}, "wine-raw:v0", "", tracking.Altered, "its files have 24"},
		{"params of a run", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE runs SET params = '{"optimizer":"sgd","seed":42}' WHERE stage = 'train'`)
		}, "model:v0", "", tracking.Altered, `params.optimizer: signed "adam", recorded "sgd"`},
		{"code of a run", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE runs SET code = ? WHERE stage = 'train'`, "sha256:"+other)
		}, "model:v0", "", tracking.Altered, "code: signed nothing"},
		{"recipe of a run", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE runs SET recipe = ? WHERE stage = 'train'`, "sha256:"+other)
		}, "model:v0", "", tracking.Altered, "recipe: "},
		{"params that are no JSON", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE runs SET params = '{' WHERE stage = 'train'`)
		}, "model:v0", "", tracking.Missing, "where it comes from is lost"},
		{"an edge that was removed", func(t *testing.T, v *vault) {
			v.exec(t, `DELETE FROM edges WHERE kind = 'used'`)
		}, "model:v0", "", tracking.Altered, "it was made from wine/wine-raw:v0, says what was signed"},
		{"an edge that was added", func(t *testing.T, v *vault) {
			v.exec(t, `INSERT INTO edges (run, kind, project, artifact, number) VALUES (?, 'used', 'wine', 'model', 0)`, string(v.raw.Run))
		}, "wine-raw:v0", "", tracking.Altered, "made from wine/model:v0; what was signed does not"},
		{"another run as the maker", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE versions SET run = ? WHERE artifact = 'model'`, string(v.raw.Run))
		}, "model:v0", "", tracking.Altered, "the lineage does not say that run " /* … made it */},
		{"no maker", func(t *testing.T, v *vault) {
			v.exec(t, `DELETE FROM edges WHERE kind = 'made' AND artifact = 'model'`)
		}, "model:v0", "", tracking.Altered, "the lineage does not say"},
		{"the content of an input", func(t *testing.T, v *vault) {
			// wine-raw becomes another content, and nothing else says so.
			v.exec(t, `UPDATE versions SET content = ? WHERE artifact = 'wine-raw'`, v.model.Digest.String())
		}, "model:v0", "", tracking.Altered, "wine/wine-raw:v0, from which it was made, is not what was signed"},
		{"the statement of another version", func(t *testing.T, v *vault) {
			_, envelope, err := v.Statement(ctx, "wine-raw")
			if err != nil {
				t.Fatal(err)
			}
			v.update(t, func(tx solera.Tx) error { return tx.SetStatement(v.model.ID(), envelope) })
		}, "model:v0", "", tracking.Altered, "the statement is about wine/wine-raw:v0"},
		{"no statement", func(t *testing.T, v *vault) {
			v.exec(t, `DELETE FROM statements WHERE artifact = 'model'`)
		}, "model:v0", "", tracking.Unsigned, "no signed statement"},
		{"garbage for a statement", func(t *testing.T, v *vault) {
			v.update(t, func(tx solera.Tx) error { return tx.SetStatement(v.model.ID(), []byte("hello")) })
		}, "model:v0", "", tracking.BadSignature, "cannot be read"},
		{"one letter of a statement", func(t *testing.T, v *vault) {
			_, envelope, err := v.Statement(ctx, "model")
			if err != nil {
				t.Fatal(err)
			}
			i := bytes.Index(envelope, []byte("eyJ")) + 40
			envelope[i] ^= 1
			v.update(t, func(tx solera.Tx) error { return tx.SetStatement(v.model.ID(), envelope) })
		}, "model:v0", "", tracking.BadSignature, ""},
		{"a statement signed by a key that nobody knows", func(t *testing.T, v *vault) {
			run, err := v.Run(ctx, v.model.Run)
			if err != nil {
				t.Fatal(err)
			}
			envelope, err := provenance.Sign(provenance.New(run, v.model, []solera.Version{v.raw}), signingKey(t, 9))
			if err != nil {
				t.Fatal(err)
			}
			v.update(t, func(tx solera.Tx) error { return tx.SetStatement(v.model.ID(), envelope) })
		}, "model:v0", "", tracking.BadSignature, "not among those to trust"},
		{"the key's bytes under its old name", func(t *testing.T, v *vault) {
			v.exec(t, `UPDATE keys SET public = ?`, public(t, 9).Public())
		}, "model:v0", "", tracking.BadSignature, "not among those to trust"},
	}
	if testing.Short() {
		tests = tests[:4]
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := newVault(t)
			test.tamper(t, v)
			got := verify(t, v.Tracker, tracking.VerifyOptions{})
			if !slices.ContainsFunc(got.Problems, func(p solera.Problem) bool {
				return p.Ref == test.ref && p.Path == test.path && p.Problem == test.want && strings.Contains(p.Detail, test.detail)
			}) {
				t.Errorf("got %+v, want %s of %s %s: %s", got.Problems, test.want, test.ref, test.path, test.detail)
			}
		})
	}
}

func flipBit(t testing.TB, file string, bit int) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	b[bit/8] ^= 1 << (bit % 8)
	if err := os.WriteFile(file, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whichever bit of whichever file.
func TestAnyBitIsFound(t *testing.T) {
	v := newVault(t)
	files := []struct {
		version solera.Version
		path    string
	}{{v.raw, "data.txt"}, {v.raw, "more.txt"}, {v.model, "data.txt"}}
	rapid.Check(t, func(rt *rapid.T) {
		f := rapid.SampledFrom(files).Draw(rt, "file")
		entry, _ := f.version.File(f.path)
		bit := rapid.IntRange(0, int(entry.Size)*8-1).Draw(rt, "bit")
		name := v.blob(t, f.version, f.path)
		flipBit(t, name, bit)
		defer flipBit(t, name, bit)
		got, err := v.Verify(ctx, tracking.VerifyOptions{Workers: rapid.IntRange(1, 4).Draw(rt, "workers")})
		if err != nil {
			rt.Fatal(err)
		}
		if len(got.Problems) != 1 || got.Problems[0].Problem != tracking.Altered || got.Problems[0].Path != f.path || got.Problems[0].Ref != f.version.Name() {
			rt.Fatalf("got %+v, want %s of %s altered", got.Problems, f.path, f.version.Name())
		}
	})
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); !got.OK {
		t.Errorf("afterwards: %+v", got.Problems)
	}
}

func TestASharedContentIsReadOnceAndMissedByAll(t *testing.T) {
	v := newVault(t)
	r := start(t, v.Tracker, "copy")
	copied, _ := commit(t, r, "copy", "fourteen columns")
	finish(t, r)
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); got.Blobs != 3 || got.Bytes != 31 {
		t.Errorf("got %+v, want 3 contents and 31 bytes", got)
	}
	if err := os.Remove(v.blob(t, copied, "data.txt")); err != nil {
		t.Fatal(err)
	}
	got := verify(t, v.Tracker, tracking.VerifyOptions{})
	if len(got.Problems) != 2 || got.Problems[0].Ref != "copy:v0" || got.Problems[1].Ref != "wine-raw:v0" {
		t.Errorf("got %+v, want the file missing in both versions", got.Problems)
	}
}

func TestPinnedKeysAreTheOnlyOnesToTrust(t *testing.T) {
	v := newVault(t)
	if got := verify(t, v.Tracker, tracking.VerifyOptions{Keys: []provenance.Key{public(t, 1)}}); !got.OK {
		t.Errorf("by the key that signed: %+v", got.Problems)
	}
	got := verify(t, v.Tracker, tracking.VerifyOptions{Keys: []provenance.Key{public(t, 2), public(t, 3)}})
	if len(got.Problems) != 2 || got.Problems[0].Problem != tracking.BadSignature || len(got.Keys) != 0 {
		t.Errorf("by other keys: %+v", got)
	}

	// Whoever writes to the store brings a key of his own, and signs what he
	// altered. Only a pinned key finds that.
	v.exec(t, `UPDATE runs SET params = '{"optimizer":"sgd","seed":42}' WHERE stage = 'train'`)
	v.exec(t, `DELETE FROM statements WHERE artifact = 'model'`)
	thief := signed(t, openAt(t, v.dir), 7)
	if got := verify(t, thief, tracking.VerifyOptions{Sign: true}); !got.OK || got.Signed != 1 {
		t.Fatalf("could not sign: %+v", got)
	}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); !got.OK || len(got.Keys) != 2 {
		t.Errorf("without pinned keys: %+v", got)
	}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{Keys: []provenance.Key{public(t, 1)}}); len(got.Problems) != 1 || got.Problems[0].Ref != "model:v0" {
		t.Errorf("with the pinned key: %+v", got)
	}
}

func TestSignLaterSignsOnlyWhatIsWhole(t *testing.T) {
	v := newVault(t)
	v.exec(t, `DELETE FROM statements`)
	flipBit(t, v.blob(t, v.model, "data.txt"), 0)
	got := verify(t, v.Tracker, tracking.VerifyOptions{Sign: true})
	if got.Signed != 1 || len(got.Problems) != 2 {
		t.Errorf("got %+v, want wine-raw signed and two problems with model", got)
	}
	for _, p := range got.Problems {
		if p.Ref != "model:v0" {
			t.Errorf("problem %+v, want model alone", p)
		}
	}
	if _, _, err := v.Statement(ctx, "model"); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("the altered version has a statement: %v", err)
	}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{Ref: "wine-raw"}); !got.OK {
		t.Errorf("after signing: %+v", got.Problems)
	}
	if _, err := open(t).Verify(ctx, tracking.VerifyOptions{Sign: true}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("without a key: %v", err)
	}
}

func TestVersionsWithoutASignerAreUnsigned(t *testing.T) {
	tr := open(t)
	r := start(t, tr, "load")
	commit(t, r, "wine-raw", "x")
	finish(t, r)
	got := verify(t, tr, tracking.VerifyOptions{})
	if len(got.Problems) != 1 || got.Problems[0].Problem != tracking.Unsigned || got.Blobs != 1 || got.Bytes != 1 {
		t.Errorf("got %+v, want one unsigned version whose bytes were read", got)
	}
}

// A run may read more after it committed. What it says of itself then is
// signed again, so that lineage and statement never part.
func TestUsesAfterACommitAreSignedToo(t *testing.T) {
	v := newVault(t)
	r := start(t, v.Tracker, "evaluate")
	commit(t, r, "report", "first")
	use(t, r, "model")
	finish(t, r)
	got := verify(t, v.Tracker, tracking.VerifyOptions{})
	if !got.OK || got.Versions != 3 {
		t.Errorf("got %+v", got)
	}
}

// A client says more of its run after a commit, which is no tampering.
func TestWhatIsSaidOfARemoteRunIsSignedToo(t *testing.T) {
	v := newVault(t)
	register := func(spec tracking.RegisterSpec) {
		t.Helper()
		spec.Name = "remote"
		if _, _, err := v.Register(ctx, spec); err != nil {
			t.Fatal(err)
		}
	}
	register(tracking.RegisterSpec{Params: solera.Fields{"lr": 0.1}})
	r, err := v.Resume(ctx, "remote")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, r, "far", "x")
	register(tracking.RegisterSpec{Params: solera.Fields{"lr": 0.1, "late": true}})
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); !got.OK {
		t.Errorf("%+v", got.Problems)
	}
}

func TestReusedVersionsAreSigned(t *testing.T) {
	v := newVault(t)
	r := start(t, v.Tracker, "other")
	commit(t, r, "wine-raw", "something else") // latest is not the recipe's any more
	finish(t, r)
	hit, err := v.Reuse(ctx, tracking.RunSpec{Stage: "load", Recipe: recipe("load")})
	if err != nil || hit == nil || hit.Run.ReuseOf == "" {
		t.Fatalf("hit %+v, %v", hit, err)
	}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); !got.OK || got.Versions != 4 {
		t.Errorf("got %+v", got)
	}
}

func TestDeletedVersionsMissNothing(t *testing.T) {
	v := newVault(t)
	v.update(t, func(tx solera.Tx) error {
		raw, err := tx.Version(v.raw.ID())
		if err != nil {
			return err
		}
		raw.Deleted, err = tx.Now()
		if err != nil {
			return err
		}
		return tx.UpdateVersion(raw)
	})
	if err := os.Remove(v.blob(t, v.raw, "data.txt")); err != nil {
		t.Fatal(err)
	}
	got := verify(t, v.Tracker, tracking.VerifyOptions{})
	if !got.OK || got.Deleted != 1 || got.Versions != 1 || got.Blobs != 1 {
		t.Errorf("got %+v, want one version verified and one deleted", got)
	}
	// Its record is the lineage of the model and is checked for ever.
	v.exec(t, `UPDATE runs SET params = '{"a":1}' WHERE stage = 'load'`)
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); len(got.Problems) != 1 || got.Problems[0].Ref != "wine-raw:v0" {
		t.Errorf("got %+v, want the altered record of the deleted version", got.Problems)
	}
}

// slowBlobs cancel the context at the first read, as Ctrl-C does.
type slowBlobs struct {
	solera.Blobs
	cancel func()
}

func (b slowBlobs) Open(ctx context.Context, d solera.Digest) (io.ReadSeekCloser, error) {
	b.cancel()
	return b.Blobs.Open(ctx, d)
}

func TestVerifyStopsWhenAsked(t *testing.T) {
	v := newVault(t)
	ctx, cancel := context.WithCancel(ctx)
	v.Blobs = slowBlobs{v.Blobs, cancel}
	if _, err := v.Verify(ctx, tracking.VerifyOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}

var errNetwork = errors.New("the network is gone")

type brokenBlobs struct{ solera.Blobs }

func (brokenBlobs) Open(context.Context, solera.Digest) (io.ReadSeekCloser, error) {
	return nil, errNetwork
}

// One bad sector is a finding; a home of blobs that answers nothing is not a
// list of a million findings.
func TestBlobsThatDoNotAnswerEndTheVerification(t *testing.T) {
	v := newVault(t)
	v.Blobs = brokenBlobs{v.Blobs}
	if got := verify(t, v.Tracker, tracking.VerifyOptions{}); len(got.Problems) != 3 {
		t.Errorf("got %+v, want three files that cannot be read", got.Problems)
	}
	v = newVault(t)
	r := start(t, v.Tracker, "many")
	files := map[string]tracking.Source{}
	for i := range 40 {
		files[fmt.Sprint(i)] = tracking.Bytes(fmt.Append(nil, i))
	}
	if _, _, err := r.Commit(ctx, tracking.Draft{Artifact: "many", Type: "dataset", Files: files}); err != nil {
		t.Fatal(err)
	}
	finish(t, r)
	v.Blobs = brokenBlobs{v.Blobs}
	if _, err := v.Verify(ctx, tracking.VerifyOptions{}); !errors.Is(err, errNetwork) {
		t.Errorf("got %v, want %v", err, errNetwork)
	}
}

func TestExternalFilesAreReadWhenAsked(t *testing.T) {
	v := newVault(t)
	content := "far away"
	far := solera.Entry{Path: "far.txt", Digest: solera.DigestOf([]byte(content)), Size: int64(len(content)), Ref: "file:///far.txt"}
	digest, err := solera.ContentDigest("dataset", nil, []solera.Entry{far})
	if err != nil {
		t.Fatal(err)
	}
	v.update(t, func(tx solera.Tx) error {
		made, err := tx.CreateVersion(solera.Version{
			Project: "wine", Artifact: "far", Type: "dataset", Digest: digest, Size: far.Size, Files: []solera.Entry{far}, Run: v.raw.Run,
		})
		if err != nil {
			return err
		}
		return tx.AddEdge(solera.Edge{Run: v.raw.Run, Version: made.ID(), Kind: solera.Made})
	})
	answer := func(text string, err error) func(context.Context, solera.Entry) (io.ReadCloser, error) {
		return func(_ context.Context, e solera.Entry) (io.ReadCloser, error) {
			if e != far {
				t.Errorf("asked for %+v", e)
			}
			return io.NopCloser(strings.NewReader(text)), err
		}
	}
	tests := []struct {
		name       string
		open       func(context.Context, solera.Entry) (io.ReadCloser, error)
		want       string // the problem, "" = none
		references int
	}{
		{"not asked", nil, "", 1},
		{"as it was", answer(content, nil), "", 0},
		{"altered", answer("far, a way", nil), tracking.Altered, 0},
		{"of the same length", answer("far aWay", nil), tracking.Altered, 0},
		{"gone", answer("", os.ErrNotExist), tracking.Missing, 0},
		{"somewhere that nobody here can read", answer("", errors.ErrUnsupported), "", 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := verify(t, v.Tracker, tracking.VerifyOptions{Ref: "far", OpenReference: test.open})
			got.Problems = slices.DeleteFunc(got.Problems, func(p solera.Problem) bool { return p.Problem == tracking.Unsigned })
			if got.References != test.references || got.Blobs != 0 {
				t.Errorf("got %+v, want %d files not read and no blob", got, test.references)
			}
			if test.want == "" && len(got.Problems) > 0 || test.want != "" && (len(got.Problems) != 1 || got.Problems[0].Problem != test.want || got.Problems[0].Path != "far.txt") {
				t.Errorf("got %+v, want %q", got.Problems, test.want)
			}
		})
	}
}

// SOLERA_VERIFY_MB is how much there is to read, in files of 32 MB.
func BenchmarkVerify(b *testing.B) {
	total := 256
	if s := os.Getenv("SOLERA_VERIFY_MB"); s != "" {
		if _, err := fmt.Sscan(s, &total); err != nil {
			b.Fatal(err)
		}
	}
	tr := signed(b, openAt(b, b.TempDir()), 1)
	r := start(b, tr, "load")
	files := map[string]tracking.Source{}
	content := make([]byte, 32<<20)
	for i := range max(1, total/32) {
		part := bytes.Clone(content)
		copy(part, fmt.Sprint(i))
		files[fmt.Sprint(i)] = tracking.Bytes(part)
	}
	if _, _, err := r.Commit(ctx, tracking.Draft{Artifact: "big", Type: "dataset", Files: files}); err != nil {
		b.Fatal(err)
	}
	finish(b, r)
	var read int64
	for b.Loop() {
		got := verify(b, tr, tracking.VerifyOptions{})
		if !got.OK {
			b.Fatal(got.Problems)
		}
		read = got.Bytes
	}
	b.SetBytes(read)
}
