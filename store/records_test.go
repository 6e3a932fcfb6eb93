package store_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

// TestRecords is what every database has to pass, beside TestStore.
func TestRecords(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, solera.Store)
	}{
		{"what is about a version changes, and its content does not", versionUpdate},
		{"a deleted version is left out and keeps its number", versionDelete},
		{"versions are found by their tags", versionTags},
		{"a manifest of ten thousand files", manyFiles},
		{"a statement is kept as it is", statements},
		{"a signing key stays as it was added first", keys},
		{"contents are in use while a version or a run needs them", inUse},
		{"the journal of deletions", deletions},
		{"every change is in the audit log", auditEntries},
		{"the audit log is asked by its fields", auditQueries},
		{"the audit log is no copy of the store", auditBounds},
		{"a failed update leaves no hole in the audit log", auditRollback},
		{"records that are not there are not found", recordsNotFound},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { eachDatabase(t, tt.run) })
	}
}

func updateErr(s solera.Store, fn func(solera.Tx) error) error { return s.Update(ctx, fn) }

func versionUpdate(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	v := commit(t, s, draft("wine", "x"))
	changed := solera.Version{
		Project: "p", Artifact: "wine", Number: 0, Type: "model", Digest: solera.DigestOf(nil), Run: "other", Created: 9,
		Tags: []string{"b", "a", "b"}, Description: "as \"it\" is\n", Expires: 7,
	}
	update(t, s, func(tx solera.Tx) error { return tx.UpdateVersion(changed) })
	want := v
	want.Tags, want.Description, want.Expires, want.Aliases = []string{"a", "b"}, changed.Description, 7, []string{"latest"}
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Version(v.ID())
		sameJSON(t, got, want)
		entries, auditErr := tx.Audit(solera.AuditQuery{Action: "version.update"})
		if len(entries) != 1 {
			t.Fatalf("got %d entries in the audit log, want 1", len(entries))
		}
		sameJSON(t, entries[0].Before, solera.Fields{"tags": []string{}, "description": "", "expires": nil})
		sameJSON(t, entries[0].After, solera.Fields{"tags": []string{"a", "b"}, "description": changed.Description, "expires": solera.Micros(7)})
		return errors.Join(err, auditErr)
	})
	update(t, s, func(tx solera.Tx) error { return tx.UpdateVersion(changed) })
	view(t, s, func(tx solera.Tx) error {
		entries, err := tx.Audit(solera.AuditQuery{Action: "version.update"})
		if len(entries) != 1 {
			t.Errorf("an update that changes nothing was noted")
		}
		return err
	})
	changed.Tags = []string{"a\x00"}
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.UpdateVersion(changed) }), solera.ErrInvalid)
}

func versionDelete(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	var all []solera.Version
	for _, content := range []string{"x", "y", "z"} {
		all = append(all, commit(t, s, draft("wine", content)))
	}
	setDeleted := func(number int, at solera.Micros) {
		t.Helper()
		update(t, s, func(tx solera.Tx) error {
			v, err := tx.Version(all[number].ID())
			if err != nil {
				return err
			}
			v.Deleted = at
			return tx.UpdateVersion(v)
		})
	}
	check := func(latest int, listed string) {
		t.Helper()
		view(t, s, func(tx solera.Tx) error {
			id, err := tx.Resolve(solera.Ref{Project: "p", Artifact: "wine", Alias: solera.Latest})
			if latest < 0 {
				wantErr(t, err, solera.ErrNotFound)
			} else if err != nil || id.Number != latest {
				t.Errorf("latest: got v%d, %v, want v%d", id.Number, err, latest)
			}
			a, err := tx.Artifact("p", "wine")
			if err != nil || a.Newest != latest {
				t.Errorf("newest: got %d, %v, want %d", a.Newest, err, latest)
			}
			list, err := tx.Versions(solera.VersionQuery{Artifact: "wine"})
			var names []string
			for _, v := range list {
				names = append(names, fmt.Sprintf("%d%v", v.Number, v.Aliases))
			}
			if got := strings.Join(names, " "); got != listed {
				t.Errorf("versions: got %s, want %s", got, listed)
			}
			return err
		})
	}
	update(t, s, func(tx solera.Tx) error {
		return errors.Join(tx.SetAlias(all[2].ID(), "best"), tx.SetAlias(all[2].ID(), "champion"), tx.SetAlias(all[1].ID(), "old"))
	})
	check(2, "2[best champion latest] 1[old] 0[]")
	setDeleted(2, 5)
	check(1, "1[latest old] 0[]")
	setDeleted(0, 5)
	check(1, "1[latest old]")
	view(t, s, func(tx solera.Tx) error {
		v, err := tx.Version(all[2].ID())
		if v.Deleted != 5 || len(v.Aliases) != 0 || len(v.Files) != 1 {
			t.Errorf("a deleted version reads %+v", v)
		}
		id, resolveErr := tx.Resolve(all[2].ID().Ref())
		if id != all[2].ID() {
			t.Errorf("by its number a deleted version is %v", id)
		}
		_, goneErr := tx.Resolve(solera.Ref{Project: "p", Artifact: "wine", Alias: "best"})
		wantErr(t, goneErr, solera.ErrNotFound)
		list, listErr := tx.Versions(solera.VersionQuery{Deleted: true})
		if len(list) != 3 {
			t.Errorf("with those deleted there are %d versions, want 3", len(list))
		}
		return errors.Join(err, resolveErr, listErr)
	})
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.SetAlias(all[2].ID(), "best") }), solera.ErrConflict)
	setDeleted(1, 5)
	check(-1, "")
	if v := commit(t, s, draft("wine", "new")); v.Number != 3 {
		t.Errorf("after all were deleted the next is v%d, want v3", v.Number)
	}
	check(3, "3[latest]")
	setDeleted(2, 0) // it was no use to regret it sooner
	check(3, "3[latest] 2[]")
}

