package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/store"
)

func TestReport(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, solera.Store)
	}{
		{"a batch is stored whole", reportWhole},
		{"a batch is stored once", reportOnce},
		{"a batch that is refused leaves nothing", reportRefused},
		{"a summary is found and leaves no entry in the audit log", reportSummary},
		{"items are chosen by key, step and number", itemQueries},
		{"a run forgets what comes after a step", rewind},
		{"a position can be set", setPosition},
		{"a run's sweep and its stopping are found", sweepFields},
		{"what clients say of a file is kept", marksOfFiles},
		{"removing a run removes what it reported", removeReported},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { eachDatabase(t, tt.run) })
	}
}

func report(t testing.TB, s solera.Store, b solera.Batch) int64 {
	t.Helper()
	last, err := s.Report(ctx, b)
	if err != nil {
		t.Fatal(err)
	}
	return last
}

func wantPosition(t *testing.T, s solera.Store, run solera.RunID, source string, want int64) {
	t.Helper()
	if n, err := s.Position(ctx, run, source); err != nil || n != want {
		t.Errorf("position of %s: got %d, %v, want %d", source, n, err, want)
	}
}

func itemsOf(t *testing.T, s solera.Store, q solera.ItemQuery) string {
	t.Helper()
	list, err := s.Items(ctx, q)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range list {
		out = append(out, fmt.Sprintf("%d:%s@%d=%s", i.N, i.Key, i.Step, i.Value))
	}
	return strings.Join(out, " ")
}

func runOf(t *testing.T, s solera.Store, id solera.RunID) (r solera.Run) {
	t.Helper()
	view(t, s, func(tx solera.Tx) (err error) {
		r, err = tx.Run(id)
		return err
	})
	return r
}

func reportWhole(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r", State: solera.Running})
	points := []solera.Point{{Key: "loss", Step: 0, Value: 1, Time: 5}, {Key: "loss", Step: 1, Value: math.NaN(), Time: 6}}
	last := report(t, s, solera.Batch{
		Run: "r", Points: points, Lines: []solera.Line{{N: 3, Stream: "out", Text: "hello"}},
		Items:   []solera.Item{{Key: "note", Step: 1, Value: json.RawMessage("{ \"a\" : \"<b>\" }"), Time: 7}, {Key: "flag", Step: 1, Value: json.RawMessage("true")}},
		Summary: solera.Fields{"loss": 0.5}, Beat: true, Source: "history", From: 0, Count: 2,
	})
	if last != 2 {
		t.Errorf("the last point has the number %d", last)
	}
	got, next, err := s.Since(ctx, "r", 0, 0)
	if err != nil || next != 2 {
		t.Fatal(next, err)
	}
	wantPoints(t, "points", got, points)
	if got := itemsOf(t, s, solera.ItemQuery{Run: "r"}); got != `1:note@1={"a":"<b>"} 2:flag@1=true` {
		t.Errorf("items: %s", got)
	}
	lines, err := s.Lines(ctx, "r", 0, 0)
	if err != nil || len(lines) != 1 || lines[0].Text != "hello" || lines[0].N != 3 {
		t.Errorf("lines: %v, %v", lines, err)
	}
	run := runOf(t, s, "r")
	if v, _ := run.Summary.Float("loss"); v != 0.5 || run.Heartbeat == 0 {
		t.Errorf("summary %v, heartbeat %v", run.Summary, run.Heartbeat)
	}
	wantPosition(t, s, "r", "history", 2)
	if last := report(t, s, solera.Batch{Run: "r"}); last != 2 {
		t.Errorf("an empty batch: %d", last)
	}
	if last := report(t, s, solera.Batch{Run: "r", Beat: true}); last != 2 {
		t.Errorf("a batch that only beats: %d", last)
	}
	if keys, err := s.ItemKeys(ctx, "r"); err != nil || !slices.Equal(keys, []string{"flag", "note"}) {
		t.Errorf("keys of items: %q, %v", keys, err)
	}
	if _, err := s.Report(ctx, solera.Batch{Run: "none", Source: "x", Count: 1, Beat: true}); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("a run that is not there: %v", err)
	}
	for name, b := range map[string]solera.Batch{
		"points": {Points: points}, "lines of a source": {Source: "x", From: 3, Count: 1}, "a summary": {Summary: solera.Fields{}}, "nothing": {},
	} {
		b.Run = "none"
		if _, err := s.Report(ctx, b); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%s of a run that is not there: %v", name, err)
		}
	}
}

