package httpd

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// noncePlace is where the index has the nonce of its styles.
const noncePlace = "__NONCE__"

// dashboard holds the pages as they go out.
type dashboard struct {
	files map[string]asset
	index []string // the parts around the nonces; nil = not built
}

// An asset is a file of the dashboard. Its bytes stay in the binary.
type asset struct {
	files fs.FS
	name  string // in files, with .gz
	kind  string // type of content
	tag   string // ETag
	size  int64  // compressed
}

func newDashboard(files fs.FS) (*dashboard, error) {
	d := &dashboard{files: make(map[string]asset)}
	if files == nil {
		return d, nil
	}
	err := fs.WalkDir(files, ".", func(name string, e fs.DirEntry, err error) error {
		plain, ok := strings.CutSuffix(name, ".gz")
		if err != nil || e.IsDir() || !ok {
			return err
		}
		raw, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		if plain == "index.html" {
			text, err := unpack(bytes.NewReader(raw))
			d.index = strings.Split(string(text), noncePlace)
			return err
		}
		sum := sha256.Sum256(raw)
		d.files["/"+plain] = asset{files, name, contentType(plain), hex.EncodeToString(sum[:12]), int64(len(raw))}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the dashboard: %w", err)
	}
	return d, nil
}

func unpack(r io.Reader) ([]byte, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// contentType does not ask the system, whose tables differ.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	case ".json":
		return "application/json"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// page serves the dashboard: its files by name, and the index for every other
// address, since the pages find their way themselves.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		problem(w, http.StatusMethodNotAllowed, "this address takes GET")
		return
	}
	if a, ok := s.pages.files[r.URL.Path]; ok {
		s.asset(w, r, a)
		return
	}
	switch to, err := s.elsewhere(r); {
	case err != nil:
		s.fail(w, r, err)
		return
	case to != "":
		w.Header().Set("Cache-Control", "no-store")
		http.Redirect(w, r, to, http.StatusFound)
		return
	}
	// A file that is missing must not look like a page that is there.
	if strings.HasPrefix(r.URL.Path, "/assets/") || strings.Count(r.URL.Path, "/") == 1 && strings.Contains(r.URL.Path, ".") {
		problem(w, http.StatusNotFound, "there is no such file")
		return
	}
	if s.pages.index == nil {
		writeText(w, http.StatusNotFound, "This program was built without its dashboard. Install Node 20 and npm, and build it by: make build\n"+
			"Everything else works: the API is under /api/v1.\n")
		return
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	nonce := hex.EncodeToString(b[:])
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-"+nonce+"'; img-src 'self' data: blob:; "+
		"font-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	text := strings.Join(s.pages.index, nonce)
	h.Set("Content-Length", strconv.Itoa(len(text)))
	if r.Method == http.MethodGet {
		_, _ = io.WriteString(w, text)
	}
}

// asset serves a file: compressed as it is in the binary, or unpacked for the
// rare client that asks for that.
func (s *Server) asset(w http.ResponseWriter, r *http.Request, a asset) {
	h := w.Header()
	packed := acceptsGzip(r.Header.Get("Accept-Encoding"))
	tag := `"` + a.tag + `"`
	if !packed {
		tag = `"` + a.tag + `-plain"`
	}
	h.Set("ETag", tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("Content-Type", a.kind)
	if strings.HasPrefix(r.URL.Path, "/assets/") {
		h.Set("Cache-Control", "public, max-age=31536000, immutable") // the name has a digest
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	for known := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if known = strings.TrimPrefix(strings.TrimSpace(known), "W/"); known == tag || known == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	f, err := a.files.Open(a.name)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	defer f.Close()
	if packed {
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.FormatInt(a.size, 10))
	}
	if r.Method == http.MethodHead {
		return
	}
	if packed {
		_, _ = io.Copy(w, f)
		return
	}
	z, err := gzip.NewReader(f)
	if err == nil {
		_, err = io.Copy(w, z)
	}
	if err != nil && !errors.Is(err, http.ErrHandlerTimeout) && r.Context().Err() == nil {
		s.log.WarnContext(r.Context(), "send a file of the dashboard", "file", a.name, "error", err)
	}
}

// acceptsGzip reads Accept-Encoding as far as needed: gzip or *, unless it has
// the quality 0.
func acceptsGzip(accept string) bool {
	for part := range strings.SplitSeq(accept, ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name = strings.TrimSpace(strings.ToLower(name)); name != "gzip" && name != "*" {
			continue
		}
		q = strings.TrimPrefix(strings.ReplaceAll(q, " ", ""), "q=")
		weight, err := strconv.ParseFloat(q, 64)
		return q == "" || err == nil && weight > 0
	}
	return false
}
