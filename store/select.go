package store

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// A test is a condition that is ready to be tried on values.
type test struct {
	op   solera.Op // And, Or, Not, Exists, or Equal for every comparison
	args []*test

	field string // as columnName gives it
	// How values of each kind compare; nil = never.
	number func(float64) bool
	text   func(cutText) verdict
	flag   func(float64) bool
	// differs: a run has values of a kind that is compared, and none of them
	// compares.
	differs bool
}

// A verdict on a text of which only the beginning may be known.
type verdict int

const (
	no verdict = iota
	yes
	unsure
)

func verdictOf(holds bool) verdict {
	if holds {
		return yes
	}
	return no
}

// compile checks e and makes it ready. now is what times are reckoned from.
func compile(e solera.Expr, now solera.Micros) (*test, error) {
	if err := e.Check(); err != nil {
		return nil, err
	}
	if e.IsZero() {
		return nil, nil
	}
	return compileChecked(e, now)
}

func compileChecked(e solera.Expr, now solera.Micros) (*test, error) {
	switch e.Op {
	case solera.And, solera.Or, solera.Not:
		t := &test{op: e.Op}
		for _, arg := range e.Args {
			a, err := compileChecked(arg, now)
			if err != nil {
				return nil, err
			}
			t.args = append(t.args, a)
		}
		return t, nil
	case solera.Exists:
		return exists(e.Field), nil
	}
	t := &test{op: solera.Equal, field: columnName(e.Field), differs: e.Op == solera.NotEqual}
	if e.Op == solera.Like {
		pattern := newPattern(e.Values[0].(string))
		if solera.IsTime(e.Field) {
			t.number = func(x float64) bool { return pattern.match(solera.Micros(x).String()) }
			return t, nil
		}
		t.text = func(s cutText) verdict {
			if s.cut {
				return unsure
			}
			return verdictOf(pattern.match(s.text))
		}
		return t, nil
	}
	values := make([]any, len(e.Values))
	for i, v := range e.Values {
		values[i] = v
		if s, ok := v.(string); ok && solera.IsTime(e.Field) {
			moment, err := solera.ParseMoment(s, now)
			if err != nil {
				return nil, err
			}
			values[i] = float64(moment)
		}
	}
	if e.Op == solera.In {
		t.among(values)
	} else {
		t.compare(e.Op, values[0])
	}
	return t, nil
}

func exists(field string) *test { return &test{op: solera.Exists, field: columnName(field)} }

// equalText is the condition that a field has a text.
func equalText(field, text string) *test {
	t := &test{op: solera.Equal, field: columnName(field)}
	t.compare(solera.Equal, text)
	return t
}

// compare sets what the field is compared with.
func (t *test) compare(op solera.Op, v any) {
	switch v := v.(type) {
	case float64:
		t.number = func(x float64) bool { return ordered(op, cmp.Compare(x, v)) }
	case bool:
		t.flag = func(x float64) bool { return (x != 0) == v }
	case string:
		t.text = func(s cutText) verdict {
			if s.cut && strings.HasPrefix(v, s.text) {
				return unsure
			}
			return verdictOf(ordered(op, strings.Compare(s.text, v)))
		}
	}
}

// among sets the values of which the field is one.
func (t *test) among(values []any) {
	numbers, texts, flags := map[float64]bool{}, map[string]bool{}, map[bool]bool{}
	for _, v := range values {
		switch v := v.(type) {
		case float64:
			numbers[v] = true
		case string:
			texts[v] = true
		case bool:
			flags[v] = true
		}
	}
	if len(numbers) > 0 {
		t.number = func(x float64) bool { return numbers[x] }
	}
	if len(flags) > 0 {
		t.flag = func(x float64) bool { return flags[x != 0] }
	}
	if len(texts) > 0 {
		t.text = func(s cutText) verdict {
			if !s.cut {
				return verdictOf(texts[s.text])
			}
			for v := range texts {
				if strings.HasPrefix(v, s.text) {
					return unsure
				}
			}
			return no
		}
	}
}

// ordered reports whether a comparison that gave c holds. "!=" is the Equal of
// a test that differs.
func ordered(op solera.Op, c int) bool {
	switch op {
	case solera.Less:
		return c < 0
	case solera.LessEqual:
		return c <= 0
	case solera.Greater:
		return c > 0
	case solera.GreaterEqual:
		return c >= 0
	}
	return c == 0
}

