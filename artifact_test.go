package solera_test

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
)

func TestCheckFilesLooksAtWhereExternalFilesAre(t *testing.T) {
	tests := []struct {
		ref string
		ok  bool
	}{
		{"", true},
		{"file:///data/wine.csv", true},
		{"s3://bucket/a/b.parquet?versionId=3", true},
		{"https://host.example:8443/a%20b", true},
		{"https://host/" + strings.Repeat("x", 2048-len("https://host/")), true},

		{"https://host/" + strings.Repeat("x", 2049-len("https://host/")), false},
		{"http://host/a", false},
		{"ftp://host/a", false},
		{"javascript:alert(1)", false},
		{"/data/wine.csv", false},
		{"wine.csv", false},
		{"file://host/data", false},
		{"file:data", false},
		{"s3:///key", false},
		{"https:///path", false},
		{"https:host/path", false},
		{"https://ana:secret@host/a", false},
		{"https://ana@host/a", false},
		{"s3://key:secret@bucket/a", false},
		{"https://host/a\nb", false},
		{"https://host/a\x00", false},
		{"https://host/\xff", false},
		{"https://host/\u0085", false},
		{"https://ho st/", false},
		{"%", false},
	}
	for _, tt := range tests {
		err := solera.CheckFiles([]solera.Entry{{Path: "a", Digest: solera.DigestOf(nil), Ref: tt.ref}})
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%.40q: got %v, want ok %v", tt.ref, err, tt.ok)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
}

func TestCheckFilesLooksAtWhatClientsSay(t *testing.T) {
	tag := `"abc"`
	of := func(change func(*solera.Entry)) solera.Entry {
		e := solera.Entry{Path: "a", Digest: solera.DigestOf([]byte(tag)), Ref: "gs://bucket/key", ETag: tag}
		change(&e)
		return e
	}
	tests := []struct {
		name   string
		change func(*solera.Entry)
		ok     bool
	}{
		{"an ETag", func(*solera.Entry) {}, true},
		{"with an address of its client's own", func(e *solera.Entry) { e.Ref = "s3://bucket/100% @ b.txt?x" }, true},
		{"with more", func(e *solera.Entry) { e.MD5, e.Extra = strings.Repeat("0a", 16), `{"versionID":"1"}` }, true},
		{"a blob with its MD5", func(e *solera.Entry) { e.Ref, e.ETag, e.MD5 = "", "", strings.Repeat("0a", 16) }, true},

		{"another digest", func(e *solera.Entry) { e.Digest = solera.DigestOf(nil) }, false},
		{"no reference", func(e *solera.Entry) { e.Ref = "" }, false},
		{"an address that is none", func(e *solera.Entry) { e.Ref = "bucket/key" }, false},
		{"an address of nothing", func(e *solera.Entry) { e.Ref = "gs://" }, false},
		{"an address that runs", func(e *solera.Entry) { e.Ref = "JavaScript://%0aalert(1)" }, false},
		{"a password", func(e *solera.Entry) { e.Ref = "gs://ana:secret@bucket/key" }, false},
		{"a long address", func(e *solera.Entry) { e.Ref = "gs://" + strings.Repeat("x", 2048) }, false},
		{"a long ETag", func(e *solera.Entry) {
			e.ETag = strings.Repeat("x", 2049)
			e.Digest = solera.DigestOf([]byte(e.ETag))
		}, false},
		{"an ETag of two lines", func(e *solera.Entry) { e.ETag, e.Digest = "a\nb", solera.DigestOf([]byte("a\nb")) }, false},
		{"a short MD5", func(e *solera.Entry) { e.MD5 = "0a" }, false},
		{"an MD5 in large letters", func(e *solera.Entry) { e.MD5 = strings.Repeat("0A", 16) }, false},
		{"extra that is no JSON", func(e *solera.Entry) { e.Extra = "{" }, false},
		{"extra that is no object", func(e *solera.Entry) { e.Extra = "null" }, false},
		{"extra of 64 KiB and more", func(e *solera.Entry) { e.Extra = `{"a":"` + strings.Repeat("x", 64<<10) + `"}` }, false},
	}
	for _, tt := range tests {
		err := solera.CheckFiles([]solera.Entry{of(tt.change)})
		if tt.ok != (err == nil) || err != nil && !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%s: got %v, want ok %v", tt.name, err, tt.ok)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error repeats a password: %v", err)
		}
	}
	// What is no part of the content is no part of its digest.
	plain := solera.Entry{Path: "a", Digest: solera.DigestOf([]byte("x")), Size: 1}
	marked := plain
	marked.MD5 = "9dd4e461268c8034f5c8564e155c67a6"
	a, errA := solera.ContentDigest("t", nil, []solera.Entry{plain})
	b, errB := solera.ContentDigest("t", nil, []solera.Entry{marked})
	if a != b || errA != nil || errB != nil {
		t.Errorf("an MD5 changes the digest: %v, %v", errA, errB)
	}
}

func TestCheckFilesRefusesMoreThanFitIntoMemory(t *testing.T) {
	err := solera.CheckFiles(make([]solera.Entry, solera.MaxFiles+1))
	if !errors.Is(err, solera.ErrInvalid) || !strings.Contains(fmt.Sprint(err), "1000000") {
		t.Errorf("got %v, want a refusal that names the limit", err)
	}
}

// The text that is hashed is written out here, as an auditor would make it.
func TestAuditHashIsWhatTheDocumentationSays(t *testing.T) {
	e := solera.AuditEntry{
		N: 2, Time: 1_700_000_000_000_001, Actor: "ana@laptop", Action: "alias.set", Subject: "p/wine:best",
		Before: solera.Fields{"number": 1}, After: solera.Fields{"number": 2, "a": "<"},
	}
	previous := solera.DigestOf([]byte("x"))
	text := previous.String() + "\n" + `{"action":"alias.set","actor":"ana@laptop","after":{"a":"<","number":2},"before":{"number":1},"n":2,` +
		`"subject":"p/wine:best","time":"2023-11-14T22:13:20.000001Z"}`
	got, err := solera.AuditHash(previous, e)
	if want := solera.DigestOf([]byte(text)); got != want || err != nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	e.Hash = previous // is not part of it
	again, _ := solera.AuditHash(previous, e)
	first, _ := solera.AuditHash(solera.Digest{}, e)
	if again != got || first == got {
		t.Errorf("the hash of %s follows from the wrong things", hex.EncodeToString(got[:4]))
	}
}
