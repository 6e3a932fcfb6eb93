package table

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/solera-ml/solera"
)

// CSV is read as encoding/csv reads it with its default settings (RFC 4180,
// quotes strict, empty lines skipped, carriage returns before line ends
// dropped), but into typed columns and by several goroutines.

// csvSyntax is the syntax of all files of one source.
type csvSyntax struct {
	op        string
	r         *reading
	delimiter byte     // 0 = detect in each file
	columns   []string // names of the first file; nil before it was met
	first     string   // its name
}

// delimiters are the candidates, the likeliest first.
var delimiters = [...]byte{',', ';', '\t', '|'}

var (
	errBareQuote = errors.New("a quote inside a field that does not start with one")
	errTextAfter = errors.New("text between a closing quote and the end of the field")
	errUnclosed  = errors.New("a quote that is never closed")
)

// csvField reads the field at buf[p:], where buf ends in a line end. It
// returns its text, the place of the delimiter or line end after it, and the
// number of lines that it goes on for. scratch is used where the text is not a
// piece of buf.
func csvField(buf []byte, p int, delimiter byte, scratch *[]byte) (text []byte, end, lines int, err error) {
	if buf[p] != '"' {
		q := p
		for {
			switch c := buf[q]; c {
			case delimiter:
				return buf[p:q], q, 0, nil
			case '\n':
				if q > p && buf[q-1] == '\r' {
					return buf[p : q-1], q, 0, nil
				}
				return buf[p:q], q, 0, nil
			case '"':
				return nil, q, 0, errBareQuote
			}
			q++
		}
	}
	p++
	start := p
	copied := false
	for {
		q := bytes.IndexByte(buf[p:], '"')
		if q < 0 {
			return nil, start - 1, 0, errUnclosed
		}
		q += p
		if piece := buf[p:q]; bytes.IndexByte(piece, '\n') >= 0 {
			lines += bytes.Count(piece, []byte{'\n'})
			// Line ends are \n in memory, as encoding/csv has it.
			if !copied && bytes.IndexByte(piece, '\r') >= 0 {
				*scratch = append((*scratch)[:0], buf[start:p]...)
				copied = true
			}
			if copied {
				*scratch = append(*scratch, bytes.ReplaceAll(piece, []byte("\r\n"), []byte{'\n'})...)
			}
		} else if copied {
			*scratch = append(*scratch, piece...)
		}
		next := buf[q+1] // buf ends in \n, so there is one
		switch {
		case next == '"':
			if !copied {
				*scratch = append((*scratch)[:0], buf[start:q]...)
				copied = true
			}
			*scratch = append(*scratch, '"')
			p = q + 2
			continue
		case next == '\r' && buf[q+2] == '\n':
			end = q + 2
		case next == delimiter, next == '\n':
			end = q + 1
		default:
			return nil, q, lines, errTextAfter
		}
		if copied {
			return *scratch, end, lines, nil
		}
		return buf[start:q], end, lines, nil
	}
}

// csvRecord splits the first record of buf. It returns copies of the fields,
// and the bytes and lines used, empty lines before it included.
// No field means no record.
func csvRecord(buf []byte, delimiter byte, limit int) (fields []string, used, lines int, err error) {
	p := 0
	for p < len(buf) {
		if n := blankLine(buf[p:]); n > 0 {
			p += n
			lines++
			continue
		}
		var scratch []byte
		for {
			text, end, n, err := csvField(buf, p, delimiter, &scratch)
			lines += n
			if err != nil {
				return nil, end, lines + 1, err
			}
			fields = append(fields, string(text))
			p = end + 1
			if buf[end] == '\n' || len(fields) > limit {
				return fields, p, lines + 1, nil
			}
		}
	}
	return nil, p, lines, nil
}

// blankLine returns the length of the empty line at the start of b, 0 if there is none.
func blankLine(b []byte) int {
	if b[0] == '\n' {
		return 1
	}
	if b[0] == '\r' && len(b) > 1 && b[1] == '\n' {
		return 2
	}
	return 0
}

// detectRecords is how many records detectDelimiter looks at.
const detectRecords = 100

// detectDelimiter returns the delimiter that gives the first records of buf
// the same number of fields as the header, at least two; of several, the one
// with the most fields. If none fits all records, it is the one that fits
// most, so that the error which follows names the record that does not; if
// every header has a single field, it is the comma. buf ends in a line end;
// its last record may be incomplete unless whole is set.
func detectDelimiter(buf []byte, whole bool) byte {
	best, bestFit, bestFields := delimiters[0], -1.0, 1
	for _, d := range delimiters {
		fields, p, _, err := csvRecord(buf, d, len(buf))
		if err != nil || len(fields) < 2 {
			continue
		}
		want, fit, n := len(fields), 1, 1
		for n < detectRecords && p < len(buf) {
			got, used, _, err := csvRecord(buf[p:], d, len(buf))
			p += used
			if err != nil || got == nil || p == len(buf) && !whole {
				break
			}
			n++
			if len(got) == want {
				fit++
			}
		}
		share := float64(fit) / float64(n)
		if share > bestFit || share == bestFit && want > bestFields {
			best, bestFit, bestFields = d, share, want
		}
	}
	return best
}

