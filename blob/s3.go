package blob

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/solera-ml/solera"
)

// An S3 is a bucket of blobs, or what lies under a prefix of one. Content
// sha256:abcd… is the object PREFIX/sha256/ab/abcd…, as in a Dir, so that
// blobs move between the two by copying files. An object appears whole or not
// at all: that is what S3 promises of an upload.
//
// Requests that fail for a reason that may pass (no connection, status 429 or
// 5xx) are tried ten times within about ten seconds, unless their context ends.
type S3 struct {
	core           minio.Core
	bucket, prefix string
	endpoint       string // for messages
	parts          int64  // length of the parts in which large contents go up
	spool          string // folder of contents that are too large for memory, "" = that of the system
	// aged is set when the server has been seen to leave an object as old as it
	// was when it was copied onto itself.
	aged atomic.Bool
}

var _ solera.Blobs = (*S3)(nil)

const (
	// spoolMemory is how much of a content is kept in memory until its digest
	// is known; longer ones go through a temporary file.
	spoolMemory = 8 << 20
	partSize    = 16 << 20 // S3 wants at least 5 MiB, and at most maxParts
	maxParts    = 10_000
	uploads     = 4       // parts of one content at a time
	maxCopy     = 5 << 30 // what S3 copies in one request
)

// OpenS3 opens a bucket of blobs by its URL:
//
//	s3://BUCKET[/PREFIX]?endpoint=http://127.0.0.1:7070&region=us-east-1&path_style=true
//
// The endpoint is AWS unless it is given or in AWS_ENDPOINT_URL_S3 or
// AWS_ENDPOINT_URL; the region, unless given, in AWS_REGION or
// AWS_DEFAULT_REGION. path_style puts the bucket into the path instead of the
// name of the host; it is the default for endpoints other than AWS.
// Credentials come from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and
// AWS_SESSION_TOKEN, from the profile AWS_PROFILE of ~/.aws/credentials, or
// from the role of the machine or container. OpenS3 sends no request: see
// Check.
func OpenS3(address string) (*S3, error) {
	s, err := openS3(address, os.Getenv)
	if err != nil {
		return nil, &solera.InputError{Op: "open blobs", Err: err}
	}
	s.sweepSpool()
	return s, nil
}

func openS3(address string, env func(string) string) (*S3, error) {
	const form = "want s3://BUCKET/PREFIX?endpoint=https://HOST:PORT"
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" || u.Opaque != "" {
		return nil, fmt.Errorf("%w: %s", solera.ErrInvalid, form)
	}
	if u.User != nil {
		return nil, fmt.Errorf("%w: the address holds a key; give it in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY: addresses are shown and recorded", solera.ErrInvalid)
	}
	q := u.Query()
	for name := range q {
		if name != "endpoint" && name != "region" && name != "path_style" {
			return nil, fmt.Errorf("%w: s3://%s has the unknown parameter %.40q; there are endpoint, region and path_style", solera.ErrInvalid, u.Host, name)
		}
	}
	s := &S3{bucket: u.Host, prefix: strings.Trim(u.Path, "/"), parts: partSize}
	if s.prefix != "" {
		if s.prefix != path.Clean(s.prefix) {
			return nil, fmt.Errorf("%w: s3://%s: the prefix %.80q has empty parts or dots", solera.ErrInvalid, u.Host, s.prefix)
		}
		s.prefix += "/"
	}
	region := cmp.Or(q.Get("region"), env("AWS_REGION"), env("AWS_DEFAULT_REGION"))
	given := cmp.Or(q.Get("endpoint"), env("AWS_ENDPOINT_URL_S3"), env("AWS_ENDPOINT_URL"))
	options := minio.Options{Region: region, BucketLookup: minio.BucketLookupAuto}
	s.endpoint = cmp.Or(given, "https://s3.amazonaws.com")
	if !strings.Contains(s.endpoint, "://") {
		s.endpoint = "https://" + s.endpoint
	}
	e, err := url.Parse(s.endpoint)
	if err != nil || e.Host == "" || e.Scheme != "http" && e.Scheme != "https" || strings.Trim(e.Path, "/") != "" || e.User != nil || e.RawQuery != "" {
		return nil, fmt.Errorf("%w: s3://%s: the endpoint is not of the form https://HOST:PORT", solera.ErrInvalid, u.Host)
	}
	options.Secure = e.Scheme == "https"
	if given != "" {
		options.BucketLookup = minio.BucketLookupPath
		options.Region = cmp.Or(region, "us-east-1") // most servers of one's own have no others
	}
	if style := q.Get("path_style"); style != "" {
		byPath, err := strconv.ParseBool(style)
		if err != nil {
			return nil, fmt.Errorf("%w: s3://%s: path_style is %.20q, want true or false", solera.ErrInvalid, u.Host, style)
		}
		options.BucketLookup = minio.BucketLookupDNS
		if byPath {
			options.BucketLookup = minio.BucketLookupPath
		}
	}
	chain := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if given == "" || env("AWS_WEB_IDENTITY_TOKEN_FILE") != "" || env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") != "" || env("AWS_CONTAINER_CREDENTIALS_FULL_URI") != "" {
		// Asked at an address of the cloud: elsewhere that would only hang.
		chain = append(chain, &credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}})
	}
	options.Creds = credentials.NewChainCredentials(chain)
	client, err := minio.New(e.Host, &options)
	if err != nil {
		return nil, fmt.Errorf("%w: s3://%s: %v", solera.ErrInvalid, u.Host, err)
	}
	s.core = minio.Core{Client: client}
	return s, nil
}

