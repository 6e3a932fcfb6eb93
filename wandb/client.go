package wandb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/solera-ml/solera"
)

// A Client speaks to one server. Every call waits out what passes: a network
// that is gone, a server that is busy or failing. It gives up when its context
// ends or the answer is final. All methods may be called by many goroutines.
type Client struct {
	settings Settings
	agent    string
	http     *http.Client

	// Waiting is told why a call waits, and for how long. nil = nobody is.
	Waiting func(cause error, wait time.Duration)
	// Backoff is how long the first wait lasts; it doubles up to 30 times that.
	// 0 = 2 s.
	Backoff time.Duration
}

// Bounds of what a server may answer.
const (
	maxAnswer   = 64 << 20  // of a GraphQL operation
	maxManifest = 512 << 20 // a million files
	maxWait     = 10 * time.Minute
	stall       = 4 * time.Minute // without a byte, a transfer is taken for dead
)

// NewClient returns a client; version is that of this program.
func NewClient(s Settings, version string) (*Client, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		ForceAttemptHTTP2:     true,
		TLSHandshakeTimeout:   30 * time.Second,
		ResponseHeaderTimeout: 3 * time.Minute,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   8,
	}
	c := &Client{settings: s, agent: "solera/" + version}
	c.http = &http.Client{Transport: transport, CheckRedirect: checkRedirect}
	return c, nil
}

// Close lets go of idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Settings returns what the client was made with; the key is left out.
func (c *Client) Settings() Settings {
	s := c.settings
	s.Key = ""
	return s
}

// errRedirect is final: whoever set the address must set another.
var errRedirect = errors.New("redirect refused")

// checkRedirect follows none with the key, since whoever answers there was not
// named by the user, and none from https to http.
func checkRedirect(next *http.Request, before []*http.Request) error {
	first := before[0]
	switch {
	case first.Header.Get("Authorization") != "" && (next.URL.Host != first.URL.Host || next.URL.Scheme != first.URL.Scheme):
		return fmt.Errorf("%w: the server sends us to %s://%s, and the key goes to no other host than the one that was named; if that is right, set WANDB_BASE_URL to it",
			errRedirect, next.URL.Scheme, next.URL.Host)
	case first.URL.Scheme == "https" && next.URL.Scheme != "https":
		return fmt.Errorf("%w: it leads from https to %s", errRedirect, next.URL.Scheme)
	case len(before) >= 5:
		return fmt.Errorf("%w: more than 5 in a row", errRedirect)
	}
	return nil
}

// A StatusError is an answer that is not a success.
type StatusError struct {
	What    string // "upsertBucket", "file stream", "upload a.bin"
	Status  int    // of HTTP; 200 where errors came inside a success
	Message string // of the server, shortened
	after   time.Duration
}

func (e *StatusError) Error() string {
	s := e.What + ": the server answers "
	if e.Status != http.StatusOK {
		s += strings.TrimSpace(strconv.Itoa(e.Status) + " " + http.StatusText(e.Status))
		if e.Message != "" {
			s += ": "
		}
	}
	return s + e.Message
}

// Unwrap returns the kind of the error.
func (e *StatusError) Unwrap() error {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone:
		return solera.ErrNotFound
	case http.StatusConflict:
		return solera.ErrConflict
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity:
		return solera.ErrInvalid
	}
	return nil
}

// final reports whether trying again cannot help.
func final(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusRequestTimeout, http.StatusTooManyRequests:
			return false
		}
		return status.Status < 500 || status.Status == http.StatusNotImplemented
	}
	var network *networkError
	return !errors.As(err, &network)
}

// An expiredError is a refusal by an address that carries its own
// authorisation, which ends at some time.
type expiredError struct{ err error }

func (e *expiredError) Error() string { return e.err.Error() }
func (e *expiredError) Unwrap() error { return e.err }

// hopeless reports whether try number tries, which failed with err, was the
// last.
func hopeless(err error, tries int) bool {
	var expired *expiredError
	if errors.As(err, &expired) {
		return tries >= 3
	}
	return final(err)
}

// A networkError is one below HTTP: no route, a reset, an answer cut off. What
// it was about may have been done all the same.
type networkError struct {
	what string
	err  error
}

func (e *networkError) Error() string { return e.what + ": " + e.err.Error() }
func (e *networkError) Unwrap() error { return e.err }

