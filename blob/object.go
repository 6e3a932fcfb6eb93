package blob

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/solera-ml/solera"
)

// OpenObject opens any object of an S3 server, s3://BUCKET/KEY, at an offset.
// Endpoint, region and credentials come from the environment alone, as for
// OpenS3: the address may have come with somebody else's records, and must not
// say to whom our key is shown. A missing object is ErrNotFound.
func OpenObject(ctx context.Context, address string, offset int64) (io.ReadCloser, error) {
	return openObject(ctx, address, offset, os.Getenv)
}

func openObject(ctx context.Context, address string, offset int64, env func(string) string) (io.ReadCloser, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "s3" || u.Host == "" || strings.Trim(u.Path, "/") == "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("%w: want s3://BUCKET/KEY and nothing else; the server is named by AWS_ENDPOINT_URL_S3", solera.ErrInvalid)
	}
	s, err := openS3("s3://"+u.Host, env)
	if err != nil {
		return nil, err
	}
	var o minio.GetObjectOptions
	if offset > 0 {
		if err := o.SetRange(offset, 0); err != nil { // 0 = to the end
			return nil, err
		}
	}
	key := strings.TrimPrefix(u.Path, "/")
	body, _, _, err := s.core.GetObject(ctx, s.bucket, key, o)
	if absent(err) {
		return nil, fmt.Errorf("open %s: %w", address, solera.ErrNotFound)
	}
	if err != nil {
		return nil, s.failed("open "+address, err)
	}
	return body, nil
}
