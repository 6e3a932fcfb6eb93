package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/nn"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// What is read of a file to show it. Larger ones are shown in part, or not.
const (
	mostTable   = 32 << 20
	mostTensors = 128 << 20
	mostJSON    = 1 << 20
	mostText    = 64 << 10
	mostCell    = 500 // bytes
	mostBins    = 20
	mostColumns = 1000
)

// A Preview shows what is in a file, as its kind says; what belongs to other
// kinds is empty.
type Preview struct {
	Kind    string          `json:"kind" enum:"table,json,text,tensors,binary"`
	Size    int64           `json:"size"`    // bytes of the file
	Large   bool            `json:"large"`   // too large to be shown, or to be shown whole
	Columns []PreviewColumn `json:"columns"` // table
	Rows    [][]any         `json:"rows"`
	Numbers []int64         `json:"numbers"` // of the rows, in the source
	Total   int             `json:"total"`   // rows
	Value   any             `json:"value"`   // json
	Text    string          `json:"text"`    // text
	Cut     bool            `json:"cut"`     // the text goes on
	Tensors []Tensor        `json:"tensors"` // tensors
}

// A PreviewColumn is a column of a table.
type PreviewColumn struct {
	Name      string       `json:"name"`
	Type      table.Kind   `json:"type" enum:"number,category,boolean,date"`
	Missing   int          `json:"missing"`
	Unique    int          `json:"unique"`
	Mean      *float64     `json:"mean"` // of numbers
	SD        *float64     `json:"sd"`
	Histogram *Histogram   `json:"histogram,omitempty"` // of numbers and dates (seconds since 1970)
	Top       []LevelCount `json:"top"`                 // of categories and booleans, the most frequent first
}

// A LevelCount is a value and the number of its rows.
type LevelCount struct {
	Value string `json:"value"`
	Count int    `json:"count"`
}

// A Histogram counts values between edges; there is one edge more than counts.
type Histogram struct {
	Edges  []float64 `json:"edges"`
	Counts []int     `json:"counts"`
}

// A Tensor is an array of weights.
type Tensor struct {
	Name      string     `json:"name"`
	Type      string     `json:"type" enum:"F32,F64,I64"`
	Shape     []int      `json:"shape"`
	Count     int        `json:"count"`
	Strange   int        `json:"strange"` // values that are NaN or infinite; the rest is of the others
	Mean      *float64   `json:"mean"`
	SD        *float64   `json:"sd"`
	Min       *float64   `json:"min"`
	Max       *float64   `json:"max"`
	Histogram *Histogram `json:"histogram,omitempty"`
}

// A tablePreview is a table that was read, and what its columns look like. It is
// not changed.
type tablePreview struct {
	table   *table.Table
	columns []PreviewColumn
}

func (s *service) previewRoutes() {
	add(s, route{
		method: http.MethodGet, path: "/artifacts/{project}/{name}/{version}/preview/{path...}", id: "preview-file",
		summary: "What is in a file of a version", tag: "artifacts", role: auth.Viewer,
	},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InVersionFile
			Rows   int `query:"rows" minimum:"0" maximum:"1000" doc:"of a table; 0 for 50"`
			Offset int `query:"offset" minimum:"0" maximum:"1000000000"`
		},
		) (*answer[Preview], error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			v, err := t.Version(ctx, ref)
			if err != nil {
				return nil, err
			}
			e, err := fileOf(v.Files, in.Path)
			if err != nil {
				return nil, err
			}
			rows := in.Rows
			if rows == 0 {
				rows = 50
			}
			p, err := s.preview(ctx, t, v, e, rows, in.Offset)
			if err != nil {
				return nil, err
			}
			p.Size = e.Size
			p.Columns, p.Rows, p.Numbers, p.Tensors = list(p.Columns), list(p.Rows), list(p.Numbers), list(p.Tensors)
			return &answer[Preview]{p}, nil
		})
}

