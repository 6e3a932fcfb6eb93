package pipeline

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// A Start is what a new solera.yaml is written from.
type Start struct {
	Source string       // as in data.source
	Title  string       // of a sample: what it is
	Origin string       // of a sample: where its values come from, and the licence
	Target string       // the column to predict
	Ignore []string     // columns that the table was read without
	Table  *table.Table // the rows, with inferred types
}

// Init returns a commented solera.yaml that runs as it is. For a sample the
// types are known; for a file it writes the inferred ones down, where the user
// can correct them, and leaves out columns that look like identifiers. The
// error is an *[solera.InputError] that says why the target cannot be
// predicted.
func Init(s Start) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	name, sample := strings.CutPrefix(s.Source, "sample:")
	if !sample {
		name = sourceName(s.Source)
	}
	w := &writer{}
	if sample {
		w.line("# %s", comment(s.Title))
		for line := range strings.Lines(s.Origin) {
			w.line("# %s", comment(line))
		}
		w.line("")
	}
	base := artifactWord(name)
	w.line("project: %s", yamlText(base+"-classification"))
	w.line("seed: 42                         # the same seed gives the same bytes, on any machine")
	w.line("")
	w.line("data:")
	if sample {
		w.line("  source: %-22s # or a path or a glob: data/*.csv, data.jsonl, data.parquet, data.csv.gz", s.Source)
	} else {
		w.line("  source: %s", yamlText(s.Source))
	}
	w.line("  target: %-22s # the column to predict", yamlText(s.Target))
	if !sample {
		s.columns(w)
	}
	stratify := s.rarest() >= 3
	w.line("  split: {train: 0.8, val: 0.1, test: 0.1, stratify: %v}", stratify)
	if !stratify {
		w.line("  # stratify: true needs at least 3 rows of each class; the rarest has %d.", s.rarest())
	}
	if !sample {
		w.line("  # Rows that belong together (one patient, one machine): split: {group: COLUMN}")
		w.line("  # Predicting the future: split: {time: COLUMN} trains on the oldest rows.")
	}
	w.line("")
	w.line("preprocess:                      # fitted on the training rows only")
	w.line("  numeric: [{impute: median}, standardize]")
	w.line("  categorical: [{impute: most_frequent}, one_hot]")
	w.line("")
	w.line("model:")
	w.line("  name: %s", yamlText(camel(base)+"Classifier"))
	w.line("  layers: [64, 32]               # hidden layers; both ends follow from the data")
	w.line("  activation: relu               # or leaky_relu, gelu, silu, tanh, …")
	w.line("  batch_norm: true")
	w.line("  dropout: 0.3")
	w.line("")
	s.training(w, sample)
	w.line("")
	w.line("tracking: local                  # runs and artifacts stay in .solera/; wandb also sends them")
	return w.Bytes(), nil
}

// check says why the target cannot be predicted.
func (s Start) check() error {
	fault := func(msg, hint string) error {
		return &solera.InputError{File: s.Source, Column: s.Target, Msg: msg, Hint: hint}
	}
	c := s.Table.Column(s.Target)
	if c == nil {
		names := s.Table.Names()
		hint := "the columns are: " + firstFew(names, 20)
		if near := nearest(s.Target, names); near != "" {
			hint = fmt.Sprintf("did you mean %s?", near)
		}
		return fault("no such column", hint)
	}
	classes := c.Profile().Distinct
	switch {
	case classes == 0:
		return fault("the target has no values", "choose another target, or tell in missing_values what is not missing")
	case classes == 1:
		return fault("the target is constant", "a model needs at least two classes: choose another target")
	case classes > maxClasses:
		return fault(fmt.Sprintf("the target has %d different values, at most %d classes can be told apart", classes, maxClasses),
			"choose another target, or put its values into ranges")
	case len(s.Table.Columns) < 2:
		return fault("the table has no column besides the target", "add features")
	}
	return nil
}

// maxClasses is the most classes that a model tells apart.
const maxClasses = 1000

// firstFew joins at most n names.
func firstFew(names []string, n int) string {
	if len(names) <= n {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:n], ", ") + fmt.Sprintf(" and %d more", len(names)-n)
}

// rarest returns the number of rows of the rarest class.
func (s Start) rarest() int {
	c := s.Table.Column(s.Target)
	counts := map[any]int{}
	for i := range c.Len() {
		switch {
		case c.Missing(i):
		case c.Codes != nil:
			counts[c.Codes[i]]++
		default:
			counts[c.Numbers[i]]++
		}
	}
	least := math.MaxInt
	for _, n := range counts {
		least = min(least, n)
	}
	return least
}

