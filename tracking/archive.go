package tracking

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/solera-ml/solera"
)

// A backup is one tar file that tar itself can list and unpack:
//
//	solera-backup.json               {"format":1}
//	blobs/sha256/ab/abcd…            each content once, by digest, as it is
//	manifest.json                    how much there is, and the digest of the records
//	manifest.sha256                  the digest of manifest.json
//	records.zst                      Store.Dump, compressed
//
// The contents come first so that a restore can read from a pipe and load the
// records last: before them nobody sees anything of it. The manifest stands
// before the records so that everything after it is known in advance. Contents
// are not compressed: Parquet is already, weights hardly can be.
const (
	archiveFormat  = 1
	headerName     = "solera-backup.json"
	blobPrefix     = "blobs/sha256/"
	manifestName   = "manifest.json"
	manifestSum    = "manifest.sha256"
	recordsName    = "records.zst"
	maxSmallEntry  = 64 << 20 // bytes of solera-backup.json, manifest.json
	maxDamaged     = 100_000  // contents that a backup may find missing or altered
	maxRecordRatio = 1000     // bytes of records to one compressed byte; JSON has 5 to 50
)

type archiveHeader struct {
	Format int `json:"format"`
}

// A manifest is what the archive says of itself. Everything in it is checked
// against what was read.
type manifest struct {
	Solera  string        `json:"solera"`
	Created solera.Micros `json:"created"`
	Blobs   int64         `json:"blobs"`
	Bytes   int64         `json:"bytes"`
	List    solera.Digest `json:"list"` // over "HEX SIZE\n" of each content in the archive
	Records struct {
		Digest solera.Digest `json:"digest"` // of records.zst
		Size   int64         `json:"size"`   // of records.zst
		Raw    int64         `json:"raw"`    // unpacked
	} `json:"records"`
	Missing []damage `json:"missing"` // contents that the records name and the archive lacks
	Altered []damage `json:"altered"` // contents in the archive whose bytes had rotted before
}

type damage struct {
	Digest solera.Digest `json:"digest"`
	Size   int64         `json:"size"`
}

func blobName(d solera.Digest) string { return blobPrefix + d.Hex()[:2] + "/" + d.Hex() }

// An archiveWriter writes a backup in its order: blob…, then finish.
type archiveWriter struct {
	tar  *tar.Writer
	buf  *bufio.Writer
	list hash.Hash
	m    manifest
}

func newArchiveWriter(w io.Writer) (*archiveWriter, error) {
	buf := bufio.NewWriterSize(w, 1<<20)
	a := &archiveWriter{tar: tar.NewWriter(buf), buf: buf, list: sha256.New()}
	a.m.Missing, a.m.Altered = []damage{}, []damage{}
	return a, a.json(headerName, archiveHeader{archiveFormat})
}

// entry begins a file. No time and no owner: the same store gives the same
// archive.
func (a *archiveWriter) entry(name string, size int64) error {
	return a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644})
}

func (a *archiveWriter) bytes(name string, b []byte) error {
	if err := a.entry(name, int64(len(b))); err != nil {
		return err
	}
	_, err := a.tar.Write(b)
	return err
}

func (a *archiveWriter) json(name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return a.bytes(name, append(b, '\n'))
}

// blob adds size bytes of r under the address d and reports whether they have
// that digest.
func (a *archiveWriter) blob(d solera.Digest, size int64, r io.Reader) (right bool, err error) {
	if err := a.entry(blobName(d), size); err != nil {
		return false, err
	}
	h := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(a.tar, h), r, size); err != nil {
		return false, err
	}
	fmt.Fprintf(a.list, "%s %d\n", d.Hex(), size)
	a.m.Blobs++
	a.m.Bytes += size
	if solera.Digest(h.Sum(nil)) == d {
		return true, nil
	}
	a.m.Altered = append(a.m.Altered, damage{d, size})
	return false, nil
}