// String returns where the blobs are, without anything secret.
func (s *S3) String() string {
	return "s3://" + s.bucket + "/" + s.prefix + " at " + s.endpoint
}

// Check asks whether the bucket is there and lets us in, so that a long
// training need not end to find out.
func (s *S3) Check(ctx context.Context) error {
	ok, err := s.core.BucketExists(ctx, s.bucket)
	if err == nil && !ok {
		err = minio.ErrorResponse{Code: minio.NoSuchBucket, StatusCode: http.StatusNotFound}
	}
	return s.failed("open blobs", err)
}

func (s *S3) key(d solera.Digest) string {
	hex := d.Hex()
	return s.prefix + "sha256/" + hex[:2] + "/" + hex
}

// Put stores what r holds: see solera.Blobs. Its address is known when it has
// been read to the end, so it goes through memory or a temporary file first.
// Content that is there already, with the right length, is only made young;
// its bytes are not read. The server checks each upload by its SHA-256.
func (s *S3) Put(ctx context.Context, r io.Reader) (solera.Digest, int64, error) {
	sp, err := s.fill(ctx, r)
	if err != nil {
		return solera.Digest{}, 0, fmt.Errorf("store blob in %v: %w", s, err)
	}
	defer sp.close()
	if err := s.put(ctx, sp); err != nil {
		return solera.Digest{}, 0, s.failed("store blob", err)
	}
	return sp.digest, sp.size, nil
}

func (s *S3) put(ctx context.Context, sp *spool) error {
	key := s.key(sp.digest)
	info, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	switch {
	case err == nil && info.Size == sp.size:
		if age := time.Since(info.LastModified); age > -time.Second && age < time.Second {
			return nil
		}
		if s.refreshed(ctx, key, info) {
			return nil
		}
		// The content goes up again.
	case err != nil && !absent(err):
		return err
	}
	if sp.size <= s.parts {
		return s.putWhole(ctx, key, sp)
	}
	return s.putParts(ctx, key, sp)
}

// refreshed makes an object as young as if it had just been stored, by copying
// it onto itself, and reports whether that is so now. It is not when the
// object was deleted meanwhile, is too large to be copied, or is on a server
// that does not move what stays in its place.
func (s *S3) refreshed(ctx context.Context, key string, was minio.ObjectInfo) bool {
	if was.Size > maxCopy || s.aged.Load() {
		return false
	}
	_, err := s.core.Client.CopyObject(ctx,
		minio.CopyDestOptions{Bucket: s.bucket, Object: key, ReplaceMetadata: true, ContentType: octets},
		minio.CopySrcOptions{Bucket: s.bucket, Object: key})
	if err != nil {
		return false
	}
	is, err := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
	if err != nil || is.Size != was.Size {
		return false
	}
	if !is.LastModified.After(was.LastModified) {
		s.aged.Store(true)
		return false
	}
	return true
}

