package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/tracking"
)

const wineConfig = `project: wine
seed: 42
data: {source: "sample:wine", target: class}
model: {name: WineClassifier, layers: [8]}
experiments:
  - {name: exp001, epochs: 2, batch_size: 16, learning_rate: 0.001, optimizer: adam}
  - {name: exp002, epochs: 30, batch_size: 16, learning_rate: 0.01, optimizer: adam}
`

// train runs the pipeline on the wine sample and returns the runs of its two
// trainings.
func (h *house) train() []string {
	h.t.Helper()
	c, err := pipeline.Parse("solera.yaml", []byte(wineConfig))
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := (&pipeline.Pipeline{Config: c, Tracker: h.tracker}).Run(context.Background()); err != nil {
		h.t.Fatal(err)
	}
	page := ask[api.RunsPage](h, "GET", ws+"/runs?where=stage+%3D+%22train%22&sort=experiment", nil)
	var ids []string
	for _, r := range page.Runs {
		ids = append(ids, r.ID)
	}
	return ids
}

func TestEvaluationOfATrainedModel(t *testing.T) {
	h := newHouse(t)
	runs := h.train()
	at := ws + "/runs/" + runs[0]
	e := ask[api.Evaluation](h, "GET", at+"/evaluation", nil)
	if len(e.Classes) != 3 || len(e.Parts) != 2 || e.Experiment != "exp001" || e.Model != "wine/trained-wine-model-exp001:v0" {
		t.Fatalf("got %+v", e)
	}
	for name, part := range e.Parts {
		sum, right, binned := 0, 0, 0
		for i, row := range part.Confusion {
			right += row[i]
			for _, n := range row {
				sum += n
			}
		}
		for _, b := range part.Reliability {
			binned += b.N
			if b.Confidence <= b.From || b.Confidence > b.To+1e-9 {
				t.Errorf("%s: bin %+v", name, b)
			}
		}
		accuracy := part.Scores["accuracy"]
		if sum != 18 || binned != 18 || part.Rows != 18 || accuracy.Right == nil || *accuracy.Right != right || math.Abs(float64(accuracy.Value)-float64(right)/18) > 1e-9 {
			t.Errorf("%s: %d rows, %d in bins, %d right, accuracy %+v", name, sum, binned, right, accuracy)
		}
		if len(part.PerClass) != 3 || part.Scores["loss"].Low == nil {
			t.Errorf("%s: %+v", name, part)
		}
	}

	rows := ask[api.Rows](h, "GET", at+"/rows?limit=5", nil)
	if rows.Total != 18 || len(rows.Rows) != 5 || len(rows.Columns) != 14 {
		t.Fatalf("got %d of %d rows with columns %v", len(rows.Rows), rows.Total, rows.Columns)
	}
	for i, r := range rows.Rows {
		class := r.Values[index(rows.Columns, "class")]
		if class != r.True {
			t.Errorf("row %d is of %s, the raw table says %v", r.Number, r.True, class)
		}
		if i > 0 && r.Loss > rows.Rows[i-1].Loss {
			t.Errorf("row %d is harder than the one before it", i)
		}
	}
	total := 0
	for _, truth := range e.Classes {
		for j, predicted := range e.Classes {
			got := ask[api.Rows](h, "GET", fmt.Sprintf("%s/rows?part=val&true=%s&predicted=%s&order=number", at, truth, predicted), nil)
			want := e.Parts["val"].Confusion[index(e.Classes, truth)][j]
			if got.Total != want || len(got.Rows) != want {
				t.Errorf("%s taken for %s: %d rows, the matrix says %d", truth, predicted, got.Total, want)
			}
			total += got.Total
		}
	}
	if total != 18 {
		t.Errorf("%d rows in all cells", total)
	}
	for path, want := range map[string]int{
		at + "/rows?true=nobody": 400, at + "/rows?part=train": 422, at + "/rows?limit=1001": 422, ws + "/runs/absent/evaluation": 404,
	} {
		if status, _, body := h.send("GET", path, nil); status != want {
			t.Errorf("%s: %d %s, want %d", path, status, body, want)
		}
	}
}

func index(list []string, s string) int {
	for i, one := range list {
		if one == s {
			return i
		}
	}
	return -1
}

