package tracking

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// What may be said about a version.
const (
	maxTag         = 128       // bytes
	maxTags        = 100       // of a version
	maxDescription = 64 * 1024 // bytes
)

// annotate changes what may change of the version that ref names, and returns
// it as it is then.
func (t *Tracker) annotate(ctx context.Context, what, ref string, change func(solera.Tx, *solera.Version) error) (solera.Version, error) {
	var v solera.Version
	err := t.update(ctx, func(tx solera.Tx) (err error) {
		if v, err = t.resolve(tx, ref); err != nil {
			return err
		}
		if err := change(tx, &v); err != nil {
			return err
		}
		if err := tx.UpdateVersion(v); err != nil {
			return err
		}
		v, err = tx.Version(v.ID())
		return err
	})
	if err != nil {
		return solera.Version{}, fmt.Errorf("%s %s: %w", what, ref, err)
	}
	return v, nil
}

// Tag adds tags to the version that ref names and takes others away. A tag that
// is there already, or is not there to be taken away, is no error.
func (t *Tracker) Tag(ctx context.Context, ref string, add, remove []string) (solera.Version, error) {
	for _, tag := range slices.Concat(add, remove) {
		if err := checkTag(tag); err != nil {
			return solera.Version{}, err
		}
	}
	return t.annotate(ctx, "tag", ref, func(_ solera.Tx, v *solera.Version) error {
		tags := slices.Concat(v.Tags, add)
		tags = slices.DeleteFunc(tags, func(tag string) bool { return slices.Contains(remove, tag) })
		slices.Sort(tags)
		if v.Tags = slices.Compact(tags); len(v.Tags) > maxTags {
			return fmt.Errorf("%w: %d tags, at most %d are allowed", solera.ErrInvalid, len(v.Tags), maxTags)
		}
		return nil
	})
}

func checkTag(tag string) error {
	switch {
	case tag == "" || len(tag) > maxTag:
		return fmt.Errorf("tag %.40q: %w: a tag has 1 to %d bytes", tag, solera.ErrInvalid, maxTag)
	case !utf8.ValidString(tag) || strings.ContainsFunc(tag, func(r rune) bool { return !unicode.IsPrint(r) }) || strings.TrimSpace(tag) != tag:
		return fmt.Errorf("tag %q: %w: a tag is printable text without space around it", tag, solera.ErrInvalid)
	}
	return nil
}

// Describe sets the description of the version that ref names; "" removes it.
func (t *Tracker) Describe(ctx context.Context, ref, text string) (solera.Version, error) {
	if err := checkDescription(text); err != nil {
		return solera.Version{}, fmt.Errorf("describe %s: %w", ref, err)
	}
	return t.annotate(ctx, "describe", ref, func(_ solera.Tx, v *solera.Version) error {
		v.Description = text
		return nil
	})
}

func checkDescription(text string) error {
	if len(text) > maxDescription || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("%w: a description is text of at most 64 KiB", solera.ErrInvalid)
	}
	return nil
}

// Expire lets gc delete the version that ref names from a moment on; 0 = never.
func (t *Tracker) Expire(ctx context.Context, ref string, at solera.Micros) (solera.Version, error) {
	if at < 0 {
		return solera.Version{}, fmt.Errorf("expire %s: %w: a moment before 1970", ref, solera.ErrInvalid)
	}
	return t.annotate(ctx, "expire", ref, func(_ solera.Tx, v *solera.Version) error {
		if v.Deleted != 0 {
			return errDeleted(*v)
		}
		v.Expires = at
		return nil
	})
}

// Now is the time by the clock of the database.
func (t *Tracker) Now(ctx context.Context) (solera.Micros, error) {
	var now solera.Micros
	err := t.Store.View(ctx, func(tx solera.Tx) (err error) {
		now, err = tx.Now()
		return err
	})
	return now, err
}

// DeleteAlias forgets an alias of the version that ref names. One that names
// another version is ErrConflict, so that nothing is taken from a version which
// somebody promoted meanwhile.
func (t *Tracker) DeleteAlias(ctx context.Context, ref, alias string) error {
	if err := solera.CheckAlias(alias); err != nil {
		return err
	}
	return t.Store.Update(ctx, func(tx solera.Tx) error {
		v, err := t.resolve(tx, ref)
		if err != nil {
			return err
		}
		if !slices.Contains(v.Aliases, alias) {
			id, err := tx.Resolve(solera.Ref{Project: v.Project, Artifact: v.Artifact, Alias: alias})
			if errors.Is(err, solera.ErrNotFound) {
				return fmt.Errorf("alias %s: %w: %s has no such alias", alias, solera.ErrNotFound, v.Artifact)
			}
			if err != nil {
				return err
			}
			return fmt.Errorf("alias %s: %w: it names %s and not %s", alias, solera.ErrConflict, id.Name(), v.Name())
		}
		return tx.DeleteAlias(v.Project, v.Artifact, alias)
	})
}

