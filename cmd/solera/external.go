package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/blob"
)

// openExternal opens an external file at an offset: one of this machine, of an
// S3 server, or of a web server. What it gives is not checked.
func openExternal(ctx context.Context, e solera.Entry, offset int64) (io.ReadCloser, error) {
	scheme, _, _ := strings.Cut(e.Ref, "://")
	switch scheme {
	case "file":
		return openLocal(e.Ref, offset)
	case "s3":
		return blob.OpenObject(ctx, e.Ref, offset)
	case "https":
		return openWeb(ctx, http.DefaultTransport, e.Ref, offset)
	}
	return nil, errors.ErrUnsupported
}

// openLocal opens file://PATH.
func openLocal(ref string, offset int64) (io.ReadCloser, error) {
	u, err := url.Parse(ref)
	if err != nil || u.Scheme != "file" || u.Host != "" {
		return nil, fmt.Errorf("%w: want file:///folder/file", solera.ErrInvalid)
	}
	name := filepath.FromSlash(u.Path)
	// Before it is opened: opening a pipe waits for whoever writes into it.
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", ref, solera.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %w: it is no file", ref, solera.ErrInvalid)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if _, err := f.Seek(offset, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// webPatience is how long a web server may take to begin its answer.
const webPatience = 30 * time.Second

// openWeb opens an https:// URL. It follows redirects to https alone. A server
// that cannot begin in the middle is read from its beginning.
func openWeb(ctx context.Context, transport http.RoundTripper, ref string, offset int64) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancel(ctx)
	client := &http.Client{Transport: transport, CheckRedirect: func(to *http.Request, via []*http.Request) error {
		if to.URL.Scheme != "https" || len(via) >= 10 {
			return fmt.Errorf("%w: it leads to %s", solera.ErrInvalid, solera.RedactURL(to.URL.String()))
		}
		return nil
	}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, ref, nil)
	if err != nil {
		cancel()
		return nil, fmt.Errorf("%w: %s is no URL", solera.ErrInvalid, ref)
	}
	// The digest is of the content as it is, not of a form packed on the way.
	request.Header.Set("Accept-Encoding", "identity")
	if offset > 0 {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	late := time.AfterFunc(webPatience, cancel)
	answer, err := client.Do(request)
	if !late.Stop() && err != nil && context.Cause(ctx) != nil {
		err = fmt.Errorf("%s: no answer within %v", ref, webPatience)
	}
	if err != nil {
		cancel()
		// Its own text names where a redirect led, with what may be a key.
		var failed *url.Error
		if errors.As(err, &failed) {
			err = fmt.Errorf("%s: %w", ref, failed.Err)
		}
		return nil, err
	}
	body := &webBody{answer.Body, cancel}
	switch answer.StatusCode {
	case http.StatusOK:
		if _, err := io.CopyN(io.Discard, body, offset); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", ref, err), body.Close())
		}
		return body, nil
	case http.StatusPartialContent:
		if want := fmt.Sprintf("bytes %d-", offset); offset > 0 && strings.HasPrefix(answer.Header.Get("Content-Range"), want) {
			return body, nil
		}
		err = fmt.Errorf("%s: %w: the server sent another part than was asked for", ref, solera.ErrCorrupt)
	case http.StatusNotFound, http.StatusGone:
		err = fmt.Errorf("%s: %w", ref, solera.ErrNotFound)
	default:
		err = fmt.Errorf("%s: the server answers %s", ref, answer.Status)
	}
	return nil, errors.Join(err, body.Close())
}

type webBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *webBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
