package tracking_test

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func md5Of(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}

func openDraft(t testing.TB, d *tracking.Drafts, p tracking.Pending) tracking.Pending {
	t.Helper()
	if p.Project == "" {
		p.Project = "wine"
	}
	if p.Type == "" {
		p.Type = "dataset"
	}
	o, _, err := d.Open(ctx, p)
	if err != nil {
		t.Fatal(err)
	}
	if o.Draft == nil {
		t.Fatalf("draft of %s is %v already", p.Artifact, o.Version)
	}
	return *o.Draft
}

func upload(t testing.TB, d *tracking.Drafts, id string, contents ...string) {
	t.Helper()
	for _, c := range contents {
		if _, err := d.Upload(ctx, id, md5Of(c), strings.NewReader(c)); err != nil {
			t.Fatal(err)
		}
	}
}

// named lists path and content, path and content, …
func named(pairs ...string) (files []tracking.NamedFile) {
	for i := 0; i < len(pairs); i += 2 {
		files = append(files, tracking.NamedFile{Path: pairs[i], MD5: md5Of(pairs[i+1]), Size: int64(len(pairs[i+1]))})
	}
	return files
}

func commitDraft(t testing.TB, d *tracking.Drafts, id string, files []tracking.NamedFile) solera.Version {
	t.Helper()
	v, _, err := d.Commit(ctx, id, files)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestDraftBecomesAVersionOnce(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	run := start(t, tr, "train")
	p := openDraft(t, d, tracking.Pending{
		Artifact: "set", Run: run.ID(), Aliases: []string{"latest", "best"}, Tags: []string{"b", "a"},
		Description: "words", Lifetime: 3600, Metadata: solera.Fields{"rows": 2}, Client: "client-1", Line: "line-1",
		Remarks: solera.Fields{"said": "beside"},
	})
	upload(t, d, p.ID, "one", "two", "one")
	v, isNew, err := d.Commit(ctx, p.ID, named("a.txt", "one", "sub/b.txt", "two"))
	if err != nil || !isNew || v.Name() != "set:v0" {
		t.Fatalf("commit: %v new %v, %v", v.Name(), isNew, err)
	}
	if !slices.Equal(v.Aliases, []string{"best", "latest"}) || !slices.Equal(v.Tags, []string{"a", "b"}) || v.Description != "words" || v.Size != 6 || v.Run != run.ID() {
		t.Errorf("version: %+v", v)
	}
	if said, err := tr.Remarks(ctx, v.ID()); err != nil || said["said"] != "beside" || len(v.Metadata) != 1 {
		t.Errorf("said beside %v: %v, %v", v.Metadata, said, err)
	}
	if got := v.Expires.Time().Sub(v.Created.Time()); got != time.Hour {
		t.Errorf("it expires after %v, want an hour", got)
	}
	if e, _ := v.File("a.txt"); e.MD5 != md5Of("one") || e.Digest != solera.DigestOf([]byte("one")) {
		t.Errorf("a.txt is %+v", e)
	}
	if b, err := tr.Snapshot(ctx, v).ReadFile("sub/b.txt"); err != nil || string(b) != "two" {
		t.Errorf("sub/b.txt holds %q, %v", b, err)
	}
	again, isNew, err := d.Commit(ctx, p.ID, named("other", "one"))
	if err != nil || isNew || again.Name() != "set:v0" {
		t.Errorf("committed again: %v new %v, %v", again.Name(), isNew, err)
	}
	_, err = d.Upload(ctx, p.ID, md5Of("three"), strings.NewReader("three"))
	wantErr(t, err, solera.ErrConflict)
	_, err = d.AddList(ctx, p.ID, tracking.UploadList{Name: "manifest"}, true)
	wantErr(t, err, solera.ErrConflict)
	for _, name := range []string{p.ID} {
		if o, err := d.Find(ctx, name); err != nil || o.Version != v.ID() {
			t.Errorf("draft is %+v, %v", o, err)
		}
	}
	if o, err := d.ByClient(ctx, "client-1"); err != nil || o.Version != v.ID() {
		t.Errorf("client-1 is %+v, %v", o, err)
	}
	if project, artifact, err := d.LineByClient(ctx, "line-1"); err != nil || project != "wine" || artifact != "set" {
		t.Errorf("line-1 is %s/%s, %v", project, artifact, err)
	}
	// The same client says the same again, as after an answer that was lost.
	o, created, err := d.Open(ctx, tracking.Pending{Project: "wine", Artifact: "set", Type: "dataset", Client: "client-1"})
	if err != nil || created || o.Version != v.ID() {
		t.Errorf("opened again: %+v created %v, %v", o, created, err)
	}
	finish(t, run)
}

// Scripts that seed the source of chance make their client give every version
// the same name: they are told apart by artifact and content, and the name
// stands for the newest.
func TestClientsNameUsedForAnotherThing(t *testing.T) {
	d := &tracking.Drafts{Tracker: open(t)}
	var ids []string
	for _, p := range []tracking.Pending{
		{Artifact: "raw", Type: "dataset", Claim: "1"},
		{Artifact: "model", Type: "model", Claim: "2"},
		{Artifact: "raw", Type: "dataset", Claim: "3"},
	} {
		p.Project, p.Client, p.Line = "wine", "seeded", "seeded-line"
		o, created, err := d.Open(ctx, p)
		if err != nil || !created {
			t.Fatalf("%s %s: created %v, %v", p.Artifact, p.Claim, created, err)
		}
		again, created, err := d.Open(ctx, p)
		if err != nil || created || again.Draft.ID != o.Draft.ID {
			t.Errorf("%s %s said again: %+v created %v, %v", p.Artifact, p.Claim, again, created, err)
		}
		if now, err := d.ByClient(ctx, "seeded"); err != nil || now.Draft.ID != o.Draft.ID {
			t.Errorf("the name stands for %+v, %v, not for %s %s", now, err, p.Artifact, p.Claim)
		}
		ids = append(ids, o.Draft.ID)
	}
	if slices.Sort(ids); len(slices.Compact(ids)) != 3 {
		t.Errorf("the drafts are %v", ids)
	}
}

func TestDraftOutsideOfARunMakesOne(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	p := openDraft(t, d, tracking.Pending{Artifact: "set"})
	upload(t, d, p.ID, "one")
	v := commitDraft(t, d, p.ID, named("a", "one"))
	run, err := tr.Run(ctx, v.Run)
	if err != nil || run.Stage != "upload" || run.State != solera.Finished || run.Name != "upload set" {
		t.Errorf("its run: %+v, %v", run, err)
	}
}

func TestDraftRefusals(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	run := start(t, tr, "load")
	commit(t, run, "model", "x") // a dataset
	secret, _ := commit(t, run, "secret", "hidden")
	if _, _, err := tr.Link(ctx, "shelf", secret.ID(), nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		p    tracking.Pending
		kind error
		says string
	}{
		"a name with a space":   {tracking.Pending{Artifact: "my data", Type: "dataset"}, solera.ErrInvalid, "' '"},
		"a folder as a name":    {tracking.Pending{Artifact: "../x", Type: "dataset"}, solera.ErrInvalid, ".."},
		"no type":               {tracking.Pending{Artifact: "a"}, solera.ErrInvalid, "type"},
		"another type":          {tracking.Pending{Artifact: "model", Type: "model"}, solera.ErrConflict, "is a dataset, not a model"},
		"a collection's name":   {tracking.Pending{Artifact: "shelf", Type: "dataset"}, solera.ErrConflict, "is a collection"},
		"an alias like v3":      {tracking.Pending{Artifact: "a", Type: "t", Aliases: []string{"v3"}}, solera.ErrInvalid, "version number"},
		"a tag with a line":     {tracking.Pending{Artifact: "a", Type: "t", Tags: []string{"x\ny"}}, solera.ErrInvalid, "tag"},
		"a run that is not":     {tracking.Pending{Artifact: "a", Type: "t", Run: "nobody"}, solera.ErrNotFound, "nobody"},
		"a life of 1000 years":  {tracking.Pending{Artifact: "a", Type: "t", Lifetime: 1 << 40}, solera.ErrInvalid, "lifetime"},
		"a client with a line":  {tracking.Pending{Artifact: "a", Type: "t", Client: "x\ny"}, solera.ErrInvalid, "client"},
		"a description of 1 MB": {tracking.Pending{Artifact: "a", Type: "t", Description: strings.Repeat("x", 1<<20)}, solera.ErrInvalid, "description"},
	} {
		c.p.Project = "wine"
		_, _, err := d.Open(ctx, c.p)
		if !errors.Is(err, c.kind) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want %v and %q", name, err, c.kind, c.says)
		}
	}
	p := openDraft(t, d, tracking.Pending{Artifact: "a", Run: run.ID()})
	for name, c := range map[string]struct {
		sum, content string
		kind         error
	}{
		"other bytes":     {md5Of("x"), "y", solera.ErrInvalid},
		"cut off":         {md5Of("long content"), "long", solera.ErrInvalid},
		"no MD5":          {"", "x", solera.ErrInvalid},
		"an MD5 in cries": {strings.ToUpper(md5Of("x")), "x", solera.ErrInvalid},
	} {
		if _, err := d.Upload(ctx, p.ID, c.sum, strings.NewReader(c.content)); !errors.Is(err, c.kind) {
			t.Errorf("upload of %s: %v", name, err)
		}
		if _, err := tr.Blobs.Stat(ctx, solera.DigestOf([]byte(c.content))); c.content != "x" && !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("upload of %s left its bytes: %v", name, err)
		}
	}
	_, err := d.Upload(ctx, p.ID, md5Of("x"), iotest.ErrReader(errors.New("the cable")))
	if err == nil || !strings.Contains(err.Error(), "the cable") {
		t.Errorf("a broken upload: %v", err)
	}
	_, err = d.Upload(ctx, "nosuchdraft", md5Of("x"), strings.NewReader("x"))
	wantErr(t, err, solera.ErrNotFound)
	upload(t, d, p.ID, "content")
	for name, c := range map[string]struct {
		files []tracking.NamedFile
		kind  error
	}{
		// Only one who may read "secret" could know this, and it is another artifact.
		"content of another artifact by its MD5": {named("a", "hidden"), solera.ErrConflict},
		"content nobody sent":                    {named("a", "content", "b", "not sent"), solera.ErrConflict},
		"another size":                           {[]tracking.NamedFile{{Path: "a", MD5: md5Of("content"), Size: 3}}, solera.ErrInvalid},
		"a path that leaves":                     {named("../a", "content"), solera.ErrInvalid},
		"an absolute path":                       {named("/a", "content"), solera.ErrInvalid},
		"a path twice":                           {named("a", "content", "a", "content"), solera.ErrInvalid},
		"a file as a folder":                     {named("a", "content", "a/b", "content"), solera.ErrInvalid},
		"a password in a reference":              {[]tracking.NamedFile{{Path: "a", Ref: "https://u:p@host/x", ETag: "e"}}, solera.ErrInvalid},
		"a reference without a digest":           {[]tracking.NamedFile{{Path: "a", Ref: "gs://b/x"}}, solera.ErrInvalid},
		"a file of a version that has it not":    {[]tracking.NamedFile{{Path: "a", From: secret.ID(), FromPath: "other"}}, solera.ErrNotFound},
		"a file that changed":                    {[]tracking.NamedFile{{Path: "a", From: secret.ID(), FromPath: "data.txt", MD5: md5Of("else")}}, solera.ErrConflict},
	} {
		if v, _, err := d.Commit(ctx, p.ID, c.files); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, %v, want %v", name, v.Name(), err, c.kind)
		}
	}
	if _, err := tr.Version(ctx, "a"); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("something was committed: %v", err)
	}
	commitDraft(t, d, p.ID, named("a", "content"))
	finish(t, run)
}