// again calls try until it succeeds, fails for good, or ctx ends.
func (c *Client) again(ctx context.Context, try func() error) error {
	for tries := 0; ; tries++ {
		err := try()
		if err == nil || ctx.Err() == nil && hopeless(err, tries) {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := c.wait(ctx, err, tries); err != nil {
			return err
		}
	}
}

// wait sleeps after try number tries failed with err.
func (c *Client) wait(ctx context.Context, err error, tries int) error {
	first := c.Backoff
	if first == 0 {
		first = 2 * time.Second
	}
	wait := min(first<<min(tries, 10), 30*first)
	// A little earlier or later, so that many do not come back at once.
	wait += time.Duration(bits.Reverse64(uint64(time.Now().UnixNano()))%uint64(wait/4+1)) - wait/8
	var status *StatusError
	if errors.As(err, &status) && status.after > wait {
		wait = min(status.after, maxWait)
	}
	if c.Waiting != nil {
		c.Waiting(err, wait)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w (last: %w)", context.Cause(ctx), err)
	case <-timer.C:
		return nil
	}
}

// once sends one request and reads its answer to the end, at most so many
// bytes.
func (c *Client) once(req *http.Request, what string, most int64) ([]byte, http.Header, error) {
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, nil, c.broken(what, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, most+1))
	if err != nil {
		return nil, nil, c.broken(what, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil, nil, c.refused(what, resp, body)
	}
	if int64(len(body)) > most {
		return nil, nil, fmt.Errorf("%s: %w: the answer has more than %d bytes", what, solera.ErrInvalid, most)
	}
	return body, resp.Header, nil
}

// broken is the error of a request without an answer. What net/http says names
// the whole address, in which a signature may be.
func (c *Client) broken(what string, err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		err = withURL.Err
	}
	if errors.Is(err, errRedirect) {
		return fmt.Errorf("%s: %w", what, err)
	}
	return &networkError{what, err}
}

// refused is the error of an answer that is no success.
func (c *Client) refused(what string, resp *http.Response, body []byte) error {
	return &StatusError{What: what, Status: resp.StatusCode, Message: c.clean(messageOf(body)), after: retryAfter(resp.Header, time.Now())}
}

// messageOf finds the sentence in the body of an error.
func messageOf(body []byte) string {
	var answer struct {
		Errors []struct{ Message string }
		Error  string
	}
	if json.Unmarshal(body, &answer) == nil {
		if len(answer.Errors) > 0 {
			return answer.Errors[0].Message
		}
		return answer.Error
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("<")) {
		return "" // a page for people
	}
	return string(body)
}

// clean makes a server's text fit for a message: short, printable, and without
// the key, should the server repeat it.
func (c *Client) clean(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, c.settings.Key, "…"), "\ufffd")
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return strings.TrimSpace(s)
}

// retryAfter reads how long a server wants to be left alone.
func retryAfter(h http.Header, now time.Time) time.Duration {
	s := h.Get("Retry-After")
	if n, err := strconv.ParseFloat(s, 64); err == nil && n >= 0 && n < 1e6 {
		return time.Duration(n * float64(time.Second))
	}
	if at, err := http.ParseTime(s); err == nil && at.After(now) {
		return at.Sub(now)
	}
	return 0
}

// post sends JSON to a path of the server, with the key, once.
func (c *Client) post(ctx context.Context, what, path string, body []byte, most int64) ([]byte, http.Header, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.settings.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w: %v", what, solera.ErrInvalid, err)
	}
	req.SetBasicAuth("api", c.settings.Key)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", c.agent)
	return c.once(req, what, most)
}

// An operation is one GraphQL operation. The name is that of the field which
// it asks for.
type operation struct {
	name string
	text string
}

// queryOnce sends an operation once and reads its answer into out. Errors
// beside data that can be used are passed over where out got what it wants.
func (c *Client) queryOnce(ctx context.Context, op operation, variables map[string]any, out any) error {
	body, err := Encode(map[string]any{"query": op.text, "variables": variables, "operationName": op.operationName()})
	if err != nil {
		return fmt.Errorf("%s: %w", op.name, err)
	}
	answer, _, err := c.post(ctx, op.name, "/graphql", body, maxAnswer)
	if err != nil {
		return err
	}
	var envelope struct {
		Data   json.RawMessage            `json:"data"`
		Errors []struct{ Message string } `json:"errors"`
	}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		// Somebody on the way answers in the server's place, or it was cut off.
		return &networkError{op.name, fmt.Errorf("the answer is no JSON: %w", err)}
	}
	if len(envelope.Errors) > 0 {
		return &StatusError{What: op.name, Status: http.StatusOK, Message: c.clean(envelope.Errors[0].Message)}
	}
	if err := json.Unmarshal(envelope.Data, out); err != nil {
		return fmt.Errorf("%s: %w: the answer has another form: %v", op.name, solera.ErrInvalid, err)
	}
	return nil
}

// query sends an operation that may be sent again.
func (c *Client) query(ctx context.Context, op operation, variables map[string]any, out any) error {
	return c.again(ctx, func() error { return c.queryOnce(ctx, op, variables, out) })
}

