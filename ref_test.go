package solera_test

import (
	"errors"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

func TestParseRef(t *testing.T) {
	long := strings.Repeat("x", 128)
	good := map[string]solera.Ref{
		"wine-raw":             {Artifact: "wine-raw", Alias: "latest"},
		"wine-raw:latest":      {Artifact: "wine-raw", Alias: "latest"},
		"wine-raw:v0":          {Artifact: "wine-raw"},
		"wine-raw:v12":         {Artifact: "wine-raw", Number: 12},
		"wine_raw.1:champion":  {Artifact: "wine_raw.1", Alias: "champion"},
		"w:v":                  {Artifact: "w", Alias: "v"},
		"w:v1a":                {Artifact: "w", Alias: "v1a"},
		"other/wine-raw:v1":    {Project: "other", Artifact: "wine-raw", Number: 1},
		long:                   {Artifact: long, Alias: "latest"},
		"v0":                   {Artifact: "v0", Alias: "latest"},
		"a:v2147483647":        {Artifact: "a", Number: 1<<31 - 1},
		"trained-model-exp001": {Artifact: "trained-model-exp001", Alias: "latest"},
	}
	for text, want := range good {
		got, err := solera.ParseRef(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
		if again, err := solera.ParseRef(got.String()); err != nil || again != want {
			t.Errorf("%q: written as %q, it reads %+v, %v", text, got, again, err)
		}
	}
	bad := []string{
		"", ":", "a:", ":v0", "a:v00", "a:v01", "a:V1", "a:v2147483648", "a:v99999999999999999999", "a:b:c", "a:-x",
		"../a", "a/../b", "a/b/c", "/a", "a/", ".a", "-a", "a..b", "a b", "a'b", `a"b`, "a\nb", "a\x00", "a\\b",
		"wіne", "wine\u200b", "ＷＩＮＥ", "a\xff", long + "x", "a:" + long + "x", "a@latest", "a:v٣",
	}
	for _, text := range bad {
		if got, err := solera.ParseRef(text); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%q: got %+v, %v, want ErrInvalid", text, got, err)
		}
	}
}

func TestCheckAlias(t *testing.T) {
	for _, good := range []string{"champion", "best-1", "v", "v1a", "3", "vv3", "production.eu"} {
		if err := solera.CheckAlias(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"v3", "V3", "v0", "v00", "latest", "Latest", "", "a/b", "a:b", "a b", "ü"} {
		if err := solera.CheckAlias(bad); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%q: got error %v, want ErrInvalid", bad, err)
		}
	}
}

var badPaths = []string{
	"", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", ".", "./a", "a/./b", "a//b", "a/", `a\b`, `..\x`, `C:\x`, "C:/x", "c:x",
	"a\x00b", "a\nb", "a\x7f", "\xff", "a\u202eb", "a\u200bb", "a\u2028b", "\ufeffa", "a\ufffd",
	strings.Repeat("x", 256), strings.Repeat("x/", 512) + "x",
}

func TestCheckPath(t *testing.T) {
	good := []string{"a", "train.parquet", "a/b/c.json", "…", "ü/漢字.txt", "a b", "..a", "a..", "...", ".hidden", "-", "xy:z/w", strings.Repeat("x", 255)}
	for _, p := range good {
		if err := solera.CheckPath(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
	for _, p := range badPaths {
		if err := solera.CheckPath(p); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%q: got error %v, want ErrInvalid", p, err)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"wine-raw:v0", "p/wine-raw:champion", "a", "a:v00", "../a", "a:\x00", "wіne"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, err := solera.ParseRef(s)
		if err != nil {
			if !errors.Is(err, solera.ErrInvalid) {
				t.Errorf("%q: error %v is of no kind", s, err)
			}
			return
		}
		again, err := solera.ParseRef(ref.String())
		if err != nil || again != ref {
			t.Errorf("%q: written as %q it reads %+v, %v", s, ref, again, err)
		}
		if ref.Artifact == "" || len(ref.Artifact) > solera.MaxName || ref.Number < 0 || strings.ContainsAny(ref.Artifact, "/\\:\"'\n\x00 ") {
			t.Errorf("%q: accepted as %+v", s, ref)
		}
		if strings.Contains(s, ":") && ref.String() != s {
			t.Errorf("%q: two texts for one version: %q", s, ref)
		}
	})
}

func FuzzCheckPath(f *testing.F) {
	for _, s := range badPaths {
		f.Add(s)
	}
	f.Add("a/b.txt")
	f.Fuzz(func(t *testing.T, s string) {
		err := solera.CheckPath(s)
		if err != nil {
			if !errors.Is(err, solera.ErrInvalid) {
				t.Errorf("%q: error %v is of no kind", s, err)
			}
			return
		}
		// Whatever is accepted stays inside the folder it is joined to.
		inside, err := filepath.Rel("/pull/here", filepath.Join("/pull/here", filepath.FromSlash(s)))
		if err != nil || inside == "." || inside == ".." || strings.HasPrefix(inside, "../") {
			t.Errorf("%q leaves its folder: %q, %v", s, inside, err)
		}
		if path.Clean(s) != s || !filepath.IsLocal(s) || !utf8.ValidString(s) || strings.ContainsAny(s, "\\\x00\n") {
			t.Errorf("%q was accepted", s)
		}
	})
}