func versionTags(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	tags := [][]string{{"best"}, {"a", "best", "z"}, {`a"best`, "bestow", "Best", "the best"}, {`x,"best"`, "x,", "%", "be_t"}, {"'"}, nil}
	for i, list := range tags {
		v := draft("wine", fmt.Sprint(i))
		v.Tags = list
		commit(t, s, v)
	}
	for tag, want := range map[string][]int{
		"best": {1, 0}, "a": {1}, "z": {1}, "bestow": {2}, "Best": {2}, `a"best`: {2}, `x,"best"`: {3}, "x,": {3}, "%": {3}, "_": nil, "'": {4}, "none": nil,
	} {
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Versions(solera.VersionQuery{Tag: tag})
			var got []int
			for _, v := range list {
				got = append(got, v.Number)
			}
			if !slices.Equal(got, want) {
				t.Errorf("tag %q: got %v, want %v", tag, got, want)
			}
			return err
		})
	}
}

func manyFiles(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	v := draft("wine", "x")
	v.Files = nil
	for i := range 10_000 {
		v.Files = append(v.Files, solera.Entry{Path: fmt.Sprintf("folder %d/%05d.txt", i%7, i), Digest: solera.DigestOf([]byte{byte(i)}), Size: 1})
	}
	commit(t, s, v)
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.Version(v.ID())
		slices.SortFunc(v.Files, func(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) })
		if !slices.Equal(got.Files, v.Files) {
			t.Errorf("got %d files, or others than were stored", len(got.Files))
		}
		return err
	})
	v.Files = make([]solera.Entry, solera.MaxFiles+1)
	err := s.Update(ctx, func(tx solera.Tx) error { _, err := tx.CreateVersion(v); return err })
	wantErr(t, err, solera.ErrInvalid)
}

func statements(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	id := commit(t, s, draft("wine", "x")).ID()
	for _, envelope := range []string{"{}", "\x00\xff\r\n", strings.Repeat("x", 3<<20), "{}"} {
		update(t, s, func(tx solera.Tx) error { return tx.SetStatement(id, []byte(envelope)) })
		view(t, s, func(tx solera.Tx) error {
			got, err := tx.Statement(id)
			if string(got) != envelope {
				t.Errorf("got a statement of %d bytes, want %.20q of %d", len(got), envelope, len(envelope))
			}
			return err
		})
	}
	view(t, s, func(tx solera.Tx) error {
		entries, err := tx.Audit(solera.AuditQuery{Action: "statement.set"})
		if len(entries) != 4 || entries[3].After.Text("digest") != solera.DigestOf([]byte("{}")).String() ||
			entries[1].Before.Text("digest") != entries[3].After.Text("digest") {
			t.Errorf("the audit log has %v", entries)
		}
		return err
	})
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.SetStatement(id, nil) }), solera.ErrInvalid)
	id.Number = 7
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.SetStatement(id, []byte("{}")) }), solera.ErrNotFound)
}