func TestDraftTakesContentsFromVersions(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	run := start(t, tr, "load")
	made, _ := commit(t, run, "raw", "made here") // no MD5 is recorded for it
	finish(t, run)
	p := openDraft(t, d, tracking.Pending{Artifact: "raw"})
	upload(t, d, p.ID, "more")
	v := commitDraft(t, d, p.ID, named("data.txt", "made here", "more.txt", "more"))
	if v.Number != 1 || v.Files[0].Digest != made.Files[0].Digest {
		t.Errorf("an addition to %s is %+v", made.Name(), v)
	}
	p = openDraft(t, d, tracking.Pending{Artifact: "other"})
	files := named("copy.txt", "more")
	files[0].From = v.ID()
	files = append(files,
		tracking.NamedFile{Path: "pinned.txt", From: made.ID(), FromPath: "data.txt", MD5: md5Of("made here"), Size: -1, Extra: `{"ref":"x"}`},
		tracking.NamedFile{Path: "far", Ref: "gs://bucket/key", ETag: "CJ+/", Size: 12, Extra: `{"versionID":"7"}`},
	)
	v = commitDraft(t, d, p.ID, files)
	if b, err := tr.Snapshot(ctx, v).ReadFile("pinned.txt"); err != nil || string(b) != "made here" {
		t.Errorf("pinned.txt holds %q, %v", b, err)
	}
	if e, _ := v.File("far"); e.ETag != "CJ+/" || e.Extra != `{"versionID":"7"}` || e.Size != 12 {
		t.Errorf("far is %+v", e)
	}
	if e, _ := v.File("pinned.txt"); e.Extra != `{"ref":"x"}` {
		t.Errorf("pinned.txt is %+v", e)
	}
	summed, err := d.Summed(ctx, made.Files)
	if err != nil || summed[0].MD5 != md5Of("made here") || made.Files[0].MD5 != "" {
		t.Errorf("MD5 of what was made here: %+v, %v", summed, err)
	}
}