// cut finds the last line end outside quotes. In a valid file every quote
// opens or closes, so a line end is outside when the quotes before it are
// even; in an invalid one, the wrong quote is met before this matters.
func (s *csvSyntax) cut(b []byte) int {
	end := bytes.LastIndexByte(b, '\n') + 1
	quotes := bytes.Count(b[:end], []byte{'"'})
	for end > 0 && quotes%2 == 1 {
		// Go back to the line end before the last quote.
		q := bytes.LastIndexByte(b[:end], '"')
		quotes--
		n := bytes.LastIndexByte(b[:q], '\n') + 1
		quotes -= bytes.Count(b[n:q], []byte{'"'})
		end = n
	}
	return end
}

// begin reads the header.
func (s *csvSyntax) begin(file string, head []byte, whole bool) (parser, int, int, error) {
	fail := func(line int, column, msg, hint string) error {
		return &solera.InputError{Op: s.op, File: file, Line: line, Column: column, Msg: msg, Hint: hint}
	}
	used := 0
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		used = 3
	}
	if err := checkMagic(s.op, file, head); err != nil {
		return nil, 0, 0, err
	}
	if i := bytes.IndexByte(head, '\r'); i >= 0 && i < len(head)-2 && bytes.IndexByte(head, '\n') == len(head)-1 {
		return nil, 0, 0, fail(1, "", "lines end in a carriage return alone", "convert the line ends, for example with: tr '\\r' '\\n'")
	}
	delimiter := s.delimiter
	if delimiter == 0 {
		sample := bytes.LastIndexByte(head[:min(len(head), 64<<10)], '\n')
		if sample < used {
			sample = bytes.IndexByte(head, '\n')
		}
		delimiter = detectDelimiter(head[used:max(sample+1, used)], whole && sample+1 == len(head))
	}
	header, n, lines, err := csvRecord(head[used:], delimiter, s.r.maxColumns)
	if err := checkText(&chunk{op: s.op, file: file}, head[used:used+n]); err != nil {
		return nil, 0, 0, err
	}
	if err != nil {
		return nil, 0, 0, fail(lines, "", "the header has "+err.Error(), "double the quotes inside a quoted name")
	}
	used += n
	if len(header) == 0 {
		return nil, 0, 0, fail(0, "", "the file is empty", "give a file with a header line and at least one row")
	}
	if len(header) > s.r.maxColumns {
		return nil, 0, 0, tooManyColumns(s.op, file, len(header), s.r.maxColumns)
	}
	at := make(map[string]int, len(header))
	for i, name := range header {
		name = string(trim([]byte(name)))
		header[i] = name
		if name == "" {
			hint := "give every column a name in the first line"
			if i == 0 {
				hint += "; if this is the index that pandas writes, save with index=False"
			} else if i == len(header)-1 {
				hint += ", or remove the delimiter at its end"
			}
			return nil, 0, 0, fail(lines, "", fmt.Sprintf("column %d of %d has no name", i+1, len(header)), hint)
		}
		if j, ok := at[name]; ok {
			return nil, 0, 0, fail(lines, name, fmt.Sprintf("two columns, %d and %d, have this name", j+1, i+1),
				"rename one of them; if the file has no header line, add one")
		}
		at[name] = i
	}
	p := &csvParser{delimiter: delimiter, columns: header, to: make([]int, len(header))}
	if s.columns == nil {
		s.columns, s.first = header, file
	} else if err := sameColumns(s.op, s.first, s.columns, file, header); err != nil {
		return nil, 0, 0, err
	}
	p.columns = s.columns
	for i, name := range s.columns {
		p.to[at[name]] = i
	}
	// Comma is the decimal mark where spreadsheets separate fields by semicolons.
	p.comma = delimiter == ';'
	return p, used, lines, nil
}