// finish adds the manifest and the records, size bytes of r, and flushes.
func (a *archiveWriter) finish(records io.Reader) error {
	a.m.List = solera.Digest(a.list.Sum(nil))
	b, err := json.MarshalIndent(a.m, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if err := a.bytes(manifestName, b); err != nil {
		return err
	}
	if err := a.bytes(manifestSum, []byte(solera.DigestOf(b).Hex()+"  "+manifestName+"\n")); err != nil {
		return err
	}
	if err := a.entry(recordsName, a.m.Records.Size); err != nil {
		return err
	}
	if _, err := io.CopyN(a.tar, records, a.m.Records.Size); err != nil {
		return fmt.Errorf("read the records back: %w", err)
	}
	return errors.Join(a.tar.Close(), a.buf.Flush())
}

// An archiveReader reads a backup in its order and takes nothing on trust: not
// names, not sizes, not the order. Everything that it refuses is ErrCorrupt.
type archiveReader struct {
	src  *bufio.Reader
	tar  *tar.Reader
	list hash.Hash
	last string // name of the content before
	n    int64
	size int64
	m    manifest
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", solera.ErrCorrupt, fmt.Sprintf(format, args...))
}

// newArchiveReader reads the first file. Something that is no backup at all is
// ErrInvalid.
func newArchiveReader(r io.Reader) (*archiveReader, error) {
	src := bufio.NewReaderSize(r, 1<<20)
	a := &archiveReader{src: src, tar: tar.NewReader(src), list: sha256.New()}
	h, err := a.tar.Next()
	if err != nil || h.Name != headerName {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, tar.ErrHeader) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: it is no backup made by Solera", solera.ErrInvalid)
	}
	b, err := a.small(h)
	if err != nil {
		return nil, err
	}
	var header archiveHeader
	if err := json.Unmarshal(b, &header); err != nil {
		return nil, bad("%s: %v", headerName, err)
	}
	if header.Format != archiveFormat {
		return nil, fmt.Errorf("%w: the backup has format %d and this Solera reads %d: restore it with a newer one",
			solera.ErrInvalid, header.Format, archiveFormat)
	}
	return a, nil
}

// cut gives an error of reading its kind: an archive that ends too early or
// has no sense is corrupt, a failing disk is not.
func cut(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return bad("it is cut short")
	case errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong), errors.Is(err, tar.ErrInsecurePath):
		return bad("%v", err)
	}
	return err
}

// next returns the next file's header. What is no plain file is refused, and
// so is a sparse one, which is a few bytes that unpack to any number of zeros.
func (a *archiveReader) next() (*tar.Header, error) {
	h, err := a.tar.Next()
	if err != nil {
		return nil, cut(err)
	}
	for key := range h.PAXRecords {
		if key != "size" {
			return nil, bad("%.80q has the attribute %.40q", h.Name, key)
		}
	}
	if h.Typeflag != tar.TypeReg || h.Size < 0 {
		return nil, bad("%.80q is no plain file", h.Name)
	}
	return h, nil
}

// small reads a file that has to fit in memory.
func (a *archiveReader) small(h *tar.Header) ([]byte, error) {
	if h.Size > maxSmallEntry {
		return nil, bad("%s has %d bytes", h.Name, h.Size)
	}
	b, err := io.ReadAll(a.tar)
	return b, cut(err)
}

// blob returns the next content's address and length, or ok = false after the
// last. The caller reads it from a.tar.
func (a *archiveReader) blob() (d solera.Digest, size int64, ok bool, err error) {
	h, err := a.next()
	if err != nil {
		return d, 0, false, err
	}
	if h.Name == manifestName {
		return d, 0, false, a.manifest(h)
	}
	hex := h.Name[strings.LastIndexByte(h.Name, '/')+1:]
	d, err = solera.ParseDigest("sha256:" + hex)
	if err != nil || blobName(d) != h.Name {
		return d, 0, false, bad("a file named %.80q", h.Name)
	}
	if h.Name <= a.last {
		return d, 0, false, bad("%s appears twice or out of order", h.Name)
	}
	a.last = h.Name
	a.n++
	a.size += h.Size
	fmt.Fprintf(a.list, "%s %d\n", d.Hex(), h.Size)
	return d, h.Size, true, nil
}