// preview shows a file by the kind that its name promises, and as text or bytes
// where it does not keep that.
func (s *service) preview(ctx context.Context, t *tracking.Tracker, v solera.Version, e solera.Entry, rows, offset int) (Preview, error) {
	extension := strings.ToLower(path.Ext(strings.TrimSuffix(e.Path, ".gz")))
	switch extension {
	case ".parquet", ".csv", ".tsv", ".jsonl", ".ndjson":
		if e.Size > mostTable {
			if extension == ".parquet" {
				return Preview{Kind: "binary", Large: true}, nil
			}
			break
		}
		p, err := s.table(ctx, t, v, e)
		var fault *solera.InputError
		if errors.As(err, &fault) {
			break
		}
		if err != nil {
			return Preview{}, err
		}
		return p.page(rows, offset), nil
	case ".safetensors":
		if e.Size > mostTensors {
			return Preview{Kind: "binary", Large: true}, nil
		}
		return heavily(ctx, s, func() (Preview, error) { return previewTensors(ctx, t, e) })
	case ".json":
		if e.Size > mostJSON {
			break
		}
		content, err := beginning(ctx, t, e, mostJSON)
		if err != nil {
			return Preview{}, err
		}
		var value any
		d := json.NewDecoder(bytes.NewReader(content))
		d.UseNumber()
		if err := d.Decode(&value); err == nil {
			return Preview{Kind: "json", Value: value}, nil
		}
	}
	content, err := beginning(ctx, t, e, mostText)
	if err != nil {
		return Preview{}, err
	}
	text, ok := asText(content, int64(len(content)) < e.Size)
	if !ok {
		return Preview{Kind: "binary"}, nil
	}
	cut := int64(len(content)) < e.Size
	return Preview{Kind: "text", Text: text, Cut: cut, Large: cut}, nil
}

// beginning returns the first bytes of a file; those of a whole file are checked.
func beginning(ctx context.Context, t *tracking.Tracker, e solera.Entry, most int64) ([]byte, error) {
	r, err := t.OpenEntry(ctx, e)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, most))
}

// asText returns content as text, if it is. A character that the end cut in two
// is left out.
func asText(content []byte, cut bool) (string, bool) {
	if cut {
		for range utf8.UTFMax - 1 {
			if r, size := utf8.DecodeLastRune(content); r != utf8.RuneError || size != 1 {
				break
			}
			content = content[:len(content)-1]
		}
	}
	if !utf8.Valid(content) || bytes.IndexByte(content, 0) >= 0 {
		return "", false
	}
	return string(content), true
}

