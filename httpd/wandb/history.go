package wandb

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// Reading a history: the points and items of a run, put together again as rows.
// It is read key by key, as a store keeps it.

const (
	samplesUnsaid = 500
	maxSamples    = 100_000
	// What is read to answer one request.
	maxCells = 20_000_000
)

// A history is the rows of a run.
type history struct {
	sp  *space
	run solera.RunID
}

// recorderOf is the run that has the points: the run, or the one that it reused.
func recorderOf(run solera.Run) solera.RunID {
	if run.ReuseOf != "" {
		return run.ReuseOf
	}
	return run.ID
}

// numberOf returns the number that a record has.
func numberOf(v any) (float64, bool) {
	switch v := v.(type) {
	case json.Number:
		x, err := v.Float64()
		return x, err == nil
	case float64:
		return v, true
	case int64:
		return float64(v), true
	case int:
		return float64(v), true
	}
	return 0, false
}

// keys returns the keys of the history: those of numbers, and those of other
// values.
func (h *history) keys(ctx context.Context) (numbers, others []string, err error) {
	return historyKeysOf(ctx, h.sp, h.run)
}

// value is one cell: a number, or JSON.
type value struct {
	x    float64
	json json.RawMessage // nil for a number
}

// column is the values of one key by step.
type column struct {
	key    string
	values map[int64]value
}

// column reads one key in a range of steps.
func (h *history) column(ctx context.Context, key string, number, other bool, steps solera.StepRange) (column, map[int64]solera.Micros, error) {
	c := column{key: key, values: map[int64]value{}}
	times := map[int64]solera.Micros{}
	if number {
		points, err := h.sp.t.Store.Series(ctx, solera.SeriesQuery{Run: h.run, Key: key, Steps: &steps})
		if err != nil {
			return column{}, nil, err
		}
		for _, q := range points { // of one step the last counts
			c.values[q.Step] = value{x: q.Value}
			times[q.Step] = q.Time
		}
	}
	if other {
		items, err := h.sp.t.Store.Items(ctx, solera.ItemQuery{Run: h.run, Key: key, Steps: &steps})
		if err != nil {
			return column{}, nil, err
		}
		for _, q := range items {
			if have, ok := c.values[q.Step]; ok && have.json == nil && times[q.Step] > q.Time {
				continue
			}
			c.values[q.Step] = value{json: q.Value}
			times[q.Step] = q.Time
		}
	}
	return c, times, nil
}

// frame is a part of a history.
type frame struct {
	steps   []int64
	times   []solera.Micros
	columns []column
}

// read returns the rows in a range of steps, of some keys (nil = all), thinned
// to so many rows (0 = all). all asks for rows that have every key, otherwise
// one is enough.
func (h *history) read(ctx context.Context, want []string, steps solera.StepRange, samples int, all bool) (frame, error) {
	numbers, others, err := h.keys(ctx)
	if err != nil {
		return frame{}, err
	}
	known := slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(numbers), others...))))
	keys := known
	if want != nil {
		keys = nil
		for _, key := range want {
			switch {
			case key == stepKey || key == timeKey:
			case slices.Contains(known, key):
				if !slices.Contains(keys, key) {
					keys = append(keys, key)
				}
			case all: // no row has it
				return frame{}, nil
			}
		}
		if len(keys) == 0 { // only steps, or times: of every row
			keys, all = known, false
		}
	}
	var f frame
	at := map[int64]solera.Micros{}
	count := map[int64]int{}
	cells := 0
	for _, key := range keys {
		_, isNumber := slices.BinarySearch(numbers, key)
		_, isOther := slices.BinarySearch(others, key)
		c, times, err := h.column(ctx, key, isNumber, isOther, steps)
		if err != nil {
			return frame{}, err
		}
		if cells += len(c.values); cells > maxCells {
			return frame{}, fmt.Errorf("%w: the history has more than %d values; ask for fewer keys or steps", solera.ErrInvalid, maxCells)
		}
		for step := range c.values {
			count[step]++
			at[step] = max(at[step], times[step])
		}
		f.columns = append(f.columns, c)
	}
	for step, n := range count {
		if !all || n == len(keys) {
			f.steps = append(f.steps, step)
		}
	}
	slices.Sort(f.steps)
	f.steps = thin(f.steps, samples)
	for _, step := range f.steps {
		f.times = append(f.times, at[step])
	}
	if want != nil { // only what was asked for
		f.columns = slices.DeleteFunc(f.columns, func(c column) bool { return !slices.Contains(want, c.key) })
	}
	return f, nil
}

