package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/solera-ml/solera"
)

// A failure is an error as --json writes it. The five keys are always there,
// null where there is nothing to say.
type failure struct {
	Message string  `json:"message"`
	File    *string `json:"file"`
	Line    *int    `json:"line"`
	Column  any     `json:"column"` // number: in the line of a text file; text: name of the table's column
	Hint    *string `json:"hint"`
}

// failureOf takes an error apart for scripts.
func failureOf(err error) failure {
	var in *solera.InputError
	if !errors.As(err, &in) {
		return failure{Message: sentence(err)}
	}
	f := failure{Message: in.Msg}
	if f.Message == "" {
		f.Message = sentence(errors.Unwrap(in))
	}
	if in.File != "" {
		f.File = &in.File
	}
	if in.Line > 0 {
		f.Line = &in.Line
	}
	switch {
	case in.Column != "":
		f.Column = in.Column
	case in.Col > 0:
		f.Column = in.Col
	}
	if in.Hint != "" {
		f.Hint = &in.Hint
	}
	return f
}

// sentence is an error for people. The names of kinds are for errors.Is, and
// say nothing to a reader whom the rest tells what is wrong.
func sentence(err error) string {
	s := err.Error()
	for _, kind := range []error{solera.ErrUsage, solera.ErrInvalid, solera.ErrConflict} {
		if errors.Is(err, kind) {
			s = strings.ReplaceAll(s, kind.Error()+": ", "")
		}
	}
	if errors.Is(err, solera.ErrStopped) || errors.Is(err, context.Canceled) {
		s = strings.TrimSuffix(s, ": "+context.Canceled.Error())
	}
	return s
}

// place fills in the file of a fault that was found far from where it was
// read: a column is the source's, everything else stands in solera.yaml.
func (a *app) place(f *failure) {
	if f.File != nil || a.cfg == nil {
		return
	}
	file := a.cfg.File()
	if _, named := f.Column.(string); named {
		file = a.cfg.SourcePath()
	}
	f.File = &file
}

// report writes an error to stderr: one line for people, or JSON.
func (a *app) report(err error) {
	if a.json {
		f := failureOf(err)
		if errors.Is(err, solera.ErrInvalid) {
			a.place(&f)
		}
		b, jerr := json.Marshal(map[string]failure{"error": f})
		if jerr == nil {
			fmt.Fprintf(a.stderr, "%s\n", b)
			return
		}
	}
	fmt.Fprintf(a.stderr, "solera: %s\n", printable(sentence(err)))
}

// printable keeps control characters, which may come from a file or an
// argument, away from the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '\ufffd'
		}
		return r
	}, s)
}