func reportOnce(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	batch := func(from, count int64) solera.Batch {
		b := solera.Batch{Run: "r", Source: "history", From: from, Count: count, Beat: true}
		for i := range count {
			b.Points = append(b.Points, solera.Point{Key: "k", Step: from + i})
			b.Items = append(b.Items, solera.Item{Key: "i", Step: from + i, Value: json.RawMessage("0")})
			b.Lines = append(b.Lines, out(0, "x"))
		}
		return b
	}
	report(t, s, batch(0, 3))
	beat := runOf(t, s, "r").Heartbeat
	for _, from := range []int64{0, 2, 4, 1 << 40} {
		_, err := s.Report(ctx, batch(from, 3))
		wantErr(t, err, solera.ErrConflict)
		if err != nil && !strings.Contains(err.Error(), "there are 3 lines") {
			t.Errorf("the error does not say where to go on: %v", err)
		}
	}
	if last, _ := s.Last(ctx, "r"); last != 3 {
		t.Errorf("%d points are there", last)
	}
	if now := runOf(t, s, "r").Heartbeat; now != beat {
		t.Error("a refused batch beat")
	}
	if lines, _ := s.Lines(ctx, "r", 0, 0); len(lines) != 3 {
		t.Errorf("%d lines are there", len(lines))
	}
	report(t, s, batch(3, 2))
	report(t, s, solera.Batch{Run: "r", Source: "events", From: 0, Count: 7})
	wantPosition(t, s, "r", "history", 5)
	wantPosition(t, s, "r", "events", 7)
	wantPosition(t, s, "r", "other", 0)
	wantPosition(t, s, "none", "history", 0)
}

func reportRefused(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	item := func(key, value string) solera.Item { return solera.Item{Key: key, Value: json.RawMessage(value)} }
	huge := `"` + strings.Repeat("x", solera.MaxItem) + `"`
	for name, b := range map[string]solera.Batch{
		"key of a point":       {Points: []solera.Point{{Key: "ok"}, {Key: ""}}},
		"key of an item":       {Items: []solera.Item{item("a\x00", "1")}},
		"long key":             {Items: []solera.Item{item(strings.Repeat("k", 1025), "1")}},
		"no value":             {Items: []solera.Item{item("a", "")}},
		"no JSON":              {Items: []solera.Item{item("ok", "1"), item("a", "{")}},
		"NaN":                  {Items: []solera.Item{item("a", "NaN")}},
		"no UTF-8":             {Items: []solera.Item{item("a", "\"\xff\"")}},
		"too much":             {Items: []solera.Item{item("a", huge)}},
		"stream of a line":     {Lines: []solera.Line{{Stream: "log"}}},
		"number of a line":     {Lines: []solera.Line{{N: -1, Stream: "out"}}},
		"summary":              {Summary: solera.Fields{"f": func() {}}},
		"count without source": {Count: 1},
		"from without source":  {From: 1},
		"negative count":       {Source: "s", Count: -1},
		"negative from":        {Source: "s", From: -1},
		"too many lines":       {Source: "s", From: math.MaxInt64, Count: 1},
		"source":               {Source: "a\nb"},
		"long source":          {Source: strings.Repeat("s", 257)},
	} {
		b.Run = "r"
		b.Points = append([]solera.Point{{Key: "first"}}, b.Points...)
		if _, err := s.Report(ctx, b); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if last, err := s.Last(ctx, "r"); err != nil || last != 0 {
		t.Errorf("%d points are there, %v", last, err)
	}
	if got := itemsOf(t, s, solera.ItemQuery{Run: "r"}); got != "" {
		t.Errorf("items are there: %s", got)
	}
	// What is as large as allowed is stored.
	report(t, s, solera.Batch{Run: "r", Items: []solera.Item{item("a", huge[:solera.MaxItem-1]+`"`)}})
}

func reportSummary(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r", State: solera.Running, Summary: solera.Fields{"old": 1}})
	createRun(t, s, solera.Run{ID: "q", State: solera.Running, Summary: solera.Fields{"val": map[string]any{"acc": 0.1}}})
	log := func() (n int) {
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Audit(solera.AuditQuery{})
			n = len(list)
			return err
		})
		return n
	}
	before := log()
	for i := range 300 { // more than the tail of the index holds
		report(t, s, solera.Batch{Run: "r", Summary: solera.Fields{"val": map[string]any{"acc": float64(i) / 1000}, fmt.Sprint("k", i): i}})
	}
	report(t, s, solera.Batch{Run: "r", Summary: solera.Fields{"val": map[string]any{"acc": 0.9}}})
	if now := log(); now != before {
		t.Errorf("the audit log has %d entries more", now-before)
	}
	for condition, want := range map[string]string{
		"summary.val.acc > 0.5": "r", "summary.val.acc < 0.5": "q", "summary.old IS NOT NULL": "", "summary.k7 IS NOT NULL": "",
	} {
		where, err := solera.ParseExpr(condition)
		if err != nil {
			t.Fatal(err)
		}
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Runs(solera.RunQuery{Where: where})
			var ids []string
			for _, r := range list {
				ids = append(ids, string(r.ID))
			}
			if got := strings.Join(ids, " "); got != want {
				t.Errorf("%s: got %q, want %q", condition, got, want)
			}
			return err
		})
	}
	report(t, s, solera.Batch{Run: "r", Summary: solera.Fields{}})
	if got := runOf(t, s, "r").Summary; len(got) != 0 {
		t.Errorf("an empty summary did not take the place of the old: %v", got)
	}
	if found := problems(t, s); len(found) > 0 {
		t.Errorf("Check found %q", found)
	}
}