func keys(t *testing.T, s solera.Store) {
	b := solera.SigningKey{ID: "b", Public: "pem", Owner: "ana@laptop", Created: 3}
	a := solera.SigningKey{ID: "a", Public: "pem", Owner: "ben@cluster", Created: 4}
	update(t, s, func(tx solera.Tx) error { return errors.Join(tx.AddKey(b), tx.AddKey(a)) })
	update(t, s, func(tx solera.Tx) error {
		return tx.AddKey(solera.SigningKey{ID: "b", Public: "another", Owner: "eve", Created: 9})
	})
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.SigningKeys()
		if diff := cmp.Diff([]solera.SigningKey{a, b}, list); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
		entries, auditErr := tx.Audit(solera.AuditQuery{Action: "key.add"})
		if len(entries) != 2 {
			t.Errorf("the audit log has %d keys, want 2", len(entries))
		}
		return errors.Join(err, auditErr)
	})
	for _, bad := range []solera.SigningKey{{}, {ID: "x"}, {Public: "x"}} {
		wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.AddKey(bad) }), solera.ErrInvalid)
	}
}

func inUse(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	content := func(name string) solera.Digest { return solera.DigestOf([]byte(name)) }
	shared := solera.Entry{Path: "shared", Digest: content("shared"), Size: 1}
	var made []solera.Version
	for _, name := range []string{"kept", "deleted", "both"} {
		v := draft("wine", name)
		v.Files = append(v.Files, shared, solera.Entry{Path: "far", Digest: content("far of " + name), Size: 1, Ref: "https://host/far"})
		v.Digest, _ = solera.ContentDigest(v.Type, nil, v.Files)
		made = append(made, commit(t, s, v))
	}
	again := made[2] // the content of a version that will be deleted, under another name
	again.Artifact = "other"
	commit(t, s, again)
	update(t, s, func(tx solera.Tx) error {
		for _, v := range made[1:] {
			v.Deleted = 1
			if err := tx.UpdateVersion(v); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.SetFile("r", solera.Entry{Path: "diff.patch", Digest: content("diff"), Size: 1}),
			tx.SetFile("r", solera.Entry{Path: "data", Digest: content("remote"), Size: 1, Ref: "s3://bucket/data"}),
		)
	})
	asked := []solera.Digest{
		content("kept"), content("deleted"), content("both"), content("shared"), content("diff"), content("remote"),
		content("far of kept"), content("never seen"),
	}
	for i := range 2_000 { // more than one query asks for
		asked = append(asked, content(fmt.Sprint("unknown ", i)))
	}
	asked = append(asked, content("kept"))
	want := map[solera.Digest]bool{content("kept"): true, content("both"): true, content("shared"): true, content("diff"): true}
	view(t, s, func(tx solera.Tx) error {
		got, err := tx.InUse(asked)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
		none, noneErr := tx.InUse(nil)
		if len(none) != 0 {
			t.Errorf("of nothing, %v is in use", none)
		}
		return errors.Join(err, noneErr)
	})
}

func deletions(t *testing.T, s solera.Store) {
	a := solera.Deletion{Digest: solera.DigestOf([]byte("a")), Size: 3, Planned: 20}
	b := solera.Deletion{Digest: solera.DigestOf([]byte("b")), Size: 4, Planned: 10}
	update(t, s, func(tx solera.Tx) error { return errors.Join(tx.SetDeletion(a), tx.SetDeletion(b)) })
	a.Done = 30
	for range 2 {
		update(t, s, func(tx solera.Tx) error { return tx.SetDeletion(a) })
	}
	again := solera.Deletion{Digest: a.Digest, Size: 3, Planned: 40} // it came back and goes again
	update(t, s, func(tx solera.Tx) error { return tx.SetDeletion(again) })
	view(t, s, func(tx solera.Tx) error {
		all, err := tx.Deletions(false)
		if diff := cmp.Diff([]solera.Deletion{b, a, again}, all); diff != "" {
			t.Errorf("all: want -, got +:\n%s", diff)
		}
		open, openErr := tx.Deletions(true)
		if diff := cmp.Diff([]solera.Deletion{b, again}, open); diff != "" {
			t.Errorf("open: want -, got +:\n%s", diff)
		}
		entries, auditErr := tx.Audit(solera.AuditQuery{Subject: a.Digest.String()})
		var actions []string
		for _, e := range entries {
			actions = append(actions, e.Action)
		}
		if got := strings.Join(actions, " "); got != "deletion.plan deletion.done deletion.plan" {
			t.Errorf("the audit log has %s", got)
		}
		return errors.Join(err, openErr, auditErr)
	})
	for _, bad := range []solera.Deletion{{}, {Digest: a.Digest}, {Planned: 1}, {Digest: a.Digest, Planned: 1, Size: -1}} {
		wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.SetDeletion(bad) }), solera.ErrInvalid)
	}
}

