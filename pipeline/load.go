package pipeline

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/dataset"
	"github.com/solera-ml/solera/split"
	"github.com/solera-ml/solera/table"
	"github.com/solera-ml/solera/tracking"
	"github.com/solera-ml/solera/transform"
)

// The three parts of a data set, which are also the names of their files.
const (
	trainPart = "train"
	valPart   = "val"
	testPart  = "test"
)

// loadJob is the stage load. Its recipe names the content of the source, so
// that a changed file is a changed recipe.
func (p *Pipeline) loadJob(ctx context.Context) (job, error) {
	digest, err := p.SourceDigest(ctx)
	params := p.Config.LoadParams()
	params["source_digest"] = digest
	work := func(ctx context.Context, _ task) (output, error) { return p.load(ctx, digest) }
	return job{stage: Load, params: params, output: p.Config.RawName(), work: work}, err
}

// SourceDigest names the content of the source, not its place.
func (p *Pipeline) SourceDigest(ctx context.Context) (string, error) {
	if name, ok := p.Config.Sample(); ok {
		s, err := p.sample(name)
		if err != nil {
			return "", err
		}
		pr, pw := io.Pipe()
		go func() { pw.CloseWithError(table.WriteParquet(pw, s.Table)) }()
		d, _, err := solera.DigestReader(pr)
		return d.String(), err
	}
	d, _, err := table.SourceDigest(ctx, p.Config.SourcePath())
	if err != nil {
		return "", failed(ctx, Load, err)
	}
	return solera.Digest(d).String(), nil
}

func (p *Pipeline) sample(name string) (dataset.Sample, error) {
	s, err := dataset.Get(name)
	if err != nil {
		return s, p.Config.Fault("data.source", fmt.Sprintf("no sample is called %q", name),
			"the samples are "+strings.Join(dataset.Names(), ", "))
	}
	return s, nil
}

// TableOptions returns how to read the source.
func (c *Config) TableOptions() table.Options {
	d := c.Data
	o := table.Options{Ignore: d.Ignore}
	if len(d.MissingValues) > 0 {
		o.MissingValues = append(table.DefaultMissing(), d.MissingValues...)
	}
	if d.Format != "auto" {
		o.Format = d.Format
	}
	switch d.Delimiter {
	case "auto":
	case "tab":
		o.Delimiter = '\t'
	default:
		o.Delimiter, _ = utf8.DecodeRuneInString(d.Delimiter)
	}
	for name, kind := range d.Types {
		if o.Types == nil {
			o.Types = make(map[string]table.Kind, len(d.Types))
		}
		o.Types[name] = table.Kind(kind)
	}
	return o
}

// source reads the raw table, and says in a word where it is from.
func (p *Pipeline) source(ctx context.Context) (*table.Table, solera.Fields, error) {
	c := p.Config
	if name, ok := c.Sample(); ok {
		s, err := p.sample(name)
		if err != nil {
			return nil, nil, err
		}
		for column, kind := range c.Data.Types {
			if have := s.Table.Column(column); have != nil && string(have.Kind) != kind {
				return nil, nil, c.Fault("data.types", fmt.Sprintf("column %q of the sample is of kind %s", column, have.Kind), "remove it from types")
			}
		}
		for _, line := range []string{s.Title, "from " + s.Source, "licence " + s.Licence} {
			p.reporter().Line(Load, line)
		}
		about := solera.Fields{"source": "sample:" + name, "title": s.Title, "origin": s.Source, "licence": s.Licence}
		return s.Table.Without(c.Data.Ignore...), about, nil
	}
	o := c.TableOptions()
	o.Workers = p.workers()
	t, err := table.Open(ctx, c.SourcePath(), o)
	// The path belongs to the run's params and not to the content: the same
	// rows from another folder are the same data set.
	return t, solera.Fields{}, err
}

