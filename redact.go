package solera

import (
	"net/url"
	"strings"
)

// redacted takes the place of a secret.
const redacted = "REDACTED"

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
		if value != "" && SecretName(name) {
			parts[i] = name + "=" + redacted
			changed = true
		}
	}
	if !changed {
		return s
	}
	u.User, u.RawQuery = nil, strings.Join(parts, "&")
	return u.String()
}

// SecretName reports whether a name says that its value is a secret.
func SecretName(name string) bool {
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
