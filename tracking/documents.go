package tracking

import (
	"encoding/json"
	"fmt"

	"github.com/solera-ml/solera"
)

// Kinds of documents that this package keeps.
const (
	draftKind      = "draft"       // a Pending, by its ID
	uploadsKind    = "draft."      // and an ID: what was uploaded for that draft, in as many documents as there were transactions
	committedKind  = "draft-made"  // by the ID of a draft: the version that it became
	clientKind     = "client-id"   // by the name that a client gave: the draft or the version that it meant
	clientLineKind = "client-line" // by the name that a client gave: the artifact that it meant
	collectionKind = "collection"  // by "project/name"
	lineKind       = "line"        // by "project/artifact": what is said of an artifact as a whole
	remarksKind    = "remarks"     // by "project/artifact:v0": what is said of a version beside its metadata
)

// keep stores v, a struct with names for JSON, as a document.
func keep(tx solera.Tx, kind, id string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	d := solera.Document{Kind: kind, ID: id}
	if err := d.Body.UnmarshalJSON(raw); err != nil {
		return err
	}
	_, err = tx.SetDocument(d)
	return err
}

// recall reads a document into v.
func recall(tx solera.Tx, kind, id string, v any) (solera.Document, error) {
	d, err := tx.Document(kind, id)
	if err != nil {
		return d, err
	}
	return d, readDocument(d, v)
}

func readDocument(d solera.Document, v any) error {
	raw, err := d.Body.MarshalJSON()
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		return fmt.Errorf("document %s %.80q: %w: %v", d.Kind, d.ID, solera.ErrCorrupt, err)
	}
	return nil
}
