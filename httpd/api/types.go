package api

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
)

// The types of the API. JSON names are snake_case, as in the root package's
// types, which appear as they are. Times are RFC 3339 strings or null. Numbers
// that JSON lacks: NaN is null, infinities are "Infinity" and "-Infinity".
// Errors are application/problem+json.

// A Session says who is asking.
type Session struct {
	User       *User       `json:"user"` // null: nobody signed in
	Open       bool        `json:"open"` // no sign-in needed
	Workspaces []Workspace `json:"workspaces"`
	Version    string      `json:"version"`  // of the server
	Language   string      `json:"language"` // "en" or "es", as the request prefers
}

// A User is somebody who signed in.
type User struct {
	_     struct{} `json:"-" nullable:"true"`
	Name  string   `json:"name"`
	Admin bool     `json:"admin"`
}

// A Workspace is one that the user may enter.
type Workspace struct {
	Name string    `json:"name"`
	Role auth.Role `json:"role" enum:"viewer,editor,admin"`
}

// Credentials are a key, or a name and a password.
type Credentials struct {
	Key      string `json:"key,omitempty"`
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
}

// A Project with what there is in it.
type Project struct {
	Name      string        `json:"name"`
	Runs      int           `json:"runs"`
	Running   int           `json:"running"`
	Artifacts int           `json:"artifacts"`
	Updated   solera.Micros `json:"updated"`
}

// RunsRequest asks for a page of runs.
type RunsRequest struct {
	Project string   `json:"project,omitempty" maxLength:"128" doc:"empty for all projects"`
	Where   string   `json:"where,omitempty" maxLength:"65536" doc:"condition as of solera runs --where" example:"summary.val.accuracy > 0.9"`
	Sort    []string `json:"sort,omitempty" maxItems:"10" doc:"fields; with - before it, falling" example:"[\"-summary.val.accuracy\"]"`
	Limit   int      `json:"limit,omitempty" minimum:"0" maximum:"1000" doc:"0 for 100"`
	Offset  int      `json:"offset,omitempty" minimum:"0" maximum:"1000000000"`
	Columns []string `json:"columns,omitempty" maxItems:"500" doc:"fields to return; empty for all params and summary"`
	Deleted bool     `json:"deleted,omitempty" doc:"deleted runs too"`
}

// A RunsPage is a page of runs.
type RunsPage struct {
	Runs  []RunRow `json:"runs"`
	Total int      `json:"total"` // that the condition chooses
}

// A RunRow is a run in a list.
type RunRow struct {
	ID         string          `json:"id"`
	Name       string          `json:"name"`
	Project    string          `json:"project"`
	Stage      string          `json:"stage"`
	Experiment string          `json:"experiment"`
	Group      string          `json:"group"`
	Sweep      string          `json:"sweep"`
	State      solera.RunState `json:"state"`
	Tags       []string        `json:"tags"`
	Created    solera.Micros   `json:"created"`
	Started    solera.Micros   `json:"started"`
	Finished   solera.Micros   `json:"finished"`
	Duration   *float64        `json:"duration"` // seconds; null while pending
	Host       string          `json:"host"`
	Error      string          `json:"error"`
	Deleted    solera.Micros   `json:"deleted"`
	Stopping   solera.Micros   `json:"stopping"` // when a user asked it to stop
	Values     solera.Fields   `json:"values"`   // by column
}

// A Column is a field that runs have.
type Column struct {
	Name string   `json:"name"` // "params.optimizer"
	Kind string   `json:"kind" enum:"number,text,bool,mixed"`
	Runs int      `json:"runs"` // that have it
	Some []string `json:"some"` // up to 20 values of a text column
}

// GroupsRequest asks for runs by the values of fields.
type GroupsRequest struct {
	Project string   `json:"project,omitempty" maxLength:"128"`
	Where   string   `json:"where,omitempty" maxLength:"65536"`
	By      []string `json:"by" minItems:"1" maxItems:"5" doc:"fields whose values make a group"`
	Metrics []string `json:"metrics,omitempty" maxItems:"50" doc:"number fields to average"`
	Limit   int      `json:"limit,omitempty" minimum:"0" maximum:"1000" doc:"0 for 100"`
}

// A Group is the runs that have the same values.
type Group struct {
	By      solera.Fields      `json:"by"`
	Runs    int                `json:"runs"`
	IDs     []string           `json:"ids"` // the newest, at most 200
	Metrics map[string]Average `json:"metrics"`
}

// An Average is of a group's runs that have a finite number.
type Average struct {
	N    int      `json:"n"`
	Mean Number   `json:"mean"`
	SD   *float64 `json:"sd"`  // null of fewer than two
	Low  *float64 `json:"low"` // 95 % interval of the mean (Student)
	High *float64 `json:"high"`
	Min  Number   `json:"min"`
	Max  Number   `json:"max"`
}

