package table

import (
	"context"
	"errors"
	"io"

	"github.com/solera-ml/solera/tensor"
)

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

func openParquet(ctx context.Context, op string, names []string, o Options) (*Table, error) {
	return nil, errors.ErrUnsupported
}
