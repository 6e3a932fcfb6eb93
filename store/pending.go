package store

import (
	"context"
	"errors"
	"io"

	"github.com/solera-ml/solera"
)

func pending() error { return errors.ErrUnsupported }

func (d *DB) Dump(context.Context, io.Writer, ...func(solera.Tx) error) error {
	return pending()
}
func (d *DB) Load(context.Context, io.Reader) error             { return pending() }
func (d *DB) Check(context.Context, func(solera.Problem)) error { return pending() }