// A RunDetail is everything about a run but its points and its console.
type RunDetail struct {
	solera.Run
	Metrics []string       `json:"metrics"`
	Files   []solera.Entry `json:"files"`
	Used    []VersionName  `json:"used"`
	Made    []VersionName  `json:"made"`
	Model   string         `json:"model"` // the trained model that it made, "project/name:v0"; "" if none
}

// A VersionName is a version that a run is tied to.
type VersionName struct {
	Name    string          `json:"name"` // "wine-raw:v0"
	Project string          `json:"project"`
	Type    string          `json:"type"`
	Digest  solera.Digest   `json:"digest"`
	Kind    solera.EdgeKind `json:"kind" enum:"used,made,same"`
}

// A RunChange changes what is said about a run; what is left out stays.
type RunChange struct {
	Name  *string   `json:"name,omitempty"`
	Notes *string   `json:"notes,omitempty"`
	Tags  *[]string `json:"tags,omitempty" maxItems:"100"`
}

// Console is a part of what a run printed.
type Console struct {
	Lines []solera.Line `json:"lines"`
	Next  int64         `json:"next"` // to pass as after
}

// SeriesRequest asks for series.
type SeriesRequest struct {
	Series []SeriesID `json:"series" maxItems:"2000"`
	Pixels int        `json:"pixels,omitempty" minimum:"0" maximum:"10000" doc:"width of the chart; 0 for 1000"`
	From   *int64     `json:"from,omitempty" doc:"first step"`
	To     *int64     `json:"to,omitempty" doc:"last step"`
}

// A SeriesID names a metric of a run.
type SeriesID struct {
	Run string `json:"run" maxLength:"128"`
	Key string `json:"key" minLength:"1" maxLength:"1024"`
}

// Series are the points of a metric, thinned to what the chart can show.
type Series struct {
	Run    string    `json:"run"`
	Key    string    `json:"key"`
	Steps  []int64   `json:"steps"`
	Values []Number  `json:"values"`
	Times  []float64 `json:"times"`  // seconds since 1970
	Whole  bool      `json:"whole"`  // nothing was thinned away
	Cursor int64     `json:"cursor"` // a number of the run's points: all up to it are here
}

// SeriesList is the answer to a SeriesRequest, in its order.
type SeriesList []Series

func (l SeriesList) appendJSON(b []byte) []byte {
	size := 2
	for _, s := range l {
		size += 200 + len(s.Key) + 45*len(s.Steps)
	}
	b = append(slices.Grow(b, size), '[')
	for i, s := range l {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.appendJSON(b)
	}
	return append(b, ']')
}

func (s Series) appendJSON(b []byte) []byte {
	b = appendText(append(b, `{"run":`...), s.Run)
	b = appendText(append(b, `,"key":`...), s.Key)
	b = append(b, `,"steps":[`...)
	for i, step := range s.Steps {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, step, 10)
	}
	b = append(b, `],"values":[`...)
	for i, v := range s.Values {
		if i > 0 {
			b = append(b, ',')
		}
		b = v.append(b)
	}
	b = append(b, `],"times":[`...)
	for i, t := range s.Times {
		if i > 0 {
			b = append(b, ',')
		}
		b = Number(t).append(b)
	}
	b = strconv.AppendBool(append(b, `],"whole":`...), s.Whole)
	b = strconv.AppendInt(append(b, `,"cursor":`...), s.Cursor, 10)
	return append(b, '}')
}

func appendText(b []byte, s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil {
		return append(b, `""`...) // json.Marshal writes any string
	}
	return append(b, raw...)
}

// Number is a float64 with NaN, null in JSON, and "Infinity" and "-Infinity".
type Number float64

// MarshalJSON writes what JSON has no number for as null or a text.
func (n Number) MarshalJSON() ([]byte, error) { return n.append(nil), nil }

func (n Number) append(b []byte) []byte {
	switch x := float64(n); {
	case math.IsNaN(x):
		return append(b, "null"...)
	case math.IsInf(x, 1):
		return append(b, `"Infinity"`...)
	case math.IsInf(x, -1):
		return append(b, `"-Infinity"`...)
	case x != 0 && (math.Abs(x) < 1e-6 || math.Abs(x) >= 1e21):
		return strconv.AppendFloat(b, x, 'e', -1, 64)
	default:
		return strconv.AppendFloat(b, x, 'f', -1, 64)
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (n *Number) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "null":
		*n = Number(math.NaN())
	case `"Infinity"`:
		*n = Number(math.Inf(1))
	case `"-Infinity"`:
		*n = Number(math.Inf(-1))
	default:
		return json.Unmarshal(b, (*float64)(n))
	}
	return nil
}

// Schema describes a Number.
func (Number) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeNumber, Nullable: true},
		{Type: huma.TypeString, Enum: []any{"Infinity", "-Infinity"}},
	}}
}

// A ComparedRow is one thing that at least one of the compared runs has.
type ComparedRow struct {
	Key         string    `json:"key"`
	Values      []any     `json:"values"`      // of the runs in order; null = the run lacks it
	Differences []*Number `json:"differences"` // from the first run; null where not both are numbers
	Same        bool      `json:"same"`
}
