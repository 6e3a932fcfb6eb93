package tracking_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
	"github.com/solera-ml/solera/tracking"
)

func TestAverage(t *testing.T) {
	// Quantiles of Student's distribution as statistical tables have them.
	for n, quantile := range map[int]float64{2: 12.7062, 3: 4.3027, 11: 2.2281, 21: 2.0860, 22: 2.0796, 31: 2.0423, 101: 1.9840, 1001: 1.9623} {
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(i % 2)
		}
		a := tracking.AverageOf(values)
		got := (a.High - a.Mean) / a.SD * math.Sqrt(float64(n))
		if math.Abs(got-quantile) > 1e-4 || math.Abs(a.Mean-a.Low-(a.High-a.Mean)) > 1e-12 {
			t.Errorf("of %d values: %.5f standard errors, want %.4f", n, got, quantile)
		}
	}
	if a := tracking.AverageOf(nil); a.N != 0 || !math.IsNaN(a.Mean) {
		t.Errorf("of none: %+v", a)
	}
	if a := tracking.AverageOf([]float64{3}); a.Mean != 3 || !math.IsNaN(a.SD) || !math.IsNaN(a.Low) || a.Min != 3 || a.Max != 3 {
		t.Errorf("of one: %+v", a)
	}
	if a := tracking.AverageOf([]float64{2, 2, 2}); a.SD != 0 || a.Low != 2 || a.High != 2 {
		t.Errorf("of equal ones: %+v", a)
	}
	if a := tracking.AverageOf([]float64{2, 4, 4, 4, 5, 5, 7, 9}); a.Mean != 5 || math.Abs(a.SD-2.138089935) > 1e-8 {
		t.Errorf("got %+v", a)
	}
}

func TestAverageLiesAmongItsValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.Float64Range(-math.MaxFloat64, math.MaxFloat64), 1, 40).Draw(t, "values")
		a := tracking.AverageOf(values)
		if a.Mean < a.Min || a.Mean > a.Max || a.SD < 0 {
			t.Fatalf("%+v of %v", a, values)
		}
	})
}

func TestAmendmentsAreAllOrNothing(t *testing.T) {
	tr := open(t)
	run := start(t, tr, "train")
	name, notes, tags := "new", "why", []string{"b", "a", "b"}
	r, err := tr.AmendRun(ctx, run.ID(), tracking.RunAmendment{Name: &name, Notes: &notes, Tags: &tags})
	if err != nil || r.Name != name || r.Notes != notes || fmt.Sprint(r.Tags) != "[a b]" {
		t.Fatalf("got %+v, %v", r, err)
	}
	bad, other := []string{"ok", " bad"}, "other"
	if _, err := tr.AmendRun(ctx, run.ID(), tracking.RunAmendment{Name: &other, Tags: &bad}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a bad tag: %v", err)
	}
	if r, err := tr.Run(ctx, run.ID()); err != nil || r.Name != name {
		t.Errorf("a refused amendment left %+v, %v", r, err)
	}
	if _, err := tr.AmendRun(ctx, run.ID()[:8], tracking.RunAmendment{Name: &name}); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("the beginning of an ID: %v", err)
	}
	v, _, err := run.Commit(ctx, draft("raw", "x"))
	if err != nil {
		t.Fatal(err)
	}
	text, late := "d", solera.Micros(4_000_000_000_000_000)
	if err := tr.Amend(ctx, v.ID().String(), tracking.VersionAmendment{Tags: &tags, Description: &text, Expires: &late}); err != nil {
		t.Fatal(err)
	}
	never := solera.Micros(0)
	if err := tr.Amend(ctx, v.ID().String(), tracking.VersionAmendment{Expires: &never}); err != nil {
		t.Fatal(err)
	}
	got, err := tr.Version(ctx, v.ID().String())
	if err != nil || got.Description != "d" || fmt.Sprint(got.Tags) != "[a b]" || got.Expires != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
	if err := tr.Amend(ctx, v.ID().String(), tracking.VersionAmendment{Tags: &bad}); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("a bad tag: %v", err)
	}
}

