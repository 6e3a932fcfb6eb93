package store_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

// testdata/vN.db.gz is a store as the program of schema N wrote it, and
// vN.json.gz what it answered then. A release that changes the schema adds its
// own by one command, and no release rewrites those that are there:
//
//	UPDATE=1 go test ./store -run TestStoresOfOlderPrograms
//
// v1 was made by the pipeline itself: wine trained for a few epochs, changed,
// failed, trained again, with some odd runs and points beside it.
func fixtures(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob(filepath.Join("testdata", "v*.db.gz"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	return list
}

func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func zip(t testing.TB, name string, raw []byte) {
	t.Helper()
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	z.Write(raw)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, b.Bytes(), 0o666); err != nil {
		t.Fatal(err)
	}
}

// place writes a fixture to a file of its own.
func place(t testing.TB, fixture string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "solera.db")
	if err := os.WriteFile(path, unzip(t, fixture), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestStoresOfOlderPrograms(t *testing.T) {
	if os.Getenv("UPDATE") != "" {
		addFixture(t)
	}
	for _, fixture := range fixtures(t) {
		t.Run(filepath.Base(fixture), func(t *testing.T) {
			answered := unzip(t, strings.Replace(fixture, ".db.gz", ".json.gz", 1))
			path := place(t, fixture)
			first := openAt(t, path)
			reads(t, first, answered)
			if found := problems(t, first); len(found) > 0 {
				t.Errorf("Check found %q", found)
			}
			raw := dump(t, first)
			first.Close()
			again := openAt(t, path)
			if !bytes.Equal(dump(t, again), raw) {
				t.Error("it is another store after it was opened again")
			}
			eachDatabase(t, func(t *testing.T, s solera.Store) {
				if err := s.Load(ctx, bytes.NewReader(raw)); err != nil {
					t.Fatal(err)
				}
				reads(t, s, answered)
				if !bytes.Equal(dump(t, s), raw) {
					t.Error("it is another store after it was dumped and loaded")
				}
				if found := problems(t, s); len(found) > 0 {
					t.Errorf("Check found %q", found)
				}
			})
		})
	}
}

// addFixture makes the fixture of the schema that this program knows, out of
// the first one and of something of every kind. (The later ones hold such
// things already, under the same names.)
func addFixture(t *testing.T) {
	path := place(t, fixtures(t)[0])
	s := openAt(t, path)
	var header struct {
		Solera struct {
			Schema int `json:"schema"`
		} `json:"solera"`
	}
	line, _, _ := bytes.Cut(dump(t, s), []byte("\n"))
	if err := json.Unmarshal(line, &header); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join("testdata", "v"+strconv.Itoa(header.Solera.Schema))
	if _, err := os.Stat(name + ".db.gz"); err == nil {
		t.Logf("%s.db.gz is there and stays as it is", name)
		return
	}
	rapid.Custom(func(rt *rapid.T) int { fill(t, rt, s); return 0 }).Example(4)
	reported(t, s)
	answered, err := json.Marshal(answers(t, s))
	if err != nil {
		t.Fatal(err)
	}
	s.Close() // moves everything into the file
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	zip(t, name+".json.gz", answered)
	zip(t, name+".db.gz", raw)
	t.Logf("wrote %s.db.gz", name)
}

// reported adds what fill may leave out: a run that was reported, and rewound, and
// a file that is known by its ETag.
func reported(t *testing.T, s solera.Store) {
	run := solera.Run{
		ID: "reported", Name: "brave-lion-1", Project: "p", State: solera.Running, Sweep: "s1", Stopping: 5, Created: 1, Started: 1,
		Environment: solera.Fields{"client": map[string]any{"t": map[string]any{"4": "3.12"}}, "client_name": "my run/1"},
	}
	update(t, s, func(tx solera.Tx) error { return tx.CreateRun(run) })
	for step := range int64(9) {
		report(t, s, solera.Batch{
			Run: run.ID, Source: "history", From: step, Count: 1, Summary: solera.Fields{"loss": 1 / float64(step+1), "_step": step}, Beat: true,
			Points: []solera.Point{{Key: "loss", Step: step, Value: 1 / float64(step+1), Time: solera.Micros(step)}},
			Items:  []solera.Item{{Key: "note", Step: step, Value: json.RawMessage(`{"_type":"html","path":"<a>"}`), Time: solera.Micros(step)}},
			Lines:  []solera.Line{{Stream: "out", Text: "step", Time: solera.Micros(step)}},
		})
	}
	tag := `"33a64df5"`
	v := draft("referred", "x")
	v.Run = run.ID
	v.Files = append(v.Files, solera.Entry{
		Path: "far", Digest: solera.DigestOf([]byte(tag)), Size: 7, Ref: "gs://bucket/far?generation=1", ETag: tag, Extra: `{"versionID":"1"}`,
	})
	v.Files[0].MD5 = strings.Repeat("0a", 16)
	v.Size += 7
	v.Digest, _ = solera.ContentDigest(v.Type, v.Metadata, v.Files)
	created := commit(t, s, v)
	update(t, s, func(tx solera.Tx) error {
		return errorsOf(
			tx.AddEdge(solera.Edge{Run: run.ID, Version: created.ID(), Kind: solera.Made}),
			tx.Rewind(run.ID, func(_ string, step int64, _ solera.Micros) bool { return step < 6 }),
			tx.SetPosition(run.ID, "history", 6),
		)
	})
}

// reads checks that a store answers what was answered; it may answer more.
func reads(t *testing.T, s solera.Store, answered []byte) {
	t.Helper()
	raw, err := json.Marshal(answers(t, s))
	if err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := errorsOf(decodeNumbers(raw, &got), decodeNumbers(answered, &want)); err != nil {
		t.Fatal(err)
	}
	if at := lacks(got, want, ""); at != "" {
		t.Errorf("it answers otherwise than it did: %s", at)
	}
}

func errorsOf(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

func decodeNumbers(raw []byte, into *any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber() // a seed has more digits than a float
	return d.Decode(into)
}

// lacks returns where got has not what want has, or "".
func lacks(got, want any, at string) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return at + " is no object"
		}
		for name, w := range want {
			g, ok := got[name]
			if !ok {
				return at + "." + name + " is gone"
			}
			if at := lacks(g, w, at+"."+name); at != "" {
				return at
			}
		}
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return fmt.Sprintf("%s has not %d elements", at, len(want))
		}
		for i := range want {
			if at := lacks(got[i], want[i], fmt.Sprintf("%s[%d]", at, i)); at != "" {
				return at
			}
		}
	default:
		if got != want {
			return fmt.Sprintf("%s: got %v, want %v", at, got, want)
		}
	}
	return ""
}

