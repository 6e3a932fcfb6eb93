package store

import (
	"context"
	"errors"

	"github.com/solera-ml/solera"
)

func pending() error { return errors.ErrUnsupported }

func (d *DB) Check(context.Context, func(solera.Problem)) error { return pending() }
