package tracking

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// maxRunName is the most bytes that the name of a run may have.
const maxRunName = 256

// A RunAmendment is what is to be said about a run from now on; nil leaves it.
type RunAmendment struct {
	Name  *string
	Notes *string
	Tags  *[]string // all of them, in place of those that there are
}

// AmendRun changes what is said about the run with that ID, all or nothing.
func (t *Tracker) AmendRun(ctx context.Context, id solera.RunID, a RunAmendment) (solera.Run, error) {
	if a.Name != nil && (strings.TrimSpace(*a.Name) == "" || len(*a.Name) > maxRunName || !utf8.ValidString(*a.Name) || strings.ContainsFunc(*a.Name, unicode.IsControl)) {
		return solera.Run{}, fmt.Errorf("name of run %s: %w: a name is one line of 1 to %d bytes", id, solera.ErrInvalid, maxRunName)
	}
	if a.Notes != nil {
		if err := checkNotes(string(id), *a.Notes); err != nil {
			return solera.Run{}, err
		}
	}
	var tags []string
	if a.Tags != nil {
		for _, tag := range *a.Tags {
			if err := checkTag(tag); err != nil {
				return solera.Run{}, err
			}
		}
		tags = slices.Compact(slices.Sorted(slices.Values(*a.Tags)))
		if len(tags) > maxTags {
			return solera.Run{}, fmt.Errorf("tags of run %s: %w: %d tags, at most %d are allowed", id, solera.ErrInvalid, len(tags), maxTags)
		}
	}
	return t.changeExactly(ctx, "change", id, func(_ solera.Tx, r *solera.Run) error {
		if a.Name != nil {
			r.Name = *a.Name
		}
		if a.Notes != nil {
			r.Notes = *a.Notes
		}
		if a.Tags != nil {
			r.Tags = tags
		}
		return nil
	})
}

func checkNotes(name, text string) error {
	if len(text) > maxDescription || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return fmt.Errorf("note on run %s: %w: notes are text of at most 64 KiB", name, solera.ErrInvalid)
	}
	return nil
}

// changeExactly is changeRun for the run of that very ID.
func (t *Tracker) changeExactly(ctx context.Context, what string, id solera.RunID, change func(solera.Tx, *solera.Run) error) (solera.Run, error) {
	if err := t.exactly(ctx, id); err != nil {
		return solera.Run{}, err
	}
	return t.changeRun(ctx, what, string(id), change)
}

// exactly reports ErrNotFound unless there is a run of that very ID: a
// beginning of one, or the name of an experiment, is none.
func (t *Tracker) exactly(ctx context.Context, id solera.RunID) error {
	if id.Check() != nil {
		return fmt.Errorf("run %.80q: %w", string(id), solera.ErrNotFound)
	}
	_, err := t.Run(ctx, id)
	return err
}

// DetailOf is Detail for the run of that very ID.
func (t *Tracker) DetailOf(ctx context.Context, id solera.RunID) (RunDetail, error) {
	if err := t.exactly(ctx, id); err != nil {
		return RunDetail{}, err
	}
	return t.Detail(ctx, string(id))
}

// A VersionAmendment is what is to be said about a version from now on; nil
// leaves it.
type VersionAmendment struct {
	Tags        *[]string // all of them, in place of those that there are
	Description *string
	Expires     *solera.Micros // 0 = never
}

// Amend changes what is said about the version that ref names, all or nothing.
func (t *Tracker) Amend(ctx context.Context, ref string, a VersionAmendment) error {
	var tags []string
	if a.Tags != nil {
		for _, tag := range *a.Tags {
			if err := checkTag(tag); err != nil {
				return err
			}
		}
		tags = slices.Compact(slices.Sorted(slices.Values(*a.Tags)))
		if len(tags) > maxTags {
			return fmt.Errorf("tags of %s: %w: %d, at most %d are allowed", ref, solera.ErrInvalid, len(tags), maxTags)
		}
	}
	if text := a.Description; text != nil && (len(*text) > maxDescription || !utf8.ValidString(*text) || strings.ContainsRune(*text, 0)) {
		return fmt.Errorf("describe %s: %w: a description is text of at most 64 KiB", ref, solera.ErrInvalid)
	}
	if a.Expires != nil && *a.Expires < 0 {
		return fmt.Errorf("expire %s: %w: a moment before 1970", ref, solera.ErrInvalid)
	}
	_, err := t.annotate(ctx, "change", ref, func(_ solera.Tx, v *solera.Version) error {
		if a.Expires != nil {
			if v.Deleted != 0 {
				return errDeleted(*v)
			}
			v.Expires = *a.Expires
		}
		if a.Tags != nil {
			v.Tags = tags
		}
		if a.Description != nil {
			v.Description = *a.Description
		}
		return nil
	})
	return err
}
