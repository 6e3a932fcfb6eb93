package wandb

import (
	"errors"
	"fmt"

	"github.com/solera-ml/solera/internal/lenient"
)

// What a file stream carries: lines of files that grow, by the line at which
// they begin.
const (
	historyFile = "wandb-history.jsonl"
	eventsFile  = "wandb-events.jsonl"
	summaryFile = "wandb-summary.json"
	consoleFile = "output.log"
)

// streamRequest is the body of a file stream's request.
type streamRequest struct {
	files      map[string]block
	uploaded   []string // files of the run that are there now
	complete   bool     // the run has ended
	exitCode   int64
	preempting bool
}

// block is lines of one file, from the line offset on.
type block struct {
	offset int64
	lines  []string
}

// Limits of a file stream's request, beside those of its bytes.
const (
	maxStreamFiles = 100
	maxStreamLines = 1_000_000
)

// parseStream reads the body of a file stream's request. Members that are not
// known are passed over.
func parseStream(body string) (streamRequest, error) {
	q := streamRequest{files: map[string]block{}}
	lines := 0
	r := lenient.NewReader(body)
	err := r.Members(func(key string) error {
		var err error
		switch key {
		case "files":
			if r.Peek() == 'n' {
				return r.Word("null")
			}
			return r.Members(func(name string) error {
				b, err := parseBlock(&r)
				if err != nil {
					return fmt.Errorf("file %.80q: %w", name, err)
				}
				if lines += len(b.lines); lines > maxStreamLines {
					return fmt.Errorf("more than %d lines; send them in several requests", maxStreamLines)
				}
				if q.files[name] = b; len(q.files) > maxStreamFiles {
					return fmt.Errorf("more than %d files", maxStreamFiles)
				}
				return nil
			})
		case "uploaded":
			if r.Peek() == 'n' {
				return r.Word("null")
			}
			return r.Elements(func() error {
				r.Space()
				name, err := r.Text()
				q.uploaded = append(q.uploaded, name)
				return err
			})
		case "complete":
			q.complete, err = flag(&r)
		case "preempting":
			q.preempting, err = flag(&r)
		case "exitcode":
			q.exitCode, err = integer(&r)
		default:
			_, err = r.Value(1)
		}
		return err
	})
	if err == nil {
		err = r.End()
	}
	return q, err
}

func parseBlock(r *lenient.Reader) (block, error) {
	var b block
	err := r.Members(func(key string) error {
		var err error
		switch key {
		case "offset":
			b.offset, err = integer(r)
			if err == nil && (b.offset < 0 || b.offset > 1<<50) {
				err = r.Fail("the offset %d is out of range", b.offset)
			}
		case "content":
			switch r.Peek() {
			case '"': // one line, as old clients have it
				var line string
				line, err = r.Text()
				b.lines = append(b.lines, line)
			case 'n':
				err = r.Word("null")
			default:
				err = r.Elements(func() error {
					r.Space()
					line, err := r.Text()
					b.lines = append(b.lines, line)
					return err
				})
			}
		default:
			_, err = r.Value(1)
		}
		return err
	})
	return b, err
}

func flag(r *lenient.Reader) (bool, error) {
	switch r.Peek() {
	case 't':
		return true, r.Word("true")
	case 'n':
		return false, r.Word("null")
	default:
		return false, r.Word("false")
	}
}

// integer reads a whole number; null is 0.
func integer(r *lenient.Reader) (int64, error) {
	if r.Peek() == 'n' {
		return 0, r.Word("null")
	}
	_, x, err := r.Number()
	if err != nil {
		return 0, err
	}
	if x != float64(int64(x)) || x > 1<<53 || x < -1<<53 {
		return 0, r.Fail("want a whole number")
	}
	return int64(x), nil
}

var errNoObject = errors.New("want an object")
