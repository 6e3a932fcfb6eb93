package tracking_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// shelf returns a project with three versions of two artifacts.
func shelf(t testing.TB) (*tracking.Tracker, []solera.Version) {
	tr := open(t)
	run := start(t, tr, "train")
	a0, _ := commit(t, run, "a", "1")
	a1, _ := commit(t, run, "a", "2")
	b0, _ := commit(t, run, "b", "3")
	finish(t, run)
	return tr, []solera.Version{a0, a1, b0}
}

func link(t testing.TB, tr *tracking.Tracker, name string, v solera.Version, aliases ...string) tracking.Member {
	t.Helper()
	_, m, err := tr.Link(ctx, name, v.ID(), aliases)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestCollectionCountsItsOwnWay(t *testing.T) {
	tr, v := shelf(t)
	link(t, tr, "best", v[2], "prod")
	m := link(t, tr, "best", v[0], "latest", "prod", "x")
	if m.Number != 1 || !slices.Equal(m.Aliases, []string{"latest", "prod", "x"}) {
		t.Errorf("second member: %+v", m)
	}
	if again := link(t, tr, "best", v[2]); again.Number != 0 || len(again.Aliases) != 0 {
		t.Errorf("linked again: %+v", again)
	}
	c, err := tr.Collection(ctx, "best")
	if err != nil || len(c.Members) != 2 || c.Type != "dataset" {
		t.Fatalf("collection: %+v, %v", c, err)
	}
	for ref, want := range map[string]int{"best": 1, "best:v0": 0, "best:prod": 1, "best:latest": 1} {
		r, err := solera.ParseRef(ref)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := c.Resolve(r); err != nil || m.Number != want {
			t.Errorf("%s is %+v, %v", ref, m, err)
		}
	}
	if err := tr.AliasMember(ctx, "best", v[2].ID(), []string{"x", "y"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.AliasMember(ctx, "best", v[2].ID(), nil, []string{"prod"}); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("took an alias that another has: %v", err)
	}
	if err := tr.Unlink(ctx, "best", v[0].ID()); err != nil {
		t.Fatal(err)
	}
	if m := link(t, tr, "best", v[1]); m.Number != 2 {
		t.Errorf("a number was given again: %+v", m)
	}
	list, err := tr.Memberships(ctx, v[2].ID())
	if err != nil || len(list) != 1 || list[0].Collection.Name != "best" || !slices.Equal(list[0].Aliases, []string{"x", "y"}) {
		t.Errorf("memberships: %+v, %v", list, err)
	}
	// The aliases of the version itself are others.
	if own, err := tr.Version(ctx, "b:v0"); err != nil || !slices.Equal(own.Aliases, []string{"latest"}) {
		t.Errorf("b:v0 has the aliases %v, %v", own.Aliases, err)
	}
}

func TestCollectionRefusals(t *testing.T) {
	tr, v := shelf(t)
	link(t, tr, "best", v[0])
	model := start(t, tr, "train")
	m, _, err := model.Commit(ctx, tracking.Draft{Artifact: "m", Type: "model", Files: map[string]tracking.Source{"x": tracking.Bytes(nil)}})
	if err != nil {
		t.Fatal(err)
	}
	finish(t, model)
	for name, c := range map[string]struct {
		err  error
		kind error
	}{
		"an artifact's name":           {second(tr.Link(ctx, "a", v[0].ID(), nil)), solera.ErrConflict},
		"another type":                 {second(tr.Link(ctx, "best", m.ID(), nil)), solera.ErrConflict},
		"no version":                   {second(tr.Link(ctx, "best", solera.VersionID{Project: "wine", Artifact: "a", Number: 9}, nil)), solera.ErrNotFound},
		"a name that is none":          {second(tr.Link(ctx, "x/y", v[0].ID(), nil)), solera.ErrInvalid},
		"an alias like v1":             {second(tr.Link(ctx, "best", v[0].ID(), []string{"v1"})), solera.ErrInvalid},
		"unlink what is not":           {tr.Unlink(ctx, "best", v[1].ID()), solera.ErrNotFound},
		"unlink from nothing":          {tr.Unlink(ctx, "none", v[1].ID()), solera.ErrNotFound},
		"rename to an artifact's name": {last(tr.RenameCollection(ctx, "best", "b")), solera.ErrConflict},
		"rename to no name":            {last(tr.RenameCollection(ctx, "best", "")), solera.ErrInvalid},
		"describe in 1 MB":             {last(tr.AmendCollection(ctx, "best", tracking.LineAmendment{Description: new(strings.Repeat("x", 1<<20))})), solera.ErrInvalid},
		"an empty tag":                 {last(tr.AmendLine(ctx, "a", tracking.LineAmendment{Add: []string{""}})), solera.ErrInvalid},
		"a line that is not":           {last(tr.AmendLine(ctx, "none", tracking.LineAmendment{})), solera.ErrNotFound},
	} {
		if !errors.Is(c.err, c.kind) {
			t.Errorf("%s: %v, want %v", name, c.err, c.kind)
		}
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }
func last[A any](_ A, err error) error           { return err }

func TestWhatIsSaidOfLinesAndCollections(t *testing.T) {
	tr, v := shelf(t)
	link(t, tr, "best", v[0])
	text := "words"
	c, err := tr.AmendCollection(ctx, "best", tracking.LineAmendment{Description: &text, Add: []string{"b", "a", "a"}})
	if err != nil || c.Description != text || !slices.Equal(c.Tags, []string{"a", "b"}) {
		t.Errorf("collection: %+v, %v", c, err)
	}
	if c, err = tr.RenameCollection(ctx, "best", "better"); err != nil || c.Name != "better" || len(c.Members) != 1 || c.Description != text {
		t.Errorf("renamed: %+v, %v", c, err)
	}
	if _, err := tr.Collection(ctx, "best"); !errors.Is(err, solera.ErrNotFound) {
		t.Errorf("the old name: %v", err)
	}
	l, err := tr.AmendLine(ctx, "a", tracking.LineAmendment{Description: &text, Add: []string{"x", "y"}, Remove: []string{"y"}})
	if err != nil || l.Description != text || !slices.Equal(l.Tags, []string{"x"}) {
		t.Errorf("line: %+v, %v", l, err)
	}
	if err := tr.Remark(ctx, v[0].ID(), solera.Fields{"k": "v"}); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.Remarks(ctx, v[0].ID()); err != nil || got.Text("k") != "v" {
		t.Errorf("remarks %v, %v", got, err)
	}
	if err := tr.Remark(ctx, v[0].ID(), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := tr.Remarks(ctx, v[0].ID()); err != nil || got != nil {
		t.Errorf("remarks %v, %v", got, err)
	}
	if err := tr.DeleteCollection(ctx, "better"); err != nil {
		t.Fatal(err)
	}
	if err := tr.DeleteLine(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if list, err := tr.Versions(ctx, "a"); err != nil || len(list) != 0 {
		t.Errorf("versions %v, %v", list, err)
	}
}

func TestLinkedVersionsStay(t *testing.T) {
	tr, v := shelf(t)
	link(t, tr, "best", v[0])
	_, err := tr.Delete(ctx, "a:v0", false)
	wantErr(t, err, solera.ErrConflict)
	rules := tracking.Retention{KeepRule: tracking.KeepRule{KeepVersions: 1}}
	if _, err := tr.Expire(ctx, "a:v0", 1); err != nil {
		t.Fatal(err)
	}
	report, err := tracking.GC(ctx, tr.Store, tr.Blobs, tracking.GCOptions{Delete: true, Project: "wine", Retention: rules})
	if err != nil || len(report.Versions) != 0 {
		t.Errorf("gc gave up %v, %v", report.Versions, err)
	}
	if _, err := tr.Delete(ctx, "a:v0", true); err != nil {
		t.Fatal(err)
	}
	if c, err := tr.Collection(ctx, "best"); err != nil || len(c.Members) != 0 {
		t.Errorf("a deleted version is a member still: %+v, %v", c, err)
	}
}

// Against the simplest model: a list of members, each alias in one place.
func TestCollectionsKeepTheirRules(t *testing.T) {
	tr := open(t)
	run := start(t, tr, "train")
	var versions []solera.Version
	for i := range 5 {
		v, _ := commit(t, run, "a", fmt.Sprint(i))
		versions = append(versions, v)
	}
	finish(t, run)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		n++
		name := fmt.Sprint("c", n)
		numbers := map[int]int{} // version → number
		aliases := map[string]int{}
		next := 0
		link(t, tr, name, versions[0])
		numbers[0], next = 0, 1
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			i := rapid.IntRange(0, len(versions)-1).Draw(rt, "version")
			alias := rapid.SampledFrom([]string{"x", "y", "z"}).Draw(rt, "alias")
			_, member := numbers[i]
			if rapid.Bool().Draw(rt, "link") {
				link(t, tr, name, versions[i], alias)
				if !member {
					numbers[i] = next
					next++
				}
				aliases[alias] = i
				continue
			}
			err := tr.Unlink(ctx, name, versions[i].ID())
			if (err == nil) != member {
				rt.Fatalf("unlink: %v, member %v", err, member)
			}
			delete(numbers, i)
			for a, j := range aliases {
				if j == i {
					delete(aliases, a)
				}
			}
		}
		c, err := tr.Collection(ctx, name)
		if err != nil || len(c.Members) != len(numbers) {
			rt.Fatalf("%d members, want %d (%v)", len(c.Members), len(numbers), err)
		}
		for _, m := range c.Members {
			i := m.Version.Number
			if m.Number != numbers[i] || m.Linked.Time().After(time.Now().Add(time.Minute)) {
				rt.Fatalf("member %+v, want number %d", m, numbers[i])
			}
			for _, a := range m.Aliases {
				if a != solera.Latest && aliases[a] != i {
					rt.Fatalf("%s is v%d's, want v%d's", a, i, aliases[a])
				}
			}
		}
	})
}