// thin keeps at most n of a list, evenly, the first and the last among them. It
// gives the same each time.
func thin(list []int64, n int) []int64 {
	switch {
	case n <= 0 || len(list) <= n:
		return list
	case n == 1:
		return list[len(list)-1:]
	}
	out := make([]int64, n)
	for i := range out {
		out[i] = list[i*(len(list)-1)/(n-1)]
	}
	return out
}

// row writes one row as JSON; strict has texts where JSON lacks a number.
func (f *frame) row(i int, strict bool, times bool) string {
	b := []byte(`{"_step":`)
	b = strconv.AppendInt(b, f.steps[i], 10)
	if times {
		b = append(b, `,"_timestamp":`...)
		b = strconv.AppendFloat(b, float64(f.times[i])/1e6, 'f', -1, 64)
	}
	for _, c := range f.columns {
		v, ok := c.values[f.steps[i]]
		if !ok {
			continue
		}
		b = append(b, ',')
		b = append(b, encodeJSON(c.key)...)
		b = append(b, ':')
		b = appendValue(b, v, strict)
	}
	return string(append(b, '}'))
}

func appendValue(b []byte, v value, strict bool) []byte {
	switch {
	case v.json != nil:
		return append(b, v.json...)
	case math.IsNaN(v.x) || math.IsInf(v.x, 0):
		if strict {
			return append(b, encodeJSON(v.x)...)
		}
		return append(b, plain(v.x).(string)...)
	case v.x == math.Trunc(v.x) && math.Abs(v.x) < 1e15:
		return strconv.AppendFloat(b, v.x, 'f', -1, 64)
	}
	return strconv.AppendFloat(b, v.x, 'g', -1, 64)
}

func everyStep() solera.StepRange { return solera.StepRange{From: math.MinInt64, To: math.MaxInt64} }

