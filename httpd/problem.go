package httpd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
)

// problem answers with an error as RFC 9457 has it.
func problem(w http.ResponseWriter, status int, detail string) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="Solera"`)
	}
	w.WriteHeader(status)
	encode(w, struct {
		Title  string `json:"title"`
		Status int    `json:"status"`
		Detail string `json:"detail,omitempty"`
	}{http.StatusText(status), status, detail})
}

// encode writes v; whoever asked may be gone, which is nobody's fault.
func encode(w io.Writer, v any) {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	_ = e.Encode(v)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encode(w, v)
}

func writeText(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text)
}

// fail answers with the status of an error. What is no fault of the client is
// logged, and told in no detail.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.Is(err, auth.ErrRefused):
		problem(w, http.StatusUnauthorized, "the key, or the name and password, are not valid")
	case errors.Is(err, auth.ErrForbidden):
		problem(w, http.StatusForbidden, err.Error())
	case errors.As(err, &tooLarge):
		problem(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have at most %d bytes", tooLarge.Limit))
	case errors.Is(err, solera.ErrNotFound):
		problem(w, http.StatusNotFound, err.Error())
	case errors.Is(err, solera.ErrConflict):
		problem(w, http.StatusConflict, err.Error())
	case errors.Is(err, solera.ErrInvalid):
		problem(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, context.Canceled) && r.Context().Err() != nil:
		w.WriteHeader(499) // the client has gone; for the log
	case errors.Is(err, context.DeadlineExceeded):
		s.log.WarnContext(r.Context(), "the store does not answer", "request", requestID(r.Context()), "error", err)
		problem(w, http.StatusServiceUnavailable, "the store does not answer; try again later")
	default:
		s.log.ErrorContext(r.Context(), "request failed", "request", requestID(r.Context()), "error", err)
		problem(w, http.StatusInternalServerError, "the server could not do this; its log says why")
	}
}

// Bounds of the JSON that is read here. It is small and flat.
const (
	maxJSON      = 64 << 10
	maxJSONDepth = 8
)

// readJSON reads the one JSON object of a body. Unknown keys, keys that appear
// twice, anything after the object, and any other type of content are
// ErrInvalid.
func readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return fmt.Errorf("body: %w: want JSON, with Content-Type: application/json", solera.ErrInvalid)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxJSON))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return err
	}
	if err != nil {
		return fmt.Errorf("body: %w: %v", solera.ErrInvalid, err)
	}
	if err := checkJSON(raw); err != nil {
		return fmt.Errorf("body: %w: %v", solera.ErrInvalid, err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("body: %w: %v", solera.ErrInvalid, err)
	}
	return nil
}

// checkJSON reports why raw is not one JSON object whose keys differ.
// encoding/json would take the last of two equal keys, and others the first.
func checkJSON(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	token, err := d.Token()
	if err != nil {
		return err
	}
	if token != json.Delim('{') {
		return errors.New("want an object")
	}
	if err := checkObject(d, 1); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the object")
	}
	return nil
}

func checkObject(d *json.Decoder, depth int) error {
	keys := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, ok := token.(string)
		if !ok {
			return errors.New("want a key")
		}
		if keys[key] {
			return fmt.Errorf("the key %.40q appears twice", key)
		}
		keys[key] = true
		if err := checkValue(d, depth); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

func checkValue(d *json.Decoder, depth int) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	if depth == maxJSONDepth {
		return fmt.Errorf("it is nested deeper than %d", maxJSONDepth)
	}
	switch token {
	case json.Delim('{'):
		return checkObject(d, depth+1)
	case json.Delim('['):
		for d.More() {
			if err := checkValue(d, depth+1); err != nil {
				return err
			}
		}
		_, err = d.Token()
	}
	return err
}
