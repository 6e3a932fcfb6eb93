package table

import (
	"context"
	"errors"
	"io"

	"github.com/solera-ml/solera/tensor"
)

// Open reads one file or all files that a glob matches.
func Open(ctx context.Context, pattern string, o Options) (*Table, error) { return nil, errors.ErrUnsupported }

// ReadCSV reads CSV.
func ReadCSV(ctx context.Context, name string, r io.Reader, o Options) (*Table, error) {
	return nil, errors.ErrUnsupported
}

// ReadJSONL reads JSON lines.
func ReadJSONL(ctx context.Context, name string, r io.Reader, o Options) (*Table, error) {
	return nil, errors.ErrUnsupported
}

// ReadParquet reads Parquet.
func ReadParquet(ctx context.Context, name string, r io.ReaderAt, size int64, o Options) (*Table, error) {
	return nil, errors.ErrUnsupported
}

// WriteParquet writes t with fixed settings: the same table gives the same bytes.
func WriteParquet(w io.Writer, t *Table) error { return errors.ErrUnsupported }

// A Matrix is a transformed table: float32 features with names, row numbers
// and, when Target is not "", the class of each row.
type Matrix struct {
	Names   []string       // names of the columns of X
	X       *tensor.Matrix // one row per row
	Rows    []int64        // original row numbers
	Target  string         // name of the class column, "" for none
	Y       []int32        // index in Classes, -1 unknown
	Classes []string
}

// WriteMatrixParquet writes m with fixed settings: the same matrix gives the same bytes.
func WriteMatrixParquet(w io.Writer, m Matrix) error { return errors.ErrUnsupported }

// ReadMatrixParquet reads what WriteMatrixParquet wrote.
func ReadMatrixParquet(ctx context.Context, name string, r io.ReaderAt, size int64) (Matrix, error) {
	return Matrix{}, errors.ErrUnsupported
}

// A SourceFile is one file of a source.
type SourceFile struct {
	Name   string
	Size   int64
	Digest [32]byte
}

// SourceDigest hashes the contents of the files that Open would read, in its order.
func SourceDigest(ctx context.Context, pattern string) ([32]byte, []SourceFile, error) {
	return [32]byte{}, nil, errors.ErrUnsupported
}