func auditEntries(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	actor := solera.WithActor(ctx, "ana@laptop")
	var v solera.Version
	steps := []func(solera.Tx) error{
		func(tx solera.Tx) (err error) { v, err = tx.CreateVersion(draft("wine", "x")); return err },
		func(tx solera.Tx) error {
			return tx.AddEdge(solera.Edge{Run: "r", Version: v.ID(), Kind: solera.Made})
		},
		func(tx solera.Tx) error { // nothing new
			return tx.AddEdge(solera.Edge{Run: "r", Version: v.ID(), Kind: solera.Made})
		},
		func(tx solera.Tx) (err error) { v, err = tx.CreateVersion(draft("wine", "y")); return err },
		func(tx solera.Tx) error { return tx.SetAlias(v.ID(), "best") },
		func(tx solera.Tx) error { return tx.SetAlias(v.ID(), "best") }, // nothing new
		func(tx solera.Tx) error {
			return tx.SetAlias(solera.VersionID{Project: "p", Artifact: "wine"}, "best")
		},
		func(tx solera.Tx) error { v.Deleted = 5; return tx.UpdateVersion(v) },
		func(tx solera.Tx) error { return tx.DeleteAlias("p", "wine", "best") },
		func(tx solera.Tx) error { return tx.DeleteAlias("p", "wine", "best") }, // nothing new
		func(tx solera.Tx) error {
			return tx.Note(solera.AuditEntry{Action: "backup", Subject: "store.tar", Actor: "eve"})
		},
	}
	for _, step := range steps {
		if err := s.Update(actor, step); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		`run.create r`,
		`version.create p/wine:v0`,
		`edge.add p/wine:v0 {} {"kind":"made","run":"r"}`,
		`version.create p/wine:v1`,
		`alias.set p/wine:best {} {"number":1}`,
		`alias.set p/wine:best {"number":1} {"number":0}`,
		`version.update p/wine:v1 {"deleted":null} {"deleted":"1970-01-01T00:00:00.000005Z"}`,
		`alias.delete p/wine:best {"number":0} {}`,
		`backup store.tar {} {}`,
	}
	view(t, s, func(tx solera.Tx) error {
		entries, err := tx.Audit(solera.AuditQuery{})
		var got []string
		var previous solera.Digest
		for i, e := range entries {
			before, _ := e.Before.MarshalJSON()
			after, _ := e.After.MarshalJSON()
			line := fmt.Sprintf("%s %s %s %s", e.Action, e.Subject, before, after)
			if strings.HasSuffix(e.Action, ".create") {
				line = e.Action + " " + e.Subject
			}
			got = append(got, line)
			if e.N != int64(i)+1 || e.Time == 0 {
				t.Errorf("entry %d has number %d and time %v", i+1, e.N, e.Time)
			}
			if i > 0 && e.Actor != "ana@laptop" {
				t.Errorf("entry %d is in the name of %q", e.N, e.Actor)
			}
			hash, hashErr := solera.AuditHash(previous, e)
			if hash != e.Hash || hashErr != nil {
				t.Errorf("entry %d does not follow from the one before: %v", e.N, hashErr)
			}
			previous = e.Hash
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("want -, got +:\n%s", diff)
		}
		return err
	})
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.Note(solera.AuditEntry{Subject: "x"}) }), solera.ErrInvalid)
}