// rotten are blobs of which every content has another last byte.
type rotten struct{ solera.Blobs }

type content struct{ *bytes.Reader }

func (content) Close() error { return nil }

func (r rotten) Open(ctx context.Context, d solera.Digest) (io.ReadSeekCloser, error) {
	f, err := r.Blobs.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if len(b) > 0 {
		b[len(b)-1] ^= 1
	}
	return content{bytes.NewReader(b)}, err
}

func TestRotIsSeenAtTheEndOfADownload(t *testing.T) {
	tr := open(t)
	run := start(t, tr, "load")
	v, _, err := run.Commit(ctx, draft("raw", string(bytes.Repeat([]byte("x"), 100_000))))
	if err != nil {
		t.Fatal(err)
	}
	v, err = tr.Version(ctx, v.ID().String())
	if err != nil {
		t.Fatal(err)
	}
	read := func(tr *tracking.Tracker, from int64) (int, error) {
		r, err := tr.OpenEntry(ctx, v.Files[0])
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		// As http.ServeContent does.
		if _, err := r.Seek(0, io.SeekEnd); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Seek(from, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, r)
		return int(n), err
	}
	if n, err := read(tr, 0); err != nil || n != 100_000 {
		t.Errorf("whole: %d bytes, %v", n, err)
	}
	if n, err := read(tr, 99_000); err != nil || n != 1000 {
		t.Errorf("a part: %d bytes, %v", n, err)
	}
	bad := *tr
	bad.Blobs = rotten{tr.Blobs}
	if n, err := read(&bad, 0); !errors.Is(err, solera.ErrCorrupt) || n >= 100_000 {
		t.Errorf("rotten: %d bytes, %v", n, err)
	}
	if _, err := tr.OpenEntry(ctx, solera.Entry{Path: "x", Ref: "file:///etc/passwd"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("an external file: %v", err)
	}
}

func TestStatementsAreHeldToTheRecords(t *testing.T) {
	tr := open(t)
	key, err := provenance.NewKey(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	run := start(t, tr, "load")
	unsigned, _, err := run.Commit(ctx, draft("plain", "x"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.CheckStatement(ctx, unsigned.ID().String()); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("unsigned: %v", err)
	}
	tr.Key = solera.SigningKey{ID: key.ID(), Public: key.Public(), Owner: "ana"}
	tr.Sign = func(run solera.Run, v solera.Version, used []solera.Version) ([]byte, error) {
		return provenance.Sign(provenance.New(run, v, used), key)
	}
	second := start(t, tr, "load")
	v, _, err := second.Commit(ctx, draft("signed", "x"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tr.CheckStatement(ctx, v.ID().String())
	if err != nil || len(c.Problems) > 0 || c.Key != key.ID() || len(c.Statement) == 0 {
		t.Fatalf("got %+v, %v", c, err)
	}
	// The statement of another version, however well signed, is not this one's.
	err = tr.Store.Update(ctx, func(tx solera.Tx) error { return tx.SetStatement(unsigned.ID(), c.Envelope) })
	if err != nil {
		t.Fatal(err)
	}
	if c, err := tr.CheckStatement(ctx, unsigned.ID().String()); err != nil || len(c.Problems) == 0 {
		t.Errorf("a borrowed statement: %+v, %v", c, err)
	}
	err = tr.Store.Update(ctx, func(tx solera.Tx) error { return tx.SetStatement(unsigned.ID(), []byte("{}")) })
	if err != nil {
		t.Fatal(err)
	}
	if c, err := tr.CheckStatement(ctx, unsigned.ID().String()); err != nil || len(c.Problems) == 0 || c.Statement != nil {
		t.Errorf("no statement at all: %+v, %v", c, err)
	}
}
