package tracking

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// A Graph is where versions come from: the versions and runs as nodes, and an
// edge from each thing to what came out of it. It has no circle.
type Graph struct {
	Root  string      `json:"-"` // node that was asked for
	Nodes []GraphNode `json:"nodes"`
	Edges []GraphEdge `json:"edges"`
}

// A GraphNode is a run or a version; one of Run and Version is set.
type GraphNode struct {
	ID   string `json:"id"`   // the run's ID, or "wine-raw:v0" (with "project/" if not the root's)
	Kind string `json:"kind"` // "run" or "version"
	Name string `json:"name"` // for people

	Run     *solera.Run     `json:"-"`
	Version *solera.Version `json:"-"` // without files
}

// A GraphEdge points the way of the data: from a version to the run that used
// it, from a run to the version that it made.
type GraphEdge struct {
	From string          `json:"from"`
	To   string          `json:"to"`
	Kind solera.EdgeKind `json:"kind"` // solera.Used or solera.Made
}

// Lineage returns all that the version named by ref was made from, up to the
// versions whose runs used nothing. Nodes come from the root upwards, each
// before what it came from, edges likewise; the order depends on the store's
// content alone.
func (t *Tracker) Lineage(ctx context.Context, ref string) (Graph, error) {
	var graph Graph
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		v, err := t.resolve(tx, ref)
		if err != nil {
			return err
		}
		up, err := ancestry(tx, v)
		if err != nil {
			return err
		}
		graph = up.graph(v)
		return nil
	})
	if err != nil {
		return Graph{}, fmt.Errorf("lineage of %s: %w", ref, err)
	}
	return graph, nil
}

// ancestors are the versions and runs above a version.
type ancestors struct {
	versions map[solera.VersionID]solera.Version
	runs     map[solera.RunID]solera.Run
	used     map[solera.RunID][]solera.VersionID // sorted by project, artifact, number
}

// ancestry walks up from v: to the one run that made it, to all that this run
// used. It keeps its own list instead of recursing, as chains of retraining
// grow for years.
func ancestry(tx solera.Tx, v solera.Version) (ancestors, error) {
	up := ancestors{
		versions: map[solera.VersionID]solera.Version{v.ID(): v},
		runs:     make(map[solera.RunID]solera.Run),
		used:     make(map[solera.RunID][]solera.VersionID),
	}
	for todo := []solera.Version{v}; len(todo) > 0; {
		v, todo = todo[len(todo)-1], todo[:len(todo)-1]
		if _, seen := up.runs[v.Run]; seen {
			continue
		}
		run, err := tx.Run(v.Run)
		if err != nil {
			return up, err
		}
		up.runs[run.ID] = run
		edges, err := tx.Edges(solera.EdgeQuery{Run: run.ID, Kind: solera.Used})
		if err != nil {
			return up, err
		}
		for _, e := range edges {
			up.used[run.ID] = append(up.used[run.ID], e.Version)
			if _, seen := up.versions[e.Version]; seen {
				continue
			}
			input, err := tx.Version(e.Version)
			if err != nil {
				return up, err
			}
			up.versions[e.Version] = input
			todo = append(todo, input)
		}
	}
	return up, nil
}

// graph orders the ancestors so that each node comes before all that it was
// made from (Kahn's algorithm, ties by identifier).
func (up ancestors) graph(root solera.Version) Graph {
	name := func(id solera.VersionID) string {
		if id.Project == root.Project {
			return id.Name()
		}
		return id.String()
	}
	made := make(map[solera.RunID][]solera.VersionID)
	waiting := make(map[solera.VersionID]int) // users of the version not yet listed
	for id, v := range up.versions {
		made[v.Run] = append(made[v.Run], id)
	}
	for _, inputs := range up.used {
		for _, id := range inputs {
			waiting[id]++
		}
	}
	g := Graph{Root: name(root.ID())}
	left := make(map[solera.RunID]int) // versions of the run not yet listed
	for run, versions := range made {
		left[run] = len(versions)
	}
	for todo := []solera.VersionID{root.ID()}; len(todo) > 0; {
		id := todo[0]
		todo = todo[1:]
		v := up.versions[id]
		v.Files = nil
		g.Nodes = append(g.Nodes, GraphNode{ID: name(id), Kind: "version", Name: name(id), Version: &v})
		g.Edges = append(g.Edges, GraphEdge{From: string(v.Run), To: name(id), Kind: solera.Made})
		if left[v.Run]--; left[v.Run] > 0 {
			continue // the run follows the last of its versions
		}
		run := up.runs[v.Run]
		g.Nodes = append(g.Nodes, GraphNode{ID: string(run.ID), Kind: "run", Name: cmp.Or(run.Name, run.Stage, string(run.ID)), Run: &run})
		for _, input := range up.used[run.ID] {
			g.Edges = append(g.Edges, GraphEdge{From: name(input), To: string(run.ID), Kind: solera.Used})
			if waiting[input]--; waiting[input] == 0 {
				todo = append(todo, input)
			}
		}
	}
	return g
}

// WriteTree writes the graph as indented text, the root first and what it was
// made from below it. Something that was shown already is not unfolded again.
func (g Graph) WriteTree(w io.Writer) error {
	nodes := make(map[string]GraphNode, len(g.Nodes))
	for _, n := range g.Nodes {
		nodes[n.ID] = n
	}
	above := make(map[string][]string)
	for _, e := range g.Edges {
		above[e.To] = append(above[e.To], e.From)
	}
	var b strings.Builder
	shown := make(map[string]bool)
	// A frame is one line to be written; the list is a stack, so that a long
	// chain costs memory and not the goroutine's stack.
	type frame struct{ id, lead, branch, below string }
	for todo := []frame{{id: g.Root}}; len(todo) > 0; {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		n := nodes[f.id]
		b.WriteString(f.lead + f.branch + label(n))
		parents := above[f.id]
		if shown[f.id] && len(parents) > 0 {
			b.WriteString("  (see above)\n")
			continue
		}
		shown[f.id] = true
		b.WriteByte('\n')
		for i, id := range slices.Backward(parents) {
			branch, below := "├─ ", "│  "
			if i == len(parents)-1 {
				branch, below = "└─ ", "   "
			}
			todo = append(todo, frame{id, f.lead + f.below, branch, below})
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func label(n GraphNode) string {
	switch {
	case n.Version != nil:
		return fmt.Sprintf("%s  %s  %s", n.Name, n.Version.Type, n.Version.Digest.Short())
	case n.Run != nil && n.Run.ReuseOf != "":
		return fmt.Sprintf("run %s  %s  (reused %s)", n.ID, n.Name, n.Run.ReuseOf)
	default:
		return fmt.Sprintf("%s %s  %s", n.Kind, n.ID, n.Name)
	}
}
