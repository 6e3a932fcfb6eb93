package tracking

import (
	"fmt"

	"github.com/solera-ml/solera"
)

// sign keeps the signed statement of where v comes from, beside v and in the
// same transaction, together with the key that verifies it. It reads the run as
// it is stored, since that is what a later check compares with.
func (t *Tracker) sign(tx solera.Tx, v solera.Version) error {
	if t.Sign == nil {
		return nil
	}
	run, err := tx.Run(v.Run)
	if err != nil {
		return fmt.Errorf("sign %s: %w", v.Name(), err)
	}
	used, err := usedBy(tx, run.ID)
	if err != nil {
		return fmt.Errorf("sign %s: %w", v.Name(), err)
	}
	envelope, err := t.Sign(run, v, used)
	if err != nil {
		return fmt.Errorf("sign %s: %w", v.Name(), err)
	}
	if err := tx.AddKey(t.Key); err != nil {
		return fmt.Errorf("sign %s: keep the public key: %w", v.Name(), err)
	}
	return tx.SetStatement(v.ID(), envelope)
}

// signAgain signs the versions that a run has made once more. Their statements
// describe the run, so whoever changes what they say of it (its params, what it
// used) after a commit calls this in the same transaction.
func (t *Tracker) signAgain(tx solera.Tx, run solera.RunID) error {
	if t.Sign == nil {
		return nil
	}
	made, err := tx.Edges(solera.EdgeQuery{Run: run, Kind: solera.Made})
	if err != nil {
		return err
	}
	for _, e := range made {
		v, err := tx.Version(e.Version)
		if err != nil {
			return err
		}
		if err := t.sign(tx, v); err != nil {
			return err
		}
	}
	return nil
}

// usedBy returns the versions that a run used, by name, without their files.
func usedBy(tx solera.Tx, run solera.RunID) ([]solera.Version, error) {
	edges, err := tx.Edges(solera.EdgeQuery{Run: run, Kind: solera.Used})
	if err != nil {
		return nil, err
	}
	var used []solera.Version
	for _, e := range edges {
		v, err := tx.Version(e.Version)
		if err != nil {
			return nil, err
		}
		used = append(used, v)
	}
	return used, nil
}
