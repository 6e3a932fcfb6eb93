package host

import (
	"net/url"
	"regexp"
	"strings"
)

// hidden takes the place of a secret.
const hidden = "REDACTED"

// RedactArgs returns a command line without its secrets: passwords in URLs, the
// values of flags and of NAME=VALUE whose name says that they are secret, and
// words that have the form of a well-known kind of token.
func RedactArgs(args []string) []string {
	out := make([]string, len(args))
	next := false // the argument before was --password
	for i, arg := range args {
		name, value, assigned := strings.Cut(arg, "=")
		flag := strings.HasPrefix(arg, "-")
		switch {
		case next && !flag:
			out[i] = hidden
		case assigned && value != "" && !strings.Contains(name, "://") && secretName(name):
			out[i] = name + "=" + hidden
		default:
			out[i] = redactWords(arg)
		}
		next = flag && !assigned && secretName(name)
	}
	return out
}

// redactWords cleans the URLs and tokens within a text.
func redactWords(s string) string {
	s = urls.ReplaceAllStringFunc(s, RedactURL)
	return tokens.ReplaceAllString(s, hidden)
}

var (
	urls = regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://[^\s'"]+`)
	// Tokens that name themselves: of GitHub, GitLab, AWS, Slack, Google,
	// Hugging Face, OpenAI and its like, and JSON Web Tokens.
	tokens = regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}|(AKIA|ASIA)[A-Z0-9]{16}|` +
		`xox[a-z]-[A-Za-z0-9-]{10,}|AIza[A-Za-z0-9_-]{30,}|hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{20,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)`)
)

// RedactURL returns a URL without user and password, and without the values of
// query keys that look like keys. A text that is no URL, such as a path or
// git@host:path, comes back as it is, but for what stands before an @ after
// "://".
func RedactURL(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		// Nothing could open it, but a password may stand there all the same.
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			rest = rest[i+1:]
		}
		rest, _, _ = strings.Cut(rest, "?")
		return scheme + "://" + rest
	}
	parts := strings.Split(u.RawQuery, "&")
	changed := u.User != nil
	for i, part := range parts {
		name, value, _ := strings.Cut(part, "=")
		if value != "" && secretName(name) {
			parts[i] = name + "=" + hidden
			changed = true
		}
	}
	if !changed {
		return s
	}
	u.User, u.RawQuery = nil, strings.Join(parts, "&")
	return u.String()
}

// secretName reports whether a name says that its value is a secret.
func secretName(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"password", "passwd", "passphrase", "pwd", "secret", "token", "credential", "signature", "apikey", "access_key", "accesskey", "access-key"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	// Whole words: --key and api_key, but not --monkey; sig, but not --sigma.
	for word := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' }) {
		switch word {
		case "key", "auth", "sig", "pass", "pw", "pat", "bearer":
			return true
		}
	}
	return false
}
