package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/solera-ml/solera"
)

const (
	// readWhole is up to which length a content is read into memory as it is
	// opened, in the one request that opening takes anyway.
	readWhole = 1 << 20
	// readBlock is what one request for a few bytes fetches: whoever reads here
	// and there mostly reads on close by.
	readBlock  = 1 << 20
	keepBlocks = 8
	// readTries is how often a reader goes on after its connection broke,
	// without a byte between.
	readTries = 5
)

// Open opens the content. What is longer than 1 MiB is read as it is asked
// for; after a Delete such a reader may go on to the end, but not seek.
func (s *S3) Open(ctx context.Context, d solera.Digest) (io.ReadSeekCloser, error) {
	for try := 1; ; try++ {
		body, info, _, err := s.core.GetObject(ctx, s.bucket, s.key(d), minio.GetObjectOptions{})
		if err != nil {
			return nil, s.failedBlob("open", d, err)
		}
		if info.Size > readWhole {
			return &s3Reader{ctx: ctx, s: s, d: d, etag: info.ETag, size: info.Size, body: body}, nil
		}
		content, err := io.ReadAll(body)
		body.Close()
		if err == nil {
			return memoryReader{bytes.NewReader(content)}, nil
		}
		if err := s.pause(ctx, try, err); err != nil {
			return nil, s.failedBlob("open", d, err)
		}
	}
}

// memoryReader is a content that is in memory.
type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

// pause waits before another try, or returns why there is none.
func (s *S3) pause(ctx context.Context, try int, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if try >= readTries {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(100 * time.Millisecond << try):
		return nil
	}
}

// An s3Reader reads one object by a request that goes on for as long as its
// caller reads on, and by another one after a Seek or a broken connection.
type s3Reader struct {
	ctx  context.Context
	s    *S3
	d    solera.Digest
	etag string // so that parts of one content are not mixed with another
	size int64

	body io.ReadCloser // at offset at, or nil
	at   int64
	want int64 // where the next Read begins

	mu     sync.Mutex
	blocks []block // the newest last
}

type block struct {
	from    int64
	content []byte
}

var _ io.ReaderAt = (*s3Reader)(nil)

// request opens the object from one offset to another.
func (r *s3Reader) request(from, to int64) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if err := o.SetRange(from, to-1); err != nil {
		return nil, err
	}
	if r.etag != "" {
		if err := o.SetMatchETag(r.etag); err != nil {
			return nil, err
		}
	}
	body, info, _, err := r.s.core.GetObject(r.ctx, r.s.bucket, r.s.key(r.d), o)
	if err != nil {
		return nil, err
	}
	if info.Size != to-from {
		body.Close()
		return nil, fmt.Errorf("%w: the server sent %d bytes, not the %d asked for", solera.ErrCorrupt, info.Size, to-from)
	}
	return body, nil
}

func (r *s3Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for try := 1; ; try++ {
		if r.want >= r.size {
			return 0, io.EOF
		}
		n, err := r.read(p)
		if n > 0 {
			return n, nil
		}
		if err == nil {
			continue
		}
		r.drop()
		var refused minio.ErrorResponse
		if errors.As(err, &refused) || errors.Is(err, solera.ErrCorrupt) {
			return 0, r.s.failedBlob("read", r.d, err) // it was tried again already, or cannot change
		}
		if err := r.s.pause(r.ctx, try, err); err != nil {
			return 0, r.s.failedBlob("read", r.d, err)
		}
	}
}

func (r *s3Reader) read(p []byte) (int, error) {
	if r.body == nil || r.at != r.want {
		r.drop()
		body, err := r.request(r.want, r.size)
		if err != nil {
			return 0, err
		}
		r.body, r.at = body, r.want
	}
	n, err := r.body.Read(p[:min(int64(len(p)), r.size-r.at)])
	r.at += int64(n)
	r.want = r.at
	if errors.Is(err, io.EOF) && r.at < r.size {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (r *s3Reader) drop() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}

func (r *s3Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.want
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek in blob %v: %w: before its beginning", r.d, solera.ErrInvalid)
	}
	r.want = offset
	return offset, nil
}

// ReadAt may be called by many goroutines.
func (r *s3Reader) ReadAt(p []byte, from int64) (n int, err error) {
	if from < 0 {
		return 0, fmt.Errorf("read blob %v: %w: before its beginning", r.d, solera.ErrInvalid)
	}
	for n < len(p) {
		at := from + int64(n)
		if at >= r.size {
			return n, io.EOF
		}
		start := at - at%readBlock
		if at == start && len(p)-n >= 2*readBlock { // long: straight to where it belongs
			length := min(int64(len(p)-n), r.size-at)
			if err := r.fetch(p[n:n+int(length)], at); err != nil {
				return n, err
			}
			n += int(length)
			continue
		}
		content, err := r.block(start)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], content[at-start:])
	}
	return n, nil
}

// block returns the block that begins at start.
func (r *s3Reader) block(start int64) ([]byte, error) {
	r.mu.Lock()
	for _, b := range r.blocks {
		if b.from == start {
			r.mu.Unlock()
			return b.content, nil
		}
	}
	r.mu.Unlock()
	content := make([]byte, min(readBlock, r.size-start))
	if err := r.fetch(content, start); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.blocks) == keepBlocks {
		r.blocks = append(r.blocks[:0:0], r.blocks[1:]...)
	}
	r.blocks = append(r.blocks, block{start, content})
	return content, nil
}

// fetch fills p with what begins at from.
func (r *s3Reader) fetch(p []byte, from int64) error {
	for try := 1; ; try++ {
		body, err := r.request(from, from+int64(len(p)))
		if err != nil {
			return r.s.failedBlob("read", r.d, err)
		}
		_, err = io.ReadFull(body, p)
		body.Close()
		if err == nil {
			return nil
		}
		if err := r.s.pause(r.ctx, try, err); err != nil {
			return r.s.failedBlob("read", r.d, err)
		}
	}
}

func (r *s3Reader) Close() error {
	r.drop()
	return nil
}
