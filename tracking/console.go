package tracking

import (
	"context"
	"strings"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// What a run prints is for people: what nobody would read is not kept.
const (
	maxConsole = 10_000   // lines of a run
	maxText    = 64 << 10 // bytes of a line
)

// Streams of a console.
const (
	Out = "out"
	Err = "err"
)

// Print adds text to the run's console, a line for each line of it. It may be
// called by many goroutines, writes nothing by itself and cannot fail: lines
// are written together with the points, at the latest by Finish. A run keeps
// 10,000 lines, the last of which says that there were more.
func (r *Run) Print(stream, text string) {
	now := solera.MicrosOf(r.tracker.now())
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if r.printed >= maxConsole {
			return
		}
		r.printed++
		if r.printed == maxConsole {
			line = "… and more lines, which were not kept"
		}
		r.lines = append(r.lines, solera.Line{Stream: stream, Text: cutText(strings.TrimSuffix(line, "\r")), Time: now})
	}
}

// cutText returns at most maxText bytes of s, whole characters.
func cutText(s string) string {
	if len(s) <= maxText {
		return s
	}
	cut := maxText
	for cut > maxText-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut]
}

// Console returns at most limit lines (0 = all) that a run printed after the
// line number after, in order.
func (t *Tracker) Console(ctx context.Context, id solera.RunID, after int64, limit int) ([]solera.Line, error) {
	return t.Store.Lines(ctx, id, after, limit)
}
