package wandb

import (
	"fmt"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/lenient"
)

// Rows, summaries and configs are JSON as Python writes it; see package lenient.

// Decode reads one JSON value in which NaN, Infinity and -Infinity may stand
// as numbers. The result holds map[string]any, []any, string, bool, nil,
// json.Number with all digits as they came, and float64 for those three words
// alone. Of a key that appears twice the last value counts. Everything that is
// not such JSON, or is nested deeper than 60, is ErrInvalid.
func Decode(b []byte) (any, error) {
	v, err := lenient.Decode(string(b))
	if err != nil {
		return nil, fmt.Errorf("JSON: %w: %w", solera.ErrInvalid, err)
	}
	return v, nil
}

// DecodeObject reads one JSON object, as [Decode] does.
func DecodeObject(b []byte) (map[string]any, error) {
	v, err := Decode(b)
	if err != nil {
		return nil, err
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("JSON: %w: want an object", solera.ErrInvalid)
	}
	return object, nil
}

// Encode writes v, of the types that [Decode] gives and Go's numbers, as JSON
// with NaN, Infinity and -Infinity as bare words. Keys are sorted.
func Encode(v any) ([]byte, error) { return encoded(lenient.Append(nil, v)) }

// EncodeStrict writes v as JSON that everybody reads: the three words stand in
// quotes.
func EncodeStrict(v any) ([]byte, error) { return encoded(lenient.AppendStrict(nil, v)) }

func encoded(b []byte, err error) ([]byte, error) {
	if err != nil {
		return nil, fmt.Errorf("JSON: %w: %w", solera.ErrInvalid, err)
	}
	return b, nil
}