func TestJoinedPartsAreOneUpload(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	p := openDraft(t, d, tracking.Pending{Artifact: "big"})
	for _, part := range []string{"first ", "second ", "third", "a file too"} {
		digest, size, err := tr.Blobs.Put(ctx, strings.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Arrived(ctx, p.ID, solera.Entry{Digest: digest, Size: size, MD5: md5Of(part)}, true); err != nil {
			t.Fatal(err)
		}
	}
	upload(t, d, p.ID, "a file too")
	if got, err := d.Uploaded(ctx, p.ID); err != nil || len(got) != 1 {
		t.Errorf("files: %v, %v", got, err)
	}
	other := openDraft(t, d, tracking.Pending{Artifact: "other"})
	upload(t, d, other.ID, "third")
	const whole = "first second thirda file too"
	parts := []string{md5Of("first "), md5Of("second "), md5Of("third"), md5Of("a file too")}
	_, err := d.Join(ctx, p.ID, []string{parts[1], parts[0], parts[2], parts[3]}, md5Of(whole))
	wantErr(t, err, solera.ErrInvalid)
	_, err = d.Join(ctx, p.ID, []string{parts[0], md5Of("absent")}, md5Of(whole))
	wantErr(t, err, solera.ErrNotFound)
	for range 2 {
		e, err := d.Join(ctx, p.ID, parts, md5Of(whole))
		if err != nil || e.Digest != solera.DigestOf([]byte(whole)) {
			t.Fatalf("joined: %+v, %v", e, err)
		}
	}
	for _, part := range []string{"first ", "second "} {
		if _, err := tr.Blobs.Stat(ctx, solera.DigestOf([]byte(part))); !errors.Is(err, solera.ErrNotFound) {
			t.Errorf("the part %q stays: %v", part, err)
		}
	}
	// Another draft needs it.
	if _, err := tr.Blobs.Stat(ctx, solera.DigestOf([]byte("third"))); err != nil {
		t.Errorf("a part that somebody needs: %v", err)
	}
	v := commitDraft(t, d, p.ID, named("big.bin", whole, "small.bin", "a file too"))
	if v.Size != int64(len(whole)+len("a file too")) {
		t.Errorf("size %d", v.Size)
	}
	commitDraft(t, d, other.ID, named("x", "third"))
}

// Several clients fill one draft; each brings a list.
func TestGroupFillsOneDraft(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	a := openDraft(t, d, tracking.Pending{Artifact: "set", Group: "g", Client: "a"})
	b := openDraft(t, d, tracking.Pending{Artifact: "set", Group: "g", Client: "b"})
	other := openDraft(t, d, tracking.Pending{Artifact: "set", Group: "h"})
	if a.ID != b.ID || a.ID == other.ID {
		t.Fatalf("drafts %s, %s and %s", a.ID, b.ID, other.ID)
	}
	var lists []tracking.UploadList
	for range 2 {
		l, err := d.AddList(ctx, a.ID, tracking.UploadList{Name: "patch", Kind: "PATCH"}, false)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, l)
	}
	if lists[0].ID == lists[1].ID {
		t.Fatalf("both lists are %s", lists[0].ID)
	}
	p, err := d.AnnounceList(ctx, lists[1].ID, "", md5Of("bytes of the list"))
	if err != nil || p.Lists[1].MD5 != md5Of("bytes of the list") || p.Lists[0].MD5 != "" {
		t.Errorf("announced: %+v, %v", p.Lists, err)
	}
	_, err = d.AnnounceList(ctx, a.ID+"-7", "", md5Of(""))
	wantErr(t, err, solera.ErrNotFound)
	_, err = d.AnnounceList(ctx, lists[0].ID, "", "no sum")
	wantErr(t, err, solera.ErrInvalid)
	again, err := d.AddList(ctx, other.ID, tracking.UploadList{Name: "full", MD5: md5Of("1")}, true)
	if err != nil {
		t.Fatal(err)
	}
	if twice, err := d.AddList(ctx, other.ID, tracking.UploadList{Name: "full", MD5: md5Of("2")}, true); err != nil || twice.ID != again.ID {
		t.Errorf("the same list again is %+v, %v", twice, err)
	}
	if _, err := d.Read(ctx, other.ID, md5Of("2"), 100); !errors.Is(err, solera.ErrConflict) {
		t.Errorf("a list that has not arrived: %v", err)
	}
	upload(t, d, other.ID, "2")
	if raw, err := d.Read(ctx, other.ID, md5Of("2"), 100); err != nil || string(raw) != "2" {
		t.Errorf("list: %q, %v", raw, err)
	}
	_, err = d.Read(ctx, other.ID, md5Of("2"), 0)
	wantErr(t, err, solera.ErrInvalid)
}

