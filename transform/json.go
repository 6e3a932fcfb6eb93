package transform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// formatVersion is the version of transform.json that this package writes and reads.
const formatVersion = 1

// maxFile bounds the bytes of a transform.json that ParseFitted accepts. A
// thousand columns with a thousand quantiles each take a twentieth of it.
const maxFile = 512 << 20

// document is transform.json.
type document struct {
	Version  int      `json:"version"`
	Columns  []column `json:"columns"`
	Warnings []string `json:"warnings"`
}

// JSON returns the bytes of transform.json: a line per column, numbers in the
// fewest digits that read back as the same bits.
func (f *Fitted) JSON() ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, `{"version":%d,"columns":[`, formatVersion)
	for i := range f.columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('\n')
		if err := encode(&b, f.columns[i]); err != nil {
			return nil, fmt.Errorf("write the fitted column %q: %w", f.columns[i].Name, err)
		}
	}
	b.WriteString("\n],\"warnings\":")
	warnings := f.warnings
	if warnings == nil {
		warnings = []string{}
	}
	if err := encode(&b, warnings); err != nil {
		return nil, fmt.Errorf("write the warnings: %w", err)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// encode appends v as JSON without the newline and the HTML escapes of json.Encoder.
func encode(b *bytes.Buffer, v any) error {
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	b.Truncate(b.Len() - 1)
	return nil
}

// MarshalJSON writes the same document as JSON does.
func (f *Fitted) MarshalJSON() ([]byte, error) { return f.JSON() }

// UnmarshalJSON reads what ParseFitted reads.
func (f *Fitted) UnmarshalJSON(b []byte) error {
	parsed, err := ParseFitted(b)
	if err != nil {
		return err
	}
	*f = *parsed
	return nil
}

// ParseFitted reads transform.json. It accepts only what Fit can have made, so
// that Apply on the result cannot fail for a reason other than its table. The
// error wraps solera.ErrCorrupt.
func ParseFitted(b []byte) (*Fitted, error) {
	f, err := parseFitted(b)
	if err != nil {
		return nil, fmt.Errorf("read a fitted transform: %w: %w", solera.ErrCorrupt, err)
	}
	return f, nil
}

func parseFitted(b []byte) (*Fitted, error) {
	if len(b) > maxFile {
		return nil, fmt.Errorf("%d bytes, more than %d", len(b), maxFile)
	}
	if !utf8.Valid(b) {
		return nil, errors.New("not UTF-8")
	}
	var d document
	if err := strict(b, &d); err != nil {
		return nil, err
	}
	if d.Version != formatVersion {
		return nil, fmt.Errorf("format version %d, and this program reads version %d", d.Version, formatVersion)
	}
	f := &Fitted{columns: d.Columns, warnings: d.Warnings}
	if len(f.warnings) == 0 {
		f.warnings = nil
	}
	// Names must be unique: two features of one name could not be told apart in
	// a report, two columns of one name in a table.
	columns, names := map[string]bool{}, map[string]bool{}
	for i := range f.columns {
		c := &f.columns[i]
		if columns[c.Name] {
			return nil, fmt.Errorf("column %s appears twice", show(c.Name))
		}
		columns[c.Name] = true
		for _, l := range c.Lanes {
			f.names = append(f.names, l.Name)
		}
		if c.Indicator != "" {
			f.names = append(f.names, c.Indicator)
		}
	}
	for _, name := range f.names {
		if names[name] {
			return nil, fmt.Errorf("feature %s appears twice", show(name))
		}
		names[name] = true
	}
	if len(f.names) == 0 {
		return nil, errors.New("no features")
	}
	return f, nil
}

// strict decodes one JSON value, without unknown keys and with nothing behind it.
func strict(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// The parts below are checked as they are decoded, so that a hostile list of
// empty objects, small in bytes and large in memory, ends at its first item.

// UnmarshalJSON decodes and checks one column.
func (c *column) UnmarshalJSON(b []byte) error {
	type plain column
	if err := strict(b, (*plain)(c)); err != nil {
		return err
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("column %s: %w", show(c.Name), err)
	}
	return nil
}

// UnmarshalJSON decodes and checks one lane.
func (l *lane) UnmarshalJSON(b []byte) error {
	type plain lane
	if err := strict(b, (*plain)(l)); err != nil {
		return err
	}
	if l.Name == "" {
		return errors.New("a feature has no name")
	}
	return nil
}

// UnmarshalJSON decodes and checks one numeric step.
func (s *scaler) UnmarshalJSON(b []byte) error {
	type plain scaler
	if err := strict(b, (*plain)(s)); err != nil {
		return err
	}
	return s.check()
}

// UnmarshalJSON decodes and checks one encoder.
func (e *encoder) UnmarshalJSON(b []byte) error {
	type plain encoder
	if err := strict(b, (*plain)(e)); err != nil {
		return err
	}
	return e.check()
}

// check reports parts that do not fit together.
func (c *column) check() error {
	if c.Name == "" {
		return errors.New("no name")
	}
	if c.Dropped != "" {
		if c.Lanes != nil || c.Encoder != nil || c.Before != nil || c.Fill != nil {
			return errors.New("dropped, and yet it has steps")
		}
	} else if len(c.Lanes) == 0 {
		return errors.New("no features, and no reason for it")
	}
	want := 1
	switch c.Kind {
	case table.Number, table.Boolean:
		if c.Encoder != nil || c.Fill != nil || c.Before != nil {
			return fmt.Errorf("a %s takes numeric steps only", c.Kind)
		}
	case table.Date:
		if c.Fill != nil || c.Encoder != nil && c.Encoder.Kind != "date_parts" || c.Encoder == nil && c.Before != nil {
			return errors.New("a date takes date_parts and numeric steps")
		}
	case table.Category:
		if c.Before != nil || c.Dropped == "" && (c.Encoder == nil || c.Encoder.Kind == "date_parts") {
			return errors.New("a category needs one_hot or ordinal")
		}
	default:
		return fmt.Errorf("unknown kind %s", show(string(c.Kind)))
	}
	if c.Encoder != nil {
		want = len(c.Encoder.suffixes())
	}
	if c.Dropped == "" && len(c.Lanes) != want {
		return fmt.Errorf("%d features, and its steps make %d", len(c.Lanes), want)
	}
	return nil
}
