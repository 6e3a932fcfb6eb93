package wandb

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/internal/lenient"
)

// A run's values become rows, one per step, since that is what the wire
// carries. Rows are numbered by "_step", which must grow from row to row. So a
// value that comes late, for a step whose row is gone, and a second value of
// one key at one step, go into a row of their own: its "_step" is the next that
// is free, and stepOf tells the step that it belongs to. Nothing is left out.

// stepOf is the key of the step that a row belongs to, where "_step" is another.
const stepOf = "solera/step"

const (
	maxLine = 10<<20 - 100<<10 // bytes of a line that servers take
	maxStep = 1 << 53          // beyond, a reader in JavaScript would confuse steps
)

// A cell is one value of a row.
type cell struct {
	key  string
	step int64
	time solera.Micros
	json []byte
}

// isSystem reports whether a metric is about the machine. Those travel apart.
func isSystem(key string) bool { return strings.HasPrefix(key, "system/") }

// cellsOf returns the points as cells: of the run's own metrics, and of the
// machine's.
func cellsOf(points []solera.Point) (own, system []cell) {
	for _, p := range points {
		value, err := lenient.Append(nil, p.Value)
		if err != nil {
			continue // cannot be: every float64 has a text
		}
		c := cell{p.Key, p.Step, p.Time, value}
		if isSystem(p.Key) {
			c.key = SystemPrefix + strings.TrimPrefix(p.Key, "system/")
			system = append(system, c)
			continue
		}
		own = append(own, c)
	}
	return own, system
}

// itemCell returns a value that is no number as a cell.
func itemCell(i solera.Item) cell {
	var b bytes.Buffer
	if json.Compact(&b, i.Value) != nil {
		b.Reset()
		b.WriteString("null") // cannot be: stores keep JSON alone
	}
	return cell{i.Key, i.Step, i.Time, b.Bytes()}
}

// wireKey keeps what a user measured out of the keys that mean something else.
func wireKey(key string) string {
	switch key {
	case StepKey, TimeKey, ClientKey:
		return "solera/" + key
	}
	return key
}

// grouped sorts cells by step and cuts them into rows, none of which has a key
// twice or more bytes than a line may have. Cells of one step keep their order.
func grouped(cells []cell) [][]cell {
	slices.SortStableFunc(cells, func(a, b cell) int { return cmp.Compare(a.step, b.step) })
	var out [][]cell
	for begin := 0; begin < len(cells); {
		end := begin
		for end < len(cells) && cells[end].step == cells[begin].step {
			end++
		}
		var rows [][]cell
		var sizes []int
		seen := map[string]int{} // key → rows that have it
		for _, c := range cells[begin:end] {
			size := len(c.key) + len(c.json) + 8
			at := seen[c.key]
			for at < len(rows) && sizes[at]+size > maxLine {
				at++
			}
			if at == len(rows) {
				rows, sizes = append(rows, nil), append(sizes, 200)
			}
			rows[at] = append(rows[at], c)
			sizes[at] += size
			seen[c.key] = at + 1
		}
		out = append(out, rows...)
		begin = end
	}
	return out
}

// historyLines returns the rows of cells as lines, and the last "_step" given
// out. after is the one given out before, -1 at the beginning; started is when
// the run began.
func historyLines(cells []cell, started solera.Micros, after int64) (lines []string, last int64) {
	last = after
	for _, row := range grouped(cells) {
		step := row[0].step
		number := last + 1
		if step > last && step <= maxStep {
			number = step
		}
		last = number
		var b bytes.Buffer
		at := row[0].time
		runtime := false
		own := false
		for _, c := range row {
			at = max(at, c.time)
			runtime = runtime || c.key == RuntimeKey
			own = own || c.key == stepOf
		}
		b.WriteString(`{"_step":` + strconv.FormatInt(number, 10) + `,"_timestamp":` + seconds(at))
		if !runtime {
			b.WriteString(`,"_runtime":` + seconds(max(0, at-started)))
		}
		if number != step && !own {
			b.WriteString(`,"` + stepOf + `":` + strconv.FormatInt(step, 10))
		}
		writeCells(&b, row, wireKey)
		lines = append(lines, b.String())
	}
	return lines, last
}

// eventLines returns what was measured of the machine as lines.
func eventLines(cells []cell) (lines []string) {
	for _, row := range grouped(cells) {
		at := row[0].time
		for _, c := range row {
			at = max(at, c.time)
		}
		var b bytes.Buffer
		b.WriteString(`{"_wandb":true,"_timestamp":` + seconds(at) + `,"_runtime":` + strconv.FormatInt(row[0].step, 10))
		writeCells(&b, row, func(key string) string { return key })
		lines = append(lines, b.String())
	}
	return lines
}

func writeCells(b *bytes.Buffer, row []cell, name func(string) string) {
	for _, c := range row {
		key, err := lenient.Append(nil, name(c.key))
		if err != nil {
			continue // cannot be: every text has a JSON
		}
		b.WriteByte(',')
		b.Write(key)
		b.WriteByte(':')
		b.Write(c.json)
	}
	b.WriteByte('}')
}

// seconds writes a time with all its digits.
func seconds(t solera.Micros) string { return strconv.FormatFloat(float64(t)/1e6, 'f', 6, 64) }

// consoleLine is one line of a run's console as it travels: with its time, and
// whether it was printed as an error.
func consoleLine(l solera.Line) string {
	s := l.Time.Time().Format("2006-01-02T15:04:05.000000") + " " + strings.ToValidUTF8(l.Text, "\ufffd")
	if l.Stream == "err" {
		return "ERROR " + s
	}
	return s
}

// blocks cuts lines into pieces of at most so many bytes, or of one line.
func blocks(lines []string, most int) (out [][]string) {
	for len(lines) > 0 {
		n, size := 0, 0
		for n < len(lines) && (n == 0 || size+len(lines[n]) <= most) {
			size += len(lines[n]) + 8
			n++
		}
		out = append(out, lines[:n])
		lines = lines[n:]
	}
	return out
}
