package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
	"github.com/minio/minio-go/v7"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob/blobtest"
	"github.com/solera-ml/solera/internal/clustertest"
)

var ctx = context.Background()

// fakeS3 is a server in this process; wrap may stand before it.
func fakeS3(t testing.TB, wrap func(http.Handler) http.Handler) *S3 {
	t.Helper()
	t.Setenv("AWS_ACCESS_KEY_ID", "test")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "not to be shown")
	handler := gofakes3.New(s3mem.New()).Server()
	if wrap != nil {
		handler = wrap(handler)
	}
	server := serve(t, handler)
	s, err := OpenS3("s3://bucket/some/where?endpoint=" + url.QueryEscape(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.core.MakeBucket(ctx, s.bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	s.spool = t.TempDir()
	return s
}

func serve(t testing.TB, handler http.Handler) *httptest.Server {
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // troubles are meant
	server.Start()
	t.Cleanup(server.Close)
	return server
}

func realS3(t testing.TB) *S3 {
	t.Helper()
	address := clustertest.S3(t)
	if address == "" {
		t.Skip("SOLERA_TEST_S3 is not set: make test-cluster sets it")
	}
	s, err := OpenS3(address)
	if err != nil {
		t.Fatal(err)
	}
	s.spool = t.TempDir()
	return s
}

// each runs a test on a server in this process and on a real one.
func each(t *testing.T, run func(*testing.T, *S3)) {
	t.Run("fake", func(t *testing.T) { run(t, fakeS3(t, nil)) })
	t.Run("real", func(t *testing.T) { run(t, realS3(t)) })
}

func TestS3(t *testing.T) {
	t.Run("fake", func(t *testing.T) {
		blobtest.Test(t, func(t *testing.T) solera.Blobs { return fakeS3(t, nil) })
	})
	t.Run("real", func(t *testing.T) {
		blobtest.Test(t, func(t *testing.T) solera.Blobs { return realS3(t) })
	})
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}

func putS3(t testing.TB, s *S3, content []byte) solera.Digest {
	t.Helper()
	d, n, err := s.Put(ctx, bytes.NewReader(content))
	if err != nil || n != int64(len(content)) || d != solera.DigestOf(content) {
		t.Fatalf("Put = %v, %d, %v", d, n, err)
	}
	return d
}

func read(t testing.TB, s *S3, d solera.Digest) []byte {
	t.Helper()
	r, err := s.Open(ctx, d)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// Lengths around every threshold: memory, parts, the reader's blocks.
func TestS3KeepsEveryLength(t *testing.T) {
	each(t, func(t *testing.T, s *S3) {
		s.parts = 5 << 20
		for _, n := range []int{0, 1, readWhole, readWhole + 1, 5 << 20, 5<<20 + 1, spoolMemory, spoolMemory + 1, 16<<20 + 3} {
			content := noise(uint64(n), n)
			if got := read(t, s, putS3(t, s, content)); !bytes.Equal(got, content) {
				t.Errorf("%d bytes came back as %d others", n, len(got))
			}
		}
		if left, _ := os.ReadDir(s.spool); len(left) != 0 {
			t.Errorf("%d temporary files are left", len(left))
		}
	})
}

func TestS3ReaderReadsAnywhere(t *testing.T) {
	each(t, func(t *testing.T, s *S3) {
		content := noise(7, 5<<20+11)
		r, err := s.Open(ctx, putS3(t, s, content))
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if err := iotest.TestReader(r, content[:0:0]); err == nil {
			t.Error("the content is not empty")
		}
		at := r.(io.ReaderAt)
		random := rand.New(rand.NewPCG(1, 2))
		var wg sync.WaitGroup
		for range 40 {
			from, n := random.IntN(len(content)+10), random.IntN(3<<20)
			if random.IntN(2) == 0 {
				n = random.IntN(100)
			}
			wg.Go(func() {
				p := make([]byte, n)
				got, err := at.ReadAt(p, int64(from))
				want := content[min(from, len(content)):min(from+n, len(content))]
				if !bytes.Equal(p[:got], want) || (got < n) != errors.Is(err, io.EOF) || got == n && err != nil {
					t.Errorf("ReadAt(%d bytes, %d) = %d, %v", n, from, got, err)
				}
			})
		}
		wg.Wait()
		for range 20 {
			from := random.IntN(len(content))
			if _, err := r.Seek(int64(from), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, random.IntN(1<<18)+1)
			n, err := io.ReadFull(r, p)
			if !bytes.Equal(p[:n], content[from:from+n]) || err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("reading from %d: %d bytes, %v", from, n, err)
			}
		}
		if _, err := r.Seek(-1, io.SeekStart); err == nil {
			t.Error("sought before the beginning")
		}
	})
}

// To find content is to put it again.
func TestPutMakesContentYoung(t *testing.T) {
	dir := open(t, t.TempDir())
	old := time.Now().Add(-24 * time.Hour)
	digest := put(t, dir, "x")
	if err := os.Chtimes(dir.path(digest), old, old); err != nil {
		t.Fatal(err)
	}
	put(t, dir, "x")
	age := func(b solera.Blobs) (age time.Duration) {
		err := b.List(ctx, func(_ solera.Digest, _ int64, put time.Time) error {
			age = time.Since(put)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return age
	}
	if got := age(dir); got > time.Minute {
		t.Errorf("in a folder it is %v old after a Put", got)
	}
	each(t, func(t *testing.T, s *S3) {
		putS3(t, s, []byte("x"))
		time.Sleep(2200 * time.Millisecond)
		putS3(t, s, []byte("x"))
		if got := age(s); got > 2*time.Second {
			t.Errorf("it is %v old after a Put", got)
		}
		if got := read(t, s, solera.DigestOf([]byte("x"))); string(got) != "x" {
			t.Errorf("after that it is %q", got)
		}
	})
}

// What has the wrong length under its address is put again.
func TestPutMendsATruncatedObject(t *testing.T) {
	each(t, func(t *testing.T, s *S3) {
		d := putS3(t, s, []byte("the content"))
		if _, err := s.core.Client.PutObject(ctx, s.bucket, s.key(d), strings.NewReader("the"), 3, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
		putS3(t, s, []byte("the content"))
		if got := read(t, s, d); string(got) != "the content" {
			t.Errorf("after another Put it is %q", got)
		}
	})
}

func TestSweepGivesUpOldUploads(t *testing.T) {
	each(t, func(t *testing.T, s *S3) {
		content := noise(1, 5<<20)
		key := s.key(solera.DigestOf(content))
		upload, err := s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.putPart(ctx, key, upload, 1, io.NewSectionReader(bytes.NewReader(content), 0, int64(len(content)))); err != nil {
			t.Fatal(err)
		}
		if n, _, err := s.Sweep(ctx, time.Now().Add(-time.Hour)); n != 0 || err != nil {
			t.Errorf("a young upload: Sweep = %d, %v", n, err)
		}
		if n, size, err := s.Sweep(ctx, time.Now().Add(time.Hour)); n != 1 || size != int64(len(content)) || err != nil {
			t.Errorf("an old upload: Sweep = %d, %d, %v", n, size, err)
		}
		if n, _, err := s.Sweep(ctx, time.Now().Add(time.Hour)); n != 0 || err != nil {
			t.Errorf("nothing is left: Sweep = %d, %v", n, err)
		}
		if _, err := s.Stat(ctx, solera.DigestOf(content)); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("half a content is there: %v", err)
		}
	})
}

func TestS3ListPassesOverForeignObjectsAndPages(t *testing.T) {
	each(t, func(t *testing.T, s *S3) {
		for _, key := range []string{s.prefix + "sha256/README", s.prefix + "sha256/00/" + strings.Repeat("a", 64), "sha256/elsewhere", s.prefix + "tmp/x"} {
			if _, err := s.core.Client.PutObject(ctx, s.bucket, key, strings.NewReader("a"), 1, minio.PutObjectOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		const n = 1100 // more than a page
		var wg sync.WaitGroup
		for w := range 8 {
			wg.Go(func() {
				for i := w; i < n; i += 8 {
					if _, _, err := s.Put(ctx, strings.NewReader(fmt.Sprint(i))); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		found := make(map[solera.Digest]bool)
		if err := s.List(ctx, func(d solera.Digest, _ int64, _ time.Time) error { found[d] = true; return nil }); err != nil {
			t.Fatal(err)
		}
		if len(found) != n {
			t.Errorf("%d contents are listed, want %d", len(found), n)
		}
	})
}

func TestS3RefusesAddressesThatMakeNoSense(t *testing.T) {
	for _, tt := range []struct{ address, says string }{
		{"s3://", "want s3://BUCKET"},
		{"http://bucket", "want s3://BUCKET"},
		{"s3://key:secret@bucket", "AWS_ACCESS_KEY_ID"},
		{"s3://bucket?access_key=secret", "unknown parameter"},
		{"s3://bucket?endpoint=ftp://host", "https://HOST:PORT"},
		{"s3://bucket?endpoint=http://host/path", "https://HOST:PORT"},
		{"s3://bucket?endpoint=http://u:secret@host", "https://HOST:PORT"},
		{"s3://bucket?endpoint=http://host&path_style=maybe", "true or false"},
		{"s3://bucket/a/../b", "prefix"},
		{"s3://bucket/a//b", "prefix"},
		{"s3://%zzsecret", "want s3://BUCKET"},
	} {
		_, err := OpenS3(tt.address)
		if !errors.Is(err, solera.ErrInvalid) || !strings.Contains(err.Error(), tt.says) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got error %v, want ErrInvalid that says %q and no secret", tt.address, err, tt.says)
		}
	}
}

func TestS3TakesItsEndpointFromTheEnvironment(t *testing.T) {
	env := map[string]string{"AWS_ENDPOINT_URL": "http://h:1", "AWS_REGION": "eu-west-1"}
	get := func(key string) string { return env[key] }
	s, err := openS3("s3://b", get)
	if err != nil || s.endpoint != "http://h:1" || s.core.EndpointURL().String() != "http://h:1" {
		t.Errorf("got %v, %v", s, err)
	}
	env["AWS_ENDPOINT_URL_S3"] = "https://only.s3"
	if s, err := openS3("s3://b", get); err != nil || s.endpoint != "https://only.s3" {
		t.Errorf("got %v, %v", s, err)
	}
	if s, err := openS3("s3://b?endpoint=given", get); err != nil || s.endpoint != "https://given" {
		t.Errorf("got %v, %v", s, err)
	}
	if s, err := openS3("s3://b", func(string) string { return "" }); err != nil || s.endpoint != "https://s3.amazonaws.com" {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestS3SaysWhatIsWrong(t *testing.T) {
	each(t, func(t *testing.T, s *S3) {
		s.bucket = "no-such-bucket"
		content := strings.NewReader("x")
		_, _, put := s.Put(ctx, content)
		_, open := s.Open(ctx, solera.DigestOf(nil))
		_, stat := s.Stat(ctx, solera.DigestOf(nil))
		for name, err := range map[string]error{
			"Check": s.Check(ctx), "Put": put, "Open": open, "Stat": stat,
			"List": s.List(ctx, func(solera.Digest, int64, time.Time) error { return nil }),
		} {
			if err == nil || !strings.Contains(err.Error(), "aws s3 mb s3://no-such-bucket --endpoint-url http://") {
				t.Errorf("%s: got error %v, want one that says how to make the bucket", name, err)
			}
		}
	})
	t.Run("wrong key", func(t *testing.T) {
		address := clustertest.S3(t)
		if address == "" {
			t.Skip("SOLERA_TEST_S3 is not set: make test-cluster sets it")
		}
		for _, tt := range []struct{ id, secret string }{{"nobody", "hidden"}, {os.Getenv("AWS_ACCESS_KEY_ID"), "hidden"}, {"", ""}} {
			t.Setenv("AWS_ACCESS_KEY_ID", tt.id)
			t.Setenv("AWS_SECRET_ACCESS_KEY", tt.secret)
			t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
			s, err := OpenS3(address)
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = s.Put(ctx, strings.NewReader("x"))
			if err == nil || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") || strings.Contains(err.Error(), "hidden") {
				t.Errorf("%s: got error %v, want one that names AWS_ACCESS_KEY_ID", tt.id, err)
			}
			// Who is not let in does not learn that something is missing.
			if _, err := s.Stat(ctx, solera.DigestOf(nil)); err == nil || errors.Is(err, solera.ErrNotFound) {
				t.Errorf("%s: Stat: got error %v", tt.id, err)
			}
		}
	})
}

// trouble is a server that fails now and then, in every way of failing.
type trouble struct {
	http.Handler
	n    atomic.Int64
	mode func(n int64, r *http.Request) string
}

func (f *trouble) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch f.mode(f.n.Add(1), r) {
	case "500":
		w.WriteHeader(http.StatusInternalServerError)
	case "503":
		w.WriteHeader(http.StatusServiceUnavailable)
	case "429":
		w.WriteHeader(http.StatusTooManyRequests)
	case "403":
		w.WriteHeader(http.StatusForbidden)
	case "reset":
		panic(http.ErrAbortHandler)
	case "reset late": // after it was done
		f.Handler.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	case "half":
		recorder := httptest.NewRecorder()
		f.Handler.ServeHTTP(recorder, r)
		for key, values := range recorder.Header() {
			w.Header()[key] = values
		}
		w.WriteHeader(recorder.Code)
		w.Write(recorder.Body.Bytes()[:recorder.Body.Len()/2])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	case "slow":
		select {
		case <-r.Context().Done():
		case <-time.After(20 * time.Second):
		}
	default:
		f.Handler.ServeHTTP(w, r)
	}
}

func TestS3GoesOnThroughTrouble(t *testing.T) {
	for _, what := range []string{"500", "503", "429", "reset", "reset late", "half"} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var f trouble
			t.Cleanup(func() { t.Logf("%d requests", f.n.Load()) })
			s := quietS3(t, func(h http.Handler) http.Handler {
				f.Handler = h
				f.mode = func(n int64, r *http.Request) string {
					if n%3 == 0 && (what != "half" || r.Method == http.MethodGet && r.URL.RawQuery == "") {
						return what
					}
					return ""
				}
				return &f
			})
			s.parts = 5 << 20
			for _, n := range []int{10, 2 << 20, 11 << 20} {
				content := noise(uint64(n), n)
				d := putS3(t, s, content)
				if got := read(t, s, d); !bytes.Equal(got, content) {
					t.Errorf("%d bytes came back as %d others", n, len(got))
				}
				r, err := s.Open(ctx, d)
				if err != nil {
					t.Fatal(err)
				}
				p := make([]byte, 5)
				if _, err := r.(io.ReaderAt).ReadAt(p, 3); err != nil || !bytes.Equal(p, content[3:8]) {
					t.Errorf("ReadAt: %v", err)
				}
				r.Close()
				if err := s.Delete(ctx, d); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// quietS3 is fakeS3 for tests that run side by side, which may not set the
// environment.
func quietS3(t *testing.T, wrap func(http.Handler) http.Handler) *S3 {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket("bucket"); err != nil {
		t.Fatal(err)
	}
	server := serve(t, wrap(gofakes3.New(backend).Server()))
	s, err := openS3("s3://bucket?endpoint="+url.QueryEscape(server.URL), func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	s.spool = t.TempDir()
	return s
}

func TestS3RefusalIsAnErrorAndStoresNothing(t *testing.T) {
	var f trouble
	s := fakeS3(t, func(h http.Handler) http.Handler {
		f.Handler = h
		f.mode = func(_ int64, r *http.Request) string {
			if r.Method == http.MethodPut && r.URL.Path != "/bucket/" || r.Method == http.MethodPost {
				return "403"
			}
			return ""
		}
		return &f
	})
	s.parts = 5 << 20
	for _, n := range []int{10, 6 << 20} {
		_, _, err := s.Put(ctx, bytes.NewReader(make([]byte, n)))
		if err == nil || !strings.Contains(err.Error(), "access denied") || !strings.Contains(err.Error(), s.endpoint) {
			t.Errorf("%d bytes: got error %v, want one that says access denied and where", n, err)
		}
		if _, err := s.Stat(ctx, solera.DigestOf(make([]byte, n))); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%d bytes: the content is there: %v", n, err)
		}
	}
	if left, _ := os.ReadDir(s.spool); len(left) != 0 {
		t.Errorf("%d temporary files are left", len(left))
	}
}

func TestS3WaitsNoLongerThanItsContext(t *testing.T) {
	for _, what := range []string{"slow", "503"} {
		s := fakeS3(t, func(h http.Handler) http.Handler {
			return &trouble{Handler: h, mode: func(_ int64, r *http.Request) string {
				if r.URL.Path == "/bucket/" {
					return ""
				}
				return what
			}}
		})
		short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
		_, _, err := s.Put(short, strings.NewReader("x"))
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), s.endpoint) {
			t.Errorf("%s: got error %v, want context.DeadlineExceeded and where", what, err)
		}
	}
}

// An upload that arrives altered is refused by the server, whoever altered it.
func TestS3UploadsAreChecked(t *testing.T) {
	real := realS3(t)
	for _, n := range []int{100, 6 << 20} {
		sp, err := real.fill(ctx, bytes.NewReader(noise(3, n)))
		if err != nil {
			t.Fatal(err)
		}
		sp.memory = bytes.Clone(sp.memory)
		sp.memory[len(sp.memory)/2] ^= 1
		if err := real.putWhole(ctx, real.key(sp.digest), sp); err == nil {
			t.Errorf("%d bytes: altered bytes were stored", n)
		}
		if _, err := real.Stat(ctx, sp.digest); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("%d bytes: altered bytes are there: %v", n, err)
		}
		sp.close()
	}
}

func TestSpoolOfAKilledProcessIsSwept(t *testing.T) {
	s := fakeS3(t, nil)
	old := time.Now().Add(-time.Hour)
	dead, young := filepath.Join(s.spool, "solera-put-1"), filepath.Join(s.spool, "solera-put-2")
	for _, path := range []string{dead, young} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chtimes(dead, old, old); err != nil {
		t.Fatal(err)
	}
	s.sweepSpool()
	if _, err := os.Stat(dead); err == nil {
		t.Error("a file of a dead process is still there")
	}
	if _, err := os.Stat(young); err != nil {
		t.Errorf("a young file: %v", err)
	}
}

// S3 goes away while something is put: whoever waits gets it stored, and there
// never is half a content.
func TestDisturbedByAnS3ThatIsAway(t *testing.T) {
	s := realS3(t)
	control(t, "/s3/up")
	s.parts = 5 << 20
	content := noise(9, 20<<20)
	done := make(chan error)
	go func() {
		_, _, err := s.Put(ctx, bytes.NewReader(content))
		done <- err
	}()
	time.Sleep(50 * time.Millisecond)
	control(t, "/s3/down")
	time.Sleep(time.Second)
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := s.Stat(short, solera.DigestOf(content)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("while it is away: got error %v, want context.DeadlineExceeded", err)
	}
	control(t, "/s3/up")
	err := <-done
	if err != nil {
		t.Errorf("Put through a restart: %v", err)
	}
	if got := read(t, s, solera.DigestOf(content)); !bytes.Equal(got, content) {
		t.Error("the content differs")
	}
}

func TestDisturbedByAnS3ThatStaysAway(t *testing.T) {
	s := realS3(t)
	control(t, "/s3/down")
	defer control(t, "/s3/up")
	start := time.Now()
	_, _, err := s.Put(ctx, strings.NewReader("x"))
	if err == nil || !strings.Contains(err.Error(), "does not answer") || !strings.Contains(err.Error(), s.endpoint) {
		t.Errorf("got error %v, want one that says that the server does not answer", err)
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Errorf("it took %v to say so", took)
	}
}

func control(t testing.TB, path string) {
	t.Helper()
	base := os.Getenv("SOLERA_TEST_CONTROL")
	if base == "" {
		t.Skip("SOLERA_TEST_CONTROL is not set: make test-cluster sets it")
	}
	res, err := http.Post(base+path, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, res.Status)
	}
}
