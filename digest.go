package solera

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"strings"
)

// A Digest is the SHA-256 of some content, and its address in a blob store.
// The zero Digest means "none". Digests compare with ==.
type Digest [sha256.Size]byte

const digestPrefix = "sha256:"

// DigestOf returns the digest of b.
func DigestOf(b []byte) Digest { return sha256.Sum256(b) }

// DigestReader reads r to its end and returns the digest and length of what it
// read.
func DigestReader(r io.Reader) (Digest, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return Digest{}, n, err
	}
	return Digest(h.Sum(nil)), n, nil
}

// ParseDigest reads the text form, "sha256:" and 64 lower-case hexadecimal
// digits. Anything else is ErrInvalid, upper case too: one digest has one text.
func ParseDigest(s string) (Digest, error) {
	var d Digest
	digits, ok := strings.CutPrefix(s, digestPrefix)
	if !ok || len(digits) != 2*len(d) || strings.ToLower(digits) != digits {
		return Digest{}, fmt.Errorf("digest %s: %w: want sha256: and 64 lower-case hexadecimal digits", clip(s), ErrInvalid)
	}
	if _, err := hex.Decode(d[:], []byte(digits)); err != nil {
		return Digest{}, fmt.Errorf("digest %s: %w: %v", clip(s), ErrInvalid, err)
	}
	return d, nil
}

// IsZero reports whether d is the zero Digest, "none".
func (d Digest) IsZero() bool { return d == Digest{} }

// Hex returns the 64 hexadecimal digits without the algorithm.
func (d Digest) Hex() string { return hex.EncodeToString(d[:]) }

// String returns the text form, or "" for the zero Digest.
func (d Digest) String() string {
	if d.IsZero() {
		return ""
	}
	return digestPrefix + d.Hex()
}

// Short returns the first 12 hexadecimal digits, for tables that people read.
// It is not an address.
func (d Digest) Short() string {
	if d.IsZero() {
		return ""
	}
	return d.Hex()[:12]
}

// MarshalText returns the text form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the text form; "" gives the zero Digest.
func (d *Digest) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = Digest{}
		return nil
	}
	got, err := ParseDigest(string(b))
	if err != nil {
		return err
	}
	*d = got
	return nil
}

// VerifyReader returns a reader of r that fails with ErrCorrupt in place of
// io.EOF when the bytes read do not have the digest want. A caller that stops
// before the end has verified nothing.
func VerifyReader(r io.Reader, want Digest) io.Reader {
	return &verifyReader{r: r, want: want, hash: sha256.New()}
}

type verifyReader struct {
	r    io.Reader
	want Digest
	hash hash.Hash
}

func (v *verifyReader) Read(p []byte) (int, error) {
	n, err := v.r.Read(p)
	v.hash.Write(p[:n])
	if err == io.EOF {
		if got := Digest(v.hash.Sum(nil)); got != v.want {
			return n, fmt.Errorf("read %v: %w: its bytes have the digest %v", v.want, ErrCorrupt, got)
		}
	}
	return n, err
}

// clip quotes s for an error message and shortens what nobody would read.
func clip(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%q… (%d bytes)", s[:most], len(s))
	}
	return fmt.Sprintf("%q", s)
}