func itemQueries(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	createRun(t, s, solera.Run{ID: "other"})
	var items []solera.Item
	for i := range 6 {
		items = append(items, solera.Item{Key: string('a' + rune(i%2)), Step: int64(i / 2), Value: json.RawMessage(fmt.Sprint(i))})
	}
	report(t, s, solera.Batch{Run: "r", Items: items})
	report(t, s, solera.Batch{Run: "other", Items: items[:1]})
	for _, tt := range []struct {
		name string
		q    solera.ItemQuery
		want string
	}{
		{"all", solera.ItemQuery{}, "1:a@0=0 2:b@0=1 3:a@1=2 4:b@1=3 5:a@2=4 6:b@2=5"},
		{"key", solera.ItemQuery{Key: "b"}, "2:b@0=1 4:b@1=3 6:b@2=5"},
		{"steps", solera.ItemQuery{Steps: &solera.StepRange{From: 1, To: 1}}, "3:a@1=2 4:b@1=3"},
		{"after", solera.ItemQuery{After: 4}, "5:a@2=4 6:b@2=5"},
		{"limit", solera.ItemQuery{Key: "a", After: 1, Limit: 1}, "3:a@1=2"},
		{"nothing", solera.ItemQuery{Key: "c"}, ""},
	} {
		tt.q.Run = "r"
		if got := itemsOf(t, s, tt.q); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
	if got := itemsOf(t, s, solera.ItemQuery{Run: "none"}); got != "" {
		t.Errorf("a run that is not there: %s", got)
	}
}

func rewind(t *testing.T, s solera.Store) {
	s.(*store.DB).SetLayout(7, 8, 16, 64, 6)
	createRun(t, s, solera.Run{ID: "r"})
	createRun(t, s, solera.Run{ID: "none", State: solera.Running})
	var want []solera.Point
	for step := range int64(60) {
		batch := solera.Batch{Run: "r", Items: []solera.Item{{Key: "i", Step: step, Value: json.RawMessage("0")}}}
		for _, key := range []string{"a", "b", fmt.Sprint("k", step)} {
			p := solera.Point{Key: key, Step: step, Value: float64(step), Time: solera.Micros(step)}
			batch.Points = append(batch.Points, p)
			if step <= 20 {
				want = append(want, p)
			}
		}
		report(t, s, batch)
	}
	upTo := func(last int64) func(string, int64, solera.Micros) bool {
		return func(_ string, step int64, _ solera.Micros) bool { return step <= last }
	}
	update(t, s, func(tx solera.Tx) error { return tx.Rewind("r", upTo(100)) })
	if got := runOf(t, s, "r").Rewound; got != 0 {
		t.Errorf("nothing was forgotten, and the run was rewound at %v", got)
	}
	err := s.Update(ctx, func(tx solera.Tx) error {
		return errors.Join(tx.Rewind("r", upTo(20)), errors.New("no"))
	})
	if last, _ := s.Last(ctx, "r"); err == nil || last != 180 {
		t.Errorf("what was not committed left %d points, %v", last, err)
	}
	update(t, s, func(tx solera.Tx) error { return tx.Rewind("r", upTo(20)) })
	wantPoints(t, "what stays", followed(t, s, "r", 10), want)
	if got := runOf(t, s, "r").Rewound; got == 0 {
		t.Error("the run is not said to be rewound")
	}
	if keys, err := s.Keys(ctx, "r"); err != nil || len(keys) != 23 {
		t.Errorf("%d metrics are there, %v", len(keys), err)
	}
	if items, _ := s.Items(ctx, solera.ItemQuery{Run: "r"}); len(items) != 21 {
		t.Errorf("%d items are there", len(items))
	}
	// It goes on as if nothing had been.
	more := solera.Point{Key: "a", Step: 21, Value: -1, Time: 1}
	if last := report(t, s, solera.Batch{Run: "r", Points: []solera.Point{more}}); last != int64(len(want))+1 {
		t.Errorf("the next point has the number %d", last)
	}
	wantPoints(t, "after", followed(t, s, "r", 10), append(want, more))
	update(t, s, func(tx solera.Tx) error { return tx.Rewind("r", upTo(-1)) })
	if last, err := s.Last(ctx, "r"); last != 0 || err != nil {
		t.Errorf("of nothing the last has the number %d, %v", last, err)
	}
	update(t, s, func(tx solera.Tx) error { return tx.Rewind("none", upTo(0)) })
	wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.Rewind("x", upTo(0)) }), solera.ErrNotFound)
	if err := s.(*store.DB).CheckPoints(ctx, func(p solera.Problem) { t.Errorf("problem: %+v", p) }); err != nil {
		t.Fatal(err)
	}
}

