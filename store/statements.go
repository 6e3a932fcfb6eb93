package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

func (t *tx) SetStatement(id solera.VersionID, envelope []byte) error {
	if err := t.setStatement(id, envelope); err != nil {
		return fmt.Errorf("keep the statement of %v: %w", id, err)
	}
	return nil
}

func (t *tx) setStatement(id solera.VersionID, envelope []byte) error {
	if len(envelope) == 0 {
		return fmt.Errorf("%w: it is empty", solera.ErrInvalid)
	}
	if _, err := t.Resolve(id.Ref()); err != nil {
		return err
	}
	var before solera.Fields
	old, err := t.Statement(id)
	switch {
	case err == nil:
		before = identify(old)
	case !errors.Is(err, solera.ErrNotFound):
		return err
	}
	_, err = t.exec(`INSERT INTO statements (project, artifact, number, envelope) VALUES ($1, $2, $3, $4)
		ON CONFLICT (project, artifact, number) DO UPDATE SET envelope = EXCLUDED.envelope`,
		id.Project, id.Artifact, id.Number, envelope)
	if err != nil {
		return err
	}
	return t.note("statement.set", id.String(), before, identify(envelope))
}

// identify returns what the audit log says of bytes.
func identify(b []byte) solera.Fields {
	return solera.Fields{"digest": solera.DigestOf(b).String(), "bytes": len(b)}
}

func (t *tx) Statement(id solera.VersionID) ([]byte, error) {
	var envelope []byte
	err := t.row(`SELECT envelope FROM statements WHERE project = $1 AND artifact = $2 AND number = $3`,
		id.Project, id.Artifact, id.Number).Scan(&envelope)
	if err != nil {
		return nil, notFound(err, "statement of "+id.Name())
	}
	return envelope, nil
}

func (t *tx) AddKey(k solera.SigningKey) error {
	if k.ID == "" || k.Public == "" {
		return fmt.Errorf("keep signing key %q: %w: it needs an identifier and the public key", k.ID, solera.ErrInvalid)
	}
	done, err := t.exec(`INSERT INTO keys (id, public, owner, created) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO NOTHING`,
		k.ID, k.Public, k.Owner, int64(k.Created))
	if err != nil {
		return fmt.Errorf("keep signing key %s: %w", k.ID, err)
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	return t.note("key.add", k.ID, nil, solera.Fields{"public": k.Public, "owner": k.Owner})
}

func (t *tx) SigningKeys() ([]solera.SigningKey, error) {
	list := []solera.SigningKey{}
	err := t.rows(func(scan func(...any) error) error {
		var k solera.SigningKey
		err := scan(&k.ID, &k.Public, &k.Owner, &k.Created)
		list = append(list, k)
		return err
	}, `SELECT id, public, owner, created FROM keys`)
	if err != nil {
		return nil, fmt.Errorf("list signing keys: %w", err)
	}
	slices.SortFunc(list, func(a, b solera.SigningKey) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}