// historyFields are the fields of a run that tell its history.
func (s *service) historyFields(c *call, sp *space, run solera.Run) fields {
	own := recorderOf(run)
	h := &history{sp, own}
	return fields{
		// Rows as JSON texts; the last step is not included.
		"history": resolver(func(a *args) (any, error) {
			steps := solera.StepRange{From: a.Int("minStep", math.MinInt64), To: a.Int("maxStep", math.MaxInt64)}
			if steps.To != math.MaxInt64 {
				steps.To--
			}
			samples := samplesOf(a.Int("samples", 0), a.Has("maxStep"))
			if err := a.Err(); err != nil {
				return nil, err
			}
			f, err := h.read(c.ctx, nil, steps, samples, false)
			if err != nil {
				return nil, err
			}
			rows := make([]string, len(f.steps))
			for i := range rows {
				rows[i] = f.row(i, false, true)
			}
			return rows, nil
		}),
		"sampledHistory": resolver(func(a *args) (any, error) {
			specs, err := samplingOf(a)
			if err != nil {
				return nil, err
			}
			var out []any
			for _, spec := range specs {
				rows, err := spec.read(c.ctx, h)
				if err != nil {
					return nil, err
				}
				out = append(out, rows)
			}
			if out == nil {
				out = []any{}
			}
			return out, nil
		}),
		"parquetHistory": resolver(func(*args) (any, error) { return s.parquetHistory(c, sp, run) }),
		"historyKeys":    lazy(func() (any, error) { return s.historyKeys(c.ctx, sp, run) }),
		"historyLineCount": lazy(func() (any, error) {
			n, err := s.lineCount(c, sp, run, historySource)
			if n > 0 || err != nil || tracking.IsRemote(run) {
				return n, err
			}
			// A run that no client of this dialect wrote.
			numbers, _, err := historyKeysOf(c.ctx, sp, own)
			if err != nil || len(numbers) == 0 {
				return n, err
			}
			// Its metrics are recorded together, so that each has a value a row.
			series, err := sp.t.Store.Series(c.ctx, solera.SeriesQuery{Run: own, Key: numbers[0]})
			return int64(len(series)), err
		}),
		"eventsLineCount": lazy(func() (any, error) { return s.lineCount(c, sp, run, eventsSource) }),
		"logLineCount":    lazy(func() (any, error) { return lastLine(c.ctx, sp, own) }),
		"historyTail": lazy(func() (any, error) {
			last, err := lastStep(c.ctx, sp, own)
			if err != nil || last < 0 {
				return "[]", err
			}
			f, err := h.read(c.ctx, nil, solera.StepRange{From: last, To: last}, 0, false)
			if err != nil || len(f.steps) == 0 {
				return "[]", err
			}
			return string(encodeJSON([]any{f.row(0, false, true)})), nil
		}),
		"eventsTail": lazy(func() (any, error) {
			rows, err := s.events(c.ctx, sp, own, 1)
			if err != nil || len(rows) == 0 {
				return "[]", err
			}
			return string(encodeJSON([]any{rows[len(rows)-1]})), nil
		}),
		"events": resolver(func(a *args) (any, error) {
			samples := samplesOf(a.Int("samples", samplesUnsaid), false)
			if err := a.Err(); err != nil {
				return nil, err
			}
			rows, err := s.events(c.ctx, sp, own, samples)
			if rows == nil {
				rows = []string{}
			}
			return rows, err
		}),
		"systemMetrics": lazy(func() (any, error) { return s.systemMetrics(c.ctx, sp, own) }),
	}
}

func samplesOf(n int64, ranged bool) int {
	if n <= 0 {
		if ranged {
			return maxSamples
		}
		return samplesUnsaid
	}
	return int(min(n, maxSamples))
}

// lineCount returns how many lines of a source the client has sent.
func (s *service) lineCount(c *call, sp *space, run solera.Run, source string) (int64, error) {
	n, err := sp.t.Store.Position(c.ctx, run.ID, source)
	if err != nil || n > 0 {
		return n, err
	}
	if source == historySource && c.header.Get("X-Wandb-Use-Async-Filestream") == "true" {
		// The lines of all writers: each has a step of its own.
		return s.nextStep(c.ctx, sp, run.ID)
	}
	return 0, nil
}

// sampling says what a client wants of a history.
type sampling struct {
	keys    []string
	steps   solera.StepRange
	samples int
}

func samplingOf(a *args) ([]sampling, error) {
	var out []sampling
	for _, text := range a.Texts("specs") {
		v, err := decode([]byte(text))
		m, ok := v.(map[string]any)
		if err != nil || !ok {
			return nil, fmt.Errorf("%w: specs: want texts that hold JSON objects", solera.ErrInvalid)
		}
		spec := &args{values: m, path: "specs.", err: a.err}
		s := sampling{
			keys:  spec.Texts("keys"),
			steps: solera.StepRange{From: spec.Int("minStep", math.MinInt64), To: spec.Int("maxStep", math.MaxInt64)},
		}
		samples := spec.Int("samples", 0)
		s.samples = samplesOf(samples, spec.Has("maxStep"))
		// Clients before 0.27 mean the steps before maxStep, and ask for as many rows;
		// later ones mean maxStep too, and ask for one row more.
		if spec.Has("minStep") && spec.Has("maxStep") && samples > 0 && s.steps.To-s.steps.From == samples {
			s.steps.To--
		}
		out = append(out, s)
		if len(out) > 1000 {
			return nil, fmt.Errorf("%w: specs: at most 1000 are read at once", solera.ErrInvalid)
		}
	}
	return out, a.Err()
}

