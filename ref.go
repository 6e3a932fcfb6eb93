package solera

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the most bytes that a name may have.
const MaxName = 128

// Latest is the alias of an artifact's newest version. It is never set by
// hand: committing a version moves it.
const Latest = "latest"

// A Ref is how people name a version: "wine-raw:v0", "wine-raw:latest",
// "wine-raw" (the same), "other-project/wine-raw:champion".
type Ref struct {
	Project  string // "" = the project of whoever asks
	Artifact string
	Number   int    // version number; only if Alias == ""
	Alias    string // such as Latest
}

// ParseRef reads [PROJECT/]NAME[:vN | :ALIAS]. Names are ASCII, so that no two
// references look alike; a version number has no leading zero. Everything else
// is ErrInvalid.
func ParseRef(s string) (Ref, error) {
	ref, err := parseRef(s)
	if err != nil {
		return Ref{}, fmt.Errorf("artifact reference %s: %w", clip(s), err)
	}
	return ref, nil
}

func parseRef(s string) (Ref, error) {
	ref := Ref{Alias: Latest}
	name, tag, tagged := strings.Cut(s, ":")
	if project, rest, ok := strings.Cut(name, "/"); ok {
		if err := checkName("project", project); err != nil {
			return Ref{}, err
		}
		ref.Project, name = project, rest
	}
	if err := checkName("artifact", name); err != nil {
		return Ref{}, err
	}
	ref.Artifact = name
	if !tagged {
		return ref, nil
	}
	if !looksLikeNumber(tag) {
		ref.Alias = tag
		return ref, checkName("alias", tag)
	}
	n, err := strconv.Atoi(tag[1:])
	if err != nil || n > maxNumber || "v"+strconv.Itoa(n) != tag {
		return Ref{}, fmt.Errorf("version %s: %w: write it as v0, v1, v2 …", clip(tag), ErrInvalid)
	}
	ref.Number, ref.Alias = n, ""
	return ref, nil
}

// maxNumber keeps version numbers within an int on every platform.
const maxNumber = 1<<31 - 1

// String returns the text that ParseRef reads, always with its tag.
func (r Ref) String() string {
	s := r.Artifact + ":"
	if r.Project != "" {
		s = r.Project + "/" + s
	}
	if r.Alias != "" {
		return s + r.Alias
	}
	return s + "v" + strconv.Itoa(r.Number)
}

// CheckName reports ErrInvalid unless s can name an artifact or a project: 1
// to 128 ASCII letters, digits, '.', '_' and '-', a letter or digit first, no
// "..". So a name is also safe in a path, a URL, a shell and a terminal.
func CheckName(s string) error { return checkName("name", s) }

// CheckAlias reports ErrInvalid unless s can be set as an alias: a name that
// does not look like a version number (v3, V3) and is not "latest".
func CheckAlias(s string) error {
	if err := checkName("alias", s); err != nil {
		return err
	}
	if looksLikeNumber(s) {
		return fmt.Errorf("alias %q: %w: it looks like a version number; choose another word", s, ErrInvalid)
	}
	if strings.EqualFold(s, Latest) {
		return fmt.Errorf("alias %q: %w: it always names the newest version; choose another word", s, ErrInvalid)
	}
	return nil
}

func checkName(what, s string) error {
	bad := func(why string) error {
		return fmt.Errorf("%s %s: %w: %s", what, clip(s), ErrInvalid, why)
	}
	switch {
	case s == "":
		return fmt.Errorf("%s: %w: it is empty", what, ErrInvalid)
	case len(s) > MaxName:
		return bad(fmt.Sprintf("%d characters, at most %d are allowed", len(s), MaxName))
	case strings.Contains(s, ".."):
		return bad(`".." is not allowed`)
	}
	for i, c := range s {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		case i == 0 && (c == '.' || c == '_' || c == '-'):
			return bad("it must begin with a letter or a digit")
		default:
			return bad(fmt.Sprintf("the character %q is not allowed; use letters, digits, '.', '_' and '-'", c))
		}
	}
	return nil
}

// looksLikeNumber reports whether s would be read as a version number by a
// person or by ParseRef.
func looksLikeNumber(s string) bool {
	if len(s) < 2 || s[0] != 'v' && s[0] != 'V' {
		return false
	}
	return strings.Trim(s[1:], "0123456789") == ""
}

// CheckPath reports ErrInvalid unless s can be a file's path inside a version:
// relative, with '/' between segments, at most 1,024 bytes of UTF-8 and 255 a
// segment. Nothing that could leave the folder into which a version is pulled,
// on any operating system, and nothing invisible, is allowed.
func CheckPath(s string) error {
	bad := func(why string) error {
		return fmt.Errorf("path %s: %w: %s", clip(s), ErrInvalid, why)
	}
	switch {
	case s == "":
		return fmt.Errorf("path: %w: it is empty", ErrInvalid)
	case len(s) > 1024:
		return bad("longer than 1024 bytes")
	case !utf8.ValidString(s):
		return bad("it is not UTF-8")
	case s[0] == '/':
		return bad("it is absolute")
	case len(s) >= 2 && s[1] == ':' && unicode.IsLetter(rune(s[0])):
		return bad("it begins with a drive letter")
	}
	for _, c := range s {
		if c == '\\' {
			return bad(`use '/' instead of '\'`)
		}
		if unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || c == utf8.RuneError {
			return bad(fmt.Sprintf("the invisible character %U is not allowed", c))
		}
	}
	for segment := range strings.SplitSeq(s, "/") {
		switch {
		case segment == "":
			return bad("it has an empty segment")
		case segment == "." || segment == "..":
			return bad(fmt.Sprintf("the segment %q is not allowed", segment))
		case len(segment) > 255:
			return bad("a segment is longer than 255 bytes")
		}
	}
	return nil
}
