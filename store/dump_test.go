package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/clustertest"
)

// fill writes something of every kind into a store, as rt draws it.
func fill(t testing.TB, rt *rapid.T, s solera.Store) {
	text := rapid.StringMatching(`[a-z "'\\<&é漢\n]{0,12}`)
	moment := rapid.Int64Range(-1<<40, 1<<52)
	digest := rapid.Custom(func(rt *rapid.T) solera.Digest {
		return solera.DigestOf([]byte{rapid.Byte().Draw(rt, "digest")})
	})
	fields := func() solera.Fields {
		return solera.Fields{
			text.Draw(rt, "field"): rapid.Float64().Draw(rt, "number"),
			"n":                    rapid.Uint64().Draw(rt, "integer"), "o": map[string]any{"t": text.Draw(rt, "nested"), "z": nil},
		}
	}
	actor := solera.WithActor(ctx, "ana@"+text.Draw(rt, "host"))
	change := func(fn func(solera.Tx) error) {
		t.Helper()
		if err := s.Update(actor, fn); err != nil {
			rt.Fatal(err)
		}
	}
	runs := rapid.IntRange(1, 3).Draw(rt, "runs")
	for i := range runs {
		run := solera.Run{
			ID: solera.RunID(fmt.Sprintf("r%d", i)), Name: text.Draw(rt, "name"), Project: "p", Stage: "train", State: solera.Finished,
			Params: fields(), Summary: fields(), Environment: fields(), Tags: []string{text.Draw(rt, "tag")}, Notes: text.Draw(rt, "notes"),
			Recipe: digest.Draw(rt, "recipe"), Group: text.Draw(rt, "group"), Created: solera.Micros(moment.Draw(rt, "created")), Finished: 3,
			Deleted: solera.Micros(moment.Draw(rt, "deleted")),
			Sweep:   text.Draw(rt, "sweep"), Stopping: solera.Micros(moment.Draw(rt, "stopping")),
		}
		change(func(tx solera.Tx) error {
			if err := tx.CreateRun(run); err != nil {
				return err
			}
			return tx.SetFile(run.ID, solera.Entry{Path: "diff.patch", Digest: digest.Draw(rt, "diff"), Size: 9, MD5: strings.Repeat("0a", 16)})
		})
		if rapid.Bool().Draw(rt, "alive") {
			if err := s.Beat(ctx, run.ID); err != nil {
				rt.Fatal(err)
			}
		}
		lines := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) solera.Line {
			return solera.Line{
				N: rapid.Int64Range(0, 9).Draw(rt, "n"), Stream: rapid.SampledFrom([]string{"out", "err"}).Draw(rt, "stream"),
				Text: text.Draw(rt, "text"), Time: solera.Micros(moment.Draw(rt, "time")),
			}
		}), 0, 5).Draw(rt, "lines")
		if err := s.Print(ctx, run.ID, lines); err != nil {
			rt.Fatal(err)
		}
		for range rapid.IntRange(0, 4).Draw(rt, "batches") {
			batch := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) solera.Point {
				value := rapid.OneOf(rapid.Float64(), rapid.SampledFrom([]float64{math.NaN(), math.Inf(1), math.Inf(-1), 0, 5e-324}))
				return solera.Point{
					Key:  rapid.SampledFrom([]string{"loss", "val/loss", "ü \"'"}).Draw(rt, "key"),
					Step: rapid.Int64().Draw(rt, "step"), Value: value.Draw(rt, "value"), Time: solera.Micros(rapid.Int64().Draw(rt, "at")),
				}
			}), 1, 20).Draw(rt, "points")
			if _, err := s.Append(ctx, run.ID, batch); err != nil {
				rt.Fatal(err)
			}
		}
		sent := int64(0)
		for range rapid.IntRange(0, 3).Draw(rt, "reports") {
			b := solera.Batch{Run: run.ID, Source: text.Draw(rt, "source") + "s", Count: rapid.Int64Range(0, 1<<40).Draw(rt, "count")}
			b.Source, b.From = strings.ReplaceAll(b.Source, "\n", ""), 0
			if n, err := s.Position(ctx, run.ID, b.Source); err != nil {
				rt.Fatal(err)
			} else {
				b.From = n
			}
			for range rapid.IntRange(0, 3).Draw(rt, "items") {
				value, err := fields().MarshalJSON()
				if err != nil {
					rt.Fatal(err)
				}
				b.Items = append(b.Items, solera.Item{
					Key: text.Draw(rt, "item") + "i", Step: rapid.Int64Range(-2, 2).Draw(rt, "step"), Value: value, Time: solera.Micros(moment.Draw(rt, "at")),
				})
			}
			if rapid.Bool().Draw(rt, "summarize") {
				b.Summary = fields()
			}
			if _, err := s.Report(ctx, b); err != nil {
				rt.Fatal(err)
			}
			sent += b.Count
		}
		if rapid.IntRange(0, 3).Draw(rt, "rewind") == 0 {
			change(func(tx solera.Tx) error {
				return errors.Join(tx.Rewind(run.ID, func(_ string, step int64, _ solera.Micros) bool { return step < 0 }), tx.SetPosition(run.ID, "history", sent))
			})
		}
	}
	var made []solera.VersionID
	for range rapid.IntRange(0, 6).Draw(rt, "versions") {
		v := draft(rapid.SampledFrom([]string{"wine", "model"}).Draw(rt, "artifact"), text.Draw(rt, "content"))
		v.Metadata = fields()
		v.Files = append(v.Files, solera.Entry{Path: "far", Digest: digest.Draw(rt, "far"), Ref: "https://host/" + "far"})
		tag := text.Draw(rt, "etag") + "e"
		tag = strings.ReplaceAll(tag, "\n", "")
		v.Files = append(v.Files, solera.Entry{Path: "there", Digest: solera.DigestOf([]byte(tag)), Ref: "gs://bucket/there", ETag: tag, Extra: `{"a":"<"}`})
		v.Digest, _ = solera.ContentDigest(v.Type, v.Metadata, v.Files)
		v.Run = solera.RunID(fmt.Sprintf("r%d", rapid.IntRange(0, runs-1).Draw(rt, "maker")))
		v.Tags, v.Description, v.Expires = []string{"x", "a"}, text.Draw(rt, "description"), solera.Micros(moment.Draw(rt, "expires"))
		change(func(tx solera.Tx) error {
			created, err := tx.CreateVersion(v)
			if err != nil {
				return err
			}
			made = append(made, created.ID())
			return errors.Join(
				tx.AddEdge(solera.Edge{Run: v.Run, Version: created.ID(), Kind: solera.Made}),
				tx.SetAlias(created.ID(), rapid.SampledFrom([]string{"best", "champion"}).Draw(rt, "alias")),
				tx.SetStatement(created.ID(), []byte(text.Draw(rt, "envelope")+"\x00\xff")),
				tx.AddKey(solera.SigningKey{ID: text.Draw(rt, "key") + "k", Public: "pem", Owner: "ana", Created: 4}),
			)
		})
	}
	for range rapid.IntRange(0, 2).Draw(rt, "documents") {
		change(func(tx solera.Tx) error {
			_, err := tx.SetDocument(solera.Document{Kind: rapid.SampledFrom([]string{"user", "view"}).Draw(rt, "kind"), ID: rapid.StringMatching(`[a-zé漢"/ ]{1,9}`).Draw(rt, "id"), Body: fields()})
			return err
		})
	}
	if len(made) > 0 && rapid.Bool().Draw(rt, "delete") {
		change(func(tx solera.Tx) error {
			v, err := tx.Version(rapid.SampledFrom(made).Draw(rt, "deleted version"))
			if err != nil {
				return err
			}
			v.Deleted = 5
			return errors.Join(tx.UpdateVersion(v), tx.SetDeletion(solera.Deletion{Digest: digest.Draw(rt, "gone"), Size: 3, Planned: 4}))
		})
	}
}