// holds tries the test on what one run has. Whatever a cut text does not
// decide is undecided.
func (t *test) holds(row fieldRow) (holds, undecided bool) {
	switch t.op {
	case solera.Not:
		holds, undecided = t.args[0].holds(row)
		return !holds, undecided
	case solera.And, solera.Or:
		// Every argument is tried: one may decide what another does not.
		holds = t.op == solera.And
		for _, arg := range t.args {
			h, u := arg.holds(row)
			if !u && h != (t.op == solera.And) {
				return h, false
			}
			undecided = undecided || u
		}
		return holds, undecided
	case solera.Exists:
		return len(row[t.field]) > 0, false
	}
	kinds := false
	for _, v := range row[t.field] {
		result := no
		switch {
		case v.kind == numberValue && t.number != nil:
			kinds, result = true, verdictOf(t.number(v.num))
		case v.kind == flagValue && t.flag != nil:
			kinds, result = true, verdictOf(t.flag(v.num))
		case v.kind == textValue && t.text != nil:
			kinds, result = true, t.text(cutText{v.text, v.cut})
		}
		switch result {
		case yes:
			return !t.differs, false
		case unsure:
			undecided = true
		}
	}
	return t.differs && kinds, undecided
}

// fields adds the fields that the test asks for.
func (t *test) fields(want map[string]bool) {
	if t.field != "" {
		want[t.field] = true
	}
	for _, arg := range t.args {
		arg.fields(want)
	}
}

// slots tries the test on a chunk. columns returns the column of a field, or
// nil. The runs in unsure could not be decided.
func (t *test) slots(columns func(field string) *column) (holds, undecided slotSet) {
	switch t.op {
	case solera.Not:
		holds, undecided = t.args[0].slots(columns)
		for i := range holds {
			holds[i] = ^holds[i] &^ undecided[i]
		}
		return holds, undecided
	case solera.And, solera.Or:
		and := t.op == solera.And
		var against slotSet // decided against every argument, or for one
		for i, arg := range t.args {
			h, u := arg.slots(columns)
			for w := range h {
				fails := ^h[w] &^ u[w]
				switch {
				case i == 0:
					holds[w], against[w] = h[w], fails
				case and:
					holds[w], against[w] = holds[w]&h[w], against[w]|fails
				default:
					holds[w], against[w] = holds[w]|h[w], against[w]&fails
				}
			}
		}
		for w := range holds {
			undecided[w] = ^(holds[w] | against[w])
		}
		return holds, undecided
	}
	c := columns(t.field)
	if c == nil {
		return holds, undecided
	}
	if t.op == solera.Exists {
		mark(&c.numbers, &holds)
		mark(&c.texts, &holds)
		mark(&c.flags, &holds)
		return holds, undecided
	}
	try(&c.numbers, t.number, &holds)
	try(&c.flags, t.flag, &holds)
	if t.text != nil {
		try(&c.texts, func(s cutText) bool { return t.text(s) == yes }, &holds)
		try(&c.texts, func(s cutText) bool { return t.text(s) == unsure }, &undecided)
	}
	for w := range holds {
		undecided[w] &^= holds[w]
	}
	if t.differs {
		var kinds slotSet
		if t.number != nil {
			mark(&c.numbers, &kinds)
		}
		if t.text != nil {
			mark(&c.texts, &kinds)
		}
		if t.flag != nil {
			mark(&c.flags, &kinds)
		}
		for w := range holds {
			holds[w] = kinds[w] &^ holds[w] &^ undecided[w]
		}
	}
	return holds, undecided
}

func mark[T any](s *section[T], set *slotSet) {
	for _, slot := range s.slots {
		set.add(int(slot))
	}
}

// try adds the slots with a value that passes. A value of the dictionary is
// tried once, however many runs have it.
func try[T any](s *section[T], passes func(T) bool, set *slotSet) {
	if passes == nil || len(s.slots) == 0 {
		return
	}
	if s.codes == nil {
		for i, slot := range s.slots {
			if passes(s.dict[i]) {
				set.add(int(slot))
			}
		}
		return
	}
	passed := make([]bool, len(s.dict))
	for i, v := range s.dict {
		passed[i] = passes(v)
	}
	for i, slot := range s.slots {
		if passed[s.codes[i]] {
			set.add(int(slot))
		}
	}
}