// read returns the rows that have all keys as a list of objects.
func (s sampling) read(ctx context.Context, h *history) (json.RawMessage, error) {
	if len(s.keys) == 0 {
		return json.RawMessage("[]"), nil
	}
	f, err := h.read(ctx, s.keys, s.steps, s.samples, true)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range f.steps {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(f.row(i, true, slices.Contains(s.keys, timeKey)))
	}
	b.WriteByte(']')
	return b.Bytes(), nil
}

// lastStep returns the largest step of a run's history, -1 if it has none.
func lastStep(ctx context.Context, sp *space, run solera.RunID) (int64, error) {
	numbers, others, err := historyKeysOf(ctx, sp, run)
	if err != nil {
		return 0, err
	}
	if slices.Contains(numbers, runtimeKey) {
		numbers = []string{runtimeKey} // every row of a client has it
	}
	last := int64(-1)
	for _, key := range numbers {
		ends, err := sp.t.Store.Series(ctx, solera.SeriesQuery{Run: run, Key: key, Pixels: 1})
		if err != nil {
			return 0, err
		}
		for _, p := range ends {
			last = max(last, p.Step)
		}
	}
	for _, key := range others {
		items, err := sp.t.Store.Items(ctx, solera.ItemQuery{Run: run, Key: key, Steps: &solera.StepRange{From: last + 1, To: math.MaxInt64}})
		if err != nil {
			return 0, err
		}
		for _, i := range items {
			last = max(last, i.Step)
		}
	}
	return last, nil
}

// historyKeys tells the keys of a history, how often each was recorded, and its
// last value.
func (s *service) historyKeys(ctx context.Context, sp *space, run solera.Run) (json.RawMessage, error) {
	h := &history{sp, recorderOf(run)}
	f, err := h.read(ctx, nil, everyStep(), 0, false)
	if err != nil {
		return nil, err
	}
	keys := map[string]any{}
	last := int64(-1)
	if n := len(f.steps); n > 0 {
		last = f.steps[n-1]
	}
	add := func(key, kind string, count int, previous json.RawMessage, monotonic bool) {
		keys[key] = map[string]any{
			"typeCounts": []any{map[string]any{"type": kind, "count": int64(count)}}, "monotonic": monotonic, "previousValue": previous,
		}
	}
	for _, c := range f.columns {
		steps := slices.Sorted(maps.Keys(c.values))
		if len(steps) == 0 {
			continue
		}
		v := c.values[steps[len(steps)-1]]
		add(c.key, kindOfValue(v), len(steps), appendValue(nil, v, true), false)
	}
	if n := len(f.steps); n > 0 {
		add(stepKey, "number", n, encodeJSON(last), true)
		add(timeKey, "number", n, encodeJSON(float64(f.times[n-1])/1e6), true)
	}
	return encodeJSON(map[string]any{"lastStep": last, "sets": []any{}, "keys": keys}), nil
}

func kindOfValue(v value) string {
	if v.json == nil {
		return "number"
	}
	switch v.json[0] {
	case '"':
		return "string"
	case '[':
		return "list"
	case '{':
		var m struct {
			Type string `json:"_type"`
		}
		if json.Unmarshal(v.json, &m) == nil && m.Type != "" {
			return m.Type
		}
		return "map"
	case 'n':
		return "nil"
	}
	return "boolean"
}

