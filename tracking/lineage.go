package tracking

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// A Direction is the way in which a lineage is walked.
type Direction string

const (
	Up   Direction = "up"   // to what something was made from
	Down Direction = "down" // to what was made from it
	Both Direction = "both" // up and down from one version, not to its siblings
)

// A Graph is where versions come from and go: the versions and runs as nodes,
// and an edge from each thing to what came out of it. It has no circle.
type Graph struct {
	Root  string      `json:"-"` // node that was asked for, the first of Nodes
	Nodes []GraphNode `json:"nodes"`
	Edges []GraphEdge `json:"edges"`

	way Direction
}

// A GraphNode is a run or a version; one of Run and Version is set.
type GraphNode struct {
	ID   string `json:"id"`   // the run's ID, or "wine-raw:v0" (with "project/" if not the root's)
	Kind string `json:"kind"` // "run" or "version"
	Name string `json:"name"` // for people
	// Deleted: its bytes are given up.
	Deleted bool `json:"deleted,omitempty"`

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

// Lineage returns all that the version named by ref was made from: Trace
// upwards.
func (t *Tracker) Lineage(ctx context.Context, ref string) (Graph, error) {
	return t.Trace(ctx, ref, Up)
}

// Trace returns what the version named by ref was made from, up to the versions
// whose runs used nothing; or what was made from it, down to the versions that
// nobody used; or both. Deleted versions belong to it. Nodes come from the root
// outwards, each before what lies behind it, and edges likewise, those upwards
// first; the order depends on the store's content alone.
func (t *Tracker) Trace(ctx context.Context, ref string, way Direction) (Graph, error) {
	var graph Graph
	err := t.Store.View(ctx, func(tx solera.Tx) error {
		v, err := t.resolve(tx, ref)
		if err != nil {
			return err
		}
		if way == Up || way == Both {
			up, err := ancestry(tx, v)
			if err != nil {
				return err
			}
			graph = up.graph(v)
		}
		if way == Down || way == Both {
			down, err := progeny(tx, v)
			if err != nil {
				return err
			}
			below := down.graph(v)
			if way == Both {
				// The root is in both, and nothing else: it would be a circle.
				below.Nodes = append(graph.Nodes, below.Nodes[1:]...)
				below.Edges = append(graph.Edges, below.Edges...)
			}
			graph = below
		}
		graph.way = way
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
	name := namer(root)
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
		g.Nodes = append(g.Nodes, versionNode(name(id), v))
		g.Edges = append(g.Edges, GraphEdge{From: string(v.Run), To: name(id), Kind: solera.Made})
		if left[v.Run]--; left[v.Run] > 0 {
			continue // the run follows the last of its versions
		}
		run := up.runs[v.Run]
		g.Nodes = append(g.Nodes, runNode(run))
		for _, input := range up.used[run.ID] {
			g.Edges = append(g.Edges, GraphEdge{From: name(input), To: string(run.ID), Kind: solera.Used})
			if waiting[input]--; waiting[input] == 0 {
				todo = append(todo, input)
			}
		}
	}
	return g
}

// namer returns how the nodes of a graph are called: without the project where
// it is the root's.
func namer(root solera.Version) func(solera.VersionID) string {
	return func(id solera.VersionID) string {
		if id.Project == root.Project {
			return id.Name()
		}
		return id.String()
	}
}

func versionNode(id string, v solera.Version) GraphNode {
	v.Files = nil
	return GraphNode{ID: id, Kind: "version", Name: id, Deleted: v.Deleted != 0, Version: &v}
}

func runNode(run solera.Run) GraphNode {
	return GraphNode{ID: string(run.ID), Kind: "run", Name: cmp.Or(run.Name, run.Stage, string(run.ID)), Deleted: run.Deleted != 0, Run: &run}
}

// descendants are the runs and versions below a version.
type descendants struct {
	versions map[solera.VersionID]solera.Version
	runs     map[solera.RunID]solera.Run
	users    map[solera.VersionID][]solera.RunID // by identifier, which is by age
	made     map[solera.RunID][]solera.VersionID // sorted by project, artifact, number
}

// progeny walks down from v: to the runs that used it, to all that these made.
func progeny(tx solera.Tx, v solera.Version) (descendants, error) {
	down := descendants{
		versions: map[solera.VersionID]solera.Version{v.ID(): v},
		runs:     make(map[solera.RunID]solera.Run),
		users:    make(map[solera.VersionID][]solera.RunID),
		made:     make(map[solera.RunID][]solera.VersionID),
	}
	for todo := []solera.VersionID{v.ID()}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		users, err := tx.Edges(solera.EdgeQuery{Version: id, Kind: solera.Used})
		if err != nil {
			return down, err
		}
		for _, user := range users {
			down.users[id] = append(down.users[id], user.Run)
			if _, seen := down.runs[user.Run]; seen {
				continue
			}
			if down.runs[user.Run], err = tx.Run(user.Run); err != nil {
				return down, err
			}
			made, err := tx.Edges(solera.EdgeQuery{Run: user.Run, Kind: solera.Made})
			if err != nil {
				return down, err
			}
			for _, e := range made {
				down.made[user.Run] = append(down.made[user.Run], e.Version)
				if down.versions[e.Version], err = tx.Version(e.Version); err != nil {
					return down, err
				}
				todo = append(todo, e.Version)
			}
		}
	}
	return down, nil
}

// graph orders the descendants so that each node comes before all that was made
// from it, as ancestors.graph does upwards.
func (down descendants) graph(root solera.Version) Graph {
	name := namer(root)
	waiting := make(map[solera.RunID]int) // versions that the run used and that are not yet listed
	for _, users := range down.users {
		for _, run := range users {
			waiting[run]++
		}
	}
	g := Graph{Root: name(root.ID())}
	for todo := []solera.VersionID{root.ID()}; len(todo) > 0; {
		id := todo[0]
		todo = todo[1:]
		g.Nodes = append(g.Nodes, versionNode(name(id), down.versions[id]))
		for _, user := range down.users[id] {
			g.Edges = append(g.Edges, GraphEdge{From: name(id), To: string(user), Kind: solera.Used})
			if waiting[user]--; waiting[user] > 0 {
				continue
			}
			g.Nodes = append(g.Nodes, runNode(down.runs[user]))
			for _, made := range down.made[user] {
				// A version has one maker, so it is ready with it.
				g.Edges = append(g.Edges, GraphEdge{From: string(user), To: name(made), Kind: solera.Made})
				todo = append(todo, made)
			}
		}
	}
	return g
}

// maxTree is how deep a tree is drawn. Lines would be longer than anybody
// reads, and their indentation more than the graph.
const maxTree = 60

// WriteTree writes the graph as indented text, the root first and what it was
// made from, or what was made from it, below it. Something that was shown
// already is not unfolded again.
func (g Graph) WriteTree(w io.Writer) error {
	nodes := make(map[string]GraphNode, len(g.Nodes))
	for _, n := range g.Nodes {
		nodes[n.ID] = n
	}
	above, below := make(map[string][]string), make(map[string][]string)
	for _, e := range g.Edges {
		above[e.To] = append(above[e.To], e.From)
		below[e.From] = append(below[e.From], e.To)
	}
	var b strings.Builder
	switch g.way {
	case Down:
		writeTree(&b, g.Root, nodes, below)
	case Both:
		b.WriteString("made from:\n")
		writeTree(&b, g.Root, nodes, above)
		b.WriteString("\nused by:\n")
		writeTree(&b, g.Root, nodes, below)
	default:
		writeTree(&b, g.Root, nodes, above)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func writeTree(b *strings.Builder, root string, nodes map[string]GraphNode, next map[string][]string) {
	shown := make(map[string]bool)
	// A frame is one line to be written; the list is a stack, so that a long
	// chain costs memory and not the goroutine's stack.
	type frame struct {
		id, lead, branch, below string
		depth                   int
	}
	for todo := []frame{{id: root}}; len(todo) > 0; {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		b.WriteString(f.lead + f.branch + label(nodes[f.id]))
		children := next[f.id]
		switch {
		case len(children) == 0:
		case shown[f.id]:
			b.WriteString("  (see above)\n")
			continue
		case f.depth == maxTree:
			b.WriteString("  … and what lies behind it: see --json\n")
			continue
		}
		shown[f.id] = true
		b.WriteByte('\n')
		for i, id := range slices.Backward(children) {
			branch, below := "├─ ", "│  "
			if i == len(children)-1 {
				branch, below = "└─ ", "   "
			}
			todo = append(todo, frame{id, f.lead + f.below, branch, below, f.depth + 1})
		}
	}
}

func label(n GraphNode) string {
	var s string
	switch {
	case n.Version != nil:
		s = fmt.Sprintf("%s  %s  %s", n.Name, n.Version.Type, n.Version.Digest.Short())
	case n.Run != nil && n.Run.ReuseOf != "":
		s = fmt.Sprintf("run %s  %s  (reused %s)", n.ID, n.Name, n.Run.ReuseOf)
	default:
		s = fmt.Sprintf("%s %s  %s", n.Kind, n.ID, n.Name)
	}
	if n.Run != nil && n.Run.State != solera.Finished {
		s += "  (" + string(n.Run.State) + ")"
	}
	if n.Deleted {
		s += "  (deleted)"
	}
	return OneLine(s)
}

// OneLine makes a text fit for one line of a terminal or of another format:
// control characters, and those that are invisible or turn the direction of
// writing, become spaces. Names of runs may be anything.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) || r == utf8.RuneError {
			return ' '
		}
		return r
	}, s)
}