func TestConcurrentDraftsGetNumbersWithoutGap(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	const n = 12
	var group sync.WaitGroup
	numbers := make([]int, n)
	failed := make([]error, n)
	for i := range n {
		group.Go(func() {
			content := fmt.Sprint("content ", i)
			o, _, err := d.Open(ctx, tracking.Pending{Project: "wine", Artifact: "set", Type: "dataset", Client: fmt.Sprint("c", i)})
			if err == nil {
				var uploads sync.WaitGroup
				for _, c := range []string{content, content, content + "!"} {
					uploads.Go(func() {
						if _, err := d.Upload(ctx, o.Draft.ID, md5Of(c), strings.NewReader(c)); err != nil {
							t.Error(err)
						}
					})
				}
				uploads.Wait()
				var commits sync.WaitGroup
				for range 2 { // both answer the same
					commits.Go(func() {
						if _, _, err := d.Commit(ctx, o.Draft.ID, named("a", content, "b", content+"!")); err != nil {
							t.Error(err)
						}
					})
				}
				commits.Wait()
				var v solera.Version
				v, _, err = d.Commit(ctx, o.Draft.ID, nil)
				numbers[i] = v.Number
			}
			failed[i] = err
		})
	}
	group.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
	slices.Sort(numbers)
	for i, got := range numbers {
		if got != i {
			t.Fatalf("numbers %v", numbers)
		}
	}
}

