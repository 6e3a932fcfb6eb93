package pipeline

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"path"
	"slices"
	"strconv"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// Kinds of [Difference].
const (
	FieldDiffers  = "field"   // a value of a JSON file or of the metadata; Name is its path
	TensorDiffers = "tensor"  // a value of a safetensors file; Name is the tensor, Index the value in it
	CellDiffers   = "cell"    // a value of a table; Name is the column, Index the row number
	ByteDiffers   = "byte"    // Index is the offset
	FileAdded     = "added"   // only the second version has the file
	FileRemoved   = "removed" // only the first version has the file
	FileUnknown   = "unknown" // the bytes of one of the two cannot be read; Before or After says why
)

// A Difference is a place where two versions of one artifact are not the same,
// said as closely as the file allows.
type Difference struct {
	File   string `json:"file"` // "" = the metadata or the type of the version
	Kind   string `json:"kind"`
	Name   string `json:"name"`   // "" where the kind has none, or the shape of the whole differs
	Index  int64  `json:"index"`  // -1 where the kind has none
	Before string `json:"before"` // in text, JSON for a field; "" = not there
	After  string `json:"after"`
	More   int    `json:"more"` // further files that differ
}

// String reads "weights.safetensors, 0.weight[17]: 0.25 → 0.5".
func (d Difference) String() string {
	where := d.File
	if where == "" {
		where = "metadata"
	}
	switch {
	case d.Kind == FileAdded:
		return where + ": added"
	case d.Kind == FileRemoved:
		return where + ": missing"
	case d.Kind == FieldDiffers && d.Name != "":
		where += ", " + d.Name
	case d.Kind == TensorDiffers && d.Index >= 0:
		where += fmt.Sprintf(", %s[%d]", d.Name, d.Index)
	case d.Kind == TensorDiffers:
		where += ", " + d.Name
	case d.Kind == CellDiffers && d.Index >= 0:
		where += fmt.Sprintf(", column %s, row %d", d.Name, d.Index)
	case d.Kind == CellDiffers && d.Name != "":
		where += ", column " + d.Name
	case d.Kind == ByteDiffers:
		where += fmt.Sprintf(", byte %d", d.Index)
	}
	value := func(s string) string {
		if s == "" {
			return "(none)"
		}
		return clip(s, 60)
	}
	return where + ": " + value(d.Before) + " → " + value(d.After)
}

// Differences compares the files of two versions by path, and then what is
// said of them; there is one Difference for each file, the first in it. It
// reads only files whose digests differ, and reads them again when asked again.
func Differences(ctx context.Context, before, after *tracking.Snapshot) ([]Difference, error) {
	var out []Difference
	for _, name := range changedFiles(before.Version, after.Version) {
		d, err := fileDifference(ctx, before, after, name)
		if err != nil {
			return nil, err
		}
		out = append(out, *d)
	}
	if d := aboutDifference(before.Version, after.Version); d != nil {
		out = append(out, *d)
	}
	return out, nil
}

// FirstDifference is the first of Differences, nil when there is none.
func FirstDifference(ctx context.Context, before, after *tracking.Snapshot) (*Difference, error) {
	names := changedFiles(before.Version, after.Version)
	if len(names) == 0 {
		return aboutDifference(before.Version, after.Version), nil
	}
	d, err := fileDifference(ctx, before, after, names[0])
	if err != nil {
		return nil, err
	}
	d.More = len(names) - 1
	return d, nil
}

// changedFiles lists the paths that the versions do not share, sorted.
func changedFiles(before, after solera.Version) []string {
	files := map[string][2]solera.Entry{}
	for _, e := range before.Files {
		files[e.Path] = [2]solera.Entry{e}
	}
	for _, e := range after.Files {
		files[e.Path] = [2]solera.Entry{files[e.Path][0], e}
	}
	maps.DeleteFunc(files, func(_ string, e [2]solera.Entry) bool { return e[0] == e[1] })
	return slices.Sorted(maps.Keys(files))
}