func setPosition(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	report(t, s, solera.Batch{Run: "r", Source: "history", Count: 9})
	update(t, s, func(tx solera.Tx) error { return tx.SetPosition("r", "history", 4) })
	wantPosition(t, s, "r", "history", 4)
	report(t, s, solera.Batch{Run: "r", Source: "history", From: 4, Count: 1})
	for name, fn := range map[string]func(solera.Tx) error{
		"negative": func(tx solera.Tx) error { return tx.SetPosition("r", "history", -1) },
		"source":   func(tx solera.Tx) error { return tx.SetPosition("r", "", 1) },
	} {
		if err := s.Update(ctx, fn); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantErr(t, s.Update(ctx, func(tx solera.Tx) error { return tx.SetPosition("none", "s", 1) }), solera.ErrNotFound)
}

func sweepFields(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "a", State: solera.Running, Sweep: "s1", Created: 1})
	createRun(t, s, solera.Run{ID: "b", State: solera.Running, Sweep: "s2", Created: 2, Stopping: 5})
	createRun(t, s, solera.Run{ID: "c", State: solera.Running, Created: 3})
	for name, q := range map[string]solera.RunQuery{
		"a: by its sweep":       {Sweep: "s1"},
		"a: and its project":    {Sweep: "s1", Project: "p"},
		"a: by a condition":     {Where: solera.Expr{Op: solera.Equal, Field: "sweep", Values: []any{"s1"}}},
		"b: by its stopping":    {Where: solera.Expr{Op: solera.Exists, Field: "stopping"}},
		"b: when it was to end": {Where: solera.Expr{Op: solera.Less, Field: "stopping", Values: []any{"2026-01-01"}}},
	} {
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Runs(q)
			if len(list) != 1 || string(list[0].ID) != name[:1] {
				t.Errorf("%s: got %v", name, list)
			}
			n, countErr := tx.CountRuns(q)
			if n != 1 {
				t.Errorf("%s: %d are counted", name, n)
			}
			return errors.Join(err, countErr)
		})
	}
	update(t, s, func(tx solera.Tx) error {
		r, err := tx.Run("a")
		r.Stopping, r.Sweep, r.Rewound = 7, "s3", 9
		return errors.Join(err, tx.UpdateRun(r))
	})
	if r := runOf(t, s, "a"); r.Stopping != 7 || r.Sweep != "s3" || r.Rewound != 0 {
		t.Errorf("got stopping %d, sweep %s, rewound %d", r.Stopping, r.Sweep, r.Rewound)
	}
	if found := problems(t, s); len(found) > 0 {
		t.Errorf("Check found %q", found)
	}
}