func TestGCKeepsWhatDraftsWaitWith(t *testing.T) {
	tr := open(t)
	blobs := newMemory()
	tr.Blobs = blobs
	d := &tracking.Drafts{Tracker: tr}
	p := openDraft(t, d, tracking.Pending{Artifact: "set"})
	upload(t, d, p.ID, "kept")
	if _, _, err := blobs.Put(ctx, strings.NewReader("garbage")); err != nil {
		t.Fatal(err)
	}
	blobs.now = blobs.now.Add(48 * time.Hour)
	report, err := tracking.GC(ctx, tr.Store, blobs, tracking.GCOptions{Delete: true, Clock: func() time.Time { return blobs.now }})
	if err != nil || report.Blobs != 1 || report.Kept.Blobs != 1 {
		t.Fatalf("gc: %+v, %v", report, err)
	}
	commitDraft(t, d, p.ID, named("a", "kept"))
}

func TestDraftWhoseContentIsGoneIsNotCommitted(t *testing.T) {
	tr := open(t)
	blobs := newMemory()
	tr.Blobs = blobs
	d := &tracking.Drafts{Tracker: tr}
	p := openDraft(t, d, tracking.Pending{Artifact: "set"})
	upload(t, d, p.ID, "lost")
	digest := solera.DigestOf([]byte("lost"))
	// A backup without it is restored.
	if err := blobs.Delete(ctx, digest); err != nil {
		t.Fatal(err)
	}
	err := tr.Store.Update(ctx, func(tx solera.Tx) error {
		return tx.Note(solera.AuditEntry{Action: "restore", Subject: "store"})
	})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = d.Commit(ctx, p.ID, named("a", "lost"))
	wantErr(t, err, solera.ErrConflict)
	upload(t, d, p.ID, "lost")
	commitDraft(t, d, p.ID, named("a", "lost"))
}