// events returns the load of the machine, as rows.
func (s *service) events(ctx context.Context, sp *space, run solera.RunID, samples int) ([]string, error) {
	keys, err := sp.t.Store.Keys(ctx, run)
	if err != nil {
		return nil, err
	}
	type event struct {
		at     solera.Micros
		values map[string]float64
	}
	rows := map[int64]*event{}
	for _, key := range keys {
		if isHistory(key) {
			continue
		}
		series, err := sp.t.Store.Series(ctx, solera.SeriesQuery{Run: run, Key: key})
		if err != nil {
			return nil, err
		}
		name := "system." + key[len(systemPrefix):]
		for _, p := range series {
			e := rows[p.Step]
			if e == nil {
				e = &event{values: map[string]float64{}}
				rows[p.Step] = e
			}
			e.values[name] = p.Value
			e.at = max(e.at, p.Time)
		}
	}
	var out []string
	for _, step := range thin(slices.Sorted(maps.Keys(rows)), samples) {
		e := rows[step]
		b := []byte(`{"_wandb":true,"_runtime":`)
		b = strconv.AppendInt(b, step, 10)
		b = append(b, `,"_timestamp":`...)
		b = strconv.AppendFloat(b, float64(e.at)/1e6, 'f', -1, 64)
		for _, name := range sortedKeys(e.values) {
			b = append(append(append(b, ','), encodeJSON(name)...), ':')
			b = appendValue(b, value{x: e.values[name]}, false)
		}
		out = append(out, string(append(b, '}')))
	}
	return out, nil
}

// systemMetrics tells the newest load of the machine as a JSON text.
func (s *service) systemMetrics(ctx context.Context, sp *space, run solera.RunID) (any, error) {
	keys, err := sp.t.Store.Keys(ctx, run)
	if err != nil {
		return nil, err
	}
	newest := map[string]any{}
	for _, key := range keys {
		if isHistory(key) {
			continue
		}
		ends, err := sp.t.Store.Series(ctx, solera.SeriesQuery{Run: run, Key: key, Pixels: 1})
		if err != nil {
			return nil, err
		}
		if n := len(ends); n > 0 {
			newest["system."+key[len(systemPrefix):]] = ends[n-1].Value
		}
	}
	return lenientJSON(newest), nil
}

// parquetHistory tells where the history of a run can be fetched as one file,
// if it has ended, and from which step on it has to be read by pages, if not.
func (s *service) parquetHistory(c *call, sp *space, run solera.Run) (any, error) {
	answer := func(urls []string, live ...object) object {
		if live == nil {
			live = []object{}
		}
		data := make([]any, len(live))
		for i, o := range live {
			data[i] = encodeJSON(map[string]any(o.fields))
		}
		return object{"ParquetHistory", fields{"parquetUrls": urls, "liveData": data}}
	}
	h := &history{sp, recorderOf(run)}
	tabular, first, err := h.tabular(c.ctx)
	if err != nil {
		return nil, err
	}
	if first == nil {
		return answer([]string{}), nil
	}
	if run.State.Ended() && tabular {
		url, err := c.downloadURL(sp, grant{Kind: "history", Target: []string{string(run.ID)}, Type: "application/vnd.apache.parquet"}, "history.parquet")
		if err != nil {
			return nil, err
		}
		return answer([]string{url}), nil
	}
	return answer([]string{}, object{"Row", fields{stepKey: *first}}), nil
}

// tabular reports whether every row of the history has every key, with numbers
// and texts alone, and its first step. Clients cannot tell a gap of a table from
// a null, and other values do not survive one.
func (h *history) tabular(ctx context.Context) (ok bool, first *int64, err error) {
	numbers, others, err := h.keys(ctx)
	if err != nil {
		return false, nil, err
	}
	ok = true
	var steps map[int64]value // of the first key
	for _, key := range slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(numbers), others...)))) {
		_, isNumber := slices.BinarySearch(numbers, key)
		_, isOther := slices.BinarySearch(others, key)
		c, _, err := h.column(ctx, key, isNumber, isOther, everyStep())
		if err != nil {
			return false, nil, err
		}
		if steps == nil {
			steps = c.values
		}
		ok = ok && isNumber != isOther && len(c.values) == len(steps)
		for step, v := range c.values {
			if first == nil || step < *first {
				first = &step
			}
			_, known := steps[step]
			ok = ok && known && (v.json == nil || v.json[0] == '"')
		}
	}
	return ok, first, nil
}

