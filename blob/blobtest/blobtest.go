// Package blobtest is the suite that every implementation of solera.Blobs
// passes. It knows the contract and no implementation.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/solera-ml/solera"
)

// Test runs the suite. open returns an empty home of blobs, a new one at each
// call.
func Test(t *testing.T, open func(t *testing.T) solera.Blobs) {
	tests := []struct {
		name string
		run  func(*testing.T, solera.Blobs)
	}{
		{"what was put is opened", putOpen},
		{"content is addressed by its SHA-256", address},
		{"the same content is kept once", once},
		{"many put the same content at once", concurrent},
		{"a reader that fails stores nothing", failingReader},
		{"a cancelled context stores nothing", cancelled},
		{"missing content is not found", missing},
		{"deleting twice is no error", deleteTwice},
		{"an open reader outlives the delete", readAfterDelete},
		{"an opened blob can seek", seek},
		{"list shows each content with its length", list},
		{"list stops at the caller's error", listStops},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, open(t)) })
	}
}

func put(t *testing.T, b solera.Blobs, content []byte) solera.Digest {
	t.Helper()
	d, n, err := b.Put(context.Background(), bytes.NewReader(content))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("Put of %d bytes = %d, %v", len(content), n, err)
	}
	return d
}

func get(t *testing.T, b solera.Blobs, d solera.Digest) []byte {
	t.Helper()
	r, err := b.Open(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(solera.VerifyReader(r, d))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func all(t *testing.T, b solera.Blobs) map[solera.Digest]int64 {
	t.Helper()
	found := make(map[solera.Digest]int64)
	err := b.List(context.Background(), func(d solera.Digest, size int64, _ time.Time) error {
		if _, twice := found[d]; twice {
			t.Errorf("List shows %v twice", d)
		}
		found[d] = size
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// noise returns n bytes that depend on seed alone.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func putOpen(t *testing.T, b solera.Blobs) {
	for _, n := range []int{0, 1, 31, 4096, 1<<20 + 7} {
		content := noise(uint64(n), n)
		if got := get(t, b, put(t, b, content)); !bytes.Equal(got, content) {
			t.Errorf("%d bytes came back as %d others", n, len(got))
		}
	}
}

func address(t *testing.T, b solera.Blobs) {
	// FIPS 180-2, appendix B.1.
	const want = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if got := put(t, b, []byte("abc")).String(); got != want {
		t.Errorf("address of abc: got %s, want %s", got, want)
	}
}

func once(t *testing.T, b solera.Blobs) {
	content := noise(1, 1000)
	if first, second := put(t, b, content), put(t, b, content); first != second {
		t.Errorf("addresses differ: %v, %v", first, second)
	}
	if found := all(t, b); len(found) != 1 {
		t.Errorf("%d contents are stored, want 1", len(found))
	}
}

func concurrent(t *testing.T, b solera.Blobs) {
	content := noise(2, 200_000)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			d, _, err := b.Put(context.Background(), iotest.OneByteReader(bytes.NewReader(content[:2000])))
			if err != nil || d != solera.DigestOf(content[:2000]) {
				t.Errorf("slow Put: %v", err)
			}
			if d, _, err := b.Put(context.Background(), bytes.NewReader(content)); err != nil || d != solera.DigestOf(content) {
				t.Errorf("Put: %v", err)
			}
			if n, err := b.Stat(context.Background(), solera.DigestOf(content)); err != nil || n != int64(len(content)) {
				t.Errorf("Stat after Put = %d, %v", n, err)
			}
		})
	}
	wg.Wait()
	if got := get(t, b, solera.DigestOf(content)); !bytes.Equal(got, content) {
		t.Error("content differs")
	}
	if found := all(t, b); len(found) != 2 {
		t.Errorf("%d contents are stored, want 2", len(found))
	}
}

func failingReader(t *testing.T, b solera.Blobs) {
	broken := errors.New("the cable was cut")
	content := noise(3, 100_000)
	_, _, err := b.Put(context.Background(), io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) {
		t.Errorf("Put: got error %v, want the reader's", err)
	}
	if found := all(t, b); len(found) != 0 {
		t.Errorf("%d contents are stored, want 0", len(found))
	}
}

func cancelled(t *testing.T, b solera.Blobs) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := b.Put(ctx, strings.NewReader("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: got error %v, want context.Canceled", err)
	}
	if found := all(t, b); len(found) != 0 {
		t.Errorf("%d contents are stored, want 0", len(found))
	}
}

func missing(t *testing.T, b solera.Blobs) {
	if _, err := b.Open(context.Background(), solera.DigestOf(nil)); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("Open: got error %v, want ErrNotFound", err)
	}
	if _, err := b.Stat(context.Background(), solera.DigestOf(nil)); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("Stat: got error %v, want ErrNotFound", err)
	}
}

func deleteTwice(t *testing.T, b solera.Blobs) {
	keep, drop := put(t, b, []byte("keep")), put(t, b, []byte("drop"))
	for range 2 {
		if err := b.Delete(context.Background(), drop); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Open(context.Background(), drop); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("Open after Delete: got error %v, want ErrNotFound", err)
	}
	get(t, b, keep)
	if again := put(t, b, []byte("drop")); again != drop {
		t.Errorf("stored again as %v, want %v", again, drop)
	}
	get(t, b, drop)
}

func readAfterDelete(t *testing.T, b solera.Blobs) {
	content := noise(4, 100_000)
	d := put(t, b, content)
	r, err := b.Open(context.Background(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.CopyN(io.Discard, r, 10); err != nil {
		t.Fatal(err)
	}
	if err := b.Delete(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(rest, content[10:]) {
		t.Errorf("reading on after Delete: %d bytes, %v", len(rest), err)
	}
}

func seek(t *testing.T, b solera.Blobs) {
	r, err := b.Open(context.Background(), put(t, b, []byte("0123456789")))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Seek(-3, io.SeekEnd); err != nil {
		t.Fatal(err)
	}
	if rest, err := io.ReadAll(r); err != nil || string(rest) != "789" {
		t.Errorf("after Seek(-3, end): %q, %v", rest, err)
	}
}

func list(t *testing.T, b solera.Blobs) {
	want := make(map[solera.Digest]int64)
	for n := range 20 {
		want[put(t, b, noise(5, n))] = int64(n)
	}
	found := all(t, b)
	if len(found) != len(want) {
		t.Errorf("%d contents are listed, want %d", len(found), len(want))
	}
	for d, size := range want {
		if found[d] != size {
			t.Errorf("length of %v: got %d, want %d", d, found[d], size)
		}
	}
}

func listStops(t *testing.T, b solera.Blobs) {
	put(t, b, []byte("a"))
	put(t, b, []byte("b"))
	enough := errors.New("enough")
	calls := 0
	err := b.List(context.Background(), func(solera.Digest, int64, time.Time) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("List = %v after %d calls, want the caller's error after 1", err, calls)
	}
}
