package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/tracking"
)

func (a *app) lineageCommand() *cobra.Command {
	format := "tree"
	var up, down, both bool
	formats := []string{"tree", "json", "dot", "mermaid"}
	c := &cobra.Command{
		Use:   "lineage NAME[:REF]",
		Short: "Show what a version was made from, or what was made from it",
		Long: `Show what a version was made from, with --down what was made from it, with
--both one after the other. Versions that were deleted are part of it.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("of which version? solera lineage NAME:v0, or NAME for the newest")
			}
			if !slices.Contains(formats, format) {
				return usage("--format %s: want %s", format, strings.Join(formats, ", "))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			ctx := c.Context()
			w, err := a.openProject(ctx)
			if err != nil {
				return err
			}
			defer w.close()
			way := tracking.Up
			switch {
			case both || up && down:
				way = tracking.Both
			case down:
				way = tracking.Down
			}
			g, err := w.Trace(ctx, args[0], way)
			if err != nil {
				return a.absent(err, args[0])
			}
			switch {
			case a.json || format == "json":
				return a.printJSON(g)
			case format == "dot":
				return writeDOT(a.stdout, g)
			case format == "mermaid":
				return writeMermaid(a.stdout, g)
			}
			return g.WriteTree(a.stdout)
		},
	}
	c.Flags().BoolVar(&up, "up", false, "what it was made from (the default)")
	c.Flags().BoolVar(&down, "down", false, "what was made from it")
	c.Flags().BoolVar(&both, "both", false, "up and down")
	c.Flags().StringVar(&format, "format", format, "tree, json, dot or mermaid")
	return c
}

// writeDOT writes a graph for Graphviz: versions are boxes, runs ellipses,
// arrows go the way of the data.
func writeDOT(w io.Writer, g tracking.Graph) error {
	var b strings.Builder
	b.WriteString("digraph lineage {\n  rankdir=LR;\n")
	for _, n := range g.Nodes {
		shape := "box"
		if n.Kind == "run" {
			shape = "ellipse"
		}
		style := ""
		if n.Deleted {
			style = ", style=dashed"
		}
		fmt.Fprintf(&b, "  %s [label=%s, shape=%s%s];\n", dotText(n.ID), dotText(shownName(n)), shape, style)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", dotText(e.From), dotText(e.To), dotText(string(e.Kind)))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// shownName is a node's name, marked if it is deleted.
func shownName(n tracking.GraphNode) string {
	if n.Deleted {
		return n.Name + " (deleted)"
	}
	return n.Name
}

// dotText quotes a text for Graphviz.
func dotText(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(tracking.OneLine(s)) + `"`
}

// writeMermaid writes a graph for Mermaid, which Markdown pages draw.
func writeMermaid(w io.Writer, g tracking.Graph) error {
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	number := make(map[string]int, len(g.Nodes)) // identifiers with a colon are not Mermaid's
	for i, n := range g.Nodes {
		number[n.ID] = i
		open, end := "[", "]"
		if n.Kind == "run" {
			open, end = "([", "])"
		}
		fmt.Fprintf(&b, "  n%d%s\"%s\"%s\n", i, open, mermaidText(shownName(n)), end)
	}
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "  n%d -->|%s| n%d\n", number[e.From], e.Kind, number[e.To])
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mermaidText escapes what Mermaid reads as markup within quotes. Its escapes
// begin with #.
func mermaidText(s string) string {
	return strings.NewReplacer("#", "#35;", `"`, "#quot;", "&", "#amp;", "<", "#lt;", ">", "#gt;", "`", "#96;").Replace(tracking.OneLine(s))
}

// stageNames completes the word on the command line.
func stageNames(stages []string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return stages, cobra.ShellCompDirectiveNoFileComp
	}
}
