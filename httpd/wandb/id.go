package wandb

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/solera-ml/solera"
)

// Identifiers of objects, as clients keep and send them back: standard base64,
// since the client decodes some of them, of a kind and parts such as
// "Run:default:wine:k7q2mx". They are addresses and open nothing by themselves.

// globalID returns the identifier of an object.
func globalID(kind string, parts ...string) string {
	var b strings.Builder
	b.WriteString(kind)
	for _, p := range parts {
		b.WriteByte(':')
		b.WriteString(url.QueryEscape(p))
	}
	return base64.StdEncoding.EncodeToString([]byte(b.String()))
}

// parseID returns the parts of an identifier of a kind.
func parseID(kind, id string, n int) ([]string, error) {
	bad := func() ([]string, error) {
		return nil, fmt.Errorf("id %.80q: %w: it is none of a %s", id, solera.ErrInvalid, kind)
	}
	raw, err := base64.StdEncoding.DecodeString(id)
	if err != nil {
		return bad()
	}
	parts := strings.Split(string(raw), ":")
	if parts[0] != kind || len(parts) != n+1 {
		return bad()
	}
	for i, p := range parts {
		if parts[i], err = url.QueryUnescape(p); err != nil {
			return bad()
		}
	}
	return parts[1:], nil
}

// kindOfID returns the kind of an identifier, "" if it is none.
func kindOfID(id string) string {
	raw, err := base64.StdEncoding.DecodeString(id)
	if err != nil {
		return ""
	}
	kind, _, _ := strings.Cut(string(raw), ":")
	return kind
}

// projectNumber returns a number for a project, where clients want one. It
// follows from the name.
func projectNumber(workspace, project string) int64 {
	sum := sha256.Sum256([]byte(workspace + "/" + project))
	return int64(binary.BigEndian.Uint64(sum[:]) >> 12)
}

// position is a cursor: so many nodes come before it.
func position(n int) string {
	return base64.StdEncoding.EncodeToString([]byte("at:" + strconv.Itoa(n)))
}

func parsePosition(cursor string) (int, error) {
	raw, err := base64.StdEncoding.DecodeString(cursor)
	if err == nil {
		text, ok := strings.CutPrefix(string(raw), "at:")
		if n, err := strconv.Atoi(text); ok && err == nil && n >= 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("cursor %.80q: %w: it is none that this server gave", cursor, solera.ErrInvalid)
}
