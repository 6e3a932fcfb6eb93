package api_test

import (
	"context"
	"testing"

	"github.com/solera-ml/solera/httpd/api"
	"github.com/solera-ml/solera/tracking"
)

func TestAProjectHasItsOwnRuns(t *testing.T) {
	h := newHouse(t)
	h.fill()
	other := *h.tracker
	other.Project = "beer"
	if _, err := other.Start(context.Background(), tracking.RunSpec{Stage: "load"}); err != nil {
		t.Fatal(err)
	}
	for project, want := range map[string]int{"wine": 5, "beer": 1, "": 6} {
		page := ask[api.RunsPage](h, "POST", ws+"/runs/query", api.RunsRequest{Project: project})
		if page.Total != want || len(page.Runs) != want {
			t.Errorf("project %q: got %d runs of %d, want %d", project, len(page.Runs), page.Total, want)
		}
	}
}
