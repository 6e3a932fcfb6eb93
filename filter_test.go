package solera_test

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
)

func compare(field string, op solera.Op, values ...any) solera.Expr {
	return solera.Expr{Op: op, Field: field, Values: values}
}

func join(op solera.Op, args ...solera.Expr) solera.Expr { return solera.Expr{Op: op, Args: args} }

func not(e solera.Expr) solera.Expr { return join(solera.Not, e) }

func TestParseExpr(t *testing.T) {
	adam := compare("params.optimizer", solera.Equal, "adam")
	good := compare("summary.val.accuracy", solera.Greater, 0.9)
	best := compare("tags", solera.In, "best")
	tests := []struct {
		text string
		want solera.Expr
		back string // String, if not text
	}{
		{"", solera.Expr{}, ""},
		{" \t\n", solera.Expr{}, ""},
		{`params.optimizer = "adam" and summary.val.accuracy > 0.9 or tags in ("best")`, join(solera.Or, join(solera.And, adam, good), best), ""},
		{`params.optimizer = "adam" and (summary.val.accuracy > 0.9 or tags in ("best"))`, join(solera.And, adam, join(solera.Or, good, best)), ""},
		{`(((params.optimizer=='adam')))`, adam, `params.optimizer = "adam"`},
		{
			`NOT tags IN ('best') AND Not Not params.optimizer = "adam"`, join(solera.And, not(best), not(not(adam))),
			`tags not in ("best") and not not params.optimizer = "adam"`,
		},
		{`tags not in ("a", 'b')`, not(compare("tags", solera.In, "a", "b")), `tags not in ("a", "b")`},
		{`name like "%w_ne%"`, compare("name", solera.Like, "%w_ne%"), ""},
		{`name not like 'it''s'`, not(compare("name", solera.Like, "it's")), `name not like "it's"`},
		{"notes = \"say \"\"hi\"\" \n\"", compare("notes", solera.Equal, "say \"hi\" \n"), ""},
		{`params.path = "C:\\dir"`, compare("params.path", solera.Equal, `C:\\dir`), ""},
		{`params.seed is null`, not(compare("params.seed", solera.Exists)), ""},
		{`params.seed IS NOT NULL`, compare("params.seed", solera.Exists), `params.seed is not null`},
		{`duration between 10 and 1e2 and state <> "failed"`, join(solera.And,
			join(solera.And, compare("duration", solera.GreaterEqual, 10.0), compare("duration", solera.LessEqual, 100.0)),
			compare("state", solera.NotEqual, "failed")), `(duration >= 10 and duration <= 100) and state != "failed"`},
		{`summary.val/loss < -1.5e-3`, compare("summary.val/loss", solera.Less, -0.0015), "summary.val/loss < -0.0015"},
		{"summary.`val loss` <= .5", compare("summary.val loss", solera.LessEqual, 0.5), "`summary.val loss` <= 0.5"},
		{"`params.a``b`.c >= 0", compare("params.a`b.c", solera.GreaterEqual, 0.0), "`params.a``b.c` >= 0"},
		{`params.größe = -0`, compare("params.größe", solera.Equal, 0.0), `params.größe = 0`},
		{
			`params.and = true or params.x != FALSE`, join(solera.Or, compare("params.and", solera.Equal, true), compare("params.x", solera.NotEqual, false)),
			`params.and = true or params.x != false`,
		},
		{`summary.loss = inf or summary.loss in (-inf, +inf)`, join(solera.Or, compare("summary.loss", solera.Equal, math.Inf(1)),
			compare("summary.loss", solera.In, math.Inf(-1), math.Inf(1))), `summary.loss = inf or summary.loss in (-inf, inf)`},
		{`created > "-7d" and finished <= "2026-11-22T10:00:00Z"`, join(solera.And, compare("created", solera.Greater, "-7d"),
			compare("finished", solera.LessEqual, "2026-11-22T10:00:00Z")), ""},
	}
	for _, tt := range tests {
		got, err := solera.ParseExpr(tt.text)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("ParseExpr(%s)\n got %+v, %v\nwant %+v", tt.text, got, err, tt.want)
			continue
		}
		want := tt.back
		if want == "" && !tt.want.IsZero() {
			want = tt.text
		}
		if got.String() != want {
			t.Errorf("String of %s\n got %s\nwant %s", tt.text, got, want)
		}
		if again, err := solera.ParseExpr(got.String()); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("%s came back as %+v, %v", got, again, err)
		}
	}
}