func dump(t testing.TB, s solera.Store) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.Dump(ctx, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// What was dumped and loaded is the same store, whichever the databases: its
// dump has the same bytes, and its records read the same.
func TestDumpAndLoadLoseNothing(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		left := 8 // a new store takes its time
		if testing.Short() {
			left = 2
		}
		rapid.Check(t, func(rt *rapid.T) {
			if left--; left < 0 {
				return
			}
			folder, err := os.MkdirTemp(t.TempDir(), "")
			if err != nil {
				rt.Fatal(err)
			}
			from := openAt(t, filepath.Join(folder, "from.db"))
			fill(t, rt, from)
			first := dump(t, from)
			middle := openURL(t, freshURL(t, url, folder))
			if err := middle.Load(ctx, bytes.NewReader(first)); err != nil {
				rt.Fatal(err)
			}
			second := dump(t, middle)
			sameBytes(rt, second, first)
			to := openAt(t, filepath.Join(folder, "to.db"))
			if err := to.Load(ctx, onlyReader{bytes.NewReader(second)}); err != nil {
				rt.Fatal(err)
			}
			sameBytes(rt, dump(t, to), first)
			sameStore(t, to, from)
		})
	})
}

type onlyReader struct{ io.Reader }

func sameBytes(rt *rapid.T, got, want []byte) {
	if bytes.Equal(got, want) {
		return
	}
	a, b := strings.Split(string(got), "\n"), strings.Split(string(want), "\n")
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			rt.Fatalf("line %d differs: got\n%s\nwant\n%s", i+1, a[i], b[i])
		}
	}
	rt.Fatalf("got %d lines, want %d", len(a), len(b))
}

