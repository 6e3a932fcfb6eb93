package wandb

import (
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what clients know of a file beforehand; contents are kept by SHA-256
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// Clients send and fetch files by addresses that they are given, without saying
// who they are. So an address carries what it allows, signed with a secret of
// the workspace:
//
//	/storage/WORKSPACE/TOKEN/NAME
//
// TOKEN is a grant as JSON and its HMAC-SHA256. NAME is there for people.

const (
	storageRoot = "/storage/"
	// Long enough for a client that waits out a night without network: it does
	// not ask for a new address.
	urlLife = 24 * time.Hour
)

// A grant is what an address allows.
type grant struct {
	Method  string   `json:"m"`           // GET or PUT
	Kind    string   `json:"k"`           // of the target: a key of service.uploads or service.downloads
	Target  []string `json:"t,omitempty"` // what the kind needs to find it
	MD5     string   `json:"h,omitempty"` // in hexadecimal digits, of what must arrive; "" = anything
	Size    int64    `json:"s"`           // and its length; -1 = any
	Type    string   `json:"c,omitempty"` // media type of what is fetched
	Nonce   string   `json:"n,omitempty"` // makes addresses differ that allow the same
	Expires int64    `json:"e"`           // seconds since 1970
}

// received is what arrived at an address; its bytes are in the blobs.
type received struct {
	Digest solera.Digest
	Size   int64
	MD5    string // in hexadecimal digits
	before tracking.Before
}

// content is what an address gives.
type content struct {
	io.ReadSeekCloser
	etag    string // "" = none
	changed time.Time
}

type (
	// An upload files what arrived. It may be called again with the same.
	upload func(ctx context.Context, sp *space, g grant, got received) error
	// A download opens what an address gives.
	download func(ctx context.Context, sp *space, g grant) (content, error)
)

// uploadURL returns the address to which a file can be sent. g has its Kind,
// Target, MD5 and Size.
func (c *call) uploadURL(sp *space, g grant, name string) (string, error) {
	g.Method = http.MethodPut
	var b [9]byte
	_, _ = rand.Read(b[:]) // never fails
	g.Nonce = base64.RawURLEncoding.EncodeToString(b[:])
	return c.signed(sp, g, name)
}

// downloadURL returns the address of what g has as Kind and Target.
func (c *call) downloadURL(sp *space, g grant, name string) (string, error) {
	g.Method, g.Size = http.MethodGet, -1
	return c.signed(sp, g, name)
}

// blobURL returns the address of a content.
func (c *call) blobURL(sp *space, d solera.Digest, name string) (string, error) {
	return c.downloadURL(sp, grant{Kind: "blob", Target: []string{d.String()}}, name)
}

func (c *call) signed(sp *space, g grant, name string) (string, error) {
	secret, err := c.service.secrets.of(c.ctx, sp)
	if err != nil {
		return "", err
	}
	// To the hour, so that the address of one thing stays the same for a while
	// and caches can know it.
	g.Expires = c.service.Clock().Add(urlLife + time.Hour).Truncate(time.Hour).Unix()
	raw, err := json.Marshal(g)
	if err != nil {
		return "", err
	}
	token := base64.RawURLEncoding.EncodeToString(raw) + "." + base64.RawURLEncoding.EncodeToString(seal(secret, sp.name, raw))
	if name = path.Base(path.Clean("/" + name)); name == "/" {
		name = "file"
	}
	name = strings.Map(func(r rune) rune {
		if r == '\\' || r < ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, name)
	return c.base + storageRoot + url.PathEscape(sp.name) + "/" + token + "/" + url.PathEscape(name), nil
}

func seal(secret []byte, workspace string, raw []byte) []byte {
	m := hmac.New(sha256.New, secret)
	io.WriteString(m, workspace+"\n")
	m.Write(raw)
	return m.Sum(nil)
}

// secrets are the keys by which addresses are signed, a document per workspace
// that is made when it is first needed.
type secrets struct {
	mu    sync.Mutex
	known map[string][]byte
}

const secretKind, secretID = "storage-secret", "1"

func (s *secrets) of(ctx context.Context, sp *space) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.known[sp.name]; ok {
		return known, nil
	}
	var secret []byte
	take := func(d solera.Document) (err error) {
		text, _ := d.Body["secret"].(string)
		if secret, err = hex.DecodeString(text); err != nil || len(secret) != sha256.Size {
			return fmt.Errorf("document %s: %w: it holds no key", secretKind, solera.ErrCorrupt)
		}
		return nil
	}
	read := func(tx solera.Tx) error {
		d, err := tx.Document(secretKind, secretID)
		if err != nil {
			return err
		}
		return take(d)
	}
	err := sp.t.Store.View(ctx, read)
	if errors.Is(err, solera.ErrNotFound) {
		err = sp.t.Store.Update(ctx, func(tx solera.Tx) error {
			// Another server may have been faster.
			if err := read(tx); !errors.Is(err, solera.ErrNotFound) {
				return err
			}
			var b [sha256.Size]byte
			_, _ = rand.Read(b[:]) // never fails
			d, err := tx.SetDocument(solera.Document{Kind: secretKind, ID: secretID, Body: solera.Fields{"secret": hex.EncodeToString(b[:])}})
			if err != nil {
				return err
			}
			return take(d)
		})
	}
	if err != nil {
		return nil, fmt.Errorf("sign an address: %w", err)
	}
	if s.known == nil {
		s.known = map[string][]byte{}
	}
	s.known[sp.name] = secret
	return secret, nil
}

// admit returns what an address allows, and in which workspace.
func (s *service) admit(r *http.Request, method string) (*space, grant, error) {
	refused := func(why string) (*space, grant, error) {
		return nil, grant{}, fmt.Errorf("%w: this address %s; ask for a new one", auth.ErrForbidden, why)
	}
	payload, mac, ok := strings.Cut(r.PathValue("token"), ".")
	raw, err := base64.RawURLEncoding.DecodeString(payload)
	sum, err2 := base64.RawURLEncoding.DecodeString(mac)
	if !ok || err != nil || err2 != nil {
		return refused("is none that this server gave")
	}
	t, err := s.Workspace(r.PathValue("workspace"))
	if errors.Is(err, solera.ErrNotFound) {
		return refused("is none that this server gave")
	}
	if err != nil {
		return nil, grant{}, err
	}
	whole := *t
	whole.Project, whole.External = "", nil
	sp := &space{r.PathValue("workspace"), &whole}
	secret, err := s.secrets.of(r.Context(), sp)
	if err != nil {
		return nil, grant{}, err
	}
	if !hmac.Equal(sum, seal(secret, sp.name, raw)) {
		return refused("is none that this server gave")
	}
	var g grant
	if err := json.Unmarshal(raw, &g); err != nil {
		return refused("is none that this server gave")
	}
	switch {
	case g.Method != method:
		return refused("is for " + g.Method + " alone")
	case s.Clock().Unix() > g.Expires:
		return refused("is over since " + time.Unix(g.Expires, 0).UTC().Format(time.RFC3339))
	}
	return sp, g, nil
}

// allowOthers lets pages of other origins read what an address gives: whoever
// has the address may.
func allowOthers(h http.Header) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD, PUT, OPTIONS")
	h.Set("Access-Control-Allow-Headers", "Content-Type, Content-MD5, Range")
	h.Set("Access-Control-Expose-Headers", "Content-Length, Content-Range, ETag")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (s *service) preflight(w http.ResponseWriter, _ *http.Request) {
	allowOthers(w.Header())
	w.Header().Set("Access-Control-Max-Age", "3600")
	w.WriteHeader(http.StatusNoContent)
}

// fetch answers GET and HEAD of an address.
func (s *service) fetch(w http.ResponseWriter, r *http.Request) {
	c := s.call(r)
	allowOthers(w.Header())
	sp, g, err := s.admit(r, http.MethodGet)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	open, ok := s.downloads[g.Kind]
	if !ok {
		s.fail(w, r, c, fmt.Errorf("kind %.40q: %w", g.Kind, solera.ErrNotFound))
		return
	}
	found, err := open(r.Context(), sp, g)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	defer found.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	if g.Type != "" {
		h.Set("Content-Type", g.Type)
	}
	// Never a page of ours, whatever the file is.
	h.Set("Content-Disposition", "attachment")
	h.Set("Cache-Control", "private, no-cache")
	if found.etag != "" {
		h.Set("ETag", found.etag)
	}
	http.ServeContent(w, r, "", found.changed, found)
}

// openBlob opens the content whose digest is the target.
func (s *service) openBlob(ctx context.Context, sp *space, g grant) (content, error) {
	if len(g.Target) != 1 {
		return content{}, fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	d, err := solera.ParseDigest(g.Target[0])
	if err != nil {
		return content{}, err
	}
	f, err := sp.t.Blobs.Open(ctx, d)
	if err != nil {
		return content{}, err
	}
	return content{ReadSeekCloser: f, etag: `"` + d.Hex() + `"`}, nil
}

// store answers PUT of an address.
func (s *service) store(w http.ResponseWriter, r *http.Request) {
	c := s.call(r)
	allowOthers(w.Header())
	sp, g, err := s.admit(r, http.MethodPut)
	if err != nil {
		s.fail(w, r, c, err)
		return
	}
	got, err := s.receive(r, sp, g)
	if err != nil {
		// What was not read is not wanted.
		w.Header().Set("Connection", "close")
		s.fail(w, r, c, err)
		return
	}
	w.Header().Set("ETag", `"`+got.MD5+`"`)
	w.WriteHeader(http.StatusOK)
}

func (s *service) receive(r *http.Request, sp *space, g grant) (received, error) {
	file, ok := s.uploads[g.Kind]
	if !ok {
		return received{}, fmt.Errorf("kind %.40q: %w", g.Kind, solera.ErrNotFound)
	}
	if g.Size >= 0 && r.ContentLength >= 0 && r.ContentLength != g.Size {
		return received{}, fmt.Errorf("%w: the file has %d bytes, and %d were announced", solera.ErrInvalid, r.ContentLength, g.Size)
	}
	body := io.Reader(r.Body)
	if g.Size >= 0 {
		body = io.LimitReader(body, g.Size+1)
	}
	before, err := sp.t.Before(r.Context())
	if err != nil {
		return received{}, err
	}
	sum := md5.New() //nolint:gosec // see the import
	in := &counting{r: body, sum: sum}
	// Before the end is passed on, so that nothing of what is wrong is kept.
	in.check = func() error { return announced(r, g, in.n, hex.EncodeToString(sum.Sum(nil))) }
	d, size, err := sp.t.Blobs.Put(r.Context(), in)
	switch {
	case in.wrong != nil:
		return received{}, in.wrong
	case in.err != nil:
		return received{}, fmt.Errorf("%w: the file did not arrive: %v", solera.ErrInvalid, in.err)
	case err != nil:
		return received{}, err
	}
	got := received{Digest: d, Size: size, MD5: hex.EncodeToString(sum.Sum(nil)), before: before}
	if err := s.spent.take(sp.name+" "+g.Nonce, d, g.Expires, s.Clock().Unix()); err != nil {
		return received{}, err
	}
	return got, file(r.Context(), sp, g, got)
}

// announced compares what arrived with what was announced.
func announced(r *http.Request, g grant, size int64, sum string) error {
	if g.Size >= 0 && size != g.Size {
		return fmt.Errorf("%w: the file has %d bytes or more, and %d were announced", solera.ErrInvalid, size, g.Size)
	}
	if g.MD5 != "" && sum != g.MD5 {
		return fmt.Errorf("%w: the MD5 of the %d bytes that arrived is %s, and %s was announced", solera.ErrInvalid, size, sum, g.MD5)
	}
	if want := r.Header.Get("Content-Md5"); want != "" {
		if raw, err := base64.StdEncoding.DecodeString(want); err != nil || hex.EncodeToString(raw) != sum {
			return fmt.Errorf("%w: the MD5 of what arrived is not that of its Content-MD5", solera.ErrInvalid)
		}
	}
	return nil
}

// counting reads a body, sums it up, and keeps what went wrong with it apart
// from what goes wrong with where it is written.
type counting struct {
	r     io.Reader
	sum   hash.Hash
	n     int64
	check func() error // at the end
	wrong error        // that it gave
	err   error        // of the body
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.sum.Write(p[:n])
	c.n += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		if c.wrong = c.check(); c.wrong != nil {
			return n, c.wrong
		}
	case err != nil:
		c.err = err
	}
	return n, err
}

// spent knows what arrived at addresses, so that one of them takes the same
// bytes again, as after an answer that was lost, but no others. It is a guard
// against mistakes and knows this process alone: what must not change is kept
// from changing by the rules.
type spent struct {
	mu   sync.Mutex
	seen map[string]spending
}

type spending struct {
	digest  solera.Digest
	expires int64
}

// maxSpent bounds the memory of it.
const maxSpent = 50_000

func (s *spent) take(name string, d solera.Digest, expires, now int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if was, ok := s.seen[name]; ok {
		if was.digest != d {
			return fmt.Errorf("%w: this address was used, with other bytes (%s); ask for a new one", solera.ErrConflict, strconv.Quote(was.digest.String()))
		}
		return nil
	}
	if s.seen == nil {
		s.seen = map[string]spending{}
	}
	if len(s.seen) >= maxSpent {
		maps.DeleteFunc(s.seen, func(_ string, x spending) bool { return x.expires < now })
		for name := range s.seen {
			if len(s.seen) < maxSpent*9/10 {
				break
			}
			delete(s.seen, name)
		}
	}
	s.seen[name] = spending{d, expires}
	return nil
}