const octets = "application/octet-stream"

// integrity are the options of an upload whose digest is known: the server
// refuses bytes of another one. The header that it signs says so to every
// server of S3; the checksum is also kept by those that know it.
func integrity(sum [sha256.Size]byte) (hexadecimal string, o minio.PutObjectOptions) {
	return hex.EncodeToString(sum[:]), minio.PutObjectOptions{
		ContentType: octets, DisableContentSha256: true, // not piecewise: the sum of the whole is there
		UserMetadata: map[string]string{minio.ChecksumSHA256.Key(): base64.StdEncoding.EncodeToString(sum[:])},
	}
}

func (s *S3) putWhole(ctx context.Context, key string, sp *spool) error {
	hexadecimal, o := integrity(sp.digest)
	var info minio.UploadInfo
	err := again(ctx, func() (err error) {
		info, err = s.core.PutObject(ctx, s.bucket, key, once{sp.section(0, sp.size)}, sp.size, "", hexadecimal, o)
		return err
	})
	if err != nil {
		return err
	}
	if kept := info.ChecksumSHA256; kept != "" && kept != o.UserMetadata[minio.ChecksumSHA256.Key()] {
		return fmt.Errorf("%w: the server stored other bytes than it was sent", solera.ErrCorrupt)
	}
	return nil
}

// once hides that a reader can seek, so that the client sends it once and not
// again: it would rewind the reader while the connection that it has given up
// still reads from it. The next try gets a reader of its own, from again.
type once struct{ r io.Reader }

func (o once) Read(p []byte) (int, error) { return o.r.Read(p) }

// The tries of an upload, and the pauses between them: about nine seconds in
// all, as long as the client itself tries everything else.
const (
	tries     = 10
	pause     = 50 * time.Millisecond
	longPause = 2 * time.Second
)

// again calls send until the server takes what is sent, or refuses it.
func again(ctx context.Context, send func() error) error {
	for try := 1; ; try++ {
		err := send()
		if err == nil || try == tries || ctx.Err() != nil || !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(min(pause<<(try-1), longPause)):
		}
	}
}

// passing reports whether a later try may go well: the connection failed, or
// the server is busy or broken.
func passing(err error) bool {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) || answer.StatusCode == 0 {
		return !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	switch answer.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests:
		return true
	}
	return answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented
}

// putParts uploads a large content, several parts at a time. The object
// appears when the last request has them joined.
func (s *S3) putParts(ctx context.Context, key string, sp *spool) (err error) {
	upload, err := s.core.NewMultipartUpload(ctx, s.bucket, key, minio.PutObjectOptions{ContentType: octets})
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// Also when ctx has ended. What stays in spite of it, Sweep removes.
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_ = s.core.AbortMultipartUpload(ctx, s.bucket, key, upload)
		}
	}()
	length := max(s.parts, (sp.size+maxParts-1)/maxParts)
	parts := make([]minio.CompletePart, (sp.size+length-1)/length)
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(uploads, len(parts)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(parts) && inner.Err() == nil; i = int(next.Add(1)) - 1 {
				etag, err := s.putPart(inner, key, upload, i+1, sp.section(int64(i)*length, min(length, sp.size-int64(i)*length)))
				if err != nil {
					stop(err) // the first counts
				}
				parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: etag}
			}
		})
	}
	wg.Wait()
	if inner.Err() != nil {
		return context.Cause(inner)
	}
	_, err = s.core.CompleteMultipartUpload(ctx, s.bucket, key, upload, parts, minio.PutObjectOptions{})
	if absent(err) {
		// Asked again because the first answer was lost, the server knows no
		// such upload any more: it is done.
		if info, serr := s.core.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{}); serr == nil && info.Size == sp.size {
			return nil
		}
	}
	return err
}

