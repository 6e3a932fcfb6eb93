package tracking

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/solera-ml/solera"
)

// OpenEntry opens the content of a file of a version or of a run to hand it on.
// It does not read ahead, as Snapshot.OpenFile does: whoever reads it from its
// beginning to its end without a leap gets ErrCorrupt in place of the last
// bytes when they are not what was stored. An external file is
// errors.ErrUnsupported: it is for whoever wants it to fetch.
func (t *Tracker) OpenEntry(ctx context.Context, e solera.Entry) (io.ReadSeekCloser, error) {
	if e.Ref != "" {
		return nil, fmt.Errorf("open %s: %w: it is an external file; fetch it from %s", e.Path, errors.ErrUnsupported, solera.RedactURL(e.Ref))
	}
	r, err := t.Blobs.Open(ctx, e.Digest)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", e.Path, err)
	}
	return &checking{ReadSeekCloser: r, entry: e}, nil
}

// checking hashes what is read for as long as nothing was left out.
type checking struct {
	io.ReadSeekCloser
	entry solera.Entry
	at    int64     // place of the reader
	sum   hash.Hash // of all bytes before done
	done  int64
}

func (c *checking) Read(p []byte) (int, error) {
	n, err := c.ReadSeekCloser.Read(p)
	if c.at == 0 {
		c.sum, c.done = sha256.New(), 0
	}
	if c.sum != nil && c.at == c.done {
		c.sum.Write(p[:n])
		c.done += int64(n)
	}
	c.at += int64(n)
	whole := c.sum != nil && c.done == c.at
	if err == io.EOF && c.at != c.entry.Size || c.at > c.entry.Size {
		return 0, fmt.Errorf("read %s: %w: it has another length than was stored", c.entry.Path, solera.ErrCorrupt)
	}
	if whole && c.at == c.entry.Size && solera.Digest(c.sum.Sum(nil)) != c.entry.Digest {
		return 0, fmt.Errorf("read %s: %w: its bytes are not those of %s", c.entry.Path, solera.ErrCorrupt, c.entry.Digest)
	}
	return n, err
}

func (c *checking) Seek(offset int64, whence int) (int64, error) {
	at, err := c.ReadSeekCloser.Seek(offset, whence)
	if err == nil {
		c.at = at
	}
	return at, err
}
