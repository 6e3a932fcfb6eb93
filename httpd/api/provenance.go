package api

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/pipeline"
	"github.com/solera-ml/solera/tracking"
)

// Provenance is the signed statement of where a version comes from.
type Provenance struct {
	Envelope  json.RawMessage `json:"envelope"`  // DSSE, as it is kept
	Statement json.RawMessage `json:"statement"` // in-toto, as it was signed; null if the envelope cannot be read
	Key       string          `json:"key"`       // ID of the key that has signed it, "" if none of the store's has
	Valid     bool            `json:"valid"`     // a key of the store has signed it, and it says what the records say
	Problems  []string        `json:"problems"`  // why it is not
}

func (s *service) provenanceRoutes() {
	const version = "/artifacts/{project}/{name}/{version}"
	add(s, route{method: http.MethodGet, path: version + "/provenance", id: "get-provenance", summary: "The signed statement of where a version comes from", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InVersion) (*answer[Provenance], error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			c, err := t.CheckStatement(ctx, ref)
			return answered(Provenance{
				Envelope: rawJSON(c.Envelope), Statement: rawJSON(c.Statement), Key: c.Key, Valid: len(c.Problems) == 0, Problems: list(c.Problems),
			}, err)
		})
	add(s, route{method: http.MethodPost, path: version + "/verify", id: "verify-version", summary: "Read and compare every byte of a version, its record and its signature", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *InVersion) (*answer[tracking.Verification], error) {
			ref, err := in.ref()
			if err != nil {
				return nil, err
			}
			return answered(heavily(ctx, s, func() (tracking.Verification, error) {
				v, err := t.Verify(ctx, tracking.VerifyOptions{Ref: ref})
				v.Problems, v.Keys = list(v.Problems), list(v.Keys)
				return v, err
			}))
		})
	add(s, route{method: http.MethodGet, path: "/diff", id: "diff-versions", summary: "How two versions differ", tag: "artifacts", role: auth.Viewer},
		func(ctx context.Context, t *tracking.Tracker, in *struct {
			InWorkspace
			A     string `query:"a" required:"true" maxLength:"400" example:"wine/wine-raw:v0"`
			B     string `query:"b" required:"true" maxLength:"400" example:"wine/wine-raw:v1"`
			Limit int    `query:"limit" minimum:"0" maximum:"10000" default:"100" doc:"rows listed of each kind of change"`
		},
		) (*answer[pipeline.VersionDiff], error) {
			for at, ref := range map[string]string{"query.a": in.A, "query.b": in.B} {
				if err := whole(at, ref); err != nil {
					return nil, err
				}
			}
			d, err := heavily(ctx, s, func() (*pipeline.VersionDiff, error) { return pipeline.DiffVersions(ctx, t, in.A, in.B, in.Limit) })
			if err != nil {
				return nil, err
			}
			return &answer[pipeline.VersionDiff]{*d}, nil
		})
}

// rawJSON returns b as it is if it is JSON: what is stored may be damaged.
func rawJSON(b []byte) json.RawMessage {
	if !json.Valid(b) {
		return json.RawMessage("null")
	}
	return b
}