// aboutDifference compares type and metadata.
func aboutDifference(before, after solera.Version) *Difference {
	if before.Type != after.Type {
		return &Difference{Kind: FieldDiffers, Name: "type", Index: -1, Before: before.Type, After: after.Type}
	}
	a, err1 := before.Metadata.MarshalJSON()
	b, err2 := after.Metadata.MarshalJSON()
	if err1 != nil || err2 != nil {
		return nil // they came from the store, which holds no others
	}
	return jsonDifference(a, b)
}

// fileDifference returns the first difference of a file that at least one of
// the versions has, and whose contents differ.
func fileDifference(ctx context.Context, before, after *tracking.Snapshot, name string) (*Difference, error) {
	d := &Difference{File: name, Index: -1}
	a, hasA := before.File(name)
	b, hasB := after.File(name)
	switch {
	case !hasA:
		d.Kind = FileAdded
		return d, nil
	case !hasB:
		d.Kind = FileRemoved
		return d, nil
	}
	d.Kind = FileUnknown
	d.Before, d.After = a.Digest.String(), b.Digest.String()
	var files [2]*tracking.File
	for i, s := range []*tracking.Snapshot{before, after} {
		f, err := s.OpenFile(name)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if i == 0 {
				d.Before = err.Error()
			} else {
				d.After = err.Error()
			}
			return d, nil
		}
		defer f.Close()
		files[i] = f
	}
	compare := map[string]func(context.Context, string, [2]*tracking.File) (*Difference, error){
		".json": jsonFiles, ".safetensors": tensorFiles, ".parquet": tableFiles,
	}[path.Ext(name)]
	if compare != nil && max(a.Size, b.Size) <= closest {
		found, err := compare(ctx, name, files)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		// A file that is not what its name says is compared as bytes.
		if err == nil && found != nil {
			found.File = name
			return found, nil
		}
		for _, f := range files {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return nil, err
			}
		}
	}
	found, err := byteFiles(ctx, files)
	if err != nil {
		return nil, fmt.Errorf("compare %s of %s and %s: %w", name, before.Name(), after.Name(), err)
	}
	if found == nil {
		return d, nil
	}
	found.File = name
	return found, nil
}

// closest is the most bytes of a file that is compared as what it is: both are
// in memory then.
const closest = 2 << 30

func jsonFiles(_ context.Context, _ string, files [2]*tracking.File) (*Difference, error) {
	a, err := io.ReadAll(files[0])
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(files[1])
	if err != nil {
		return nil, err
	}
	return jsonDifference(a, b), nil
}

// jsonDifference returns the first value, by path, in which two JSON texts
// differ; nil if they mean the same, or one of them is none.
func jsonDifference(a, b []byte) *Difference {
	x, okX := decodeJSON(a)
	y, okY := decodeJSON(b)
	if !okX || !okY {
		return nil
	}
	return valueDifference("", x, y, 0)
}

func decodeJSON(b []byte) (any, bool) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, false
	}
	_, err := d.Token()
	return v, err == io.EOF
}

func valueDifference(at string, x, y any, depth int) *Difference {
	differ := func(before, after string) *Difference {
		return &Difference{Kind: FieldDiffers, Name: at, Index: -1, Before: before, After: after}
	}
	if depth > 200 {
		return nil // the bytes will tell
	}
	switch x := x.(type) {
	case map[string]any:
		y, ok := y.(map[string]any)
		if !ok {
			break
		}
		keys := maps.Clone(x)
		maps.Copy(keys, y)
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			inner := jsonPath(at, k)
			v, inX := x[k]
			w, inY := y[k]
			switch {
			case !inX:
				return &Difference{Kind: FieldDiffers, Name: inner, Index: -1, After: jsonText(w)}
			case !inY:
				return &Difference{Kind: FieldDiffers, Name: inner, Index: -1, Before: jsonText(v)}
			}
			if d := valueDifference(inner, v, w, depth+1); d != nil {
				return d
			}
		}
		return nil
	case []any:
		y, ok := y.([]any)
		if !ok {
			break
		}
		for i := range max(len(x), len(y)) {
			inner := fmt.Sprintf("%s[%d]", at, i)
			switch {
			case i >= len(x):
				return &Difference{Kind: FieldDiffers, Name: inner, Index: -1, After: jsonText(y[i])}
			case i >= len(y):
				return &Difference{Kind: FieldDiffers, Name: inner, Index: -1, Before: jsonText(x[i])}
			}
			if d := valueDifference(inner, x[i], y[i], depth+1); d != nil {
				return d
			}
		}
		return nil
	}
	if before, after := jsonText(x), jsonText(y); before != after {
		return differ(before, after)
	}
	return nil
}

