package provenance

import "github.com/solera-ml/solera"

// redact returns v, a value that JSON can hold, with the credentials taken out of every URL in it. Records
// should hold none; what is signed and handed on is checked once more, as a
// signature cannot be taken back.
func redact(v any) any {
	switch v := v.(type) {
	case string:
		return solera.RedactURL(v)
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
			list[i] = solera.RedactURL(x)
		}
		return list
	}
	if f, ok := asFields(v); ok {
		return redact(map[string]any(f))
	}
	return v
}
