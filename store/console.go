package store

import (
	"context"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// maxLine is where a line of a console is cut.
const maxLine = 64 << 10

// Print adds lines to a run's console. What is not UTF-8, and zero bytes,
// become U+FFFD: programs print what they like, and it should be readable
// rather than refused.
func (d *DB) Print(ctx context.Context, run solera.RunID, lines []solera.Line) error {
	clean, err := cleanLines(lines)
	if err != nil {
		return fmt.Errorf("run %s: %w", run, err)
	}
	if err := d.join(ctx, &call{run: run, lines: clean}); err != nil {
		return fmt.Errorf("run %s: print: %w", run, err)
	}
	return nil
}

func cleanLines(lines []solera.Line) ([]solera.Line, error) {
	clean := make([]solera.Line, len(lines))
	for i, l := range lines {
		if l.N < 0 || l.Stream != "out" && l.Stream != "err" {
			return nil, fmt.Errorf("print line %d of stream %.20q: %w: want a number from 0 and a stream of \"out\" or \"err\"",
				l.N, l.Stream, solera.ErrInvalid)
		}
		l.Text = cleanText(l.Text)
		clean[i] = l
	}
	return clean, nil
}

// cleanText makes a text of what a program printed, with the first 64 KiB of
// it.
func cleanText(s string) string {
	if len(s) > maxLine {
		s = s[:maxLine]
		// Not within a character.
		for cut := len(s); cut > len(s)-utf8.UTFMax; cut-- {
			if utf8.RuneStart(s[cut-1]) {
				if !utf8.FullRuneInString(s[cut-1:]) {
					s = s[:cut-1]
				}
				break
			}
		}
	}
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
	for len(s) > maxLine { // U+FFFD is longer than what it replaces
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// print writes lines of a run whose head is locked, so that numbers do not
// collide.
func (t *tx) print(run solera.RunID, lines []solera.Line) error {
	var last int64
	if err := t.row(`SELECT COALESCE(MAX(n), 0) FROM lines WHERE run = $1`, string(run)).Scan(&last); err != nil {
		return err
	}
	numbers := make([]int64, len(lines))
	for i, l := range lines {
		if numbers[i] = l.N; l.N == 0 {
			if last == math.MaxInt64 {
				return fmt.Errorf("%w: there is no number after line %d", solera.ErrInvalid, last)
			}
			numbers[i] = last + 1
		}
		last = max(last, numbers[i])
	}
	return t.many(`INSERT INTO lines (run, n, stream, text, at) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (run, n) DO UPDATE SET stream = EXCLUDED.stream, text = EXCLUDED.text, at = EXCLUDED.at`,
		len(lines), func(i int) []any {
			return []any{string(run), numbers[i], lines[i].Stream, lines[i].Text, int64(lines[i].Time)}
		})
}

// Lines returns what a run printed.
func (d *DB) Lines(ctx context.Context, run solera.RunID, after int64, limit int) (lines []solera.Line, err error) {
	err = d.view(ctx, func(t *tx) error {
		lines = []solera.Line{}
		var f filter
		f.equal("run", string(run))
		f.args = append(f.args, after)
		f.where = append(f.where, "n > $2")
		return t.rows(func(scan func(...any) error) error {
			var l solera.Line
			err := scan(&l.N, &l.Stream, &l.Text, &l.Time)
			lines = append(lines, l)
			return err
		}, f.query(`SELECT n, stream, text, at FROM lines`, `n`, limit), f.args...)
	})
	if err != nil {
		return nil, fmt.Errorf("run %s: read console: %w", run, err)
	}
	return lines, nil
}

// Beat notes that a run's process lives.
func (d *DB) Beat(ctx context.Context, run solera.RunID) error {
	if err := d.join(ctx, &call{run: run, beat: true, alive: true}); err != nil {
		return fmt.Errorf("beat: %w", err)
	}
	return nil
}