func TestParseExprRefuses(t *testing.T) {
	tests := []struct{ text, says string }{
		{`state`, `want a comparison after "state": state <-- here: use =`},
		{`state =`, "want a value"},
		{`state = finished`, "state = finished <-- here: put a text in quotes"},
		{`state = "finished`, `column 9: this text does not end: state = \" <-- here: add the quote`},
		{`state = "a" extra`, "something is left over"},
		{`state = "a" and`, "ends too early"},
		{`(state = "a"`, "column 1: this parenthesis is not closed"},
		{`state = "a")`, "something is left over"},
		{`state = 3`, "it is a text; put the value in quotes"},
		{`created > 3`, "it is a time"},
		{`created > "yesterday"`, `"yesterday" is no time`},
		{`duration > "1h"`, "it is a number of seconds"},
		{`duration = true`, "never true or false"},
		{`params.x < true`, "they have no order"},
		{`params.x like 3`, "a text in quotes"},
		{`params.x = null`, "write is null"},
		{`params.x = nan`, "write is null"},
		{`params.x = 0x10`, "not a number"},
		{`params.x = 1_000`, "not a number"},
		{`params.x = 1e999`, "not a number"},
		{`params.x = -`, "not a number"},
		{`params.x in "a"`, "a list in parentheses"},
		{`params.x in ()`, "want a value"},
		{`params.x in ("a" "b")`, "a comma or the end of the list"},
		{`params.x between 1 or 2`, "want and"},
		{`params.x is 3`, "want null"},
		{`params.x not = 3`, "write not before the field"},
		{`params = 3`, "params.KEY"},
		{`metrics.loss < 1`, `did you mean "summary.loss"?`},
		{`status = "failed"`, `did you mean "state"?`},
		{`colour = "red"`, `no field is called "colour"; there are created, duration`},
		{`0.9 < summary.x`, "write the field first"},
		{`state = "a" && name = "b"`, "write and"},
		{`state = "a" | name = "b"`, "write or"},
		{`!state = "a"`, "write not"},
		{"`state = 3", "this field does not end"},
		{"state = \"a\"\nor name ~ 3", "line 2, column 9: a character without meaning"},
		{"state = \x1b[31m", `\x1b <-- here`},
		{"state = \"\xff\"", "not UTF-8"},
		{strings.Repeat("(", 5000) + `state = "a"`, "nested too deep"},
		{strings.Repeat("not ", 150) + `state = "a"`, "nested deeper"},
		{strings.Repeat(`state = "a" or `, 5000) + `state = "a"`, "bytes, at most"},
		{`params.x in (1` + strings.Repeat(",1", 20000) + `)`, "more than 10000 parts"},
	}
	for _, tt := range tests {
		e, err := solera.ParseExpr(tt.text)
		var input *solera.InputError
		if !errors.Is(err, solera.ErrInvalid) || !errors.As(err, &input) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("ParseExpr(%.60q) = %.80s, %v\nwant an error that says %q", tt.text, e, err, tt.says)
		}
		if err != nil && (len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\x1b\n")) {
			t.Errorf("ParseExpr(%.60q): the error is not a short line: %q", tt.text, err)
		}
	}
}