func auditQueries(t *testing.T, s solera.Store) {
	for i, action := range []string{"run.a", "run.b", "Run.a", "runner", "run", "gc"} {
		at := solera.WithActor(ctx, []string{"ana", "ben"}[i%2])
		err := s.Update(at, func(tx solera.Tx) error {
			return tx.Note(solera.AuditEntry{Action: action, Subject: fmt.Sprint("s", i%3)})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var all []solera.AuditEntry
	view(t, s, func(tx solera.Tx) (err error) { all, err = tx.Audit(solera.AuditQuery{}); return err })
	for _, tt := range []struct {
		q    solera.AuditQuery
		want string
	}{
		{solera.AuditQuery{}, "1 2 3 4 5 6"},
		{solera.AuditQuery{Action: "run."}, "1 2"},
		{solera.AuditQuery{Action: "run"}, "5"},
		{solera.AuditQuery{Actor: "ben"}, "2 4 6"},
		{solera.AuditQuery{Subject: "s0"}, "1 4"},
		{solera.AuditQuery{After: 4}, "5 6"},
		{solera.AuditQuery{Newest: true, Limit: 2}, "6 5"},
		{solera.AuditQuery{Newest: true, Limit: 2, Before: 5}, "4 3"},
		{solera.AuditQuery{After: 1, Before: 4}, "2 3"},
		{solera.AuditQuery{Limit: 2}, "1 2"},
		{solera.AuditQuery{From: all[0].Time, To: all[5].Time}, "1 2 3 4 5 6"},
		{solera.AuditQuery{From: all[5].Time + 1}, ""},
		{solera.AuditQuery{To: all[0].Time - 1}, ""},
	} {
		view(t, s, func(tx solera.Tx) error {
			list, err := tx.Audit(tt.q)
			var got []string
			for _, e := range list {
				got = append(got, fmt.Sprint(e.N))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("%+v: got %v, want %s", tt.q, got, tt.want)
			}
			return err
		})
	}
}

func auditBounds(t *testing.T, s solera.Store) {
	long := strings.Repeat("x", 5<<10)
	fields := solera.Fields{"long": long, "short": "s"}
	for i := range 100 {
		fields[fmt.Sprint("field", i)] = long[:1000]
	}
	actor := solera.WithActor(ctx, "a\x00\xff"+strings.Repeat("é", 1000))
	note := func(e solera.AuditEntry) {
		t.Helper()
		if err := s.Update(actor, func(tx solera.Tx) error { return tx.Note(e) }); err != nil {
			t.Fatal(err)
		}
	}
	note(solera.AuditEntry{Action: "a", Before: solera.Fields{"long": long, "short": "s"}, After: fields, Subject: long})
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.Audit(solera.AuditQuery{})
		e := list[0]
		sameJSON(t, e.Before, solera.Fields{
			"long":  solera.Fields{"bytes": 5<<10 + 2, "digest": solera.DigestOf([]byte(`"` + long + `"`)).String()},
			"short": "s",
		})
		if after, _ := json.Marshal(e.After); len(after) > 200 || len(e.Subject) != 1024 || len(e.Actor) > 1024 || !strings.HasPrefix(e.Actor, "a\ufffd\ufffdé") {
			t.Errorf("got %d bytes of after, a subject of %d, an actor %.20q", len(after), len(e.Subject), e.Actor)
		}
		return err
	})
	if found := problems(t, s); len(found) > 0 {
		t.Errorf("Check found %q", found)
	}
}

func auditRollback(t *testing.T, s solera.Store) {
	note := func(tx solera.Tx) error { return tx.Note(solera.AuditEntry{Action: "a"}) }
	regret := errors.New("changed my mind")
	update(t, s, note)
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return errors.Join(note(tx), note(tx), regret) }), regret)
	update(t, s, func(tx solera.Tx) error { return errors.Join(note(tx), note(tx)) })
	view(t, s, func(tx solera.Tx) error {
		list, err := tx.Audit(solera.AuditQuery{})
		if len(list) != 3 || list[2].N != 3 {
			t.Errorf("got %d entries, want 3", len(list))
		}
		return err
	})
	if found := problems(t, s); len(found) > 0 {
		t.Errorf("Check found %q", found)
	}
}

func recordsNotFound(t *testing.T, s solera.Store) {
	v := solera.Version{Project: "p", Artifact: "none"}
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.UpdateVersion(v) }), solera.ErrNotFound)
	wantErr(t, updateErr(s, func(tx solera.Tx) error { return tx.SetAlias(v.ID(), "best") }), solera.ErrNotFound)
	view(t, s, func(tx solera.Tx) error {
		_, err := tx.Statement(v.ID())
		wantErr(t, err, solera.ErrNotFound)
		list, err := tx.Deletions(false)
		sameJSON(t, list, []solera.Deletion{})
		return err
	})
}

