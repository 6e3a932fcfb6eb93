package api

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/tracking"
)

// mostItemBytes is how much of values one answer has; the next one goes on.
const mostItemBytes = 8 << 20

// mostItemKeys is of how many names the kind is looked up.
const mostItemKeys = 2_000

// An Item is a value other than a number that a run recorded at a step.
type Item struct {
	N     int64         `json:"n"` // within the run, in the order of recording
	Step  int64         `json:"step"`
	Time  solera.Micros `json:"time"`
	Value any           `json:"value" doc:"as the client sent it; of media a description with _type and path"`
}

// ItemsPage is a part of what a run recorded under one name.
type ItemsPage struct {
	Items []Item `json:"items"`
	Next  int64  `json:"next"` // to pass as after; 0 = there are no more
}

// An ItemKey is a name under which a run recorded values other than numbers.
type ItemKey struct {
	Key  string `json:"key"`
	Kind string `json:"kind" doc:"of the first value: text, list, object, flag or nothing; of media what its _type says, such as image-file, histogram or table-file"`
}

func (s *service) itemRoutes() {
	add(s, route{method: http.MethodGet, path: "/runs/{id}/items/keys", id: "list-item-keys", summary: "What a run recorded other than numbers", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InRun) (*answer[[]ItemKey], error) {
			return answered(itemKeys(ctx, t, in.ID))
		})
	add(s, route{method: http.MethodGet, path: "/runs/{id}/items", id: "read-items", summary: "Values other than numbers that a run recorded under a name", tag: "runs", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InRun
			Key   string `query:"key" required:"true" minLength:"1" maxLength:"1024"`
			From  int64  `query:"from" doc:"only of this step and later ones"`
			To    int64  `query:"to" doc:"only of this step and earlier ones; 0 = no end"`
			After int64  `query:"after" minimum:"0" doc:"only items with a larger number"`
			Limit int    `query:"limit" minimum:"0" maximum:"1000" doc:"0 for 100"`
		},
		) (*answer[ItemsPage], error) {
			q := solera.ItemQuery{Key: in.Key, After: in.After, Limit: in.Limit}
			if q.Limit == 0 {
				q.Limit = 100
			}
			if in.From != 0 || in.To != 0 {
				if in.To != 0 && in.To < in.From {
					return nil, invalid("query.to", in.To, "to must not be before from")
				}
				q.Steps = &solera.StepRange{From: in.From, To: in.To}
				if in.To == 0 {
					q.Steps.To = math.MaxInt64
				}
			}
			return answered(itemsPage(ctx, t, in.ID, q))
		})
}

func itemKeys(ctx context.Context, t *tracking.Tracker, id string) ([]ItemKey, error) {
	recorder, err := recorderOf(ctx, t, id)
	if err != nil {
		return nil, err
	}
	names, err := t.Store.ItemKeys(ctx, recorder)
	if err != nil {
		return nil, err
	}
	keys := make([]ItemKey, 0, len(names))
	for i, name := range names {
		key := ItemKey{Key: name}
		if i < mostItemKeys {
			first, err := t.Store.Items(ctx, solera.ItemQuery{Run: recorder, Key: name, Limit: 1})
			if err != nil {
				return nil, err
			}
			if len(first) > 0 {
				key.Kind = kindOf(first[0].Value)
			}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// kindOf says what a value is, so that a page knows how to show it.
func kindOf(raw json.RawMessage) string {
	text := strings.TrimLeft(string(raw[:min(len(raw), 16)]), " \t\r\n")
	switch {
	case strings.HasPrefix(text, `"`):
		return "text"
	case strings.HasPrefix(text, "["):
		return "list"
	case text == "true", text == "false":
		return "flag"
	case strings.HasPrefix(text, "{"):
		var media struct {
			Type string `json:"_type"`
		}
		// Of another shape it is an object of the user's own.
		if json.Unmarshal(raw, &media) == nil && media.Type != "" && len(media.Type) <= 100 {
			return media.Type
		}
		return "object"
	}
	return "nothing"
}

func itemsPage(ctx context.Context, t *tracking.Tracker, id string, q solera.ItemQuery) (ItemsPage, error) {
	page := ItemsPage{Items: []Item{}}
	var err error
	if q.Run, err = recorderOf(ctx, t, id); err != nil {
		return page, err
	}
	if err := solera.CheckKey(q.Key); err != nil {
		return page, wrong("query.key", q.Key, err)
	}
	limit, total := q.Limit, 0
	// A value may have megabytes, so that a page is read in parts, which grow
	// while what comes is small.
	for size := 1; len(page.Items) < limit && total < mostItemBytes; size *= 2 {
		if total > mostItemBytes/16 {
			size = 1
		}
		q.Limit = min(limit-len(page.Items), size)
		part, err := t.Store.Items(ctx, q)
		if err != nil {
			return page, err
		}
		for _, item := range part {
			page.Items = append(page.Items, Item{N: item.N, Step: item.Step, Time: item.Time, Value: item.Value})
			total += len(item.Value)
			q.After = item.N
		}
		if len(part) < q.Limit {
			return page, nil
		}
	}
	q.Limit = 1
	more, err := t.Store.Items(ctx, q)
	if len(more) > 0 {
		page.Next = q.After
	}
	return page, err
}
