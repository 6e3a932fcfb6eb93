package solera

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of failure that a caller can act on. Errors wrap one of these; the
// rim (command line, HTTP) maps the kind to an exit code or a status.
var (
	ErrInvalid  = errors.New("invalid")         // the request makes no sense as written
	ErrNotFound = errors.New("not found")       // a run, artifact, version or file is missing
	ErrConflict = errors.New("conflict")        // somebody else changed it first
	ErrCorrupt  = errors.New("corrupt")         // stored bytes are not what was stored
	ErrUsage    = errors.New("wrong usage")     // the command line is wrong (exit code 2)
	ErrStopped  = errors.New("stopped by user") // Ctrl-C; work can be resumed
)

// InputError is a fault in something the user gave: a data file, solera.yaml,
// a flag. It names the place and the mend, so that the command line can print
// it as a sentence and --json as fields.
type InputError struct {
	Op     string // what was being done: "load wine.csv"
	File   string // file at fault, "" if none
	Line   int    // 1-based line in File, 0 if unknown
	Col    int    // 1-based column position in Line, 0 if unknown
	Column string // name of the table column at fault, "" if none
	Msg    string // what is wrong, without place or mend
	Hint   string // how to mend it
	Err    error  // cause or kind; nil means ErrInvalid
}

// Error reads "load wine.csv: line 7: 12 fields, want 14: add the missing fields or remove the row".
func (e *InputError) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	if e.File != "" && !strings.Contains(e.Op, e.File) {
		parts = append(parts, e.File)
	}
	switch {
	case e.Line > 0 && e.Col > 0:
		parts = append(parts, fmt.Sprintf("line %d, column %d", e.Line, e.Col))
	case e.Line > 0:
		parts = append(parts, fmt.Sprintf("line %d", e.Line))
	}
	if e.Column != "" {
		parts = append(parts, fmt.Sprintf("column %q", e.Column))
	}
	if e.Msg != "" {
		parts = append(parts, e.Msg)
	} else if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.Hint != "" {
		parts = append(parts, e.Hint)
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the cause, or ErrInvalid when none was given.
func (e *InputError) Unwrap() error {
	if e.Err == nil {
		return ErrInvalid
	}
	return e.Err
}