// Delete gives the version that ref names up: it is not listed any more, loses
// its aliases, and gc may free its bytes. Its record stays, for the lineage.
// Unless force is set, a version that an alias (other than latest) names, that a
// run under way uses, or from which a version was made that is not deleted, is
// ErrConflict.
func (t *Tracker) Delete(ctx context.Context, ref string, force bool) (solera.Version, error) {
	return t.annotate(ctx, "delete", ref, func(tx solera.Tx, v *solera.Version) error {
		if v.Deleted != 0 {
			return nil
		}
		if !force {
			if err := t.spared(tx, *v); err != nil {
				return err
			}
		}
		now, err := tx.Now()
		v.Deleted = now
		return err
	})
}

// spared says why a version should not be deleted.
func (t *Tracker) spared(tx solera.Tx, v solera.Version) error {
	if kept := slices.DeleteFunc(slices.Clone(v.Aliases), func(a string) bool { return a == solera.Latest }); len(kept) > 0 {
		return fmt.Errorf("%w: it is %s; take the alias away first, or force it", solera.ErrConflict, strings.Join(kept, " and "))
	}
	linked, err := linkedVersions(tx)
	if err != nil {
		return err
	}
	if in := linked[v.ID()]; in != "" {
		return fmt.Errorf("%w: it is linked in the collection %s; unlink it first, or force it", solera.ErrConflict, in)
	}
	now, err := tx.Now()
	if err != nil {
		return err
	}
	// Down through versions that are deleted already, as far as it takes to
	// find one that is not.
	seen := map[solera.VersionID]bool{v.ID(): true}
	for todo := []solera.VersionID{v.ID()}; len(todo) > 0; {
		id := todo[0]
		todo = todo[1:]
		users, err := tx.Edges(solera.EdgeQuery{Version: id, Kind: solera.Used})
		if err != nil {
			return err
		}
		for _, user := range users {
			if id == v.ID() {
				run, err := tx.Run(user.Run)
				if err != nil {
					return err
				}
				if run.State == solera.Running && !t.silent(run, now) {
					return fmt.Errorf("%w: the run %s is using it; wait for its end, or force it", solera.ErrConflict, run.ID)
				}
			}
			made, err := tx.Edges(solera.EdgeQuery{Run: user.Run, Kind: solera.Made})
			if err != nil {
				return err
			}
			for _, e := range made {
				if seen[e.Version] {
					continue
				}
				seen[e.Version] = true
				child, err := tx.Version(e.Version)
				if err != nil {
					return err
				}
				if child.Deleted == 0 {
					return fmt.Errorf("%w: %s was made from it, and could not be reproduced without it; delete that first, or force it", solera.ErrConflict, child.Name())
				}
				todo = append(todo, e.Version)
			}
		}
	}
	return nil
}

// Restore takes a deletion back while the bytes are there; ErrNotFound says
// which are not. Aliases do not come back, and a time of expiry that is past is
// forgotten.
func (t *Tracker) Restore(ctx context.Context, ref string) (solera.Version, error) {
	return t.annotate(ctx, "restore", ref, func(tx solera.Tx, v *solera.Version) error {
		if v.Deleted == 0 {
			return nil
		}
		// In the transaction: gc deletes in transactions too, and looks in them
		// whether somebody needs what it deletes.
		if err := notPlanned(tx, v.Files); err != nil {
			return err
		}
		for _, e := range v.Files {
			if e.Ref != "" {
				continue
			}
			if _, err := t.Blobs.Stat(ctx, e.Digest); err != nil {
				if errors.Is(err, solera.ErrNotFound) {
					err = fmt.Errorf("%w: gc has freed the bytes of %s already; solera reproduce may make them again", solera.ErrNotFound, e.Path)
				}
				return err
			}
		}
		now, err := tx.Now()
		if err != nil {
			return err
		}
		v.Deleted = 0
		if v.Expires != 0 && v.Expires <= now {
			v.Expires = 0
		}
		return nil
	})
}

// errDeleted says that a version's bytes are not to be relied on.
func errDeleted(v solera.Version) error {
	return fmt.Errorf("%w: %s was deleted on %s; solera artifacts restore %s takes that back while its bytes are there",
		solera.ErrConflict, v.Name(), v.Deleted.Time().Format("2006-01-02"), v.Name())
}