func TestRunsAreComparedInPairs(t *testing.T) {
	h := newHouse(t)
	runs := h.train()
	c := ask[api.Comparison](h, "GET", ws+"/compare?runs="+strings.Join(runs, ","), nil)
	if len(c.Runs) != 2 || len(c.Tests) != 2 {
		t.Fatalf("got %d runs, tests %+v", len(c.Runs), c.Tests)
	}
	names := map[string]bool{}
	for _, section := range c.Sections {
		names[section.Name] = true
		for _, row := range section.Rows {
			if len(row.Values) != 2 || len(row.Differences) != 2 {
				t.Errorf("%s %s: %+v", section.Name, row.Key, row)
			}
		}
	}
	if !names["params"] || !names["metrics"] || !names["inputs"] {
		t.Errorf("got sections %v", names)
	}
	for _, test := range c.Tests {
		if test.N != 18 || test.A != runs[0] || test.B != runs[1] || test.P < 0 || test.P > 1 || test.Tied != (test.P > 0.05) {
			t.Errorf("got %+v", test)
		}
	}
	for _, path := range []string{"/compare?runs=" + runs[0], "/compare"} {
		if status, _, _ := h.send("GET", ws+path, nil); status != 422 && status != 400 {
			t.Errorf("%s: %d", path, status)
		}
	}
}

func TestPreviews(t *testing.T) {
	h := newHouse(t)
	h.train()
	at := ws + "/artifacts/wine/"
	p := ask[api.Preview](h, "GET", at+"wine-raw/v0/preview/test.parquet?rows=3&offset=1", nil)
	if p.Kind != "table" || p.Total != 18 || len(p.Rows) != 3 || len(p.Columns) != 14 || len(p.Numbers) != 3 {
		t.Fatalf("got %+v", p)
	}
	for _, c := range p.Columns {
		switch c.Type {
		case "number":
			n := 0
			for _, k := range c.Histogram.Counts {
				n += k
			}
			if n != 18 || len(c.Histogram.Edges) != len(c.Histogram.Counts)+1 || c.Mean == nil {
				t.Errorf("%s: %+v", c.Name, c)
			}
		case "category":
			if len(c.Top) == 0 || c.Unique == 0 {
				t.Errorf("%s: %+v", c.Name, c)
			}
		}
	}
	p = ask[api.Preview](h, "GET", at+"trained-wine-model-exp001/v0/preview/weights.safetensors", nil)
	if p.Kind != "tensors" || len(p.Tensors) == 0 || p.Tensors[0].Count == 0 || p.Tensors[0].Mean == nil || p.Tensors[0].Histogram == nil {
		t.Errorf("got %+v", p)
	}
	p = ask[api.Preview](h, "GET", at+"trained-wine-model-exp001/latest/preview/model.json", nil)
	if object, _ := p.Value.(map[string]any); p.Kind != "json" || len(object) == 0 {
		t.Errorf("got %+v", p)
	}
}

func TestPreviewsOfStrangeFiles(t *testing.T) {
	h := newHouse(t)
	files := map[string]tracking.Source{
		"bad.parquet": tracking.Bytes([]byte("PAR1 no")), "bad.json": tracking.Bytes([]byte("{\"a\":")),
		"deep.json":       tracking.Bytes([]byte(strings.Repeat("[", 100_000))),
		"bad.safetensors": tracking.Bytes([]byte{255, 255, 255, 255, 255, 255, 255, 127, 1}),
		"page.html":       tracking.Bytes([]byte("<script>alert(1)</script>")), "long.txt": tracking.Bytes([]byte(strings.Repeat("é", 50_001))),
		"zero.bin": tracking.Bytes([]byte{0, 1}), "empty.csv": tracking.Bytes(nil), "empty": tracking.Bytes(nil),
		"nan.csv": tracking.Bytes([]byte("a,b\n1,x\n,y\n")),
	}
	run, err := h.tracker.Start(context.Background(), tracking.RunSpec{Stage: "s"})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := run.Commit(context.Background(), tracking.Draft{Artifact: "odd", Type: "dataset", Files: files}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"bad.parquet": "text", "bad.json": "text", "deep.json": "text", "bad.safetensors": "binary", "page.html": "text",
		"long.txt": "text", "zero.bin": "binary", "empty": "text", "empty.csv": "text", "nan.csv": "table",
	} {
		status, header, body := h.send("GET", ws+"/artifacts/wine/odd/v0/preview/"+name, nil)
		var p api.Preview
		if err := json.Unmarshal(body, &p); err != nil || status != 200 || p.Kind != want || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d, kind %q, want %q: %.200s", name, status, p.Kind, want, body)
		}
		if name == "long.txt" && (!p.Cut || strings.ContainsRune(p.Text, '\uFFFD')) {
			t.Errorf("%s: cut %v", name, p.Cut)
		}
		if name == "nan.csv" && (p.Columns[0].Missing != 1 || p.Rows[1][0] != nil) {
			t.Errorf("%s: %+v", name, p)
		}
	}
}