// sameStore compares what two stores answer.
func sameStore(t *testing.T, got, want solera.Store) {
	t.Helper()
	sameJSON(t, answers(t, got), answers(t, want))
}

// answers asks a store for everything that it has.
func answers(t *testing.T, s solera.Store) map[string]any {
	t.Helper()
	var all map[string]any
	var runs []solera.Run
	view(t, s, func(tx solera.Tx) error {
		all = make(map[string]any)
		var err error
		keep := func(name string, v any, e error) { all[name], err = v, errors.Join(err, e) }
		runs, err = tx.Runs(solera.RunQuery{Deleted: true})
		all["runs"] = runs
		artifacts, e := tx.Artifacts("")
		keep("artifacts", artifacts, e)
		versions, e := tx.Versions(solera.VersionQuery{Files: true, Deleted: true})
		keep("versions", versions, e)
		edges, e := tx.Edges(solera.EdgeQuery{})
		keep("edges", edges, e)
		for _, v := range versions {
			statement, e := tx.Statement(v.ID())
			if errors.Is(e, solera.ErrNotFound) {
				e = nil
			}
			keep("statement "+v.ID().String(), statement, e)
		}
		keys, e := tx.SigningKeys()
		keep("keys", keys, e)
		deletions, e := tx.Deletions(false)
		keep("deletions", deletions, e)
		for _, kind := range []string{"user", "view"} {
			documents, e := tx.Documents(kind)
			keep("documents "+kind, documents, e)
		}
		audit, e := tx.Audit(solera.AuditQuery{})
		keep("audit", audit, e)
		for _, r := range runs {
			files, e := tx.RunFiles(r.ID)
			keep("files "+string(r.ID), files, e)
		}
		return err
	})
	for _, r := range runs {
		points, next, err := s.Since(ctx, r.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		items, err := s.Items(ctx, solera.ItemQuery{Run: r.ID})
		if err != nil {
			t.Fatal(err)
		}
		all["items "+string(r.ID)] = items
		history, err := s.Position(ctx, r.ID, "history")
		if err != nil {
			t.Fatal(err)
		}
		all["history "+string(r.ID)] = history
		lines, err := s.Lines(ctx, r.ID, 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := s.Keys(ctx, r.ID)
		if err != nil {
			t.Fatal(err)
		}
		all["lines "+string(r.ID)] = lines
		series := make(map[string][]solera.Point)
		for _, key := range keys {
			if series[key], err = s.Series(ctx, solera.SeriesQuery{Run: r.ID, Key: key}); err != nil {
				t.Fatal(err)
			}
		}
		all["run "+string(r.ID)] = map[string]any{"points": points, "next": next, "keys": keys, "series": series}
	}
	return all
}

// freshURL returns the place of another new store of the same kind.
func freshURL(t *testing.T, url, folder string) string {
	if strings.HasPrefix(url, "postgres://") {
		return clustertest.Postgres(t)
	}
	return filepath.Join(folder, "middle.db")
}

// sample is a small store that always is the same.
func sample(t testing.TB) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "sample.dump"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestLoadRefusesAStoreThatHoldsAnything(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		if err := s.Load(ctx, bytes.NewReader(sample(t))); err != nil {
			t.Fatal(err)
		}
		before := dump(t, s)
		wantErr(t, s.Load(ctx, bytes.NewReader(sample(t))), solera.ErrConflict)
		if !bytes.Equal(dump(t, s), before) {
			t.Error("the refused load changed the store")
		}
	})
}