// manyColumns is the width from which only the kinds that are not number are
// written: nobody reads a file of thousands of lines.
const manyColumns = 1000

// columns writes the inferred types, and the columns to leave out.
func (s Start) columns(w *writer) {
	var kinds, ignored []string
	width := 0
	for _, c := range s.Table.Columns {
		width = max(width, len(yamlText(c.Name)))
	}
	width = min(width, 28)
	wide := len(s.Table.Columns) > manyColumns
	for _, c := range s.Table.Columns {
		if wide && c.Kind == table.Number {
			continue
		}
		p := s.profile(c)
		if c.Name != s.Target && identifier(c, p) {
			ignored = append(ignored, yamlText(c.Name))
		}
		if len(kinds) < manyColumns {
			kind := fmt.Sprintf("    %-*s %s", width+1, yamlText(c.Name)+":", c.Kind)
			if r := remark(c, p); r != "" {
				kind = fmt.Sprintf("%-*s # %s", width+16, kind, r)
			}
			kinds = append(kinds, kind)
		}
	}
	why := "Different in almost every row, like an identifier: nothing to learn from."
	for i, name := range s.Ignore {
		why = "Left out as you asked, or different in almost every row, like an identifier."
		ignored = slices.Insert(ignored, i, yamlText(name))
	}
	if len(ignored) > 0 {
		w.line("  # %s", why)
		w.line("  ignore: [%s]", strings.Join(ignored, ", "))
	}
	if len(kinds) == 0 {
		return
	}
	if wide {
		w.line("  types:                         # inferred; the rest are numbers")
	} else {
		w.line("  types:                         # inferred: number, category, boolean or date; correct them here")
	}
	for _, k := range kinds {
		w.line("%s", k)
	}
}

// manyRows is the length from which numbers are profiled by a part of the
// rows: their quartiles and distinct values need sorting, and init should take
// no longer than reading.
const manyRows = 200_000

// profile describes a column: exactly, but for the distinct values of long
// number and date columns, which are those of evenly spaced rows.
func (s Start) profile(c *table.Column) table.ColumnProfile {
	if c.Kind == table.Category || c.Len() <= manyRows {
		return c.Profile()
	}
	part := &table.Column{Name: c.Name, Kind: c.Kind, Integer: c.Integer, Levels: c.Levels}
	low, high := math.Inf(1), math.Inf(-1)
	for i, x := range c.Numbers {
		if i%(c.Len()/manyRows+1) == 0 {
			part.Numbers = append(part.Numbers, x)
		}
		if !math.IsNaN(x) {
			low, high = min(low, x), max(high, x)
		}
	}
	p := part.Profile()
	p.Missing = c.MissingCount()
	p.Present = c.Len() - p.Missing
	if p.Distinct == part.Len()-part.MissingCount() {
		p.Distinct = p.Present // different in every row that was looked at
	}
	if low <= high {
		p.Min, p.Max = &low, &high
	}
	if low < high {
		p.Distinct = max(p.Distinct, 2)
	}
	return p
}

// identifier tells a column that names its row rather than describes it: text
// that hardly repeats, or whole numbers that never do under a name such as id.
func identifier(c *table.Column, p table.ColumnProfile) bool {
	if p.Present < 20 {
		return false
	}
	name := strings.ToLower(c.Name)
	named := name == "id" || name == "index" || name == "uuid" || strings.HasSuffix(name, "_id") || strings.HasSuffix(name, " id")
	switch c.Kind {
	case table.Category:
		return p.Distinct*10 >= p.Present*9
	case table.Number:
		return named && c.Integer && p.Distinct == p.Present
	}
	return false
}