func marksOfFiles(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r", State: solera.Running})
	tag := `"abc"`
	files := []solera.Entry{
		{Path: "a.bin", Digest: solera.DigestOf([]byte("a")), Size: 1, MD5: "0cc175b9c0f1b6a831c399e269772661"},
		{Path: "b.bin", Digest: solera.DigestOf([]byte(tag)), Ref: "gs://bucket/b", ETag: tag, Extra: `{"versionID":"1"}`},
	}
	digest, err := solera.ContentDigest("model", nil, files)
	if err != nil {
		t.Fatal(err)
	}
	v := solera.Version{Project: "p", Artifact: "m", Type: "model", Digest: digest, Files: files, Run: "r", Size: 1}
	created := commit(t, s, v)
	update(t, s, func(tx solera.Tx) error {
		return errors.Join(tx.SetFile("r", files[0]), tx.SetFile("r", files[1]))
	})
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Version(created.ID())
		if !slices.Equal(got.Files, files) {
			t.Errorf("version: got %+v, want %+v", got.Files, files)
		}
		of, fileErr := tx.RunFiles("r")
		if !slices.Equal(of, files) {
			t.Errorf("run: got %+v, want %+v", of, files)
		}
		used, useErr := tx.InUse([]solera.Digest{files[0].Digest, files[1].Digest})
		if !used[files[0].Digest] || used[files[1].Digest] {
			t.Errorf("in use: %v", used)
		}
		return errors.Join(err, fileErr, useErr)
	})
	// A content that came without its MD5 gets it from whoever knows it.
	plain := draft("d", "x")
	commit(t, s, plain)
	plain.Files = slices.Clone(plain.Files)
	plain.Files[0].MD5 = "9dd4e461268c8034f5c8564e155c67a6"
	again := commit(t, s, plain)
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Version(again.ID())
		if got.Files[0].MD5 != plain.Files[0].MD5 {
			t.Errorf("the MD5 is not kept: %+v", got.Files)
		}
		return err
	})
	if found := problems(t, s); len(found) > 0 {
		t.Errorf("Check found %q", found)
	}
}

func removeReported(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	report(t, s, solera.Batch{Run: "r", Source: "h", Count: 1, Items: []solera.Item{{Key: "i", Value: json.RawMessage("1")}}})
	update(t, s, func(tx solera.Tx) error { return tx.RemoveRun("r") })
	wantPosition(t, s, "r", "h", 0)
	if got := itemsOf(t, s, solera.ItemQuery{Run: "r"}); got != "" {
		t.Errorf("items are left: %s", got)
	}
}

