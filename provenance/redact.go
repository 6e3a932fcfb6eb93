package provenance

import (
	"net/url"
	"strings"
)

// redact returns v with the credentials taken out of every URL in it. Records
// should hold none; what is signed and handed on is checked once more, as a
// signature cannot be taken back.
func redact(v any) any {
	switch v := v.(type) {
	case string:
		return redactText(v)
	case map[string]any:
		m := make(map[string]any, len(v))
		for key, x := range v {
			m[key] = redact(x)
		}
		return m
	case []any:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = redact(x)
		}
		return list
	case []string:
		list := make([]any, len(v))
		for i, x := range v {
			list[i] = redactText(x)
		}
		return list
	}
	if f, ok := asFields(v); ok {
		return redact(map[string]any(f))
	}
	return v
}

// redactText returns a URL without its user, its password and the values of
// queries that look like keys. Anything else it returns as it is.
func redactText(s string) string {
	if !strings.Contains(s, "://") {
		return s
	}
	u, err := url.Parse(s)
	if err != nil {
		// Not a URL that anything could open, but an "@" may follow a password.
		scheme, rest, _ := strings.Cut(s, "://")
		if i := strings.LastIndexByte(rest, '@'); i >= 0 {
			return scheme + "://" + rest[i+1:]
		}
		return s
	}
	changed := u.User != nil
	u.User = nil
	if u.RawQuery != "" {
		// Not by url.Values, which would sort what need not change.
		parts := strings.Split(u.RawQuery, "&")
		for i, part := range parts {
			key, value, _ := strings.Cut(part, "=")
			if value != "" && secret(key) {
				parts[i] = key + "=REDACTED"
				changed = true
			}
		}
		u.RawQuery = strings.Join(parts, "&")
	}
	if !changed {
		return s
	}
	return u.String()
}

// secret reports whether a query key names something like a password.
func secret(key string) bool {
	key = strings.ToLower(key)
	for _, word := range []string{"key", "token", "secret", "password", "passwd", "pwd", "signature", "credential", "auth"} {
		if strings.Contains(key, word) {
			return true
		}
	}
	return key == "sig" // of a shared access signature
}
