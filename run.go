package solera

import (
	"fmt"
	"io"
	"strconv"
	"time"
)

// Micros is a moment in microseconds since 1970 UTC; 0 means "not yet". It is
// what the databases hold, so a moment survives them unchanged and compares
// with ==.
type Micros int64

// MicrosOf returns the moment of t, cut to the microsecond.
func MicrosOf(t time.Time) Micros { return Micros(t.UnixMicro()) }

// Time returns the moment in UTC; the zero Micros gives the zero Time.
func (m Micros) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMicro(int64(m)).UTC()
}

// String returns the moment as RFC 3339 with microseconds, or "".
func (m Micros) String() string {
	if m == 0 {
		return ""
	}
	return m.Time().Format("2006-01-02T15:04:05.000000Z07:00")
}

// MarshalJSON returns the RFC 3339 string, or null for "not yet".
func (m Micros) MarshalJSON() ([]byte, error) {
	if m == 0 {
		return []byte("null"), nil
	}
	return strconv.AppendQuote(nil, m.String()), nil
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *Micros) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*m = 0
		return nil
	}
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return fmt.Errorf("time %s: %w: want a string", clip(string(b)), ErrInvalid)
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return fmt.Errorf("time %s: %w: %v", clip(s), ErrInvalid, err)
	}
	*m = MicrosOf(t)
	return nil
}

// A RunID names one run for ever, such as "20261122-195312-k7q2mx". It belongs
// to the run's record and never enters an artifact's bytes.
type RunID string

// NewRunID makes an identifier from the second of now and six random letters
// or digits out of random, so that identifiers sort by time and read well.
// Two runs of one second collide once in 10⁹ pairs; CreateRun then reports
// ErrConflict and the caller draws again.
func NewRunID(now time.Time, random io.Reader) (RunID, error) {
	// No i, l, o, u: nobody misreads them, and no word appears by chance.
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	var b [6]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return "", fmt.Errorf("new run: read random bytes: %w", err)
	}
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return RunID(now.UTC().Format("20060102-150405-") + string(b[:])), nil
}

// Check reports ErrInvalid unless id is a name as CheckName wants it. Clients
// of other protocols bring identifiers of their own.
func (id RunID) Check() error { return checkName("run", string(id)) }

// A RunState says where a run is in its life.
type RunState string

const (
	Pending  RunState = "pending"  // recorded, not started
	Running  RunState = "running"  // started; its process may have died since
	Finished RunState = "finished" // ended well; its versions can be reused
	Failed   RunState = "failed"   // ended with Error
	Killed   RunState = "killed"   // stopped by a user
	Crashed  RunState = "crashed"  // its process died without a word
)

// Ended reports whether the run will not change state again.
func (s RunState) Ended() bool {
	return s == Finished || s == Failed || s == Killed || s == Crashed
}

// A Run is one execution of one stage, or of one experiment of a stage.
type Run struct {
	ID         RunID    `json:"id"`
	Name       string   `json:"name"`       // shown to people; need not be unique
	Project    string   `json:"project"`    // fixed at the start
	Stage      string   `json:"stage"`      // what kind of work: "load", "train" (a job type elsewhere)
	Experiment string   `json:"experiment"` // the named configuration, such as "exp001"; "" if none
	State      RunState `json:"state"`
	Params     Fields   `json:"params"`  // fixed before learning
	Summary    Fields   `json:"summary"` // what the run says about itself; final once the run ended
	Tags       []string `json:"tags"`    // sorted, without repeats
	Notes      string   `json:"notes"`
	// Recipe is the digest of everything that decides the run's outputs: code,
	// params, contents of the inputs. Two runs of one recipe make the same
	// bytes. Zero: not reusable.
	Recipe Digest `json:"recipe"`
	Code   Digest `json:"code"`   // of the code that the stage executes
	Solera string `json:"solera"` // version of the program
	Host   string `json:"host"`
	Group  string `json:"group"`           // joins runs of one undertaking, such as the folds of one validation; "" if none
	Sweep  string `json:"sweep,omitempty"` // the search that the run is a trial of; "" if none
	// Environment is what the run ran on and in: "command" (list), "go", "os",
	// "arch", "cpu", "cores", "memory_bytes", "kernel", and under "git" the
	// "commit", "branch", "remote" and "dirty" of its source tree. No secret is
	// in it: values of environment variables are never recorded. A run that a
	// client of another protocol reports also has "client", what that keeps with
	// the run in its own form; conditions do not find it.
	Environment Fields `json:"environment"`
	// ReuseOf is the run whose outputs this one took from the store instead of
	// making them again; "" for a run that did the work. Points and console
	// output are with that run.
	ReuseOf  RunID  `json:"reuse_of,omitempty"`
	Error    string `json:"error,omitempty"` // why State is Failed or Killed
	Created  Micros `json:"created"`
	Started  Micros `json:"started"`  // 0 while Pending
	Finished Micros `json:"finished"` // 0 until State.Ended
	// Heartbeat is when the run's process last said that it lives, by the clock
	// of the database: see Store.Beat. A run that is Running and has been silent
	// for long has crashed.
	Heartbeat Micros `json:"heartbeat"`
	// Stopping is when a user asked the run to stop; 0 = nobody has. Its process
	// is told, and ends it.
	Stopping Micros `json:"stopping,omitempty"`
	// Rewound is when Tx.Rewind last made the run forget points; 0 = never. The
	// numbers of its points began again then: a reader that remembers one from
	// before reads the run anew.
	Rewound Micros `json:"rewound,omitempty"`
	Deleted Micros `json:"deleted,omitempty"` // when a user deleted it; gc removes it later. 0 = not
}

// RunQuery chooses runs; zero fields do not restrict. Deleted runs are left
// out. Without an Order runs come newest first (by Created, then by ID).
type RunQuery struct {
	Project    string
	Stage      string
	Experiment string
	Group      string
	Sweep      string
	State      RunState
	Recipe     Digest
	Where      Expr // the zero Expr holds for every run
	Order      []RunOrder
	Limit      int  // 0 = all
	Offset     int  // so many are passed over
	Deleted    bool // deleted runs too
}

// RunOrder is one key by which runs are sorted: a field as in Expr, such as
// "summary.val.accuracy". Numbers come before texts; runs that lack the field
// come last, whichever the direction.
type RunOrder struct {
	Field      string
	Descending bool
}

// A RunField is a field of params or summaries that runs have. Members of a list
// stand for the list, so a run may have several values.
type RunField struct {
	Field   string // "params.optimizer"
	Runs    int    // that have it
	Numbers int    // values of each kind
	Texts   int
	Flags   int
	Some    []string // texts, the most frequent first
}

// A Line is one line of a run's console output.
type Line struct {
	N      int64  `json:"n"`      // 1, 2, 3 … within the run
	Stream string `json:"stream"` // "out" or "err"
	Text   string `json:"text"`   // without its line end; at most 64 KiB, longer is cut
	Time   Micros `json:"time"`
}