// table reads a table of a version, as its schema.json says.
func (s *service) table(ctx context.Context, t *tracking.Tracker, v solera.Version, e solera.Entry) (*tablePreview, error) {
	schema, _ := v.File("schema.json")
	key := e.Digest.String() + schema.Digest.String() + path.Ext(e.Path)
	return s.tables.get(within[string]{t.Store, key}, func() (*tablePreview, error) {
		return heavily(ctx, s, func() (*tablePreview, error) {
			snapshot := t.Snapshot(ctx, v)
			var types table.Schema
			if raw, err := snapshot.ReadFile("schema.json"); err == nil {
				_ = json.Unmarshal(raw, &types) // a foreign schema.json says nothing to us
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			f, err := t.OpenEntry(ctx, e)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			content, err := io.ReadAll(f)
			if err != nil {
				return nil, err
			}
			read, err := table.Read(ctx, v.Name()+"/"+e.Path, bytes.NewReader(content), table.Options{Types: types.Types()})
			if err != nil {
				return nil, err
			}
			return newTablePreview(read), nil
		})
	})
}

func newTablePreview(t *table.Table) *tablePreview {
	p := &tablePreview{table: t}
	for _, c := range t.Columns[:min(len(t.Columns), mostColumns)] {
		profile := c.Profile()
		column := PreviewColumn{
			Name: c.Name, Type: c.Kind, Missing: profile.Missing, Unique: profile.Distinct, Mean: profile.Mean, SD: profile.SD, Top: []LevelCount{},
		}
		for _, l := range profile.Top {
			column.Top = append(column.Top, LevelCount{clip(l.Level), l.Count})
		}
		if c.Kind == table.Number || c.Kind == table.Date {
			column.Histogram = histogram(c.Numbers)
		}
		p.columns = append(p.columns, column)
	}
	return p
}

func (p *tablePreview) page(rows, offset int) Preview {
	out := Preview{Kind: "table", Columns: p.columns, Total: p.table.Len(), Large: len(p.columns) < len(p.table.Columns)}
	offset = min(offset, out.Total)
	for i := offset; i < min(offset+rows, out.Total); i++ {
		row := make([]any, len(p.columns))
		for c := range row {
			row[c] = cell(p.table.Columns[c], i)
		}
		out.Rows = append(out.Rows, row)
		out.Numbers = append(out.Numbers, p.table.RowNumbers[i])
	}
	return out
}

// cell returns a value of a table as JSON has it.
func cell(c *table.Column, i int) any {
	switch {
	case c.Missing(i):
		return nil
	case c.Kind == table.Number:
		return Number(c.Numbers[i])
	case c.Kind == table.Boolean && c.Levels == nil:
		return c.Numbers[i] != 0
	}
	return clip(c.Text(i))
}

// clip shortens what nobody would read in a table.
func clip(s string) string {
	if len(s) <= mostCell {
		return s
	}
	end := mostCell
	for end > mostCell-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// histogram counts finite values in equally wide bins; nil if there are none.
func histogram[T float32 | float64 | int64](values []T) *Histogram {
	low, high, n := math.Inf(1), math.Inf(-1), 0
	for _, v := range values {
		if x := float64(v); !math.IsNaN(x) && !math.IsInf(x, 0) {
			low, high, n = min(low, x), max(high, x), n+1
		}
	}
	if n == 0 {
		return nil
	}
	bins := mostBins
	if low == high {
		bins = 1
	}
	h := &Histogram{Edges: make([]float64, bins+1), Counts: make([]int, bins)}
	for i := range h.Edges {
		part := float64(i) / float64(bins)
		h.Edges[i] = low*(1-part) + high*part // without high-low, which may overflow
	}
	h.Edges[bins] = high
	for _, v := range values {
		if x := float64(v); !math.IsNaN(x) && !math.IsInf(x, 0) {
			i, found := slices.BinarySearch(h.Edges, x)
			if !found {
				i--
			}
			h.Counts[min(max(i, 0), bins-1)]++
		}
	}
	return h
}

func previewTensors(ctx context.Context, t *tracking.Tracker, e solera.Entry) (Preview, error) {
	r, err := t.OpenEntry(ctx, e)
	if err != nil {
		return Preview{}, err
	}
	defer r.Close()
	tensors, _, err := nn.ReadSafetensors(r, mostTensors)
	if err != nil {
		if _, err := r.Seek(0, io.SeekStart); err != nil {
			return Preview{}, err
		}
		// Is it rotten, or of others, with types that we do not know?
		if _, err := io.Copy(io.Discard, r); err != nil {
			return Preview{}, err
		}
		return Preview{Kind: "binary"}, nil
	}
	p := Preview{Kind: "tensors"}
	for _, one := range tensors {
		tensor := Tensor{Name: clip(one.Name), Shape: list(one.Shape)}
		switch {
		case one.Float64 != nil:
			tensor.Type = "F64"
			describe(&tensor, one.Float64)
		case one.Int64 != nil:
			tensor.Type = "I64"
			describe(&tensor, one.Int64)
		default:
			tensor.Type = "F32"
			describe(&tensor, one.Data)
		}
		p.Tensors = append(p.Tensors, tensor)
	}
	return p, nil
}

func describe[T float32 | float64 | int64](t *Tensor, values []T) {
	t.Count = len(values)
	low, high := math.Inf(1), math.Inf(-1)
	n, mean, squares := 0.0, 0.0, 0.0 // Welford
	for _, v := range values {
		x := float64(v)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			t.Strange++
			continue
		}
		n++
		low, high = min(low, x), max(high, x)
		d := x - mean
		mean += d / n
		squares += float64(d * (x - mean))
	}
	if n == 0 {
		return
	}
	t.Min, t.Max, t.Mean = finite(low), finite(high), finite(mean)
	t.SD = finite(math.Sqrt(squares / n))
	t.Histogram = histogram(values)
}