func TestDiffLineageAndAudit(t *testing.T) {
	h := newHouse(t)
	runs := h.train()
	d := ask[pipeline.VersionDiff](h, "GET", ws+"/diff?a=wine/trained-wine-model-exp001&b=wine/trained-wine-model-exp002:v0", nil)
	if d.Same || len(d.Files) == 0 {
		t.Errorf("got %+v", d)
	}
	for direction, least := range map[string]int{"up": 8, "both": 8, "down": 1} {
		l := ask[api.Lineage](h, "GET", ws+"/lineage?ref=wine/trained-wine-model-exp001:v0&direction="+direction, nil)
		if len(l.Nodes) < least || l.Root != "trained-wine-model-exp001:v0" || l.Nodes[0].ID != l.Root || l.Nodes[0].Digest == "" {
			t.Errorf("%s: %+v", direction, l)
		}
	}
	if status, _, _ := h.send("GET", ws+"/lineage?ref=wine-raw", nil); status != 400 {
		t.Errorf("a reference without a project: %d", status)
	}
	first := ask[api.AuditPage](h, "GET", ws+"/audit?limit=3&action=run.", nil)
	if len(first.Entries) != 3 || first.Next == 0 || first.Entries[0].N <= first.Entries[1].N {
		t.Fatalf("got %+v", first)
	}
	second := ask[api.AuditPage](h, "GET", fmt.Sprintf("%s/audit?limit=3&action=run.&before=%d", ws, first.Next), nil)
	if len(second.Entries) != 3 || second.Entries[0].N >= first.Entries[2].N {
		t.Errorf("got %+v after %+v", second, first)
	}
	if page := ask[api.AuditPage](h, "GET", ws+"/audit?oldest=true&subject="+runs[0], nil); len(page.Entries) == 0 || page.Next != 0 {
		t.Errorf("got %+v", page)
	}
	at := ws + "/artifacts/wine/wine-raw/v0"
	if v := ask[tracking.Verification](h, "POST", at+"/verify", nil); v.Blobs != 5 || v.Problems == nil {
		t.Errorf("got %+v", v)
	}
	if status, _, body := h.send("GET", at+"/provenance", nil); status != 404 || !strings.Contains(string(body), "not signed") {
		t.Errorf("provenance of what nobody signed: %d %s", status, body)
	}
}

func TestViews(t *testing.T) {
	h := newHouse(t)
	at := ws + "/views/my%20view%2F1"
	saved := ask[api.View](h, "PUT", at, `{"columns":["a"],"deep":{"er":[1,null,true]}}`)
	if saved.Name != "my view/1" || saved.Created == 0 {
		t.Errorf("got %+v", saved)
	}
	views := ask[[]api.View](h, "GET", ws+"/views", nil)
	if len(views) != 1 || fmt.Sprint(views[0].Body["columns"]) != "[a]" {
		t.Errorf("got %+v", views)
	}
	if status, _, _ := h.send("DELETE", at, nil); status != 204 {
		t.Errorf("delete: %d", status)
	}
	if status, _, _ := h.send("DELETE", at, nil); status != 404 {
		t.Errorf("delete again: %d", status)
	}
	if status, _, _ := h.send("PUT", at, `{"a":"`+strings.Repeat("x", 1<<20)+`"}`); status != 413 && status != 400 {
		t.Errorf("a view of a megabyte: %d", status)
	}
}
