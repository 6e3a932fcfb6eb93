package tracking

import (
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/solera-ml/solera"
)

// Retention says which versions of a project stay. The zero value keeps all.
//
// Whatever it says, these stay: the newest version of an artifact; one that an
// alias other than latest names, or that is linked in a collection; one with the
// tag keep; one whose own Expires is yet to come; one that a version which stays was made from, so that it can
// be made again; one that a run under way reads.
type Retention struct {
	KeepRule
	// Artifacts have rules of their own, which take the place of the general
	// one. The first whose pattern matches counts.
	Artifacts []ArtifactRetention
}

// A KeepRule keeps a version that one of its numbers keeps. The zero value
// keeps all.
type KeepRule struct {
	KeepVersions int // so many newest versions stay; 0 = this keeps none
	KeepDays     int // versions younger than so many days stay; 0 = this keeps none
}

// ArtifactRetention is the rule of the artifacts whose names match.
type ArtifactRetention struct {
	Pattern string // as of path.Match: "trained-*"
	KeepRule
}

// KeepTag is the tag of a version that no rule deletes.
const KeepTag = "keep"

// Check reports ErrInvalid unless r makes sense.
func (r Retention) Check() error {
	rules := []KeepRule{r.KeepRule}
	for _, a := range r.Artifacts {
		if _, err := path.Match(a.Pattern, ""); err != nil || a.Pattern == "" {
			return fmt.Errorf("retention: the pattern %.80q: %w: write a name, in which * stands for any letters", a.Pattern, solera.ErrInvalid)
		}
		rules = append(rules, a.KeepRule)
	}
	for _, rule := range rules {
		if rule.KeepVersions < 0 || rule.KeepDays < 0 {
			return fmt.Errorf("retention: %w: a number below 0", solera.ErrInvalid)
		}
	}
	return nil
}

// of returns the rule of an artifact.
func (r Retention) of(artifact string) KeepRule {
	for _, a := range r.Artifacts {
		if ok, err := path.Match(a.Pattern, artifact); ok && err == nil {
			return a.KeepRule
		}
	}
	return r.KeepRule
}

// gives reports whether the rule gives up a version that was made at created
// and has so many newer ones.
func (r KeepRule) gives(newer int, created, now solera.Micros) bool {
	if r.KeepVersions == 0 && r.KeepDays == 0 {
		return false
	}
	if r.KeepVersions > 0 && newer < r.KeepVersions {
		return false
	}
	return r.KeepDays == 0 || now.Time().Sub(created.Time()) >= time.Duration(r.KeepDays)*24*time.Hour
}

// Why gc frees something.
const (
	Expired      = "expired"      // the version's Expires has come
	Retained     = "retention"    // no rule keeps the version
	RunDeleted   = "deleted run"  // a user deleted the run
	Unreferenced = "unreferenced" // nothing that stays names the content
	Leftover     = "leftover"     // of a writer that died
)

// A givenUp is a version that gc has chosen. What the choice rests on is kept,
// to be compared when it is carried out.
type givenUp struct {
	id     solera.VersionID
	reason string
	about  solera.Version // without files
	uses   int            // runs that read it
}

// choose returns the versions that have expired, of every project, and those
// that the rules of the project give up.
func choose(tx solera.Tx, now solera.Micros, project string, rules Retention) ([]givenUp, error) {
	read, err := beingRead(tx, now)
	if err != nil {
		return nil, err
	}
	linked, err := linkedVersions(tx)
	if err != nil {
		return nil, err
	}
	artifacts, err := tx.Artifacts("")
	if err != nil {
		return nil, err
	}
	var chosen []givenUp
	for _, artifact := range artifacts {
		versions, err := tx.Versions(solera.VersionQuery{Project: artifact.Project, Artifact: artifact.Name})
		if err != nil {
			return nil, err
		}
		rule := rules.of(artifact.Name)
		newer := 0                   // that have not expired
		for _, v := range versions { // the newest first
			free := !held(v) && !read[v.ID()] && linked[v.ID()] == ""
			if free && v.Expires != 0 && v.Expires <= now {
				chosen = append(chosen, givenUp{id: v.ID(), reason: Expired, about: v})
				continue
			}
			if free && v.Expires == 0 && v.Project == project && newer > 0 && rule.gives(newer, v.Created, now) {
				chosen = append(chosen, givenUp{id: v.ID(), reason: Retained, about: v})
			}
			newer++
		}
	}
	if chosen, err = withoutAncestors(tx, chosen); err != nil {
		return nil, err
	}
	for i := range chosen {
		if chosen[i].uses, err = uses(tx, chosen[i].id); err != nil {
			return nil, err
		}
	}
	return chosen, nil
}

