package pipeline

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
)

// A VersionDiff is how two versions differ: in their rows, if both are data
// sets, in their files, in what is said of them and in how they were made.
type VersionDiff struct {
	Before string `json:"before"` // "wine-raw:v0"
	After  string `json:"after"`
	Same   bool   `json:"same"` // one content

	Rows     *table.Diff  `json:"rows"`     // null unless both are data sets
	Files    []FileChange `json:"files"`    // that are not the same, by path
	Metadata []Change     `json:"metadata"` // keys that differ
	Recipe   []Change     `json:"recipe"`   // code, params.… and inputs.… of the runs that made them
}

// A FileChange is a file that is not the same in two versions.
type FileChange struct {
	Path   string         `json:"path"`
	Change string         `json:"change"` // "added", "removed" or "changed"
	Before *solera.Digest `json:"before"` // null if added
	After  *solera.Digest `json:"after"`  // null if removed
	// First is the first difference in a changed file; null for the rows of data
	// sets, of which VersionDiff.Rows tells all.
	First *Difference `json:"first_difference"`
}

// DiffVersions compares the versions that two references name. Limit is the
// most rows that are listed of each kind of change.
func DiffVersions(ctx context.Context, t *tracking.Tracker, before, after string, limit int) (*VersionDiff, error) {
	a, err := t.Open(ctx, before)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", before, err)
	}
	b, err := t.Open(ctx, after)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", after, err)
	}
	d := &VersionDiff{Before: a.Name(), After: b.Name(), Same: a.Digest == b.Digest, Files: []FileChange{}, Metadata: []Change{}, Recipe: []Change{}}
	if a.Project != b.Project {
		d.Before, d.After = a.ID().String(), b.ID().String()
	}
	if d.Recipe, err = recipeChanges(ctx, t, a.Version, b.Version); err != nil {
		return nil, err
	}
	if d.Same {
		return d, nil
	}
	d.Metadata = metadataChanges(a.Version, b.Version)
	rows := map[string]bool{} // files whose rows are compared as one
	if a.Type == "dataset" && b.Type == "dataset" {
		if d.Rows, rows, err = rowsDiff(ctx, a, b, limit); err != nil {
			return nil, fmt.Errorf("compare the rows of %s and %s: %w", d.Before, d.After, err)
		}
	}
	for _, name := range changedFiles(a.Version, b.Version) {
		f := FileChange{Path: name, Change: "changed"}
		x, inA := a.File(name)
		y, inB := b.File(name)
		switch {
		case !inA:
			f.Change, f.After = FileAdded, &y.Digest
		case !inB:
			f.Change, f.Before = FileRemoved, &x.Digest
		default:
			f.Before, f.After = &x.Digest, &y.Digest
			if !rows[name] {
				if f.First, err = fileDifference(ctx, a, b, name); err != nil {
					return nil, err
				}
			}
		}
		d.Files = append(d.Files, f)
	}
	return d, nil
}

// recipeChanges compares how two versions were made.
func recipeChanges(ctx context.Context, t *tracking.Tracker, versions ...solera.Version) ([]Change, error) {
	var recipes []Recipe
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		recipes = nil
		for _, v := range versions {
			run, err := tx.Run(v.Run)
			if err != nil {
				return err
			}
			edges, err := tx.Edges(solera.EdgeQuery{Run: run.ID, Kind: solera.Used})
			if err != nil {
				return err
			}
			var used []solera.Version
			for _, e := range edges {
				input, err := tx.Version(e.Version)
				if errors.Is(err, solera.ErrNotFound) {
					continue
				}
				if err != nil {
					return err
				}
				used = append(used, input)
			}
			recipes = append(recipes, recorded(run, used))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return changes(recipes[0], recipes[1]), nil
}

func metadataChanges(a, b solera.Version) []Change {
	x, y := map[string]string{}, map[string]string{}
	flatten(x, "metadata", map[string]any(a.Metadata))
	flatten(y, "metadata", map[string]any(b.Metadata))
	out := []Change{}
	if a.Type != b.Type {
		out = append(out, Change{"type", a.Type, b.Type})
	}
	keys := maps.Clone(x)
	maps.Copy(keys, y)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if x[k] != y[k] {
			out = append(out, Change{strings.TrimPrefix(k, "metadata."), x[k], y[k]})
		}
	}
	return out
}

// rowsDiff compares the rows of two data sets, those of all Parquet files
// together, so that a row that moved from one to another is not lost and found.
// What is not a table is no data set that we know: then there is no Diff.
func rowsDiff(ctx context.Context, a, b *tracking.Snapshot, limit int) (*table.Diff, map[string]bool, error) {
	files := map[string]bool{}
	var sides [2][]table.Part
	for i, s := range []*tracking.Snapshot{a, b} {
		var schema table.Schema
		if _, ok := s.File("schema.json"); ok {
			if content, err := s.ReadFile("schema.json"); err == nil {
				_ = json.Unmarshal(content, &schema) // a foreign schema.json says nothing to us
			}
		}
		for _, name := range parts(s.Version) {
			t, err := readPart(ctx, s, name, schema.Types())
			var fault *solera.InputError
			if errors.As(err, &fault) {
				return nil, nil, nil
			}
			if err != nil {
				return nil, nil, err
			}
			files[name] = true
			sides[i] = append(sides[i], table.Part{Name: strings.TrimSuffix(name, ".parquet"), Table: t})
		}
	}
	if len(sides[0]) == 0 && len(sides[1]) == 0 {
		return nil, nil, nil
	}
	target := a.Metadata.Text("target")
	if target != b.Metadata.Text("target") {
		target = ""
	}
	d, err := table.Compare(ctx, sides[0], sides[1], table.DiffOptions{Target: target, Limit: limit})
	return d, files, err
}

// parts lists the Parquet files of a data set: those of load and preprocess in
// their order, others by name.
func parts(v solera.Version) []string {
	order := []string{trainPart + ".parquet", valPart + ".parquet", testPart + ".parquet"}
	var ours, others []string
	for _, name := range order {
		if _, ok := v.File(name); ok {
			ours = append(ours, name)
		}
	}
	for _, e := range v.Files {
		if path.Ext(e.Path) == ".parquet" && !slices.Contains(order, e.Path) {
			others = append(others, e.Path)
		}
	}
	return append(ours, others...)
}

func readPart(ctx context.Context, s *tracking.Snapshot, name string, types map[string]table.Kind) (*table.Table, error) {
	f, err := s.OpenFile(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readTable(ctx, s.Name()+"/"+name, f, types)
}