func TestRepeatedContentIsThatVersion(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	first := start(t, tr, "load")
	v, _ := commit(t, first, "set", "x")
	second := start(t, tr, "load")
	p := tracking.Pending{Project: "wine", Artifact: "set", Type: "dataset", Run: second.ID(), Aliases: []string{"again"}, Client: "c"}
	got, err := d.Repeat(ctx, v.ID(), p)
	if err != nil || !slices.Contains(got.Aliases, "again") {
		t.Errorf("repeated: %+v, %v", got, err)
	}
	if o, err := d.ByClient(ctx, "c"); err != nil || o.Version != v.ID() {
		t.Errorf("c is %+v, %v", o, err)
	}
	var edges []solera.Edge
	err = tr.Store.View(ctx, func(tx solera.Tx) (err error) {
		edges, err = tx.Edges(solera.EdgeQuery{Run: second.ID()})
		return err
	})
	if err != nil || len(edges) != 1 || edges[0].Kind != solera.Same {
		t.Errorf("edges %+v, %v", edges, err)
	}
	finish(t, first)
	finish(t, second)
}

// Whatever order files arrive in, and however often, the version has the
// listed ones.
func TestDraftHoldsWhatItsListSays(t *testing.T) {
	tr := open(t)
	d := &tracking.Drafts{Tracker: tr}
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		artifact := fmt.Sprint("a", n)
		contents := rapid.SliceOfN(rapid.StringN(0, 20, 40), 1, 8).Draw(rt, "contents")
		order := rapid.SliceOfN(rapid.IntRange(0, len(contents)-1), 0, 12).Draw(rt, "order")
		p := openDraft(t, d, tracking.Pending{Artifact: artifact})
		var pairs []string
		sent := map[string]bool{}
		for _, i := range order {
			upload(t, d, p.ID, contents[i])
			sent[contents[i]] = true
		}
		for i, c := range contents {
			pairs = append(pairs, fmt.Sprint("f", i), c)
		}
		all := !slices.ContainsFunc(contents, func(c string) bool { return !sent[c] })
		v, _, err := d.Commit(ctx, p.ID, named(pairs...))
		if all != (err == nil) {
			rt.Fatalf("all sent: %v, commit says %v", all, err)
		}
		for i, c := range contents {
			if !all {
				break
			}
			if b, err := tr.Snapshot(context.Background(), v).ReadFile(fmt.Sprint("f", i)); err != nil || string(b) != c {
				rt.Fatalf("f%d holds %q, want %q (%v)", i, b, c, err)
			}
		}
	})
}