// jsonPath reads val.per_class[2].recall; a key that is no plain word is
// quoted: scores["macro f1"].
func jsonPath(at, key string) string {
	plain := key != ""
	for _, r := range key {
		plain = plain && (r == '_' || r == '-' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z')
	}
	switch {
	case !plain:
		return at + "[" + strconv.Quote(key) + "]"
	case at == "":
		return key
	}
	return at + "." + key
}

// jsonText is a value's canonical JSON.
func jsonText(v any) string {
	b, err := solera.Fields{"": v}.MarshalJSON()
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(b[len(`{"":`) : len(b)-1])
}

func tensorFiles(_ context.Context, _ string, files [2]*tracking.File) (*Difference, error) {
	var tensors [2]map[string]nn.NamedTensor
	names := map[string]bool{}
	for i, f := range files {
		list, _, err := nn.ReadSafetensors(f, f.Size())
		if err != nil {
			return nil, err
		}
		tensors[i] = map[string]nn.NamedTensor{}
		for _, t := range list {
			tensors[i][t.Name] = t
			names[t.Name] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		a, inA := tensors[0][name]
		b, inB := tensors[1][name]
		d := &Difference{Kind: TensorDiffers, Name: name, Index: -1}
		if inA {
			d.Before = tensorForm(a)
		}
		if inB {
			d.After = tensorForm(b)
		}
		if d.Before != d.After {
			return d, nil
		}
		for i := range max(len(a.Data), len(a.Float64), len(a.Int64)) {
			var same bool
			switch {
			case a.Data != nil:
				same = math.Float32bits(a.Data[i]) == math.Float32bits(b.Data[i])
				d.Before, d.After = strconv.FormatFloat(float64(a.Data[i]), 'g', -1, 32), strconv.FormatFloat(float64(b.Data[i]), 'g', -1, 32)
			case a.Float64 != nil:
				same = math.Float64bits(a.Float64[i]) == math.Float64bits(b.Float64[i])
				d.Before, d.After = strconv.FormatFloat(a.Float64[i], 'g', -1, 64), strconv.FormatFloat(b.Float64[i], 'g', -1, 64)
			default:
				same = a.Int64[i] == b.Int64[i]
				d.Before, d.After = strconv.FormatInt(a.Int64[i], 10), strconv.FormatInt(b.Int64[i], 10)
			}
			if !same {
				d.Index = int64(i)
				return d, nil
			}
		}
	}
	return nil, nil
}

// tensorForm reads "F32 [64 13]".
func tensorForm(t nn.NamedTensor) string {
	kind := "F32"
	switch {
	case t.Float64 != nil:
		kind = "F64"
	case t.Int64 != nil:
		kind = "I64"
	}
	return fmt.Sprintf("%s %v", kind, t.Shape)
}

func tableFiles(ctx context.Context, name string, files [2]*tracking.File) (*Difference, error) {
	a, err := readTable(ctx, name, files[0], nil)
	if err != nil {
		return nil, err
	}
	b, err := readTable(ctx, name, files[1], nil)
	if err != nil {
		return nil, err
	}
	return tableDifference(a, b), nil
}

// readTable reads any Parquet file of ours: a table, or the matrix that
// preprocess makes of one.
func readTable(ctx context.Context, name string, f *tracking.File, types map[string]table.Kind) (*table.Table, error) {
	m, err := table.ReadMatrixParquet(ctx, name, f, f.Size())
	var other *solera.InputError
	if errors.As(err, &other) {
		return table.ReadParquet(ctx, name, f, f.Size(), table.Options{Types: types})
	}
	if err != nil {
		return nil, err
	}
	return matrixTable(m), nil
}

// matrixTable shows a preprocessed data set as the table that it was made from.
func matrixTable(m table.Matrix) *table.Table {
	t := &table.Table{RowNumbers: m.Rows}
	for j, name := range m.Names {
		c := &table.Column{Name: name, Kind: table.Number, Numbers: make([]float64, len(m.Rows))}
		for i := range c.Numbers {
			c.Numbers[i] = float64(m.X.Data[i*m.X.Stride+j])
		}
		t.Columns = append(t.Columns, c)
	}
	if m.Target != "" {
		t.Columns = append(t.Columns, &table.Column{Name: m.Target, Kind: table.Category, Codes: m.Y, Levels: m.Classes})
	}
	return t
}

// tableDifference returns the first cell, by row and then by column, in which
// two tables differ, or what of their shape does.
func tableDifference(a, b *table.Table) *Difference {
	differ := func(name string, row int64, before, after string) *Difference {
		return &Difference{Kind: CellDiffers, Name: name, Index: row, Before: before, After: after}
	}
	for i := range max(len(a.Columns), len(b.Columns)) {
		var x, y string
		name := ""
		if i < len(b.Columns) {
			name, y = b.Columns[i].Name, columnForm(b.Columns[i])
		}
		if i < len(a.Columns) {
			name, x = a.Columns[i].Name, columnForm(a.Columns[i])
		}
		if x != y {
			return differ(name, -1, x, y)
		}
	}
	first := &Difference{}
	n := min(a.Len(), b.Len()) // rows before the first difference
	for i := range n {
		if a.RowNumbers[i] != b.RowNumbers[i] {
			n, first = i, differ("row", a.RowNumbers[i], fmt.Sprint(a.RowNumbers[i]), fmt.Sprint(b.RowNumbers[i]))
		}
		if n <= i {
			break
		}
	}
	for j, c := range a.Columns {
		d := b.Columns[j]
		for i := range n {
			x, y := c.Text(i), d.Text(i)
			if x != y || c.Kind != table.Category && math.Float64bits(c.Numbers[i]) != math.Float64bits(d.Numbers[i]) {
				n, first = i, differ(c.Name, a.RowNumbers[i], x, y)
				break
			}
		}
	}
	switch {
	case first.Kind != "":
		return first
	case a.Len() != b.Len():
		return differ("", -1, rowsWord(a.Len()), rowsWord(b.Len()))
	}
	return nil
}

func rowsWord(n int) string {
	if n == 1 {
		return "1 row"
	}
	return fmt.Sprintf("%d rows", n)
}

func columnForm(c *table.Column) string { return fmt.Sprintf("%s (%s)", c.Name, c.Kind) }

// byteFiles returns the first byte in which two files differ, nil if none: then
// their manifests differ in what they say beside.
func byteFiles(ctx context.Context, files [2]*tracking.File) (*Difference, error) {
	a, b := bufio.NewReaderSize(files[0], 1<<16), bufio.NewReaderSize(files[1], 1<<16)
	for at := int64(0); ; at++ {
		if at&(1<<20-1) == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		x, errX := a.ReadByte()
		y, errY := b.ReadByte()
		for _, err := range []error{errX, errY} {
			if err != nil && err != io.EOF {
				return nil, err
			}
		}
		d := &Difference{Kind: ByteDiffers, Index: at}
		if errX == nil {
			d.Before = fmt.Sprintf("0x%02x", x)
		}
		if errY == nil {
			d.After = fmt.Sprintf("0x%02x", y)
		}
		switch {
		case errX != nil && errY != nil:
			return nil, nil
		case d.Before != d.After:
			return d, nil
		}
	}
}