// held reports whether people hold on to a version by an alias or by the tag.
func held(v solera.Version) bool {
	return slices.Contains(v.Tags, KeepTag) ||
		slices.ContainsFunc(v.Aliases, func(alias string) bool { return alias != solera.Latest })
}

func uses(tx solera.Tx, id solera.VersionID) (int, error) {
	edges, err := tx.Edges(solera.EdgeQuery{Version: id, Kind: solera.Used})
	return len(edges), err
}

// silence is how long a run under way may say nothing before gc no longer
// waits for it: far longer than until it is shown as crashed.
const silence = time.Hour

// beingRead returns the versions that runs under way use.
func beingRead(tx solera.Tx, now solera.Micros) (map[solera.VersionID]bool, error) {
	read := make(map[solera.VersionID]bool)
	err := eachRun(tx, solera.RunQuery{State: solera.Running}, func(run solera.Run) error {
		if now.Time().Sub(max(run.Heartbeat, run.Started, run.Created).Time()) > silence {
			return nil
		}
		edges, err := tx.Edges(solera.EdgeQuery{Run: run.ID, Kind: solera.Used})
		for _, e := range edges {
			read[e.Version] = true
		}
		return err
	})
	return read, err
}

// withoutAncestors returns chosen without the versions that the rules give up
// and that a version which stays was made from, however far back. A time of
// expiry is somebody's explicit word, and holds for an ancestor too.
//
// It walks down from the chosen, as gc often chooses few of many: to the runs
// that used them, to what these made. Deleted versions on the way are walked
// through, as what came of them may stay.
func withoutAncestors(tx solera.Tx, chosen []givenUp) ([]givenUp, error) {
	candidate := make(map[solera.VersionID]bool)
	var todo []solera.VersionID
	for _, c := range chosen {
		if c.reason == Retained {
			todo = append(todo, c.id)
		}
		candidate[c.id] = true
	}
	seen := make(map[solera.VersionID]bool)
	parents := make(map[solera.VersionID][]solera.VersionID)
	var stays []solera.VersionID // descendants that stay
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[id] {
			continue
		}
		seen[id] = true
		used, err := tx.Edges(solera.EdgeQuery{Version: id, Kind: solera.Used})
		if err != nil {
			return nil, err
		}
		for _, e := range used {
			made, err := tx.Edges(solera.EdgeQuery{Run: e.Run, Kind: solera.Made})
			if err != nil {
				return nil, err
			}
			there, err := tx.Versions(solera.VersionQuery{Run: e.Run}) // deleted ones are not among them
			if err != nil {
				return nil, err
			}
			alive := make(map[solera.VersionID]bool)
			for _, v := range there {
				alive[v.ID()] = true
			}
			for _, m := range made {
				child := m.Version
				parents[child] = append(parents[child], id)
				if alive[child] && !candidate[child] {
					stays = append(stays, child)
				}
				todo = append(todo, child)
			}
		}
	}
	keep := make(map[solera.VersionID]bool)
	for len(stays) > 0 {
		id := stays[len(stays)-1]
		stays = stays[:len(stays)-1]
		for _, parent := range parents[id] {
			if !keep[parent] {
				keep[parent] = true
				stays = append(stays, parent)
			}
		}
	}
	return slices.DeleteFunc(chosen, func(c givenUp) bool { return c.reason == Retained && keep[c.id] }), nil
}

// giveUp marks a version deleted if everything is still as it was when it was
// chosen: an alias, a tag, another time or another reader may have come.
func giveUp(tx solera.Tx, c givenUp) (bool, error) {
	v, err := tx.Version(c.id)
	if err != nil {
		return false, err
	}
	n, err := uses(tx, c.id)
	if err != nil {
		return false, err
	}
	linked, err := linkedVersions(tx)
	if err != nil || linked[c.id] != "" {
		return false, err
	}
	if v.Deleted != 0 || v.Expires != c.about.Expires || n != c.uses || held(v) {
		return false, nil
	}
	if c.reason == Retained && slices.Contains(v.Aliases, solera.Latest) {
		return false, nil // what was newer is gone
	}
	if v.Deleted, err = tx.Now(); err != nil {
		return false, err
	}
	return true, tx.UpdateVersion(v)
}
