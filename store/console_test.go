package store_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

func printLines(t testing.TB, s solera.Store, run solera.RunID, lines ...solera.Line) {
	t.Helper()
	if err := s.Print(ctx, run, lines); err != nil {
		t.Fatal(err)
	}
}

func out(n int64, text string) solera.Line {
	return solera.Line{N: n, Stream: "out", Text: text, Time: 7}
}

func console(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	createRun(t, s, solera.Run{ID: "other"})
	printLines(t, s, "r", out(0, "one"), solera.Line{Stream: "err", Text: "two"})
	printLines(t, s, "other", out(0, "elsewhere"))
	printLines(t, s, "r", out(2, "TWO"), out(5, "five"), out(0, "six"), out(4, "four"))
	printLines(t, s, "r", out(0, "seven"))
	want := []solera.Line{out(1, "one"), out(2, "TWO"), out(4, "four"), out(5, "five"), out(6, "six"), out(7, "seven")}
	got, err := s.Lines(ctx, "r", 0, 0)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v; want -, got +:\n%s", err, diff)
	}
	got, err = s.Lines(ctx, "r", 2, 2)
	if diff := cmp.Diff(want[2:4], got); diff != "" || err != nil {
		t.Errorf("two after 2: %v; want -, got +:\n%s", err, diff)
	}
	none, err := s.Lines(ctx, "r", 7, 0)
	if err != nil || none == nil || len(none) != 0 {
		t.Errorf("after the last: %v, %v", none, err)
	}

	wantErr(t, s.Print(ctx, "none", want), solera.ErrNotFound)
	wantErr(t, s.Print(ctx, "r", []solera.Line{{N: -1, Stream: "out"}}), solera.ErrInvalid)
	wantErr(t, s.Print(ctx, "r", []solera.Line{{Stream: "log"}}), solera.ErrInvalid)
	if last, err := s.Append(ctx, "r", nil); last != 0 || err != nil {
		t.Errorf("lines took the numbers of points: the last is %d (%v)", last, err)
	}
}

func oddLines(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	long := strings.Repeat("x", 64<<10)
	tests := []struct{ text, want string }{
		{"", ""},
		{"a\x00b\xffc", "a\ufffdb\ufffdc"},
		{long + "y", long},
		{long[1:] + "é", long[1:]},
		{long[2:] + "é", long[2:] + "é"},
		{strings.Repeat("\xff\x00", 40<<10), strings.Repeat("\ufffd", 64<<10/3)},
		{"\x1b[31mred\r\n\u202e", "\x1b[31mred\r\n\u202e"},
	}
	for _, tt := range tests {
		printLines(t, s, "r", out(0, tt.text))
	}
	got, err := s.Lines(ctx, "r", 0, 0)
	if err != nil || len(got) != len(tests) {
		t.Fatalf("%d lines, %v, want %d", len(got), err, len(tests))
	}
	for i, tt := range tests {
		// The run of broken bytes may become fewer signs, but text within the limit.
		if i == 5 {
			if !utf8.ValidString(got[i].Text) || len(got[i].Text) > 64<<10 || len(got[i].Text) == 0 {
				t.Errorf("broken bytes became %d bytes of text", len(got[i].Text))
			}
			continue
		}
		if got[i].Text != tt.want {
			t.Errorf("line %d: got %.40q (%d bytes), want %.40q (%d bytes)", i+1, got[i].Text, len(got[i].Text), tt.want, len(tt.want))
		}
	}
}

func printers(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r"})
	const writers, each = 6, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Print(ctx, "r", []solera.Line{out(0, fmt.Sprint(w, " ", i))}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	got, err := s.Lines(ctx, "r", 0, 0)
	if err != nil || len(got) != writers*each || got[len(got)-1].N != writers*each {
		t.Fatalf("%d lines, %v, want %d numbered without gap", len(got), err, writers*each)
	}
}

func beats(t *testing.T, s solera.Store) {
	createRun(t, s, solera.Run{ID: "r", Created: 5})
	read := func() (r solera.Run, now solera.Micros) {
		view(t, s, func(tx solera.Tx) (err error) {
			if now, err = tx.Now(); err != nil {
				return err
			}
			r, err = tx.Run("r")
			return err
		})
		return r, now
	}
	born, before := read()
	if err := s.Beat(ctx, "r"); err != nil {
		t.Fatal(err)
	}
	r, after := read()
	if r.Heartbeat < before || r.Heartbeat > after {
		t.Errorf("heartbeat %v, want it between %v and %v", r.Heartbeat, before, after)
	}
	time.Sleep(time.Millisecond)
	if err := s.Beat(ctx, "r"); err != nil {
		t.Fatal(err)
	}
	again, _ := read()
	if again.Heartbeat <= r.Heartbeat {
		t.Errorf("second heartbeat %v, want it after %v", again.Heartbeat, r.Heartbeat)
	}
	again.Heartbeat = born.Heartbeat
	sameJSON(t, again, born)
	wantErr(t, s.Beat(ctx, "none"), solera.ErrNotFound)
}

// Whatever is printed, replaced and skipped, reading gives what a map would.
func TestConsoleFollowsItsModel(t *testing.T) {
	s := openSQLite(t)
	instance := 0
	rapid.Check(t, func(rt *rapid.T) {
		instance++
		run := solera.RunID(fmt.Sprint("r", instance))
		createRun(t, s, solera.Run{ID: run})
		model := make(map[int64]solera.Line)
		var last int64
		for range rapid.IntRange(1, 6).Draw(rt, "prints") {
			var lines []solera.Line
			for range rapid.IntRange(0, 5).Draw(rt, "lines") {
				l := out(rapid.Int64Range(0, 12).Draw(rt, "n"), rapid.StringN(0, 5, -1).Draw(rt, "text"))
				l.Text = strings.ReplaceAll(l.Text, "\x00", "")
				lines = append(lines, l)
				if l.N == 0 {
					l.N = last + 1
				}
				last = max(last, l.N)
				model[l.N] = l
			}
			printLines(t, s, run, lines...)
		}
		after, limit := rapid.Int64Range(0, 12).Draw(rt, "after"), rapid.IntRange(0, 5).Draw(rt, "limit")
		want := []solera.Line{}
		for n := after + 1; n <= last; n++ {
			if l, ok := model[n]; ok && (limit == 0 || len(want) < limit) {
				want = append(want, l)
			}
		}
		got, err := s.Lines(ctx, run, after, limit)
		if err != nil || !slices.Equal(got, want) {
			rt.Fatalf("Lines(%d, %d) = %v, %v, want %v", after, limit, got, err, want)
		}
	})
}

func TestConsole(t *testing.T) {
	tests := []struct {
		name string
		run  func(*testing.T, solera.Store)
	}{
		{"lines are numbered, replaced and followed", console},
		{"what a program prints is kept readable", oddLines},
		{"printers of one run share its numbers", printers},
		{"a heartbeat is the time of the database", beats},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { eachDatabase(t, tt.run) })
	}
}