// A migration that fails leaves the store as the older program had it, and the
// next opening goes on.
func TestAMigrationThatFailsIsTakenBack(t *testing.T) {
	fixture := fixtures(t)[0]
	path := place(t, fixture)
	run := func(statement string) {
		t.Helper()
		db := rawSQLite(t, path)
		defer db.Close()
		if _, err := db.Exec(statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	run(`CREATE TABLE audit (n BIGINT)`) // stands in the way of the second half of a migration
	_, err := store.OpenSQLite(ctx, path)
	if err == nil || !strings.Contains(err.Error(), "bring the schema up to date") {
		t.Fatalf("got %v, want a migration that fails", err)
	}
	run(`SELECT COUNT(*) FROM points`)
	run(`ALTER TABLE runs ADD COLUMN grp TEXT`) // fails if the first half had been kept
	run(`ALTER TABLE runs DROP COLUMN grp`)
	run(`DROP TABLE audit`)
	reads(t, openAt(t, path), unzip(t, strings.Replace(fixture, ".db.gz", ".json.gz", 1)))
}

// A migration that is killed leaves nothing half done either.
func TestAMigrationThatIsKilledGoesOn(t *testing.T) {
	kills := 12
	if n, err := strconv.Atoi(os.Getenv("SOLERA_TEST_KILLS")); err == nil {
		kills = n
	} else if testing.Short() {
		kills = 3
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	fixture := fixtures(t)[0]
	answered := unzip(t, strings.Replace(fixture, ".db.gz", ".json.gz", 1))
	for range kills {
		path := place(t, fixture)
		for range 3 {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), "SOLERA_TEST_OPEN="+path)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
			cmd.Process.Kill()
			cmd.Wait()
		}
		s, err := store.OpenSQLite(ctx, path)
		if err != nil {
			t.Fatal(err)
		}
		reads(t, s, answered)
		if found := problems(t, s); len(found) > 0 {
			t.Errorf("Check found %q", found)
		}
		s.Close()
	}
}