// A model of one artifact: whatever is committed, deleted, taken back and
// aliased, numbers are never used again, latest is the newest that is not
// deleted, an alias names one version that is there, and the audit log has a
// chain without a break.
func TestHistoriesFollowTheirModel(t *testing.T) {
	eachDatabase(t, func(t *testing.T, s solera.Store) {
		createRun(t, s, solera.Run{ID: "r", State: solera.Running})
		instance := 0
		rapid.Check(t, func(rt *rapid.T) {
			instance++
			if testing.Short() && instance > 20 {
				return
			}
			history(t, rt, s, fmt.Sprint("h", instance))
		})
		if found := problems(t, s); len(found) > 0 {
			t.Errorf("Check found %q", found)
		}
	})
}

func history(t *testing.T, rt *rapid.T, s solera.Store, artifact string) {
	deleted := []bool{} // by number
	named := make(map[string]int)
	id := func(n int) solera.VersionID { return solera.VersionID{Project: "p", Artifact: artifact, Number: n} }
	for range rapid.IntRange(1, 4).Draw(rt, "updates") {
		update(t, s, func(tx solera.Tx) error {
			for range rapid.IntRange(1, 6).Draw(rt, "steps") {
				step := rapid.SampledFrom([]string{"commit", "delete", "take back", "alias", "unalias"}).Draw(rt, "step")
				if step == "commit" || len(deleted) == 0 {
					v, err := tx.CreateVersion(draft(artifact, rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "content")))
					if err != nil || v.Number != len(deleted) {
						rt.Fatalf("commit %d got number %d: %v", len(deleted), v.Number, err)
					}
					deleted = append(deleted, false)
					continue
				}
				n := rapid.IntRange(0, len(deleted)-1).Draw(rt, "number")
				alias := rapid.SampledFrom([]string{"champion", "best"}).Draw(rt, "alias")
				switch step {
				case "delete", "take back":
					v, err := tx.Version(id(n))
					if err != nil {
						return err
					}
					if deleted[n] = step == "delete"; !deleted[n] {
						v.Deleted = 0
					} else {
						v.Deleted = 5
						for alias, m := range named {
							if m == n {
								delete(named, alias)
							}
						}
					}
					if err := tx.UpdateVersion(v); err != nil {
						return err
					}
				case "alias":
					err := tx.SetAlias(id(n), alias)
					if deleted[n] != errors.Is(err, solera.ErrConflict) || !deleted[n] && err != nil {
						rt.Fatalf("alias of a version, deleted %v: %v", deleted[n], err)
					}
					if err == nil {
						named[alias] = n
					}
				default:
					delete(named, alias)
					if err := tx.DeleteAlias("p", artifact, alias); err != nil {
						return err
					}
				}
			}
			return nil
		})
	}
	view(t, s, func(tx solera.Tx) error {
		latest := -1
		for n, gone := range deleted {
			if !gone {
				latest = n
			}
		}
		a, err := tx.Artifact("p", artifact)
		if err != nil || a.Newest != latest {
			rt.Fatalf("newest: got %d, %v, want %d", a.Newest, err, latest)
		}
		list, err := tx.Versions(solera.VersionQuery{Artifact: artifact, Deleted: true})
		if err != nil || len(list) != len(deleted) {
			rt.Fatalf("%d versions, %v, want %d", len(list), err, len(deleted))
		}
		for i, v := range list {
			n := len(deleted) - 1 - i
			want := []string{}
			for alias, m := range named {
				if m == n {
					want = append(want, alias)
				}
			}
			if n == latest {
				want = append(want, "latest")
			}
			slices.Sort(want)
			if v.Number != n || deleted[n] != (v.Deleted != 0) || !slices.Equal(v.Aliases, want) {
				rt.Fatalf("version %d: got v%d %v, deleted %v, want %v and %v", n, v.Number, v.Aliases, v.Deleted, want, deleted[n])
			}
			one, err := tx.Version(v.ID())
			if err != nil || !slices.Equal(one.Aliases, want) {
				rt.Fatalf("version %d alone: %v, %v, want %v", n, one.Aliases, err, want)
			}
		}
		return nil
	})
}
