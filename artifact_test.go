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
