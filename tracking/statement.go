package tracking

import (
	"context"
	"errors"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
)

// A StatementCheck is what the signed statement of a version is worth.
type StatementCheck struct {
	Version   solera.Version
	Envelope  []byte // as it is kept
	Statement []byte // JSON, as it was signed; nil if the envelope cannot be read
	Key       string // ID of the key of the store that has signed it, "" if none has
	// Problems are why it is not to be believed: by nobody's key, or not about
	// what the records say. None: it is valid. The files are not read.
	Problems []string
}

// CheckStatement compares the signed statement of the version that ref names
// with the keys of the store and with its records. A version that was not
// signed is ErrNotFound.
func (t *Tracker) CheckStatement(ctx context.Context, ref string) (StatementCheck, error) {
	var c StatementCheck
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		c = StatementCheck{}
		if c.Version, err = t.resolve(tx, ref); err != nil {
			return err
		}
		if c.Envelope, err = tx.Statement(c.Version.ID()); err != nil {
			return err
		}
		envelope, err := provenance.ParseEnvelope(c.Envelope)
		if err != nil {
			c.Problems = append(c.Problems, "the statement cannot be read: "+err.Error())
			return nil
		}
		c.Statement = envelope.Payload()
		known, err := tx.SigningKeys()
		if err != nil {
			return err
		}
		var keys []provenance.Key
		for _, k := range known {
			key, err := provenance.ParsePublic(k.Public)
			if err != nil {
				continue // it signs nothing then
			}
			keys = append(keys, key)
		}
		statement, key, err := envelope.Verify(keys)
		if err != nil {
			c.Problems = append(c.Problems, err.Error())
			return nil
		}
		c.Key = key.ID()
		record, err := readRun(tx, c.Version.Run)
		switch {
		case err != nil:
			return err
		case record.err != nil:
			c.Problems = append(c.Problems, "where it comes from is lost: "+record.err.Error())
			return nil
		}
		for _, d := range provenance.Compare(statement, provenance.New(record.run, c.Version, record.used)) {
			c.Problems = append(c.Problems, d.Detail)
		}
		return nil
	})
	if errors.Is(err, solera.ErrNotFound) && c.Version.Artifact != "" {
		err = errors.Join(errNotSigned(c.Version), err)
	}
	return c, err
}

func errNotSigned(v solera.Version) error { return errors.New(v.Name() + " is not signed") }
