package main

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/solera-ml/solera"
)

// http [-key | -key=FILE] [-as HOST] READY METHOD PATH STATUS [BODY] asks the
// server of which READY has the first words, as soon as it has them, and keeps
// its answer in the file answer. -key shows the key that READY, or another file
// of JSON, has.
func request(ts *testscript.TestScript, neg bool, args []string) {
	host, keyFile := "", ""
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch name, value, _ := strings.Cut(args[0], "="); name {
		case "-key":
			if keyFile = value; keyFile == "" {
				keyFile = args[1]
			}
		case "-as":
			host, args = args[1], args[1:]
		}
		args = args[1:]
	}
	if neg || len(args) < 4 || len(args) > 5 {
		ts.Fatalf("usage: http [-key[=FILE]] [-as HOST] READY METHOD PATH STATUS [BODY]")
	}
	var body io.Reader
	if len(args) == 5 {
		body = strings.NewReader(args[4])
	}
	at := regexp.MustCompile(`http://[^"\s]+`).FindString(awaited(ts, args[0]))
	q, err := http.NewRequest(args[1], at+"/", body)
	ts.Check(err)
	q.URL.Path, q.URL.RawPath = "", ""
	q.URL.Opaque = args[2] // as it is
	if host != "" {
		q.Host = host
	}
	if body != nil {
		q.Header.Set("Content-Type", "application/json")
	}
	if keyFile != "" {
		var shown struct {
			AdminKey string `json:"admin_key"`
			Key      string `json:"key"`
		}
		ts.Check(json.Unmarshal([]byte(ts.ReadFile(keyFile)), &shown))
		q.Header.Set("Authorization", "Bearer "+firstOf(shown.AdminKey, shown.Key))
	}
	r, err := http.DefaultClient.Do(q)
	ts.Check(err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("answer"), b, 0o644))
	if strconv.Itoa(r.StatusCode) != args[3] {
		ts.Fatalf("got %d, want %s\n%s", r.StatusCode, args[3], b)
	}
}

// awaited returns the first lines of a file that a server is about to write.
func awaited(ts *testscript.TestScript, name string) string {
	for range 1000 {
		b, err := os.ReadFile(ts.MkAbs(name))
		if err == nil && strings.HasSuffix(string(b), "\n") {
			return string(b)
		}
		time.Sleep(10 * time.Millisecond)
	}
	ts.Fatalf("%s has no word of a server", name)
	return ""
}

// revoke FILE revokes the key that a file of JSON has.
func revoke(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: revoke FILE")
	}
	var shown struct{ ID string }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &shown))
	ts.Check(ts.Exec("solera", "user", "revoke", shown.ID))
}

func TestOnlyHere(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.3.2.1": true, "::1": true, "localhost": true, "LocalHost": true,
		"": false, "0.0.0.0": false, "::": false, "192.168.1.7": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false,
		"runs.example.org": false, "::ffff:127.0.0.1": true, "0": false,
	} {
		if got := onlyHere(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}

func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]string{
		"": "", "90d": "2027-02-21T12:00:00.000000Z", "12h": "2026-11-24T00:00:00.000000Z", "2027-01-31": "2027-01-31T00:00:00.000000Z",
	} {
		if got, err := expiry(s, now); err != nil || got.String() != want {
			t.Errorf("%q: got %v, %v, want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"yesterday", "-1h", "0s", "0d", "90", "d", "99999999999d", "2027-13-01", "1e9d"} {
		if got, err := expiry(s, now); err == nil {
			t.Errorf("%q: got %v, want an error", s, got)
		} else if !errors.Is(err, solera.ErrUsage) {
			t.Errorf("%q: %v", s, err)
		}
	}
}
