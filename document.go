package solera

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// A Document is a small record of a kind that the store knows nothing about,
// such as a user account or a saved view. What its fields mean is the business
// of whoever keeps it.
type Document struct {
	Kind    string `json:"kind"` // a name as CheckName wants it
	ID      string `json:"id"`   // within its kind: 1 to 256 bytes of UTF-8 without control characters
	Body    Fields `json:"body"` // at most MaxDocument bytes of JSON
	Created Micros `json:"created"`
	Updated Micros `json:"updated"` // both by the clock of the database
}

// MaxDocument is the most bytes that the JSON of a document's body may have.
const MaxDocument = 1 << 20

// Check reports ErrInvalid unless kind and ID are such as a document may have.
func (d Document) Check() error {
	if err := checkName("kind of document", d.Kind); err != nil {
		return err
	}
	if d.ID == "" || len(d.ID) > 256 || !utf8.ValidString(d.ID) || containsControl(d.ID) {
		return fmt.Errorf("document %s: %w: its identifier has 1 to 256 bytes of UTF-8 without control characters", clip(d.ID), ErrInvalid)
	}
	return nil
}

func containsControl(s string) bool {
	for _, r := range s {
		if unicode.IsControl(r) {
			return true
		}
	}
	return false
}