// A pattern is a LIKE: % is any text, _ any character, letters match in either
// case.
type pattern []rune

// Of a pattern; no text has them.
const (
	anyText      rune = -1
	anyCharacter rune = -2
)

func newPattern(s string) pattern {
	p := make(pattern, 0, len(s))
	for _, c := range s {
		switch c {
		case '%':
			if len(p) > 0 && p[len(p)-1] == anyText {
				continue
			}
			c = anyText
		case '_':
			c = anyCharacter
		default:
			c = fold(c)
		}
		p = append(p, c)
	}
	return p
}

// fold returns the same for all cases of a letter.
func fold(c rune) rune {
	if c < utf8.RuneSelf {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}
	least := c
	for next := unicode.SimpleFold(c); next != c; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	if 'A' <= least && least <= 'Z' {
		return least + 'a' - 'A'
	}
	return least
}

// match takes time of the order of the text's length times the pattern's.
func (p pattern) match(s string) bool {
	i := 0               // of the pattern
	again, from := -1, 0 // where the last % stands, and where the text it took ends
	for pos := 0; pos <= len(s); {
		if i < len(p) && p[i] == anyText {
			again, from = i, pos
			i++
			continue
		}
		if pos == len(s) {
			return i == len(p)
		}
		c, n := utf8.DecodeRuneInString(s[pos:])
		if i < len(p) && (p[i] == anyCharacter || p[i] == fold(c)) {
			i++
			pos += n
			continue
		}
		if again < 0 {
			return false
		}
		_, n = utf8.DecodeRuneInString(s[from:])
		from += n
		i, pos = again+1, from
	}
	return false
}

// A selection is the runs that a query chooses, before they are sorted.
type selection struct {
	t       *tx
	columns map[string]map[int64]*column // by field and chunk; a field that was read is there
	tail    map[int64]fieldRow           // by number of the run
	chunks  []int64
	chosen  map[int64]*slotSet // by chunk
}

// selectRuns finds the runs that q chooses, whatever its order and limit.
func (t *tx) selectRuns(q solera.RunQuery) (*selection, error) {
	now, err := t.Now()
	if err != nil {
		return nil, err
	}
	where, err := compile(q.Where, now)
	if err != nil {
		return nil, err
	}
	// What has a project is a run; a removed one has nothing.
	all := &test{op: solera.And, args: []*test{exists("project")}}
	for _, equal := range [][2]string{
		{"project", q.Project}, {"stage", q.Stage}, {"experiment", q.Experiment}, {"group", q.Group}, {"sweep", q.Sweep}, {"state", string(q.State)},
	} {
		if equal[1] != "" {
			all.args = append(all.args, equalText(equal[0], equal[1]))
		}
	}
	if !q.Deleted {
		all.args = append(all.args, &test{op: solera.Not, args: []*test{exists(deletedField)}})
	}
	if where != nil {
		all.args = append(all.args, where)
	}
	want := map[string]bool{"created": true, "id": true}
	all.fields(want)
	for _, order := range q.Order {
		if err := solera.CheckField(order.Field); err != nil {
			return nil, fmt.Errorf("order: %w", err)
		}
		want[columnName(order.Field)] = true
	}
	s := &selection{t: t, columns: make(map[string]map[int64]*column), tail: make(map[int64]fieldRow), chosen: make(map[int64]*slotSet)}
	if err := t.tail(want, func(seq int64, row fieldRow) { s.tail[seq] = row }); err != nil {
		return nil, err
	}
	read := make(map[string]bool)
	all.fields(read)
	for field := range read {
		if err := s.read(field); err != nil {
			return nil, err
		}
	}
	if err := s.choose(all); err != nil {
		return nil, err
	}
	return s, s.restrict(q.Recipe)
}

// read reads the columns of a field.
func (s *selection) read(field string) error {
	if s.columns[field] != nil {
		return nil
	}
	columns := make(map[int64]*column)
	err := s.t.rows(func(scan func(...any) error) error {
		var chunk int64
		var raw []byte
		if err := scan(&chunk, &raw); err != nil {
			return err
		}
		c, err := readColumn(raw)
		if err != nil {
			return fmt.Errorf("%w (%s, %d)", err, field, chunk)
		}
		columns[chunk] = c
		return nil
	}, `SELECT chunk, data FROM run_columns WHERE field = $1`, field)
	s.columns[field] = columns
	return err
}

