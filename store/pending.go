package store

import (
	"context"
	"errors"
	"io"

	"github.com/solera-ml/solera"
)

func pending() error { return errors.ErrUnsupported }

func (d *DB) Print(context.Context, solera.RunID, []solera.Line) error { return pending() }
func (d *DB) Lines(context.Context, solera.RunID, int64, int) ([]solera.Line, error) {
	return nil, pending()
}
func (d *DB) Beat(context.Context, solera.RunID) error              { return pending() }
func (d *DB) Dump(context.Context, io.Writer) error                 { return pending() }
func (d *DB) Load(context.Context, io.Reader) error                 { return pending() }
func (d *DB) Check(context.Context, func(solera.Problem)) error     { return pending() }
func (t *tx) UpdateVersion(solera.Version) error                    { return pending() }
func (t *tx) SetStatement(solera.VersionID, []byte) error           { return pending() }
func (t *tx) Statement(solera.VersionID) ([]byte, error)            { return nil, pending() }
func (t *tx) AddKey(solera.SigningKey) error                        { return pending() }
func (t *tx) SigningKeys() ([]solera.SigningKey, error)             { return nil, pending() }
func (t *tx) InUse([]solera.Digest) (map[solera.Digest]bool, error) { return nil, pending() }
func (t *tx) SetDeletion(solera.Deletion) error                     { return pending() }
func (t *tx) Deletions(bool) ([]solera.Deletion, error)             { return nil, pending() }
