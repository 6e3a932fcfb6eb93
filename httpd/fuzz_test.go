package httpd

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"testing"
)

// A path that passes is what it says, however it was escaped: nothing that
// cleans it changes it.
func FuzzCheckPath(f *testing.F) {
	for _, p := range []string{"/", "/p/wine", "/%2e%2e/x", "/a//b", "/a/", "/a%00", "/caf%c3%a9", "/..", "//h/x", "/a%2f..%2fb", `/a\b`} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := url.ParseRequestURI(raw)
		if err != nil || checkPath(u.Path) != "" {
			return
		}
		if clean := path.Clean(u.Path); clean != u.Path && clean+"/" != u.Path {
			t.Errorf("%q passes and is %q when cleaned", u.Path, clean)
		}
		if strings.ContainsAny(u.Path, "\x00\r\n\\") {
			t.Errorf("%q passes", u.Path)
		}
	})
}

// A name that is answered to is one of the list or an address, whatever stands
// around it.
func FuzzHost(f *testing.F) {
	for _, h := range []string{"localhost", "localhost:1", "[::1]:1", "localhost:1@evil", "evil.example", "127.0.0.1.evil", "LOCALHOST.", "[localhost]", "a:b:c", ""} {
		f.Add(h)
	}
	s := &Server{names: map[string]bool{"localhost": true}}
	f.Fuzz(func(t *testing.T, host string) {
		if !s.answersTo(host) {
			return
		}
		name := hostName(host)
		if _, err := netip.ParseAddr(name); err != nil && name != "localhost" {
			t.Errorf("%q is answered to as %q", host, name)
		}
		rest := strings.Replace(strings.ToLower(host), name, "", 1)
		if strings.Trim(rest, "[]:.0123456789") != "" {
			t.Errorf("%q is answered to as %q, and has %q too", host, name, rest)
		}
	})
}

// What passes decodes, and says the same to a reader that takes the first of
// two keys as to one that takes the last.
func FuzzCheckJSON(f *testing.F) {
	for _, b := range []string{`{}`, `{"a":1,"b":[{"c":null}]}`, `{"a":1,"a":2}`, `[]`, `{"a":{"b":1,"b":2}}`, `{`, `{}{}`, `{"a":[[[[[[[[[]]]]]]]]]}`} {
		f.Add([]byte(b))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if checkJSON(raw) != nil {
			return
		}
		var v map[string]any
		if err := json.Unmarshal(raw, &v); err != nil {
			t.Fatalf("%q passes: %v", raw, err)
		}
		again, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := checkJSON(again); err != nil {
			t.Errorf("%q passes, %q does not: %v", raw, again, err)
		}
	})
}