// sameColumns reports the first column that one file of a source has and another lacks.
func sameColumns(op, first string, want []string, file string, got []string) error {
	has := make(map[string]bool, len(got))
	for _, name := range got {
		has[name] = true
	}
	for _, name := range want {
		if !has[name] {
			return &solera.InputError{
				Op: op, File: file, Column: name, Msg: fmt.Sprintf("missing here but not in %s", first),
				Hint: "give all files the same columns",
			}
		}
		delete(has, name)
	}
	for _, name := range got {
		if has[name] {
			return &solera.InputError{
				Op: op, File: file, Column: name, Msg: fmt.Sprintf("not in %s", first),
				Hint: "give all files the same columns",
			}
		}
	}
	return nil
}

// checkMagic refuses the start of files that are often mistaken for text tables.
func checkMagic(op, file string, head []byte) error {
	for _, m := range []struct{ magic, what, hint string }{
		{"\xff\xfe", "UTF-16 text", "save it as UTF-8, for example with: iconv -f UTF-16 -t UTF-8"},
		{"\xfe\xff", "UTF-16 text", "save it as UTF-8, for example with: iconv -f UTF-16 -t UTF-8"},
		{"PK\x03\x04", "a ZIP archive or a spreadsheet", "unpack it, or export the sheet as CSV"},
		{"\xd0\xcf\x11\xe0", "an old spreadsheet", "export the sheet as CSV"},
		{"PAR1", "a Parquet file", "give it the extension .parquet"},
		{"\x28\xb5\x2f\xfd", "compressed with zstd", "decompress it, or use gzip"},
		{"BZh", "compressed with bzip2", "decompress it, or use gzip"},
		{"\xfd7zXZ", "compressed with xz", "decompress it, or use gzip"},
	} {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return &solera.InputError{Op: op, File: file, Msg: "this is " + m.what, Hint: m.hint}
		}
	}
	return nil
}

// csvParser reads the records of one file.
type csvParser struct {
	delimiter byte
	comma     bool
	columns   []string // of the table
	to        []int    // field of this file to column of the table
}

func (p *csvParser) names() []string { return p.columns }

func (f *csvParser) parse(buf []byte, c *chunk) error {
	r := c.r
	if f.comma != r.comma {
		own := *r
		own.comma = f.comma
		r = &own
	}
	delimiter := f.delimiter
	for p := 0; p < len(buf); {
		if n := blankLine(buf[p:]); n > 0 {
			p += n
			c.lines++
			continue
		}
		line := c.lines + 1 // of the record's start
		for field := 0; ; field++ {
			if field >= len(f.to) {
				return f.ragged(buf, p, field, line, c)
			}
			col := &c.cols[f.to[field]]
			var end int
			if col.state == number && !r.numericNA {
				v, n, s := scanNumber(buf[p:], f.comma)
				end = p + n
				if n > 0 && (buf[end] == delimiter || buf[end] == '\n' || buf[end] == '\r' && buf[end+1] == '\n') {
					col.rows++
					col.nums = append(col.nums, v)
					col.shapes |= s
					if beyondFloat32(v) && col.bad.line == 0 {
						col.bad = badNumber{line, string(buf[p:end]), false}
					}
					if buf[end] == '\r' {
						end++
					}
					goto next
				}
			}
			{
				text, e, n, err := csvField(buf, p, delimiter, &c.field)
				if err != nil {
					return f.quoteError(err, buf, e, c)
				}
				c.lines += n
				end = e
				if !col.add(r, text, plainText, line) {
					return c.badValue(line, f.to[field], text)
				}
			}
		next:
			p = end + 1
			if buf[end] == '\n' {
				if field+1 != len(f.to) {
					return f.ragged(buf, p, field+1, line, c)
				}
				break
			}
		}
		c.lines++
		c.rows++
	}
	return nil
}

// ragged counts the fields of a record that has too many or too few: fields
// have been read and p is after them.
func (f *csvParser) ragged(buf []byte, p, fields, line int, c *chunk) error {
	if fields == len(f.to) {
		for {
			_, end, _, err := csvField(buf, p, f.delimiter, &c.field)
			if err != nil {
				return f.quoteError(err, buf, end, c)
			}
			fields++
			p = end + 1
			if buf[end] == '\n' {
				break
			}
		}
	}
	hint := "add the missing fields or remove the row"
	if fields > len(f.to) {
		hint = "remove the extra fields, or put a value that contains the delimiter in double quotes"
	}
	return c.fail(line, "", fmt.Sprintf("%d fields, want %d", fields, len(f.to)), hint)
}

func (f *csvParser) quoteError(err error, buf []byte, at int, c *chunk) error {
	// The quote can be some lines below the start of its record.
	return &solera.InputError{
		Op: c.op, File: c.file, Line: bytes.Count(buf[:at], []byte{'\n'}) + 1, Col: at - bytes.LastIndexByte(buf[:at], '\n'),
		Msg: err.Error(), Hint: "put the field in double quotes and double the quotes inside it",
	}
}