func TestCheckFindsWhatWasReportedAndTamperedWith(t *testing.T) {
	for statement, want := range map[string]string{
		`UPDATE items SET value = '{'`:            "run r: altered",
		`UPDATE items SET key = ''`:               "run r: altered",
		`UPDATE items SET n = 0 WHERE n = 1`:      "run r: altered",
		`UPDATE items SET run = 'none'`:           "run none: missing",
		`UPDATE positions SET n = -1`:             "run r: altered",
		`UPDATE positions SET source = ''`:        "run r: altered",
		`UPDATE positions SET run = 'none'`:       "run none: missing",
		`UPDATE entries SET etag = 'x'`:           "altered",
		`UPDATE entries SET md5 = 'x'`:            "altered",
		`UPDATE runs SET sweep = 'another'`:       "run r: inconsistent",
		`UPDATE runs SET summary = '{"loss": 2}'`: "run r: inconsistent",
	} {
		path := filepath.Join(t.TempDir(), "solera.db")
		s := openAt(t, path)
		createRun(t, s, solera.Run{ID: "r", State: solera.Running, Sweep: "s"})
		tag := "tag"
		v := draft("d", "x")
		v.Files = []solera.Entry{{Path: "far", Digest: solera.DigestOf([]byte(tag)), Ref: "gs://b/far", ETag: tag}}
		v.Digest, _ = solera.ContentDigest(v.Type, nil, v.Files)
		v.Size = 0
		commit(t, s, v)
		report(t, s, solera.Batch{
			Run: "r", Source: "h", Count: 1, Items: []solera.Item{{Key: "i", Value: json.RawMessage("1")}}, Summary: solera.Fields{"loss": 1},
		})
		if found := problems(t, s); len(found) > 0 {
			t.Fatalf("untouched: %q", found)
		}
		tamper(t, path, statement)
		found := problems(t, s)
		if len(found) != 1 || !strings.HasSuffix(found[0], want) {
			t.Errorf("%s: found %q, want %s", statement, found, want)
		}
	}
}

// What a client keeps with its run would be columns of names that no other run
// has.
func TestWhatAClientKeepsIsNoColumn(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		createRun(t, s, solera.Run{ID: "r", State: solera.Running, Environment: solera.Fields{
			"os": "linux", "client": map[string]any{"e": map[string]any{"w7x2": map[string]any{"os": "linux"}}},
		}})
		for condition, want := range map[string]int{`environment.os = "linux"`: 1, `environment.client.e.w7x2.os = "linux"`: 0} {
			where, err := solera.ParseExpr(condition)
			if err != nil {
				t.Fatal(err)
			}
			view(t, s, func(tx solera.Tx) error {
				n, err := tx.CountRuns(solera.RunQuery{Where: where})
				if n != want {
					t.Errorf("%s: %d runs, want %d", condition, n, want)
				}
				return err
			})
		}
		if n, err := s.(*store.DB).Count(ctx, `SELECT COUNT(*) FROM run_columns WHERE field LIKE 'environment.client%'`); n != 0 || err != nil {
			t.Errorf("%d columns, %v", n, err)
		}
		if found := problems(t, s); len(found) > 0 {
			t.Errorf("Check found %q", found)
		}
	})
}