// A dump that lost or gained anything is refused, and nothing of it is stored.
func TestLoadRefusesADamagedDump(t *testing.T) {
	whole := sample(t)
	lines := strings.SplitAfter(string(whole), "\n")
	edit := func(old, new string) string {
		if !strings.Contains(string(whole), old) {
			t.Fatalf("the sample has no %s", old)
		}
		return strings.Replace(string(whole), old, new, 1)
	}
	tests := []struct {
		name, dump string
		kind       error
	}{
		{"nothing", "", solera.ErrInvalid},
		{"a table", "a,b\n1,2\n", solera.ErrInvalid},
		{"a picture", "\x89PNG\r\n\x1a\n\x00\x00", solera.ErrInvalid},
		{"other JSON", "{}\n", solera.ErrInvalid},
		{"no line end at all", strings.Repeat("x", 100_000), solera.ErrInvalid},
		{"a newer format", edit(`"dump":1`, `"dump":2`), solera.ErrInvalid},
		{"a newer schema", edit(`"schema":`, `"schema":9`), solera.ErrInvalid},
		{"no format", edit(`"dump":1`, `"dump":0`), solera.ErrCorrupt},
		{"the header alone", lines[0], solera.ErrCorrupt},
		{"no end", strings.Join(lines[:len(lines)-2], ""), solera.ErrCorrupt},
		{"half of a line", string(whole[:len(whole)/2]), solera.ErrCorrupt},
		{"no last line end", string(whole[:len(whole)-1]), solera.ErrCorrupt},
		{"two dumps", string(whole) + string(whole), solera.ErrCorrupt},
		{"a digit changed", edit(`"size":1`, `"size":2`), solera.ErrCorrupt},
		{"a field too many", edit(`{"run":{`, `{"run":{"new":1,`), solera.ErrCorrupt},
		{"two records in a line", edit(`{"run":{`, `{"end":{"lines":{}},"run":{`), solera.ErrCorrupt},
		{"something after a record", edit("}}\n", "}} {}\n"), solera.ErrCorrupt},
		{"an empty line", edit("\n", "\n\n"), solera.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := openSQLite(t)
			err := s.Load(ctx, strings.NewReader(tt.dump))
			wantErr(t, err, tt.kind)
			if err != nil && !strings.Contains(err.Error(), "line ") {
				t.Errorf("the error names no line: %v", err)
			}
			if err := s.Load(ctx, bytes.NewReader(whole)); err != nil {
				t.Errorf("the store was not left empty: %v", err)
			}
		})
	}
}

func TestDumpReportsWhereItCouldNotWrite(t *testing.T) {
	s := openSQLite(t)
	if err := s.Load(ctx, bytes.NewReader(sample(t))); err != nil {
		t.Fatal(err)
	}
	full := errors.New("disk full")
	calls := 0
	err := s.Dump(ctx, failingWriter{full}, func(solera.Tx) error { calls++; return nil })
	wantErr(t, err, full)
	if calls != 1 {
		t.Errorf("the dump was tried %d times, want once", calls)
	}
	wantErr(t, s.Dump(ctx, io.Discard, func(solera.Tx) error { return full }), full)
	wantErr(t, openSQLite(t).Load(ctx, io.MultiReader(strings.NewReader(`{"sol`), failingReader{full})), full)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	wantErr(t, s.Dump(cancelled, io.Discard), context.Canceled)
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

type failingReader struct{ err error }

func (r failingReader) Read([]byte) (int, error) { return 0, r.err }

// A dump is of one moment, and what is called within it sees that moment too.
func TestDumpIsOfOneMoment(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		createRun(t, s, solera.Run{ID: "before"})
		var b bytes.Buffer
		err := s.Dump(ctx, &b, func(tx solera.Tx) error {
			if _, err := tx.Runs(solera.RunQuery{}); err != nil { // the moment begins
				return err
			}
			createRun(t, s, solera.Run{ID: "meanwhile"})
			runs, err := tx.Runs(solera.RunQuery{})
			if len(runs) != 1 {
				t.Errorf("got %d runs within the dump, want 1", len(runs))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "meanwhile") {
			t.Error("the dump has what came after its moment")
		}
	})
}

// More of everything than one line or one statement takes.
func TestALargeStoreIsDumpedAndLoadedInBatches(t *testing.T) {
	eachDatabase(t, func(t *testing.T, to solera.Store) {
		from := openSQLite(t)
		createRun(t, from, solera.Run{ID: "r", State: solera.Running})
		points := make([]solera.Point, 2_345)
		for i := range points {
			points[i] = solera.Point{Key: []string{"a", "b"}[i%2], Step: int64(i), Value: float64(i) / 3}
		}
		lines := make([]solera.Line, 1_234)
		for i := range lines {
			lines[i] = solera.Line{Stream: "out", Text: fmt.Sprint(i)}
		}
		if _, err := from.Append(ctx, "r", points); err != nil {
			t.Fatal(err)
		}
		if err := from.Print(ctx, "r", lines); err != nil {
			t.Fatal(err)
		}
		v := draft("wine", "x")
		for i := range 1_234 {
			v.Files = append(v.Files, solera.Entry{Path: fmt.Sprint("f", i), Digest: solera.DigestOf(nil)})
		}
		v.Digest, _ = solera.ContentDigest(v.Type, v.Metadata, v.Files)
		commit(t, from, v)
		for i := range 600 {
			commit(t, from, draft("many", fmt.Sprint(i%3)))
		}
		raw := dump(t, from)
		if err := to.Load(ctx, bytes.NewReader(raw)); err != nil {
			t.Fatal(err)
		}
		sameStore(t, to, from)
		if !bytes.Equal(dump(t, to), raw) {
			t.Error("dumped again it is something else")
		}
		if found := problems(t, to); len(found) > 0 {
			t.Errorf("Check found %q", found)
		}
	})
}
