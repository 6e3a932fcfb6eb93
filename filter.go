package solera

// An Op says how an Expr decides.
type Op string

const (
	And Op = "and" // every one of Args holds
	Or  Op = "or"  // one of Args holds
	Not Op = "not" // Args[0] does not hold

	Equal        Op = "="
	NotEqual     Op = "!="
	Less         Op = "<"
	LessEqual    Op = "<="
	Greater      Op = ">"
	GreaterEqual Op = ">="
	In           Op = "in"   // the field is one of Values; of a list, such as tags, any member
	Like         Op = "like" // % is any text, _ any character; letters match in either case
	Exists       Op = "exists"
)

// An Expr is a condition on a run. The zero Expr holds for every run.
//
// A Field is "id", "name", "project", "stage", "experiment", "group", "state",
// "host", "notes", "error", "solera", "created", "started", "finished",
// "duration" (seconds), "tags", or a path into the free-form values:
// "params.optimizer", "summary.val.accuracy", "environment.git.commit". A
// field that the run lacks makes every comparison false, also "!="; so Not of
// an equality and an inequality differ, as in SQL.
//
// Values are string, float64 or bool. A number compares with numbers alone, a
// text with texts alone. Times compare as moments: "2026-11-22",
// "2026-11-22T10:00:00Z", or back from now: "-7d", "-12h".
type Expr struct {
	Op     Op
	Args   []Expr
	Field  string
	Values []any
}

// IsZero reports whether e holds for every run.
func (e Expr) IsZero() bool { return e.Op == "" }