// Many senders, through two processes, with answers that get lost: each line
// is stored once, and what runs say of themselves is found.
func TestReportsOfManyAreStoredOnce(t *testing.T) {
	eachURL(t, func(t *testing.T, url string) {
		stores := []solera.Store{openURL(t, url), openURL(t, url)}
		const runs, lines = 6, 120
		for r := range runs {
			createRun(t, stores[0], solera.Run{ID: solera.RunID(fmt.Sprint("r", r)), State: solera.Running})
		}
		var wg sync.WaitGroup
		for w := range 2 * runs {
			run := solera.RunID(fmt.Sprint("r", w%runs))
			source := fmt.Sprint("history/", w/runs)
			wg.Go(func() {
				// Two of one source, so that each is late now and then.
				var same sync.WaitGroup
				for twin := range 2 {
					same.Go(func() {
						s := stores[(w+twin)%2]
						for n := int64(0); n < lines; {
							count := min(1+n%7, lines-n)
							b := solera.Batch{Run: run, Source: source, From: n, Count: count, Beat: n%3 == 0}
							for i := range count {
								b.Points = append(b.Points, solera.Point{Key: source, Step: n + i})
							}
							if n%5 == 0 {
								b.Summary = solera.Fields{"n": n, source: n, fmt.Sprint("x", n): 1}
							}
							_, err := s.Report(ctx, b)
							if err != nil && !errors.Is(err, solera.ErrConflict) {
								t.Error(err)
								return
							}
							if n, err = s.Position(ctx, run, source); err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
				same.Wait()
			})
		}
		// Others change runs meanwhile, which the index of runs has to survive.
		wg.Go(func() {
			for i := range 40 {
				update(t, stores[i%2], func(tx solera.Tx) error {
					r, err := tx.Run(solera.RunID(fmt.Sprint("r", i%runs)))
					r.Notes = fmt.Sprint(i)
					return errors.Join(err, tx.UpdateRun(r))
				})
			}
		})
		wg.Wait()
		for r := range runs {
			run := solera.RunID(fmt.Sprint("r", r))
			for w := range 2 {
				source := fmt.Sprint("history/", w)
				got, err := stores[w].Series(ctx, solera.SeriesQuery{Run: run, Key: source})
				if err != nil || len(got) != lines {
					t.Fatalf("%s: %d points, %v", run, len(got), err)
				}
				for i, p := range got {
					if p.Step != int64(i) {
						t.Fatalf("%s: step %d at place %d", run, p.Step, i)
					}
				}
			}
		}
		if found := problems(t, stores[0]); len(found) > 0 {
			t.Errorf("Check found %q", found)
		}
	})
}

// A batch that is refused does not disturb those that share its transaction.
func TestARefusedBatchLeavesItsGroupAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera.db")
	a, b := openAt(t, path), openAt(t, path)
	createRun(t, a, solera.Run{ID: "r"})
	createRun(t, a, solera.Run{ID: "q"})
	inside, leave := make(chan struct{}), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		update(t, b, func(solera.Tx) error {
			close(inside)
			<-leave
			return nil
		})
	})
	<-inside
	point := []solera.Point{{Key: "k"}}
	var mu sync.Mutex
	refused := 0
	for i := range 20 {
		wg.Go(func() {
			run := solera.RunID([]string{"r", "q"}[i%2])
			_, err := a.Report(ctx, solera.Batch{Run: run, Points: point, Source: "h", From: 0, Count: 1})
			if errors.Is(err, solera.ErrConflict) {
				mu.Lock()
				refused++
				mu.Unlock()
			} else if err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if _, err := a.Append(ctx, "r", point); err != nil {
				t.Error(err)
			}
		})
	}
	close(leave)
	wg.Wait()
	if refused != 18 {
		t.Errorf("%d were refused, want 18", refused)
	}
	if last, err := a.Last(ctx, "r"); last != 21 || err != nil {
		t.Errorf("%d points are there, %v", last, err)
	}
}

// Whatever is kept, the rest is as if it alone had been appended.
func TestRewindKeepsWhatItIsTold(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := openSQLite(t)
		s.(*store.DB).SetLayout(3, 4, 8, 32, 4)
		createRun(t, s, solera.Run{ID: "r"})
		var all []solera.Point
		add := func() {
			for range rapid.IntRange(0, 6).Draw(rt, "batches") {
				batch := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) solera.Point {
					return solera.Point{
						Key:   rapid.SampledFrom([]string{"a", "b", "c"}).Draw(rt, "key"),
						Step:  rapid.Int64Range(-3, 9).Draw(rt, "step"),
						Value: rapid.Float64().Draw(rt, "value"), Time: solera.Micros(rapid.Int64Range(0, 9).Draw(rt, "time")),
					}
				}), 0, 12).Draw(rt, "points")
				report(t, s, solera.Batch{Run: "r", Points: batch})
				all = append(all, batch...)
			}
		}
		for range rapid.IntRange(1, 3).Draw(rt, "rounds") {
			add()
			last := rapid.Int64Range(-4, 10).Draw(rt, "last")
			keep := func(key string, step int64, _ solera.Micros) bool { return step <= last || key == "c" }
			update(t, s, func(tx solera.Tx) error { return tx.Rewind("r", keep) })
			all = slices.DeleteFunc(all, func(p solera.Point) bool { return !keep(p.Key, p.Step, p.Time) })
		}
		add()
		got := followed(t, s, "r", 5)
		if !slices.Equal(got, all) {
			rt.Fatalf("got %v, want %v", got, all)
		}
		if err := s.(*store.DB).CheckPoints(ctx, func(p solera.Problem) { rt.Errorf("problem: %+v", p) }); err != nil {
			rt.Fatal(err)
		}
	})
}