func (s *S3) putPart(ctx context.Context, key, upload string, number int, part *io.SectionReader) (etag string, err error) {
	h := sha256.New()
	if _, err := io.Copy(h, part); err != nil {
		return "", fmt.Errorf("read the temporary file: %w", err)
	}
	o := minio.PutObjectPartOptions{Sha256Hex: hex.EncodeToString(h.Sum(nil)), DisableContentSha256: true}
	var up minio.ObjectPart
	err = again(ctx, func() (err error) {
		fresh := once{io.NewSectionReader(part, 0, part.Size())}
		up, err = s.core.PutObjectPart(ctx, s.bucket, key, upload, number, fresh, part.Size(), o)
		return err
	})
	return up.ETag, err
}

// A spool holds a content between the reading of it and its upload.
type spool struct {
	memory []byte
	file   *os.File // nil while memory has it all
	digest solera.Digest
	size   int64
}

func (sp *spool) section(from, n int64) *io.SectionReader {
	if sp.file != nil {
		return io.NewSectionReader(sp.file, from, n)
	}
	return io.NewSectionReader(bytes.NewReader(sp.memory), from, n)
}

func (sp *spool) close() {
	if sp.file != nil {
		sp.file.Close()
		os.Remove(sp.file.Name()) // it is gone already where open files can be removed
	}
}

// spoolPattern names the temporary files.
const spoolPattern = "solera-put-*"

func (s *S3) fill(ctx context.Context, r io.Reader) (sp *spool, err error) {
	sp = &spool{}
	defer func() {
		if err != nil {
			sp.close()
		}
	}()
	h := sha256.New()
	in := io.TeeReader(cancelReader{ctx, r}, h)
	var head bytes.Buffer
	if sp.size, err = io.CopyN(&head, in, spoolMemory); err == nil { // there is more, or just this
		if sp.file, err = os.CreateTemp(s.spool, spoolPattern); err != nil {
			return sp, fmt.Errorf("make a temporary file (TMPDIR names another folder): %w", err)
		}
		lock(sp.file)
		os.Remove(sp.file.Name()) // a kill leaves nothing behind
		var rest int64
		if _, err = sp.file.Write(head.Bytes()); err == nil {
			rest, err = io.Copy(sp.file, in)
		}
		sp.size += rest
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return sp, err
	}
	sp.memory, sp.digest = head.Bytes(), solera.Digest(h.Sum(nil))
	return sp, nil
}

// sweepSpool removes temporary files that killed processes have left where
// open files cannot be removed.
func (s *S3) sweepSpool() {
	names, err := filepath.Glob(filepath.Join(cmp.Or(s.spool, os.TempDir()), spoolPattern))
	if err != nil {
		return
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && time.Since(info.ModTime()) > tmpGrace && abandoned(f, time.Since(info.ModTime())) {
			os.Remove(name)
		}
		f.Close()
	}
}

// Stat returns the content's length.
func (s *S3) Stat(ctx context.Context, d solera.Digest) (int64, error) {
	info, err := s.core.StatObject(ctx, s.bucket, s.key(d), minio.StatObjectOptions{})
	if absent(err) {
		// The answer to this kind of request has no text, so it says the same
		// of a missing bucket, and on some servers of a wrong key. What is
		// reported as missing is asked for in a way that tells them apart.
		var body io.ReadCloser
		if body, info, _, err = s.core.GetObject(ctx, s.bucket, s.key(d), minio.GetObjectOptions{}); err == nil {
			body.Close()
		}
	}
	if err != nil {
		return 0, s.failedBlob("stat", d, err)
	}
	return info.Size, nil
}

// Delete removes the content.
func (s *S3) Delete(ctx context.Context, d solera.Digest) error {
	err := s.core.RemoveObject(ctx, s.bucket, s.key(d), minio.RemoveObjectOptions{})
	if absent(err) {
		return nil
	}
	return s.failedBlob("delete", d, err)
}