// DeclareUse notes that a run read a version, and returns it. It is Run.Use for
// a run whose process is elsewhere, or has ended: what it read may become known
// later. A version that the run made itself is returned without a note, and one
// that was made from something which the run made is ErrConflict.
func (t *Tracker) DeclareUse(ctx context.Context, id solera.RunID, version solera.VersionID) (solera.Version, error) {
	var v solera.Version
	err := t.Store.Update(ctx, func(tx solera.Tx) (err error) {
		if _, err := tx.Run(id); err != nil {
			return err
		}
		if v, err = tx.Version(version); err != nil {
			return err
		}
		if v.Deleted != 0 {
			return errDeleted(v)
		}
		if v.Run == id {
			return nil
		}
		made, err := tx.Edges(solera.EdgeQuery{Run: id, Kind: solera.Made})
		if err != nil {
			return err
		}
		if len(made) > 0 {
			up, err := ancestry(tx, v)
			if err != nil {
				return err
			}
			if _, circle := up.runs[id]; circle {
				return fmt.Errorf("%w: %s was made from a version that this run made; use it in another run", solera.ErrConflict, v.Name())
			}
		}
		if err := tx.AddEdge(solera.Edge{Run: id, Version: v.ID(), Kind: solera.Used}); err != nil || len(made) == 0 {
			return err
		}
		return t.signAgain(tx, id)
	})
	if err != nil {
		return solera.Version{}, fmt.Errorf("run %s: use %v: %w", id, version, err)
	}
	return v, nil
}
