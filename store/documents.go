package store

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/solera-ml/solera"
)

const documentColumns = `kind, id, body, created, updated`

func (t *tx) SetDocument(d solera.Document) (solera.Document, error) {
	d, err := t.setDocument(d)
	if err != nil {
		return solera.Document{}, fmt.Errorf("keep the document %s %.80q: %w", d.Kind, d.ID, err)
	}
	return d, nil
}

func (t *tx) setDocument(d solera.Document) (solera.Document, error) {
	if err := d.Check(); err != nil {
		return d, err
	}
	body, err := d.Body.MarshalJSON()
	if err != nil {
		return d, err
	}
	if len(body) > solera.MaxDocument {
		return d, fmt.Errorf("%w: its JSON has %d bytes, at most %d are allowed", solera.ErrInvalid, len(body), solera.MaxDocument)
	}
	if d.Updated, err = t.Now(); err != nil {
		return d, err
	}
	d.Created = d.Updated
	action := "document.create"
	var before solera.Fields
	switch old, err := t.Document(d.Kind, d.ID); {
	case err == nil:
		was, err := old.Body.MarshalJSON()
		if err != nil {
			return d, err
		}
		if string(was) == string(body) {
			return old, nil
		}
		d.Created, action, before = old.Created, "document.update", identify(was)
	case !errors.Is(err, solera.ErrNotFound):
		return d, err
	}
	_, err = t.exec(`INSERT INTO documents (`+documentColumns+`) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (kind, id) DO UPDATE SET body = EXCLUDED.body, updated = EXCLUDED.updated`,
		d.Kind, d.ID, string(body), int64(d.Created), int64(d.Updated))
	if err != nil {
		return d, err
	}
	return d, t.note(action, d.Kind+"/"+d.ID, before, identify(body))
}

func (t *tx) Document(kind, id string) (solera.Document, error) {
	d, err := scanDocument(t.row(`SELECT `+documentColumns+` FROM documents WHERE kind = $1 AND id = $2`, kind, id).Scan)
	if err != nil {
		return solera.Document{}, notFound(err, fmt.Sprintf("document %s %.80q", kind, id))
	}
	return d, nil
}

func (t *tx) Documents(kind string) ([]solera.Document, error) {
	list := []solera.Document{}
	err := t.rows(func(scan func(...any) error) error {
		d, err := scanDocument(scan)
		list = append(list, d)
		return err
	}, `SELECT `+documentColumns+` FROM documents WHERE kind = $1 ORDER BY id`, kind)
	if err != nil {
		return nil, fmt.Errorf("list the documents of kind %.80q: %w", kind, err)
	}
	return list, nil
}

func (t *tx) DeleteDocument(kind, id string) error {
	if err := t.deleteDocument(kind, id); err != nil {
		return fmt.Errorf("delete the document %s %.80q: %w", kind, id, err)
	}
	return nil
}

func (t *tx) deleteDocument(kind, id string) error {
	old, err := t.Document(kind, id)
	if err != nil {
		return err
	}
	was, err := old.Body.MarshalJSON()
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM documents WHERE kind = $1 AND id = $2`, kind, id); err != nil {
		return err
	}
	return t.note("document.delete", kind+"/"+id, identify(was), nil)
}

func scanDocument(scan func(...any) error) (solera.Document, error) {
	var d solera.Document
	var body string
	if err := scan(&d.Kind, &d.ID, &body, &d.Created, &d.Updated); err != nil {
		return d, err
	}
	if err := json.Unmarshal([]byte(body), &d.Body); err != nil {
		return d, fmt.Errorf("document %s %.80q: %w: it cannot be read: %v", d.Kind, d.ID, solera.ErrCorrupt, err)
	}
	return d, nil
}
