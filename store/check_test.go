package store_test

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/clustertest"
	"github.com/solera-ml/solera/store"
)

// problems returns what Check finds, as "ref: problem".
func problems(t testing.TB, s solera.Store) []string {
	t.Helper()
	list := []string{}
	err := s.Check(ctx, func(p solera.Problem) {
		if p.Ref == "" || p.Problem == "" || p.Detail == "" {
			t.Errorf("a problem says too little: %+v", p)
		}
		list = append(list, p.Ref+": "+p.Problem)
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func rawSQLite(t *testing.T, path string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// tamper changes a store behind its back, against the rules of its schema.
func tamper(t *testing.T, place, statement string) {
	t.Helper()
	if u, err := url.Parse(place); err == nil && u.Scheme == "postgres" {
		clustertest.Exec(t, "SET search_path = "+u.Query().Get("search_path")+"; SET session_replication_role = replica; "+statement)
		return
	}
	db := rawSQLite(t, place)
	defer db.Close()
	done, err := db.Exec(statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	if n, _ := done.RowsAffected(); n == 0 {
		t.Fatalf("%s changed nothing", statement)
	}
}

func TestCheckFindsWhatWasTamperedWith(t *testing.T) {
	const ( // of the sample
		wine  = "sha256:52572deacc2ed62b47aa78381628a2debfbfdb2198021897469b60184b79f1c6"
		other = "sha256:0000000000000000000000000000000000000000000000000000000000000001"
	)
	tests := []struct {
		name, statement string
		want            []string
	}{
		{"nothing", "", []string{}},
		{"a file of a version", `UPDATE entries SET digest = '` + other + `' WHERE content = '` + wine + `' AND path = 'far'`, []string{wine + ": altered"}},
		{"the place of an external file", `UPDATE entries SET ref = 'https://host/near' WHERE content = '` + wine + `' AND path = 'far'`, []string{wine + ": altered"}},
		{"a file that is gone", `DELETE FROM entries WHERE content = '` + wine + `' AND path = 'far'`, []string{wine + ": altered"}},
		{"no file left", `DELETE FROM entries WHERE content = '` + wine + `'`, []string{wine + ": altered"}},
		{"a path that leaves the folder", `UPDATE entries SET path = '../far' WHERE content = '` + wine + `' AND path = 'far'`, []string{wine + ": altered"}},
		{"a digest that is none", `UPDATE entries SET digest = 'sha256:x' WHERE content = '` + wine + `' AND path = 'far'`, []string{wine + ": altered"}},
		{"metadata", `UPDATE contents SET metadata = '{"n":3}' WHERE digest = '` + wine + `'`, []string{wine + ": altered"}},
		{"metadata that is no JSON", `UPDATE contents SET metadata = '{' WHERE digest = '` + wine + `'`, []string{wine + ": altered"}},
		{"a size", `UPDATE contents SET size = 7 WHERE digest = '` + wine + `'`, []string{wine + ": inconsistent"}},
		{
			"a content that is gone", `DELETE FROM contents WHERE digest = '` + wine + `'`,
			[]string{"p/wine:v0: missing", wine + " a/b.txt: missing", wine + " far: missing"},
		},
		{
			"a version that is gone", `DELETE FROM versions WHERE artifact = 'wine'`,
			[]string{"p/wine:champion: missing", "p/wine:v0: missing", "p/wine:v0: missing", "p/wine: missing"},
		},
		{
			"a version in between that is gone", `DELETE FROM versions WHERE artifact = 'model' AND number = 0`,
			[]string{"p/model:v0: missing", "p/model:v0: missing", "p/model: missing"},
		},
		{"an artifact that is gone", `DELETE FROM artifacts WHERE name = 'wine'`, []string{"p/wine:v0: missing"}},
		{"a counter that went back", `UPDATE artifacts SET next = 2 WHERE name = 'model'`, []string{"p/model: inconsistent"}},
		{"a type", `UPDATE artifacts SET type = 'model' WHERE name = 'wine'`, []string{"p/wine:v0: inconsistent"}},
		{"a name", `UPDATE artifacts SET name = 'wi/ne' WHERE name = 'wine'`, []string{"p/wine:v0: missing", "p/wi/ne: inconsistent", "p/wi/ne: missing"}},
		{"tags", `UPDATE versions SET tags = '"' WHERE artifact = 'wine'`, []string{"p/wine:v0: altered"}},
		{"an alias that looks like a number", `UPDATE aliases SET alias = 'v3' WHERE artifact = 'wine'`, []string{"p/wine:v3: inconsistent"}},
		{"an alias of nothing", `UPDATE aliases SET number = 9 WHERE artifact = 'wine'`, []string{"p/wine:champion: missing"}},
		{"an alias of a deleted version", `UPDATE versions SET deleted = 1 WHERE artifact = 'wine'`, []string{"p/wine:champion: inconsistent"}},
		{"a kind of edge", `UPDATE edges SET kind = 'liked' WHERE artifact = 'wine'`, []string{"run r0: inconsistent"}},
		{"an edge to nothing", `UPDATE edges SET number = 9 WHERE artifact = 'wine'`, []string{"p/wine:v9: missing"}},
		{"a statement of nothing", `UPDATE statements SET number = 9 WHERE artifact = 'wine'`, []string{"p/wine:v9: missing"}},
		{"an empty statement", `UPDATE statements SET envelope = '' WHERE artifact = 'wine'`, []string{"p/wine:v0: altered"}},
		{"the end of a run", `UPDATE runs SET finished = 0`, []string{"run r0: inconsistent", "run r0: inconsistent"}},
		{"the state of a run", `UPDATE runs SET state = 'asleep'`, []string{"run r0: inconsistent", "run r0: inconsistent"}},
		{"a run that did not begin and ended", `UPDATE runs SET state = 'pending'`, []string{"run r0: inconsistent", "run r0: inconsistent"}},
		{"the name of a run", `UPDATE runs SET name = 'other'`, []string{"run r0: inconsistent"}},
		{"the index of runs", `DELETE FROM run_tail`, []string{"run r0: inconsistent"}},
		{"a run that the index alone has", `UPDATE run_tail SET seq = 2000`, []string{"run r0: inconsistent", "runs: inconsistent"}},
		{"the number of a run", `UPDATE runs SET seq = NULL`, []string{"run r0: missing", "runs: inconsistent"}},
		{"bytes of the index of runs", `UPDATE run_tail SET data = 'zz'`, []string{"index of runs, 0: altered", "run r0: inconsistent"}},
		{"params that are no JSON", `UPDATE runs SET params = '{'`, []string{"run r0: altered"}},
		{"a word in the audit log", `UPDATE audit SET actor = 'eve' WHERE n = 5`, []string{"audit entry 5: altered"}},
		{"a hash in the audit log", `UPDATE audit SET hash = '` + other + `' WHERE n = 5`, []string{"audit entry 5: altered", "audit entry 6: altered"}},
		{"no JSON in the audit log", `UPDATE audit SET was = '' WHERE n = 5`, []string{"audit entry 5: altered"}},
		{"an entry of the audit log that is gone", `DELETE FROM audit WHERE n = 5`, []string{"audit entry 6: missing"}},
		{"the first entries of the audit log", `DELETE FROM audit WHERE n < 3`, []string{"audit entry 3: missing"}},
		{
			"an entry put in place of another",
			`UPDATE audit SET action = (SELECT b.action FROM audit b WHERE b.n = 6), subject = (SELECT b.subject FROM audit b WHERE b.n = 6),
				was = (SELECT b.was FROM audit b WHERE b.n = 6), became = (SELECT b.became FROM audit b WHERE b.n = 6),
				hash = (SELECT b.hash FROM audit b WHERE b.n = 6) WHERE n = 5`,
			[]string{"audit entry 5: altered", "audit entry 6: altered"},
		},
		{"the journal of deletions", `INSERT INTO deletions (digest, planned, size, done) VALUES ('x', 1, 1, 1)`, []string{"x: altered"}},
	}
	eachURL(t, func(t *testing.T, place string) {
		s := openURL(t, place)
		if err := s.Load(ctx, bytes.NewReader(sample(t))); err != nil {
			t.Fatal(err)
		}
		whole := snapshotOf(t, s, place)
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if strings.HasPrefix(place, "postgres://") && i%5 != 0 {
					return // a schema for each takes its time, and the queries are the same
				}
				s, place := whole(t)
				if tt.statement != "" {
					tamper(t, place, tt.statement)
				}
				if diff := cmp.Diff(tt.want, problems(t, s)); diff != "" {
					t.Errorf("want -, got +:\n%s", diff)
				}
			})
		}
	})
}

// snapshotOf returns what opens a copy of a store. Copies of a file are fast; a
// schema of a server is loaded anew.
func snapshotOf(t *testing.T, s solera.Store, place string) func(*testing.T) (solera.Store, string) {
	t.Helper()
	if strings.HasPrefix(place, "postgres://") {
		raw := dump(t, s)
		return func(t *testing.T) (solera.Store, string) {
			place := clustertest.Postgres(t)
			s := openURL(t, place)
			if err := s.Load(ctx, bytes.NewReader(raw)); err != nil {
				t.Fatal(err)
			}
			return s, place
		}
	}
	s.Close() // moves everything into the file
	raw, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) (solera.Store, string) {
		place := filepath.Join(t.TempDir(), "solera.db")
		if err := os.WriteFile(place, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		return openAt(t, place), place
	}
}

// A file that is damaged anywhere is reported as damaged or its records come
// back as they were: it never makes the program crash, and no error leaves the
// reader without a word of what to do.
func TestADamagedFileIsReported(t *testing.T) {
	place := filepath.Join(t.TempDir(), "whole.db")
	s := openAt(t, place)
	if err := s.Load(ctx, bytes.NewReader(sample(t))); err != nil {
		t.Fatal(err)
	}
	want := dump(t, s)
	s.Close()
	whole, err := os.ReadFile(place)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	random := rand.New(rand.NewPCG(1, 2))
	damages := map[string]func([]byte) []byte{
		"one page is left": func(b []byte) []byte { return b[:page] },
		"half a page":      func(b []byte) []byte { return b[:page/2] },
		"half is left":     func(b []byte) []byte { return b[:len(b)/2] },
		"the last byte":    func(b []byte) []byte { return b[:len(b)-1] },
	}
	for i := 0; i < len(whole)/page; i++ {
		damages[fmt.Sprintf("page %d is zero", i+1)] = func(b []byte) []byte { clear(b[i*page : (i+1)*page]); return b }
	}
	bits := 60 // SOLERA_TEST_DAMAGES: more
	if n, err := strconv.Atoi(os.Getenv("SOLERA_TEST_DAMAGES")); err == nil {
		bits = n
	} else if testing.Short() {
		bits = 10
	}
	for range bits {
		at, bit := random.IntN(len(whole)), random.IntN(8)
		damages[fmt.Sprintf("bit %d of byte %d", bit, at)] = func(b []byte) []byte { b[at] ^= 1 << bit; return b }
	}
	for range bits / 5 {
		at, n := random.IntN(len(whole)), 1+random.IntN(2*page)
		damages[fmt.Sprintf("%d random bytes from %d", n, at)] = func(b []byte) []byte {
			for i := at; i < min(at+n, len(b)); i++ {
				b[i] = byte(random.Uint32())
			}
			return b
		}
	}
	for _, name := range []string{"version_id", "params", "host", "heads"} { // in the text of the schema
		at := bytes.Index(whole, []byte(name))
		damages["a letter of "+name] = func(b []byte) []byte { b[at+1] ^= 1; return b }
	}
	folder := t.TempDir()
	noticed := 0
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			place := filepath.Join(folder, strings.ReplaceAll(name, " ", "-"))
			if err := os.WriteFile(place, damage(bytes.Clone(whole)), 0o666); err != nil {
				t.Fatal(err)
			}
			what := examine(t, place, want)
			if what != "" {
				noticed++
			}
			if (strings.Contains(name, "left") || strings.Contains(name, "zero")) && what == "" {
				t.Error("nothing was noticed")
			}
			os.Remove(place)
		})
	}
	t.Logf("%d of %d damages were noticed", noticed, len(damages))
}