// choose tries a condition on every run.
func (s *selection) choose(all *test) error {
	chunks := make(map[int64]bool)
	for chunk := range s.columns["project"] {
		chunks[chunk] = true
	}
	for seq := range s.tail {
		chunks[seq/chunkRuns] = true
	}
	s.chunks = slices.Sorted(maps.Keys(chunks))
	var unsure []int64
	for _, chunk := range s.chunks {
		holds, undecided := all.slots(func(field string) *column { return s.columns[field][chunk] })
		s.chosen[chunk] = &holds
		undecided.each(func(slot int) {
			if seq := chunk*chunkRuns + int64(slot); s.tail[seq] == nil {
				unsure = append(unsure, seq)
			}
		})
	}
	for seq := range s.tail {
		holds, undecided := all.holds(s.whole(seq))
		s.decide(seq, holds && !undecided)
		if undecided {
			unsure = append(unsure, seq)
		}
	}
	return s.look(unsure, all)
}

// whole returns what a run of the tail has at the fields that were read.
func (s *selection) whole(seq int64) fieldRow {
	row := maps.Clone(s.tail[seq])
	for field, columns := range s.columns {
		if _, named := row[field]; named {
			continue
		}
		if c := columns[seq/chunkRuns]; c != nil {
			row[field] = c.valuesAt(uint16(seq % chunkRuns))
		}
	}
	return row
}

func (s *selection) decide(seq int64, holds bool) {
	set := s.chosen[seq/chunkRuns]
	if holds {
		set.add(int(seq % chunkRuns))
	} else {
		set.remove(int(seq % chunkRuns))
	}
}

// look decides runs by their records, because a text is longer than what the
// index has of it.
func (s *selection) look(unsure []int64, all *test) error {
	return s.t.bySeq(unsure, indexedColumns, func(seq *int64, scan func(...any) error) error {
		r, err := scanIndexed(scan)
		if err != nil {
			return err
		}
		holds, _ := all.holds(rowOf(r, math.MaxInt))
		s.decide(*seq, holds)
		return nil
	})
}

// restrict keeps the runs of a recipe, unless it is zero.
func (s *selection) restrict(recipe solera.Digest) error {
	if recipe.IsZero() {
		return nil
	}
	kept := make(map[int64]*slotSet)
	for _, chunk := range s.chunks {
		kept[chunk] = &slotSet{}
	}
	err := s.t.rows(func(scan func(...any) error) error {
		var seq int64
		if err := scan(&seq); err != nil {
			return err
		}
		if set := s.chosen[seq/chunkRuns]; set != nil && set.has(int(seq%chunkRuns)) {
			kept[seq/chunkRuns].add(int(seq % chunkRuns))
		}
		return nil
	}, `SELECT seq FROM runs WHERE recipe = $1`, recipe.String())
	s.chosen = kept
	return err
}

