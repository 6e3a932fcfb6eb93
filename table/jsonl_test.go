package table

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/solera-ml/solera"
)

func TestObjectsBecomeColumns(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{
			"kinds", `{"n": 1.5, "c": "x", "b": true, "d": "2024-02-29"}` + "\n" + `{"n": -2e3, "c": "y", "b": false, "d": "2024-03-01T10:00:00Z"}`,
			"n number: 1.5 -2000\nc category: x y\nb boolean: true false\nd date: 2024-02-29 2024-03-01T10:00:00Z\n",
		},
		{
			"missing keys and nulls", "{\"a\":1}\n{\"b\":\"x\"}\n\n{\"a\":null,\"b\":\"NA\"}\n{\"b\":\"y\",\"a\":4}\n",
			"a number whole: 1 _ _ 4\nb category: _ x _ y\n",
		},
		{"a string of digits is text", `{"a":"12"}`, "a category: 12\n"},
		{"numbers and strings mixed are categories", "{\"a\":1.50}\n{\"a\":\"1\"}\n", "a category: 1.50 1\n"},
		{"booleans and numbers mixed", "{\"a\":true}\n{\"a\":1}\n", "a category: true 1\n"},
		{"true as a string is text", "{\"a\":\"true\"}\n", "a category: true\n"},
		{"escapes", `{"a\u00e9\n":"\"\\\ud83d\ude00"}`, "aé\n category: \"\\😀\n"},
		{"dates and other strings", "{\"a\":\"2024-01-01\"}\n{\"a\":\"soon\"}\n", "a category: 2024-01-01 soon\n"},
		{"whole numbers beyond 2^53", `{"a":9007199254740993}`, "a category: 9007199254740993\n"},
		{"byte order mark and blanks", "\ufeff { \"a\" : 1 , \"b\":\t2 } \r\n", "a number whole: 1\nb number whole: 2\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tab, err := ReadJSONL(context.Background(), "t.jsonl", strings.NewReader(tt.text), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.want, show(tab)); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBadObjectsSayWhereAndHowToMend(t *testing.T) {
	for _, tt := range []struct {
		name, text string
		o          Options
		want       string
	}{
		{"empty", "", Options{}, "the file has no rows"},
		{"array", "[{\"a\":1}]", Options{}, "line 1: a JSON array: write one object a line, for example with: jq -c '.[]'"},
		{"CSV", "a,b\n1,2\n", Options{}, `line 1: "a,b" is not a JSON object`},
		{"nested", "{\"a\":1}\n{\"a\":{\"b\":2}}", Options{}, `line 2: column "a": a nested value`},
		{"list", "{\"a\":[1]}", Options{}, `line 1: column "a": a nested value`},
		{"cut short", `{"a":1`, Options{}, "line 1: the object is not closed"},
		{"no value", `{"a":`, Options{}, "has no value"},
		{"no colon", `{"a" 1}`, Options{}, "want a colon after key"},
		{"no quotes", `{a: 1}`, Options{}, "want a key in double quotes at byte 2"},
		{"trailing comma", `{"a":1,}`, Options{}, "want a key in double quotes"},
		{"more text", `{"a":1} x`, Options{}, "more text after the object"},
		{"bad number", `{"a":01}`, Options{}, `column "a": "01" is not a JSON value`},
		{"NaN", `{"a":NaN}`, Options{}, `"NaN" is not a JSON value`},
		{"bad escape", `{"a":"\x"}`, Options{}, "a string that is not valid JSON"},
		{"twice", `{"a":1,"a":2}`, Options{}, `column "a": the key is twice in one object`},
		{"empty key", `{"":1}`, Options{}, "an empty key"},
		{"beyond float32", "{\"a\":1}\n{\"a\":1e39}", Options{}, `line 2: column "a": "1e39" is beyond the range`},
		{"forced", `{"a":"x"}`, Options{Types: map[string]Kind{"a": Number}}, `line 1: column "a": "x" is not a number`},
		{"not UTF-8", "{\"a\":\"\xff\"}", Options{}, "line 1: byte 0xff is not UTF-8"},
		{"too many keys", `{"a":1,"b":2,"c":3}`, Options{MaxColumns: 2}, "3 columns or more, at most 2"},
	} {
		_, err := ReadJSONL(context.Background(), "t.jsonl", strings.NewReader(tt.text), tt.o)
		var in *solera.InputError
		if !errors.As(err, &in) || !strings.Contains(err.Error(), tt.want) || in.Hint == "" {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestSparseKeysDoNotExhaustMemory(t *testing.T) {
	var b strings.Builder
	b.WriteString("{")
	for i := range 15_000 {
		fmt.Fprintf(&b, "\"k%d\":1,", i)
	}
	b.WriteString("\"last\":1}\n")
	b.WriteString(strings.Repeat("{}\n", 400_000))
	_, err := ReadJSONL(context.Background(), "t.jsonl", strings.NewReader(b.String()), Options{})
	if err == nil || !strings.Contains(err.Error(), "missing in most") {
		t.Errorf("got %v", err)
	}
}

func TestFormatsAreFoundByNameOrContent(t *testing.T) {
	dir := t.TempDir()
	for name, data := range map[string]string{
		"a.jsonl": `{"a":1}`, "a.ndjson.gz": gzipped(`{"a":1}`), "objects": " {\"a\":1}", "zipped": gzipped("a\n1\n"),
		"a.tsv": "a\n1\n", "table": "a\n1\n", "columns": string(parquetBytes(t, mustCSV(t, "a\n1\n", Options{}))),
	} {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
		tab, err := Open(context.Background(), name, Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := show(tab); got != "a number whole: 1\n" {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// FuzzJSONL holds the reader to encoding/json: what one refuses the other
// does, and flat objects have the same values.
func FuzzJSONL(f *testing.F) {
	for _, s := range []string{`{"a":1}`, `{"a":"x","b":null}`, `{"a":"\u00e9\ud800"}`, "{}", `{"a":-0.0e+1,"b":true}`, "{\"a\":1}\n{\"b\":2}", `{"a":1 }x`, `{ }`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if !validText(data) || bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) || checkMagic("", "", data) != nil {
			t.Skip()
		}
		got, err := ReadJSONL(context.Background(), "f", bytes.NewReader(data), Options{MissingValues: []string{}})
		var want []map[string]any
		ok := true
		for _, line := range bytes.Split(data, []byte{'\n'}) {
			if line = bytes.Trim(line, " \t\r"); len(line) == 0 {
				continue
			}
			d := json.NewDecoder(bytes.NewReader(line))
			d.UseNumber()
			var m map[string]any
			if e := d.Decode(&m); e != nil || m == nil {
				ok = false
				break
			}
			if _, e := d.Token(); e != io.EOF {
				ok = false
				break
			}
			want = append(want, m)
		}
		if !ok {
			if err == nil {
				t.Fatalf("encoding/json refuses %q", data)
			}
			return
		}
		if err != nil {
			return // nested, duplicate or empty keys, huge numbers: refused with reason
		}
		if err := got.Check(); err != nil {
			t.Fatal(err)
		}
		if got.Len() != len(want) {
			t.Fatalf("%d rows, want %d", got.Len(), len(want))
		}
		for i, m := range want {
			for _, c := range got.Columns {
				text := ""
				switch v := m[c.Name].(type) {
				case string:
					text = string(trim([]byte(v)))
					if c.Kind == Date {
						continue
					}
				case json.Number:
					text = v.String()
					if c.Kind == Number {
						if f, _ := strconv.ParseFloat(text, 64); f != c.Numbers[i] {
							t.Fatalf("row %d: %v, want %s", i, c.Numbers[i], text)
						}
						continue
					}
				case bool:
					text = strconv.FormatBool(v)
				}
				if c.Text(i) != text {
					t.Fatalf("row %d, key %q: %q, want %q", i, c.Name, c.Text(i), text)
				}
			}
		}
	})
}
