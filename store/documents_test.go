package store_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
)

func TestDocuments(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		set := func(kind, id string, body solera.Fields) (kept solera.Document) {
			t.Helper()
			update(t, s, func(tx solera.Tx) (err error) {
				kept, err = tx.SetDocument(solera.Document{Kind: kind, ID: id, Body: body, Created: 7, Updated: 7})
				return err
			})
			return kept
		}
		b := set("user", "b", solera.Fields{"role": "viewer", "n": 1 << 60, "in": map[string]any{"list": []any{1, "x", nil}}})
		if b.Created < 1e15 || b.Updated != b.Created {
			t.Errorf("the times are %v and %v, want those of the database", b.Created, b.Updated)
		}
		set("user", "Z ñ/\"漢", solera.Fields{"role": "admin"})
		set("view", "b", nil)
		changed := set("user", "b", solera.Fields{"role": "editor", "secret": "hash"})
		if changed.Created != b.Created {
			t.Errorf("a change moved the creation from %v to %v", b.Created, changed.Created)
		}
		set("user", "b", solera.Fields{"secret": "hash", "role": "editor"}) // no change
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Documents("user")
			if err != nil {
				return err
			}
			// By bytes: capitals before small letters.
			if len(list) != 2 || list[0].ID != "Z ñ/\"漢" || list[1].Body.Text("role") != "editor" {
				t.Errorf("got %v", list)
			}
			none, err := tx.Documents("key")
			if err != nil || none == nil || len(none) > 0 {
				t.Errorf("documents of a kind without any: %v, %v", none, err)
			}
			one, err := tx.Document("user", "b")
			if diff := cmp.Diff(changed.Updated, one.Updated); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			_, err = tx.Document("user", "nobody")
			wantErr(t, err, solera.ErrNotFound)
			entries, err := tx.Audit(solera.AuditQuery{Action: "document."})
			if err != nil {
				return err
			}
			var actions []string
			for _, e := range entries {
				actions = append(actions, e.Action+" "+e.Subject)
				for _, f := range []solera.Fields{e.Before, e.After} {
					if raw, _ := f.MarshalJSON(); strings.Contains(string(raw), "hash") || strings.Contains(string(raw), "role") {
						t.Errorf("the audit log has what the document holds: %s", raw)
					}
				}
			}
			want := []string{"document.create user/b", "document.create user/Z ñ/\"漢", "document.create view/b", "document.update user/b"}
			if diff := cmp.Diff(want, actions); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			return nil
		})
		update(t, s, func(tx solera.Tx) error { return tx.DeleteDocument("user", "b") })
		wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.DeleteDocument("user", "b") }), solera.ErrNotFound)
		view(t, s, func(tx solera.Tx) error {
			_, err := tx.Document("user", "b")
			wantErr(t, err, solera.ErrNotFound)
			_, err = tx.Document("view", "b")
			return err
		})
		for _, bad := range []solera.Document{
			{},
			{Kind: "user"},
			{Kind: "a b", ID: "x"},
			{Kind: "user", ID: "a\nb"},
			{Kind: "user", ID: "a\x00"},
			{Kind: "user", ID: "\xff"},
			{Kind: "user", ID: strings.Repeat("x", 257)},
			{Kind: "user", ID: "x", Body: solera.Fields{"f": func() {}}},
			{Kind: "user", ID: "x", Body: solera.Fields{"big": strings.Repeat("x", solera.MaxDocument)}},
		} {
			err := updateErr(s, func(tx solera.Tx) error { _, err := tx.SetDocument(bad); return err })
			wantErr(t, err, solera.ErrInvalid)
		}
		if found := problems(t, s); len(found) > 0 {
			t.Errorf("Check found %q", found)
		}
	})
}

func TestCheckReadsDocuments(t *testing.T) {
	eachURL(t, func(t *testing.T, place string) {
		s := openURL(t, place)
		for _, id := range []string{"a", "b"} {
			update(t, s, func(tx solera.Tx) error {
				_, err := tx.SetDocument(solera.Document{Kind: "user", ID: id, Body: solera.Fields{"role": "viewer"}})
				return err
			})
		}
		tamper(t, place, `UPDATE documents SET body = '{' WHERE id = 'a'`)
		tamper(t, place, `UPDATE documents SET kind = 'x y' WHERE id = 'b'`)
		want := []string{"document user a: altered", "document x y b: altered"}
		if diff := cmp.Diff(want, problems(t, s)); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
	})
}