func TestCheckRefusesWhatParseExprNeverReturns(t *testing.T) {
	deep := compare("state", solera.Equal, "a")
	for range 200 {
		deep = not(deep)
	}
	for _, e := range []solera.Expr{
		join(solera.And), join(solera.Not), join(solera.Not, deep, deep), deep,
		compare("state", "~", "a"), compare("state", solera.Equal), compare("state", solera.Equal, "a", "b"),
		compare("state", solera.In), compare("state", solera.Exists, "a"), compare("params.x", solera.Equal, 3),
		compare("params.x", solera.Equal, math.NaN()), compare("", solera.Exists), compare("params.", solera.Exists),
	} {
		if err := e.Check(); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("Check of %.80v = %v, want ErrInvalid", e, err)
		}
	}
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	tests := []struct {
		text string
		want time.Time
	}{
		{"2026-11-22", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)},
		{"2026-11-22 10:30", time.Date(2026, 11, 22, 10, 30, 0, 0, time.UTC)},
		{"2026-11-22T10:30:05.25+02:00", time.Date(2026, 11, 22, 8, 30, 5, 250e6, time.UTC)},
		{"-7d", now.AddDate(0, 0, -7)},
		{"-1.5h", now.Add(-90 * time.Minute)},
		{"-90s", now.Add(-90 * time.Second)},
		{"-2w", now.AddDate(0, 0, -14)},
	}
	for _, tt := range tests {
		if got, err := solera.ParseMoment(tt.text, solera.MicrosOf(now)); err != nil || got != solera.MicrosOf(tt.want) {
			t.Errorf("ParseMoment(%s) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
	for _, text := range []string{"", "-", "-d", "7d", "--7d", "-1e99d", "-nand", "-infs", "-7y", "2026-13-01", "22.11.2026"} {
		if got, err := solera.ParseMoment(text, 0); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("ParseMoment(%q) = %v, %v, want ErrInvalid", text, got, err)
		}
	}
}

func exprs() *rapid.Generator[solera.Expr] {
	texts := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{`"`, "'", "`", "\\", "--", "/*", "\x00", "and", ""}))
	values := rapid.OneOf(
		rapid.Map(texts, func(s string) any { return s }),
		rapid.Map(rapid.Float64(), func(x float64) any { return x }),
		rapid.SampledFrom([]any{true, false, 1e22, -1.0, math.Inf(-1)}),
	)
	return rapid.Custom(func(t *rapid.T) solera.Expr {
		var build func(depth int) solera.Expr
		build = func(depth int) solera.Expr {
			kind := rapid.IntRange(0, 7).Draw(t, "kind")
			if depth > 4 {
				kind = 3 + kind%5
			}
			field := rapid.SampledFrom([]string{"params.", "summary.", "environment."}).Draw(t, "head") +
				rapid.OneOf(rapid.StringN(1, 8, 20), rapid.SampledFrom([]string{"and", "val/loss", "a.b", "`", "x-1"})).Draw(t, "key")
			switch kind {
			case 0, 1:
				op := rapid.SampledFrom([]solera.Op{solera.And, solera.Or}).Draw(t, "op")
				e := solera.Expr{Op: op}
				for range rapid.IntRange(2, 4).Draw(t, "args") {
					e.Args = append(e.Args, build(depth+1))
				}
				return e
			case 2:
				return not(build(depth + 1))
			case 3:
				return compare(field, solera.In, rapid.SliceOfN(values, 1, 4).Draw(t, "values")...)
			case 4:
				return compare(field, solera.Like, texts.Draw(t, "pattern"))
			case 5:
				return compare(field, solera.Exists)
			case 6:
				return compare(field, rapid.SampledFrom([]solera.Op{solera.Equal, solera.NotEqual}).Draw(t, "op"), values.Draw(t, "value"))
			}
			op := rapid.SampledFrom([]solera.Op{solera.Less, solera.LessEqual, solera.Greater, solera.GreaterEqual}).Draw(t, "op")
			return compare(field, op, rapid.Float64().Draw(t, "number"))
		}
		return build(0)
	})
}

func TestExprComesBackFromItsText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := exprs().Draw(t, "expr")
		back, err := solera.ParseExpr(e.String())
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%s\n  is %#v\ncame back as %#v, %v", e, e, back, err)
		}
	})
}

func FuzzParseExpr(f *testing.F) {
	for _, s := range []string{
		`params.optimizer = "adam" and summary.val.accuracy > 0.9 or tags in ("best")`,
		"not (state <> 'failed' or `summary.val loss` between -1e-3 and inf)", `created > "-7d" and name not like "%x_"`,
		`tags is not null`, `((((`, "`", `"`, `params.x in (1, true, 'a''b')`, "summary.`a`b`c` = 1",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := solera.ParseExpr(s)
		if err != nil {
			if !errors.Is(err, solera.ErrInvalid) {
				t.Fatalf("%q: %v is not ErrInvalid", s, err)
			}
			return
		}
		back, err := solera.ParseExpr(e.String())
		if err != nil || !reflect.DeepEqual(back, e) {
			t.Fatalf("%q reads as %s, which came back as %s, %v", s, e, back, fmt.Sprint(err))
		}
	})
}

func TestFlatOpensObjects(t *testing.T) {
	f := solera.Fields{
		"val": map[string]any{"loss": 1.0, "by": solera.Fields{"class": []any{1.0}}}, "val.loss": 2.0,
		"none": nil, "empty": map[string]any{}, "list": []any{map[string]any{"a": 1.0}},
	}
	got, err := f.Flat().MarshalJSON()
	const want = `{"empty":{},"list":[{"a":1}],"none":null,"val.by.class":[1],"val.loss":2}`
	if err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}