// load reads the source, decides which row belongs to which part, and commits
// the parts as they are. digest is that of the source in the recipe.
func (p *Pipeline) load(ctx context.Context, digest string) (output, error) {
	c := p.Config
	t, about, err := p.source(ctx)
	if err != nil {
		return output{}, err
	}
	for _, named := range [][2]string{{"data.target", c.Data.Target}, {"data.split.group", c.Data.Split.Group}, {"data.split.time", c.Data.Split.Time}} {
		key, column := named[0], named[1]
		if column != "" && t.Column(column) == nil {
			return output{}, c.Fault(key, fmt.Sprintf("%s has no column %q", c.Data.Source, column), "its columns are "+list(t.Names(), 12))
		}
	}
	for _, column := range slices.Sorted(maps.Keys(c.Data.Types)) {
		if t.Column(column) == nil && !slices.Contains(c.Data.Ignore, column) {
			return output{}, c.Fault("data.types."+column, fmt.Sprintf("%s has no column %q", c.Data.Source, column), "its columns are "+list(t.Names(), 12))
		}
	}
	labels, err := transform.FitLabels(t, c.Data.Target, nil)
	if err != nil {
		return output{}, err
	}
	y, err := labels.Encode(t, nil)
	if err != nil {
		return output{}, err
	}
	parts, err := p.split(t, y, labels.Classes)
	if err != nil {
		return output{}, err
	}
	if err := p.everyClassLearned(y, parts.Train, labels.Classes); err != nil {
		return output{}, err
	}
	// In a run that goes on to train, what the data says of the training is said
	// now, before anything is stored, and not by the last stage.
	for i := range c.Experiments {
		if !p.trains {
			break
		}
		if err := p.fits(i, len(parts.Train)); err != nil {
			return output{}, err
		}
		if _, err := p.classWeights(i, labels.Classes, y); err != nil {
			return output{}, err
		}
	}
	features := len(t.Columns) - len(p.notFeatures(t))
	if features == 0 {
		return output{}, c.Fault("data.ignore", "no column is left to learn from", "keep at least one feature beside the target")
	}
	counts := make([]int, len(labels.Classes))
	for _, class := range y {
		counts[class]++
	}
	p.reporter().Line(Load, fmt.Sprintf("%d rows, %d features, %d classes: %s", t.Len(), features, len(counts), countsOf(labels.Classes, counts)))
	p.reporter().Line(Load, fmt.Sprintf("split %s: %d training rows, %d validation, %d test", p.splitWord(), len(parts.Train), len(parts.Val), len(parts.Test)))
	// A file that is still being written would otherwise be answered from the
	// store for ever with what was read of it.
	if now, err := p.SourceDigest(ctx); err != nil {
		return output{}, err
	} else if now != digest {
		return output{}, c.Fault("data.source", c.Data.Source+" changed while it was read", "run again when nothing writes to it")
	}

	described := t.Schema(c.Data.Target)
	described.MissingValues = c.Data.MissingValues
	schema, err := indented(described)
	if err != nil {
		return output{}, err
	}
	profile, err := indented(t.Profile())
	if err != nil {
		return output{}, err
	}
	about["rows"], about["features"] = t.Len(), features
	about["target"], about["classes"] = c.Data.Target, labels.Classes
	about["split"] = map[string]any{"train": len(parts.Train), "val": len(parts.Val), "test": len(parts.Test)}
	part := func(rows []int) tracking.Source {
		return tracking.Writer(func(w io.Writer) error { return table.WriteParquetRows(w, t, rows) })
	}
	return output{
		draft: tracking.Draft{
			Artifact: c.RawName(), Type: "dataset", Metadata: about,
			Files: map[string]tracking.Source{
				"train.parquet": part(parts.Train), "val.parquet": part(parts.Val), "test.parquet": part(parts.Test),
				"schema.json": tracking.Bytes(schema), "profile.json": tracking.Bytes(profile),
			},
		},
		summary: solera.Fields{"rows": t.Len(), "features": features, "classes": len(counts), "split": about["split"]},
	}, nil
}

// split decides who may see which row.
func (p *Pipeline) split(t *table.Table, y []int32, classes []string) (split.Parts, error) {
	s := p.Config.Data.Split
	f := split.Fractions{Train: s.Train, Val: s.Val, Test: s.Test}
	switch {
	case s.Time != "":
		c := t.Column(s.Time)
		if c.Numbers == nil {
			return split.Parts{}, p.Config.Fault("data.split.time", fmt.Sprintf("column %q is a %s, which has no order in time", s.Time, c.Kind), "choose a date or number column")
		}
		return split.ByTime(c.Numbers, f)
	case s.Group != "":
		groups := groupsOf(t.Column(s.Group))
		if s.Stratify {
			return split.Grouped(groups, y, f, p.Config.Seed)
		}
		return split.Grouped(groups, nil, f, p.Config.Seed)
	case s.Stratify:
		return split.Stratified(y, classes, f, p.Config.Seed)
	}
	return split.Random(t.Len(), f, p.Config.Seed)
}

// splitWord tells how the rows were split.
func (p *Pipeline) splitWord() string {
	s := p.Config.Data.Split
	word := fmt.Sprintf("at random with seed %d", p.Config.Seed)
	switch {
	case s.Time != "":
		return "by time of " + s.Time
	case s.Group != "":
		word = fmt.Sprintf("by group of %s with seed %d", s.Group, p.Config.Seed)
	}
	if s.Stratify {
		word += ", stratified"
	}
	return word
}

// groupsOf numbers the groups of a column. A row without a group is a group of
// its own: nothing says that it belongs with another.
func groupsOf(c *table.Column) []int32 {
	groups := make([]int32, c.Len())
	seen := map[string]int32{}
	next := int32(0)
	for i := range groups {
		if c.Missing(i) {
			groups[i] = next
			next++
			continue
		}
		text := c.Text(i)
		g, ok := seen[text]
		if !ok {
			g = next
			seen[text] = g
			next++
		}
		groups[i] = g
	}
	return groups
}

// everyClassLearned reports a class that no training row has: the network
// could never predict it, and its scores would blame the network.
func (p *Pipeline) everyClassLearned(y []int32, train []int, classes []string) error {
	counts := make([]int, len(classes))
	for _, row := range train {
		counts[y[row]]++
	}
	for class, n := range counts {
		if n == 0 {
			hint := "set split.stratify: true, choose another seed, or drop the class"
			if p.Config.Data.Split.Time != "" {
				hint = "give split.train a larger share, or drop the class: the oldest rows do not have it"
			}
			return p.Config.Fault("data.split", fmt.Sprintf("no training row is of class %q", classes[class]), hint)
		}
	}
	return nil
}

// notFeatures lists the columns of t that the network must not see.
func (p *Pipeline) notFeatures(t *table.Table) []string {
	var out []string
	for _, name := range []string{p.Config.Data.Target, p.Config.Data.Split.Group, p.Config.Data.Split.Time} {
		if name != "" && t.Column(name) != nil {
			out = append(out, name)
		}
	}
	return out
}

// countsOf reads "class_0 59, class_1 71, class_2 48"; beyond ten classes the
// rest is counted only.
func countsOf(classes []string, counts []int) string {
	const most = 10
	var b strings.Builder
	for i, class := range classes {
		if i == most {
			fmt.Fprintf(&b, ", and %d more", len(classes)-most)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s %d", clip(comment(class), 32), counts[i])
	}
	return b.String()
}

// list joins the first few names.
func list(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// indented is JSON for a file that people open.
func indented(v any) ([]byte, error) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(b, '\n'), nil
}