// openHistory makes the file that parquetHistory tells of.
func (s *service) openHistory(ctx context.Context, sp *space, g grant) (content, error) {
	if len(g.Target) != 1 {
		return content{}, fmt.Errorf("target: %w", solera.ErrInvalid)
	}
	run, err := sp.t.Run(ctx, solera.RunID(g.Target[0]))
	if err != nil {
		return content{}, err
	}
	h := &history{sp, recorderOf(run)}
	f, err := h.read(ctx, nil, everyStep(), 0, false)
	if err != nil {
		return content{}, err
	}
	raw, err := f.parquet()
	if err != nil {
		return content{}, fmt.Errorf("history of run %s as a file: %w", run.ID, err)
	}
	return content{ReadSeekCloser: nopCloser{bytes.NewReader(raw)}, etag: `"` + solera.DigestOf(raw).Hex() + `"`, changed: run.Finished.Time()}, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

// parquet writes the rows as a Parquet file: a column per key.
func (f *frame) parquet() ([]byte, error) {
	group := parquet.Group{
		stepKey: parquet.Leaf(parquet.Int64Type),
		timeKey: parquet.Leaf(parquet.DoubleType),
	}
	texts := map[string]bool{}
	for _, c := range f.columns {
		for _, v := range c.values {
			texts[c.key] = v.json != nil
			break
		}
		leaf := parquet.Leaf(parquet.DoubleType)
		if texts[c.key] {
			leaf = parquet.String()
		}
		group[c.key] = parquet.Optional(leaf)
	}
	columns := map[string]column{}
	for _, c := range f.columns {
		columns[c.key] = c
	}
	var b bytes.Buffer
	schema := parquet.NewSchema("history", group)
	w := parquet.NewGenericWriter[any](&b, schema, parquet.Compression(&parquet.Snappy))
	names := sortedKeys(map[string]parquet.Node(group)) // the order of columns in the file
	row := make(parquet.Row, len(names))
	rows := make([]parquet.Row, 1)
	for i, step := range f.steps {
		for j, name := range names {
			switch name {
			case stepKey:
				row[j] = parquet.Int64Value(step).Level(0, 0, j)
				continue
			case timeKey:
				row[j] = parquet.DoubleValue(float64(f.times[i])/1e6).Level(0, 0, j)
				continue
			}
			v, ok := columns[name].values[step]
			switch {
			case !ok:
				row[j] = parquet.NullValue().Level(0, 0, j)
			case v.json != nil:
				var text string
				if err := json.Unmarshal(v.json, &text); err != nil {
					return nil, err
				}
				row[j] = parquet.ByteArrayValue([]byte(text)).Level(0, 1, j)
			default:
				row[j] = parquet.DoubleValue(v.x).Level(0, 1, j)
			}
		}
		rows[0] = row
		if _, err := w.WriteRows(rows); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// lastLine returns the number of a run's last console line.
func lastLine(ctx context.Context, sp *space, run solera.RunID) (int64, error) {
	// Lines are numbered without gaps but for those that a client skipped, so the
	// last is found by doubling, then halving.
	some := func(after int64) (bool, error) {
		lines, err := sp.t.Store.Lines(ctx, run, after, 1)
		return len(lines) > 0, err
	}
	lo, hi := int64(0), int64(1)
	for {
		more, err := some(hi - 1)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		lo, hi = hi, hi*2
	}
	for lo < hi { // no line is after hi-1, or lo = 0
		mid := lo + (hi-lo)/2
		more, err := some(mid)
		if err != nil {
			return 0, err
		}
		if more {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo, nil
}