// manifest reads manifest.json and its digest and compares it with the
// contents that came before.
func (a *archiveReader) manifest(h *tar.Header) error {
	b, err := a.small(h)
	if err != nil {
		return err
	}
	if h, err = a.next(); err != nil {
		return err
	}
	if h.Name != manifestSum {
		return bad("%s is missing", manifestSum)
	}
	sum, err := a.small(h)
	if err != nil {
		return err
	}
	if string(sum) != solera.DigestOf(b).Hex()+"  "+manifestName+"\n" {
		return bad("%s was altered", manifestName)
	}
	read := json.NewDecoder(bytes.NewReader(b))
	if err := read.Decode(&a.m); err != nil {
		return bad("%s: %v", manifestName, err)
	}
	m := a.m
	if m.Blobs != a.n || m.Bytes != a.size || m.List != solera.Digest(a.list.Sum(nil)) {
		return bad("the manifest tells of %d contents of %d bytes, the archive has %d of %d, or others", m.Blobs, m.Bytes, a.n, a.size)
	}
	if m.Records.Size < 0 || m.Records.Raw < 0 || m.Records.Raw/maxRecordRatio > m.Records.Size+1<<10 {
		return bad("%d bytes of records that unpack to %d", m.Records.Size, m.Records.Raw)
	}
	return nil
}

// records returns a reader of the records. It gives io.EOF only when all of
// them, and nothing else, was there and had the digest of the manifest; until
// then what was read from it must not count.
func (a *archiveReader) records(ctx context.Context) (*recordReader, error) {
	h, err := a.next()
	if err != nil {
		return nil, err
	}
	if h.Name != recordsName || h.Size != a.m.Records.Size {
		return nil, bad("in the place of the records is %.80q of %d bytes", h.Name, h.Size)
	}
	packed := solera.VerifyReader(io.LimitReader(a.tar, h.Size), a.m.Records.Digest)
	r := &recordReader{ctx: ctx, a: a, packed: packed, left: a.m.Records.Raw}
	// One goroutine and a small window: what a hostile frame asks for is refused.
	r.zstd, err = zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, bad("%s: %v", recordsName, err)
	}
	return r, nil
}

type recordReader struct {
	ctx    context.Context
	a      *archiveReader
	packed io.Reader
	zstd   *zstd.Decoder
	left   int64
	err    error
}

func (r *recordReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.zstd.Read(p)
	r.left -= int64(n)
	switch {
	case r.left < 0:
		err = bad("%s unpacks to more than the manifest says", recordsName)
	case err == nil:
		return n, nil
	case err == io.EOF:
		err = r.end()
	case !errors.Is(err, solera.ErrCorrupt):
		err = bad("%s: %v", recordsName, err)
	}
	r.err = err
	return n, err
}

// end checks, after the last byte, all that can be checked only then.
func (r *recordReader) end() error {
	if r.left != 0 {
		return bad("%s unpacks to %d bytes less than the manifest says", recordsName, r.left)
	}
	if n, err := io.Copy(io.Discard, r.packed); err != nil || n != 0 {
		if err != nil {
			return cut(err)
		}
		return bad("%d bytes follow the records", n)
	}
	if h, err := r.a.tar.Next(); err != io.EOF {
		if err != nil {
			return cut(err)
		}
		return bad("the file %.80q follows the records", h.Name)
	}
	// tar fills up with zeros.
	for {
		b, err := r.a.src.ReadByte()
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return err
		}
		if b != 0 {
			return bad("something follows its end")
		}
	}
}

func (r *recordReader) Close() error {
	r.zstd.Close()
	return nil
}
