package tracking

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/solera-ml/solera"
)

// Reference is an external file: a file://, s3:// or https:// URL without
// credentials, and the digest and length of what is there. It is not copied and
// not looked at; whoever opens it later gets these bytes or an error.
func Reference(url string, d solera.Digest, size int64) Source {
	return Source{ref: url, put: func(context.Context, solera.Blobs) (solera.Digest, int64, error) { return d, size, nil }}
}

// External is an external file as another version has it: e with all that is
// said of it, but for its path.
func External(e solera.Entry) Source {
	s := Reference(e.Ref, e.Digest, e.Size)
	s.said = e
	return s
}

// checkReference refuses what must not be recorded. The rest is CheckFiles'.
func checkReference(ref string) error {
	if ref != "" && solera.RedactURL(ref) != ref {
		return fmt.Errorf("reference %s: %w: it holds a password or a key, which would be recorded; leave it out", solera.RedactURL(ref), solera.ErrInvalid)
	}
	return nil
}

// openAt opens the content of a file at an offset, unchecked.
func (t *Tracker) openAt(ctx context.Context, e solera.Entry, offset int64) (io.ReadCloser, error) {
	if e.Ref != "" {
		r, err := t.external(ctx, e, offset)
		switch {
		case errors.Is(err, errors.ErrUnsupported) && e.ETag != "":
			err = fmt.Errorf("%w: it is an external file that is known by its ETag alone, so what %s gives now cannot be checked; fetch it with a tool of its home",
				errors.ErrUnsupported, solera.RedactURL(e.Ref))
		case errors.Is(err, errors.ErrUnsupported):
			err = fmt.Errorf("%w: it is an external file, and nothing here opens %s; fetch it with a tool of its home", err, e.Ref)
		}
		return r, err
	}
	r, err := t.Blobs.Open(ctx, e.Digest)
	if err != nil {
		return nil, err
	}
	if offset > 0 {
		if _, err := r.Seek(offset, io.SeekStart); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

func (t *Tracker) external(ctx context.Context, e solera.Entry, offset int64) (io.ReadCloser, error) {
	// What is at a reference without a digest of its bytes is anybody's.
	if t.External == nil || e.ETag != "" {
		return nil, errors.ErrUnsupported
	}
	return t.External(ctx, e, offset)
}

// openSeekable opens the content of a file at its beginning, unchecked. An
// external file that comes as a stream is copied to a temporary file.
func (t *Tracker) openSeekable(ctx context.Context, e solera.Entry) (io.ReadSeekCloser, error) {
	r, err := t.openAt(ctx, e, 0)
	if err != nil {
		return nil, err
	}
	if s, ok := r.(io.ReadSeekCloser); ok {
		return s, nil
	}
	defer r.Close()
	f, err := os.CreateTemp("", "solera-external-")
	if err != nil {
		return nil, err
	}
	temp := &temporary{f}
	// One byte more than there should be is enough to see that it is not what
	// was committed.
	_, err = io.Copy(f, io.LimitReader(r, e.Size+1))
	if err == nil {
		_, err = f.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("fetch %s: %w", e.Ref, err), temp.Close())
	}
	return temp, nil
}

// temporary is a file that goes when it is closed.
type temporary struct{ *os.File }

func (t *temporary) Close() error {
	return errors.Join(t.File.Close(), os.Remove(t.Name()))
}