// examine does everything that can be done with a file and returns what
// was found wrong with it, or "".
func examine(t *testing.T, place string, want []byte) (what string) {
	t.Helper()
	kind := func(doing string, err error) {
		if err == nil {
			return
		}
		what = doing
		if !errors.Is(err, solera.ErrCorrupt) && !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: %v; want a damage or a refusal", doing, err)
		}
	}
	s, err := store.OpenSQLite(ctx, place)
	if err != nil {
		kind("open", err)
		return what
	}
	defer s.Close()
	if err := s.Check(ctx, func(p solera.Problem) { what = p.Detail }); err != nil {
		kind("check", err)
	}
	var b bytes.Buffer
	switch err := s.Dump(ctx, &b); {
	case err != nil:
		kind("dump", err)
	case !bytes.Equal(b.Bytes(), want):
		// Nothing guards a note that a person wrote; contents, points and the
		// log are guarded.
		what += " the dump differs"
	}
	kind("update", s.Update(ctx, func(tx solera.Tx) error {
		return tx.CreateRun(solera.Run{ID: "new", Project: "p", State: solera.Running, Created: 1})
	}))
	_, err = s.Append(ctx, "new", []solera.Point{{Key: "k", Value: 1}})
	if !errors.Is(err, solera.ErrNotFound) { // of the run that could not be created
		kind("append", err)
	}
	return what
}