// List calls fn for every content. Objects that are not blobs are passed over.
func (s *S3) List(ctx context.Context, fn func(d solera.Digest, size int64, put time.Time) error) error {
	ctx, cancel := context.WithCancel(ctx)
	objects := s.core.Client.ListObjects(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + "sha256/", Recursive: true})
	defer func() {
		cancel()
		for range objects { // whoever sends them has ended when this has
		}
	}()
	for o := range objects {
		if o.Err != nil {
			return s.failed("list blobs", o.Err)
		}
		d, err := solera.ParseDigest("sha256:" + path.Base(o.Key))
		if err != nil || s.key(d) != o.Key {
			continue
		}
		if err := fn(d, o.Size, o.LastModified); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// Sweep gives up uploads of many parts that were begun before before and
// never ended, which S3 keeps, and charges for, until somebody does.
func (s *S3) Sweep(ctx context.Context, before time.Time) (n int, size int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	found := s.core.Client.ListIncompleteUploads(ctx, s.bucket, s.prefix+"sha256/", true)
	defer func() {
		cancel()
		for range found {
		}
	}()
	for u := range found {
		if u.Err != nil {
			return n, size, s.failed("sweep blobs", u.Err)
		}
		if !u.Initiated.Before(before) {
			continue
		}
		bytes := s.uploaded(ctx, u.Key, u.UploadID)
		if err := s.core.AbortMultipartUpload(ctx, s.bucket, u.Key, u.UploadID); err != nil && !absent(err) {
			return n, size, s.failed("sweep blobs", err)
		}
		n, size = n+1, size+bytes
	}
	return n, size, nil
}

// uploaded returns how many bytes of an upload have arrived; what cannot be
// known counts as none.
func (s *S3) uploaded(ctx context.Context, key, upload string) (size int64) {
	marker := 0
	for {
		list, err := s.core.ListObjectParts(ctx, s.bucket, key, upload, marker, 1000)
		if err != nil {
			return size
		}
		for _, part := range list.ObjectParts {
			size += part.Size
		}
		if !list.IsTruncated || list.NextPartNumberMarker <= marker {
			return size
		}
		marker = list.NextPartNumberMarker
	}
}

// absent reports whether an error says that an object is not there. The code
// alone counts: servers answer 404 for other reasons too, such as an unknown
// key, and what is there must never look gone.
func absent(err error) bool {
	var e minio.ErrorResponse
	return errors.As(err, &e) && (e.Code == minio.NoSuchKey || e.Code == "NoSuchUpload")
}

func (s *S3) failedBlob(op string, d solera.Digest, err error) error {
	if absent(err) {
		return fmt.Errorf("%s blob %v in %v: %w", op, d, s, solera.ErrNotFound)
	}
	return s.failed(op+" blob "+d.String(), err)
}

// failed says where it was tried, and how to mend it.
func (s *S3) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s in %v: %w", op, s, err)
	}
	var e minio.ErrorResponse
	var network net.Error
	hint := ""
	switch {
	case errors.As(err, &e) && e.Code == minio.NoSuchBucket:
		hint = "there is no such bucket: make it with `aws s3 mb s3://" + s.bucket + " --endpoint-url " + s.endpoint + "`, or correct the name"
	case errors.As(err, &e) && (e.Code == "InvalidAccessKeyId" || e.Code == "XAdminUserNotFound" || e.Code == "SignatureDoesNotMatch" || e.Code == "ExpiredToken" || e.Code == "InvalidToken"):
		hint = "the server does not accept the key: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
	case errors.As(err, &e) && (e.StatusCode == http.StatusForbidden || e.Code == "AccessDenied"):
		hint = "access denied: is AWS_ACCESS_KEY_ID, or AWS_PROFILE, set, and may it read, write, list and delete in the bucket?"
	case errors.As(err, &e) && (e.StatusCode == http.StatusMovedPermanently || e.Code == "AuthorizationHeaderMalformed"):
		hint = "the bucket is in another region: add region=… to the address"
	case errors.As(err, &e) && (e.StatusCode == http.StatusTooManyRequests || e.StatusCode >= 500):
		hint = "the server is in trouble; it was asked several times"
	case errors.As(err, &network), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		hint = "the server does not answer: is the endpoint right, and does the network lead there?"
	case errors.Is(err, fs.ErrNotExist):
		hint = "the temporary file is gone"
	}
	if hint == "" {
		return fmt.Errorf("%s in %v: %w", op, s, err)
	}
	return fmt.Errorf("%s in %v: %s (%w)", op, s, hint, err)
}