// operationName is the word after "query" or "mutation".
func (op operation) operationName() string {
	words := strings.FieldsFunc(op.text, func(r rune) bool { return r == ' ' || r == '(' || r == '{' || r == '\n' || r == '\t' })
	if len(words) < 2 {
		return ""
	}
	return words[1]
}

// StreamAnswer is what the server says to a post to the file stream.
type StreamAnswer struct {
	Stopped bool          `json:"stopped"` // a user asked the run to stop
	Pause   time.Duration `json:"-"`       // that the server wants before the next post; 0 = none
}

// Stream posts to the file stream of a run.
func (c *Client) Stream(ctx context.Context, workspace, project, run string, s Stream) (StreamAnswer, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return StreamAnswer{}, fmt.Errorf("file stream: %w", err)
	}
	path := StreamPath(url.PathEscape(workspace), url.PathEscape(project), url.PathEscape(run))
	var out StreamAnswer
	err = c.again(ctx, func() error {
		answer, header, err := c.post(ctx, "file stream", path, body, 1<<20)
		if err != nil {
			return err
		}
		out = StreamAnswer{Pause: pace(header)}
		if err := json.Unmarshal(answer, &out); err != nil {
			return &networkError{"file stream", fmt.Errorf("the answer is no JSON object: %w", err)}
		}
		return nil
	})
	return out, err
}

// pace reads the headers by which a server says that the next post is too many.
func pace(h http.Header) time.Duration {
	left, err := strconv.ParseFloat(h.Get("RateLimit-Remaining"), 64)
	if err != nil || left >= 1 {
		return 0
	}
	reset, err := strconv.ParseFloat(h.Get("RateLimit-Reset"), 64)
	if err != nil || !(reset > 0 && reset < 1e6) {
		return 0
	}
	return min(time.Duration(reset*float64(time.Second)), maxWait)
}

// checkSigned refuses an address for bytes that no server should name.
func (c *Client) checkSigned(what, address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("%s: %w: the server names no address of http", what, solera.ErrInvalid)
	case u.Scheme == "http" && strings.HasPrefix(c.settings.URL, "https:"):
		return fmt.Errorf("%s: %w: the server is reached by https and names the unencrypted address http://%s", what, solera.ErrInvalid, u.Host)
	}
	return nil
}

// putOnce sends bytes to an address that carries its own authorisation. The
// key is not sent.
func (c *Client) putOnce(ctx context.Context, what, address string, headers []string, body io.Reader, size int64) error {
	if err := c.checkSigned(what, address); err != nil {
		return err
	}
	ctx, watch := watched(ctx)
	defer watch.stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, address, &watchedReader{body, watch})
	if err != nil {
		return fmt.Errorf("%s: %w: the server names a malformed address", what, solera.ErrInvalid)
	}
	req.ContentLength = size
	if size == 0 {
		req.Body = http.NoBody // else net/http would look for a first byte
	}
	req.Header.Set("User-Agent", c.agent)
	for _, h := range headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok || name == "" {
			return fmt.Errorf("%s: %w: the server wants the header %q", what, solera.ErrInvalid, clipped(h))
		}
		req.Header.Set(strings.TrimSpace(name), strings.TrimSpace(value))
	}
	_, _, err = c.once(req, what, 1<<20)
	return err
}

// getOnce opens bytes at an address that carries its own authorisation.
func (c *Client) getOnce(ctx context.Context, what, address string, read func(io.Reader) error) error {
	if err := c.checkSigned(what, address); err != nil {
		return err
	}
	ctx, watch := watched(ctx)
	defer watch.stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return fmt.Errorf("%s: %w: the server names a malformed address", what, solera.ErrInvalid)
	}
	req.Header.Set("User-Agent", c.agent)
	req.Header.Set("Accept-Encoding", "identity") // lengths and digests are of the bytes themselves
	resp, err := c.http.Do(req)
	if err != nil {
		return c.broken(what, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
		return c.refused(what, resp, body)
	}
	failed := &failing{r: &watchedReader{resp.Body, watch}}
	err = read(failed)
	if failed.err != nil {
		return c.broken(what, failed.err)
	}
	return err
}

// failing remembers that reading failed, to tell a broken network from
// whatever the reader of the bytes had to object.
type failing struct {
	r   io.Reader
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// A watch ends a transfer that has stood still for long. Transfers have no
// limit as a whole: a file may be large and a line slow.
type watch struct {
	timer *time.Timer
	stop  func()
}

func watched(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{timer: time.AfterFunc(stall, func() { cancel(fmt.Errorf("not a byte for %s", stall)) })}
	w.stop = func() { w.timer.Stop(); cancel(nil) }
	return ctx, w
}

type watchedReader struct {
	io.Reader
	watch *watch
}

func (r *watchedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.watch.timer.Reset(stall)
	return n, err
}