// bySeq calls fn for the runs of the given numbers with a scan of the given
// columns, in no particular order. The scan sets *seq.
func (t *tx) bySeq(numbers []int64, columns string, fn func(seq *int64, scan func(...any) error) error) error {
	for part := range slices.Chunk(numbers, 500) {
		args := make([]any, len(part))
		for i, seq := range part {
			args[i] = seq
		}
		err := t.rows(func(scan func(...any) error) error {
			var seq int64
			return fn(&seq, func(dest ...any) error { return scan(append([]any{&seq}, dest...)...) })
		}, `SELECT seq, `+columns+` FROM runs WHERE seq IN (`+placeholders(len(part))+`)`, args...)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *selection) count() int {
	n := 0
	for _, set := range s.chosen {
		n += set.count()
	}
	return n
}

// A rank is by what a run is sorted at one field.
type rank struct {
	kind valueKind // noValue = the run lacks the field
	num  float64
	text string
}

// better returns the value by which a run with several is sorted: the first
// kind there is, and of it the least, or the most if they go down.
func (r rank) better(v value, down bool) rank {
	with := rank{v.kind, v.num, v.text}
	switch {
	case with.kind != r.kind:
		if with.kind < r.kind {
			return with
		}
		return r
	case (with.compare(r) < 0) != down:
		return with
	}
	return r
}

func (r rank) compare(s rank) int {
	if r.kind == textValue {
		return strings.Compare(r.text, s.text)
	}
	return cmp.Compare(r.num, s.num)
}

// ranks returns the ranks at a field of the runs with the given numbers, which
// are sorted.
func (s *selection) ranks(field string, down bool, numbers []int64) ([]rank, error) {
	if err := s.read(field); err != nil {
		return nil, err
	}
	list := make([]rank, len(numbers))
	for i := range list {
		list[i].kind = noValue
	}
	for first := 0; first < len(numbers); {
		chunk := numbers[first] / chunkRuns
		last := first
		var place [chunkRuns]int32 // of the slot in list, + 1
		for ; last < len(numbers) && numbers[last]/chunkRuns == chunk; last++ {
			if _, named := s.tail[numbers[last]][field]; !named {
				place[numbers[last]%chunkRuns] = int32(last) + 1
			}
		}
		if c := s.columns[field][chunk]; c != nil {
			better := func(slot uint16, v value) {
				if at := place[slot]; at > 0 {
					list[at-1] = list[at-1].better(v, down)
				}
			}
			for i, slot := range c.numbers.slots {
				better(slot, value{kind: numberValue, num: c.numbers.at(i)})
			}
			for i, slot := range c.texts.slots {
				better(slot, value{kind: textValue, text: c.texts.at(i).text})
			}
			for i, slot := range c.flags.slots {
				better(slot, value{kind: flagValue, num: c.flags.at(i)})
			}
		}
		first = last
	}
	for i, seq := range numbers {
		for _, v := range s.tail[seq][field] {
			list[i] = list[i].better(v, down)
		}
	}
	return list, nil
}

// page returns the numbers of the runs of q's page, in order.
func (s *selection) page(q solera.RunQuery) ([]int64, error) {
	numbers := make([]int64, 0, s.count())
	for _, chunk := range s.chunks {
		s.chosen[chunk].each(func(slot int) { numbers = append(numbers, chunk*chunkRuns+int64(slot)) })
	}
	// At last by Created and by ID, the newest first: no two are equal.
	order := append(slices.Clone(q.Order), solera.RunOrder{Field: "created", Descending: true})
	ranks := make([][]rank, len(order))
	for i, o := range order {
		var err error
		if ranks[i], err = s.ranks(columnName(o.Field), o.Descending, numbers); err != nil {
			return nil, err
		}
	}
	var ids []rank // read when something depends on them: they are the longest column
	var failure error
	compare := func(a, b int32) int {
		for i, o := range order {
			ra, rb := &ranks[i][a], &ranks[i][b]
			c := cmp.Compare(ra.kind, rb.kind)
			if c == 0 && ra.kind != noValue {
				if c = ra.compare(*rb); o.Descending {
					c = -c
				}
			}
			if c != 0 {
				return c
			}
		}
		if ids == nil && failure == nil {
			if ids, failure = s.ranks("id", true, numbers); failure != nil {
				return 0
			}
		}
		if failure != nil {
			return 0
		}
		return ids[b].compare(ids[a])
	}
	first := min(q.Offset, len(numbers))
	last := len(numbers)
	if q.Limit > 0 {
		last = min(last, first+q.Limit)
	}
	sorted := firstOf(len(numbers), last, compare)
	page := make([]int64, 0, last-first)
	for _, at := range sorted[first:last] {
		page = append(page, numbers[at])
	}
	return page, failure
}

// firstOf returns the first k of 0 … n-1 in the order of compare. When k is
// small, most numbers are compared once.
func firstOf(n, k int, compare func(a, b int32) int) []int32 {
	if k > n/4 {
		all := make([]int32, n)
		for i := range all {
			all[i] = int32(i)
		}
		slices.SortFunc(all, compare)
		return all[:k]
	}
	// Of the best so far, twice as many as are asked for are kept at most;
	// whenever there are that many, the worse half goes.
	kept := make([]int32, 0, 2*k)
	var worst int32 = -1
	for i := range int32(n) {
		if k == 0 || worst >= 0 && compare(i, worst) > 0 {
			continue
		}
		if kept = append(kept, i); len(kept) == 2*k {
			slices.SortFunc(kept, compare)
			kept = kept[:k]
			worst = kept[k-1]
		}
	}
	slices.SortFunc(kept, compare)
	return kept[:min(k, len(kept))]
}
