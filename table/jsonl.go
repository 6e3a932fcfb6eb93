package table

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// jsonSyntax is JSON lines: one object a line, its keys the columns. A key
// that an object lacks is a missing value, as null is. Numbers are numbers,
// true and false are booleans, strings are dates if all of a column are, and
// otherwise categories.
type jsonSyntax struct {
	op string
}

func (s *jsonSyntax) cut(b []byte) int { return bytes.LastIndexByte(b, '\n') + 1 }

func (s *jsonSyntax) begin(file string, head []byte, _ bool) (parser, int, int, error) {
	used := 0
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		used = 3
	}
	if err := checkMagic(s.op, file, head); err != nil {
		return nil, 0, 0, err
	}
	return jsonParser{}, used, 0, nil
}

type jsonParser struct{}

func (jsonParser) names() []string { return nil }

const jsonHint = `write one object a line, such as {"age": 41, "class": "a"}`

func (jsonParser) parse(buf []byte, c *chunk) error {
	if c.index == nil {
		c.index = make(map[string]int)
	}
	clear(c.index)
	for i, name := range c.names {
		c.index[name] = i
	}
	for len(buf) > 0 {
		end := bytes.IndexByte(buf, '\n')
		line := bytes.TrimRight(buf[:end], " \t\r")
		line = bytes.TrimLeft(line, " \t\r")
		buf = buf[end+1:]
		c.lines++
		if len(line) == 0 {
			continue
		}
		if err := c.object(line); err != nil {
			return err
		}
		c.rows++
		if cells := c.rows * len(c.cols); cells > 1<<20 && cells > 128*(len(buf)+chunkSize) {
			return c.fail(c.lines, "", "most keys are missing in most objects", "give all objects the same keys")
		}
	}
	for i := range c.cols {
		c.cols[i].pad(c.rows)
	}
	return nil
}

// object reads one object into the next row.
func (c *chunk) object(b []byte) error {
	bad := func(msg string, args ...any) error {
		return c.fail(c.lines, "", fmt.Sprintf(msg, args...), jsonHint)
	}
	switch {
	case b[0] == '[':
		return c.fail(c.lines, "", "a JSON array", "write one object a line, for example with: jq -c '.[]'")
	case b[0] != '{':
		return bad("%s is not a JSON object", quote(string(b)))
	}
	i := skipBlanks(b, 1)
	guess := 0
	for first := true; ; first = false {
		if i < len(b) && b[i] == '}' && first {
			i++
			break
		}
		key, n := jsonText(b[i:])
		if n == 0 {
			return bad("want a key in double quotes at byte %d", i+1)
		}
		i = skipBlanks(b, i+n)
		if i >= len(b) || b[i] != ':' {
			return bad("want a colon after key %s", quote(string(key)))
		}
		i = skipBlanks(b, i+1)
		if i >= len(b) {
			return bad("key %s has no value: the line ends early", quote(string(key)))
		}

		// Objects mostly have the same keys in the same order.
		if guess >= len(c.names) || c.names[guess] != string(key) {
			at, ok := c.index[string(key)]
			if !ok {
				if at = len(c.names); at >= c.r.maxColumns {
					return tooManyColumns(c.op, c.file, at+1, c.r.maxColumns)
				}
				if len(key) == 0 {
					return c.fail(c.lines, "", "an empty key", "give every column a name")
				}
				name := string(key)
				c.names = append(c.names, name)
				c.index[name] = at
				if at < cap(c.cols) {
					c.cols = c.cols[:at+1]
				} else {
					c.cols = append(c.cols, values{})
				}
				c.cols[at].reset(c.newCol(name))
			}
			guess = at
		}
		col := &c.cols[guess]
		if col.rows > c.rows {
			return c.fail(c.lines, c.names[guess], "the key is twice in one object", "remove one of them")
		}
		col.pad(c.rows)

		text, from := []byte(nil), jsonString
		switch ch := b[i]; {
		case ch == '"':
			if text, n = jsonText(b[i:]); n == 0 {
				return c.fail(c.lines, c.names[guess], "a string that is not valid JSON", "escape quotes, backslashes and control characters")
			}
		case ch == '{' || ch == '[':
			return c.fail(c.lines, c.names[guess], "a nested value, want a number, a string, true, false or null",
				"flatten the object, or remove the key")
		default:
			n = 0
			for i+n < len(b) && b[i+n] != ',' && b[i+n] != '}' && b[i+n] != ' ' && b[i+n] != '\t' {
				n++
			}
			switch text = b[i : i+n]; {
			case string(text) == "null":
				text = nil
			case string(text) == "true", string(text) == "false":
				from = jsonBool
			case jsonNumberOK(text):
				from = jsonNumber
			default:
				return c.fail(c.lines, c.names[guess], quote(string(text))+" is not a JSON value", "write a number, a string in double quotes, true, false or null")
			}
		}
		if !col.add(c.r, text, from, c.lines) {
			return c.badValue(c.lines, guess, text)
		}
		guess++
		i = skipBlanks(b, i+n)
		if i >= len(b) {
			return bad("the object is not closed: the line ends early")
		}
		if b[i] == '}' {
			i++
			break
		}
		if b[i] != ',' {
			return bad("want a comma or a closing brace at byte %d", i+1)
		}
		i = skipBlanks(b, i+1)
	}
	if skipBlanks(b, i) < len(b) {
		return bad("more text after the object at byte %d", i+1)
	}
	return nil
}

func skipBlanks(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// jsonText reads the JSON string at the start of b and returns its text and
// the number of bytes read, 0 if there is no valid string.
func jsonText(b []byte) (text []byte, n int) {
	if len(b) == 0 || b[0] != '"' {
		return nil, 0
	}
	plain := true
	for i := 1; i < len(b); i++ {
		switch ch := b[i]; {
		case ch == '"':
			if plain {
				return b[1:i], i + 1
			}
			var s string
			if json.Unmarshal(b[:i+1], &s) != nil {
				return nil, 0
			}
			return []byte(s), i + 1
		case ch == '\\':
			plain = false
			i++
		case ch < ' ':
			return nil, 0
		}
	}
	return nil, 0
}

// jsonNumberOK reports whether b is a number by the grammar of RFC 8259.
func jsonNumberOK(b []byte) bool {
	i := 0
	digits := func() bool {
		start := i
		for i < len(b) && b[i]-'0' <= 9 {
			i++
		}
		return i > start
	}
	if i < len(b) && b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if !digits() {
		return false
	}
	if i < len(b) && b[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(b)
}