// remark says in a few words what is in a column.
func remark(c *table.Column, p table.ColumnProfile) string {
	var parts []string
	switch {
	case p.Distinct == 0:
		return "all missing: will be dropped"
	case p.Distinct == 1:
		parts = append(parts, "constant: will be dropped")
	case c.Kind == table.Number && p.Min != nil && p.Max != nil:
		parts = append(parts, fmt.Sprintf("%s to %s", number(*p.Min), number(*p.Max)))
	case c.Kind == table.Category:
		var top []string
		for _, l := range p.Top[:min(len(p.Top), 3)] {
			top = append(top, clip(l.Level, 16))
		}
		some := strings.Join(top, ", ")
		if p.Distinct > len(top) {
			some += ", …"
		}
		if odd := notNumbers(c.Levels); odd != "" {
			some = fmt.Sprintf("numbers but for %q: correct it, or list it in missing_values", clip(odd, 16))
		}
		parts = append(parts, fmt.Sprintf("%d levels: %s", p.Distinct, some))
	}
	if p.Missing > 0 {
		parts = append(parts, fmt.Sprintf("%d missing", p.Missing))
	}
	return comment(strings.Join(parts, "; "))
}

// notNumbers returns the first level that keeps a column from being one of
// numbers, "" where that is not the reason.
func notNumbers(levels []string) string {
	first, odd := "", 0
	for _, l := range levels {
		if _, err := strconv.ParseFloat(l, 64); err != nil {
			first = cmp.Or(first, l)
			odd++
		}
	}
	if odd*10 > len(levels) {
		return ""
	}
	return first
}

func number(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// comment makes a text fit for a comment: one line, no control characters.
func comment(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\ufeff' || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s))
}

// training writes the train and experiments sections. Samples have three
// experiments to compare; a file starts with two whose length suits its size.
func (s Start) training(w *writer, sample bool) {
	w.line("train:                           # for every experiment, unless it says otherwise")
	w.line("  schedule: {reduce_on_plateau: {factor: 0.5, patience: 10}}")
	if sample {
		w.line("  early_stopping: off            # or {patience: 20}")
		w.line("")
		w.line("experiments:")
		w.line("  - {name: exp001, epochs: 100, batch_size: 16, learning_rate: 0.001, optimizer: adam}")
		w.line("  - {name: exp002, epochs: 150, batch_size: 16, learning_rate: 0.0005, optimizer: adam}")
		w.line("  - {name: exp003, epochs: 200, batch_size: 32, learning_rate: 0.01, optimizer: {sgd: {momentum: 0.9}}}")
		return
	}
	epochs, batch := pace(s.Table.Len())
	w.line("  epochs: %d", epochs)
	w.line("  batch_size: %d", batch)
	w.line("  early_stopping: {patience: 20} # or off")
	w.line("  # class_weights: balanced      # when rare classes matter as much as frequent ones")
	w.line("")
	w.line("experiments:")
	w.line("  - {name: exp001, learning_rate: 0.001, optimizer: adam}")
	w.line("  - {name: exp002, learning_rate: 0.0005, optimizer: {adamw: {weight_decay: 0.01}}}")
}

// pace returns how long and in which batches to train on so many rows: about a
// minute's work, and enough steps to settle.
func pace(rows int) (epochs, batch int) {
	switch {
	case rows < 2_000:
		return 100, 16
	case rows < 20_000:
		return 60, 64
	case rows < 200_000:
		return 40, 256
	}
	return 20, 1024
}

// A writer collects lines.
type writer struct{ strings.Builder }

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(w, format, args...)
	w.WriteByte('\n')
}

// Bytes returns what was written.
func (w *writer) Bytes() []byte { return []byte(w.String()) }

// yamlText writes a text as YAML: bare where that reads back as the same text
// in every version of YAML, else in double quotes.
func yamlText(s string) string {
	bare := s != "" && !slices.Contains(reservedWords(), strings.ToLower(s))
	for i, r := range s {
		letter := r < unicode.MaxASCII && (unicode.IsLetter(r) || r == '_')
		switch {
		case letter:
		case i == 0:
			// sample:wine and ../data/a.csv may stay bare, 7 and -x may not.
			bare = bare && (strings.HasPrefix(s, "./") || strings.HasPrefix(s, "../"))
		case r < unicode.MaxASCII && unicode.IsDigit(r), r == '.', r == '-', r == '/':
		case r == ' ' || r == ':':
			bare = bare && i+1 < len(s) && s[i+1] != ' '
		default:
			bare = false
		}
	}
	if bare {
		return s
	}
	return quote(s)
}

// reservedWords are the bare words that some version of YAML does not take for
// text.
func reservedWords() []string {
	return []string{"true", "false", "yes", "no", "on", "off", "y", "n", "null", "nan", "inf", "infinity"}
}

// quote writes a text in double quotes, in the escapes that YAML shares with
// JSON.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case !unicode.IsPrint(r) && r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		case !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return cmp.Or(b.String(), `""`)
}
