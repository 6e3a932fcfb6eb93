package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/tracking"
)

func TestItems(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	run, _, err := h.tracker.Register(ctx, tracking.RegisterSpec{Name: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"note":     `"what <b>happened</b>"`,
		"pictures": `{"_type":"images/separated","filenames":["media/images/a.png"],"count":1}`,
		"weights":  `{"_type":"histogram","bins":[0,1,2],"values":[3,4]}`,
		"own":      `{"_type":7}`,
		"list":     ` [1,"NaN",null]`,
		"flag":     `true`,
		"nothing":  `null`,
	}
	var items []solera.Item
	for key, value := range values {
		for step := range int64(3) {
			items = append(items, solera.Item{Key: key, Step: step, Value: json.RawMessage(value), Time: 1_700_000_000_000_000})
		}
	}
	big := `"` + strings.Repeat("x", 5<<20) + `"`
	for step := range int64(3) {
		items = append(items, solera.Item{Key: "big", Step: step, Value: json.RawMessage(big), Time: 1})
	}
	for _, item := range items {
		if _, err := h.tracker.Store.Report(ctx, solera.Batch{Run: run.ID, Items: []solera.Item{item}}); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]string{}
	for _, k := range ask[[]api.ItemKey](h, "GET", ws+"/runs/r1/items/keys", nil) {
		kinds[k.Key] = k.Kind
	}
	want := map[string]string{
		"note": "text", "pictures": "images/separated", "weights": "histogram", "own": "object", "list": "list", "flag": "flag",
		"nothing": "nothing", "big": "text",
	}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("got the kinds %v, want %v", kinds, want)
	}
	read := func(query string) api.ItemsPage {
		t.Helper()
		return ask[api.ItemsPage](h, "GET", ws+"/runs/r1/items?"+query, nil)
	}
	for key, value := range values {
		page := read("key=" + url.QueryEscape(key))
		raw, err := json.Marshal(page.Items[1].Value)
		if err != nil {
			t.Fatal(err)
		}
		var compact, wanted any
		_, _ = json.Unmarshal(raw, &compact), json.Unmarshal([]byte(value), &wanted)
		if len(page.Items) != 3 || page.Next != 0 || fmt.Sprint(compact) != fmt.Sprint(wanted) || page.Items[1].Step != 1 {
			t.Errorf("%s: got %+v", key, page)
		}
	}
	// Pages, by number of items and by bytes; ranges of steps.
	first := read("key=note&limit=2")
	if len(first.Items) != 2 || first.Next != first.Items[1].N {
		t.Errorf("got %+v", first)
	}
	if rest := read(fmt.Sprintf("key=note&limit=2&after=%d", first.Next)); len(rest.Items) != 1 || rest.Items[0].Step != 2 || rest.Next != 0 {
		t.Errorf("got %+v", rest)
	}
	steps := 0
	for after := int64(0); ; {
		page := read(fmt.Sprintf("key=big&after=%d", after))
		steps += len(page.Items)
		if after = page.Next; after == 0 {
			break
		}
	}
	if steps != 3 {
		t.Errorf("got %d values of 5 MB, want 3", steps)
	}
	if page := read("key=note&from=1&to=1"); len(page.Items) != 1 || page.Items[0].Step != 1 {
		t.Errorf("got %+v", page)
	}
	if page := read("key=note&from=2"); len(page.Items) != 1 || page.Items[0].Step != 2 {
		t.Errorf("got %+v", page)
	}
	if page := read("key=nobody"); len(page.Items) != 0 || page.Next != 0 {
		t.Errorf("got %+v", page)
	}
	for query, status := range map[string]int{
		"": 422, "key=": 422, "key=a&from=x": 422, "key=a&from=3&to=2": 400, "key=a&limit=5000": 422, "key=a&after=-1": 422,
		"key=" + strings.Repeat("k", 2000): 422, "key=a%00b": 400, "key=%FF": 400,
	} {
		if got, _, body := h.send("GET", ws+"/runs/r1/items?"+query, nil); got != status {
			t.Errorf("%.60s: got %d %s, want %d", query, got, body, status)
		}
	}
	for _, path := range []string{"/runs/none/items?key=a", "/runs/none/items/keys", "/runs/a%20b/items?key=a"} {
		if got, _, body := h.send("GET", ws+path, nil); got != 404 {
			t.Errorf("%s: got %d %s, want 404", path, got, body)
		}
	}
}

// A file of a run is a download of a type that cannot run, whatever its name
// says, and pictures are of theirs.
func TestFilesOfRunsCannotRun(t *testing.T) {
	h := newHouse(t)
	ctx := context.Background()
	run, _, err := h.tracker.Register(ctx, tracking.RegisterSpec{Name: "r1"})
	if err != nil {
		t.Fatal(err)
	}
	digest, size, err := h.tracker.Blobs.Put(ctx, strings.NewReader("<script>alert(1)</script>"))
	if err != nil {
		t.Fatal(err)
	}
	types := map[string]string{
		"media/images/a b.png": "image/png", "media/images/a.JPG": "image/jpeg", "a.gif": "image/gif", "a.webp": "image/webp",
		"media/html/page.html": "application/octet-stream", "a.svg": "application/octet-stream", "a.xhtml": "application/octet-stream",
		"media/table/t.table.json": "application/json", "output.log": "text/plain; charset=utf-8", "a.js": "application/octet-stream",
	}
	err = h.tracker.Store.Update(ctx, func(tx solera.Tx) error {
		for path := range types {
			if err := tx.SetFile(run.ID, solera.Entry{Path: path, Digest: digest, Size: size}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, kind := range types {
		status, header, _ := h.send("GET", ws+"/runs/r1/files/"+(&url.URL{Path: path}).EscapedPath(), nil)
		if status != 200 || header.Get("Content-Type") != kind || !strings.HasPrefix(header.Get("Content-Disposition"), "attachment") ||
			header.Get("X-Content-Type-Options") != "nosniff" || !strings.Contains(header.Get("Content-Security-Policy"), "sandbox") {
			t.Errorf("%s: got %d %v, want the type %s", path, status, header, kind)
		}
	}
	if status, _, _ := h.send("GET", ws+"/runs/r1/files/media/..%2f..%2fsolera.db", nil); status != 400 {
		t.Errorf("a path out of the run: got %d", status)
	}
}
