package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// What Check calls a problem.
const (
	missing      = "missing"      // a record names one that is not there
	altered      = "altered"      // a record is not what its digest, hash or count says
	damaged      = "damaged"      // the database itself cannot read it
	inconsistent = "inconsistent" // two things that cannot both be true
)

// maxProblems is how many problems Check describes: a store with more needs a
// backup, not a longer list.
const maxProblems = 10_000

// Check reads everything and reports what is wrong with it, as of one moment.
// Of a damaged database it reports as much as can still be read.
func (d *DB) Check(ctx context.Context, report func(solera.Problem)) error {
	var found []solera.Problem
	total := 0
	err := d.view(ctx, func(t *tx) error {
		found, total = nil, 0
		return t.check(func(p solera.Problem) {
			if total++; total <= maxProblems {
				found = append(found, p)
			}
		})
	})
	if errors.Is(err, solera.ErrCorrupt) {
		// The transaction could not even begin.
		found, total, err = []solera.Problem{{Ref: "database", Problem: damaged, Detail: err.Error()}}, 1, nil
	}
	if err != nil {
		return fmt.Errorf("check %s: %w", d.name, err)
	}
	for _, p := range found {
		report(p)
	}
	if more := total - len(found); more > 0 {
		report(solera.Problem{Ref: "database", Problem: damaged, Detail: fmt.Sprintf("%d more problems are not listed", more)})
	}
	return nil
}

// check runs every check, also when one before it met what cannot be read.
func (t *tx) check(report func(solera.Problem)) error {
	checks := []func(func(solera.Problem)) error{
		t.checkReferences, t.checkRuns, t.checkIndex, t.checkPoints, t.checkItems, t.checkContents, t.checkArtifacts, t.checkVersions, t.checkJournals, t.checkDocuments, t.checkAudit,
	}
	if t.integrity != nil {
		// It names tables and rows, the others name runs and versions: so it
		// comes last.
		checks = append(checks, func(report func(solera.Problem)) error { return t.integrity(t, report) })
	}
	for _, check := range checks {
		err := check(report)
		ours := errors.Is(err, solera.ErrCorrupt)
		if err == nil || !ours && !errors.Is(t.explain(err), solera.ErrCorrupt) {
			if err != nil {
				return err
			}
			continue
		}
		report(solera.Problem{Ref: "database", Problem: damaged, Detail: t.explain(err).Error()})
		if !ours && t.integrity == nil {
			return nil // PostgreSQL answers nothing more in this transaction
		}
	}
	return nil
}

// unreadable reports a record that cannot be decoded, and lets the reading go
// on.
func unreadable(report func(solera.Problem), ref string, err error) error {
	if errors.Is(err, solera.ErrCorrupt) {
		report(solera.Problem{Ref: ref, Problem: altered, Detail: err.Error()})
		return nil
	}
	return err
}

// checkReferences looks for records that name what is not there. The databases
// forbid it; a damaged one, or one that was edited by hand, has it
// nevertheless.
func (t *tx) checkReferences(report func(solera.Problem)) error {
	const version = ` || '/' || x.artifact || ':v' || x.number`
	const noVersion = `NOT EXISTS (SELECT 1 FROM versions v WHERE v.project = x.project AND v.artifact = x.artifact AND v.number = x.number)`
	const noRun = `NOT EXISTS (SELECT 1 FROM runs r WHERE r.id = x.run)`
	for _, reference := range []struct{ table, ref, absent, detail string }{
		{"versions", "x.project" + version, noRun, "the run that made it is not there"},
		{"versions", "x.project" + version, `NOT EXISTS (SELECT 1 FROM contents c WHERE c.digest = x.content)`, "its content is not there"},
		{"versions", "x.project" + version, `NOT EXISTS (SELECT 1 FROM artifacts a WHERE a.project = x.project AND a.name = x.artifact)`, "its artifact is not there"},
		{"entries", "x.content || ' ' || x.path", `NOT EXISTS (SELECT 1 FROM contents c WHERE c.digest = x.content)`, "the content that this file belongs to is not there"},
		{"aliases", "x.project || '/' || x.artifact || ':' || x.alias", noVersion, "the version that this alias names is not there"},
		{"edges", "x.project" + version, noVersion, "runs are tied to this version, and it is not there"},
		{"edges", "'run ' || x.run", noRun, "versions are tied to this run, and it is not there"},
		{"statements", "x.project" + version, noVersion, "there is a statement of this version, and it is not there"},
		{"files", "'run ' || x.run", noRun, "there are files of this run, and it is not there"},
		{"lines", "'run ' || x.run", noRun, "there is console output of this run, and it is not there"},
		{"items", "'run ' || x.run", noRun, "there are items of this run, and it is not there"},
		{"positions", "'run ' || x.run", noRun, "there are positions of this run, and it is not there"},
		{"heads", "'run ' || x.run", noRun, "there are points of this run, and it is not there"},
	} {
		err := t.rows(func(scan func(...any) error) error {
			p := solera.Problem{Problem: missing, Detail: reference.detail}
			err := scan(&p.Ref)
			report(p)
			return err
		}, fmt.Sprintf(`SELECT DISTINCT %s FROM %s x WHERE %s ORDER BY 1`, reference.ref, reference.table, reference.absent))
		if err != nil {
			return fmt.Errorf("look for what %s name: %w", reference.table, err)
		}
	}
	return nil
}

func (t *tx) checkRuns(report func(solera.Problem)) error {
	return t.rows(func(scan func(...any) error) error {
		r, err := scanRun(scan)
		if err != nil {
			return unreadable(report, "run "+string(r.ID), err)
		}
		wrong := func(format string, args ...any) {
			report(solera.Problem{Ref: "run " + string(r.ID), Problem: inconsistent, Detail: fmt.Sprintf(format, args...)})
		}
		switch {
		case r.State != solera.Pending && r.State != solera.Running && !r.State.Ended():
			wrong("its state is %.40q, which no run has", r.State)
		case r.State.Ended() && r.Finished == 0:
			wrong("it is %s, and has no end", r.State)
		case !r.State.Ended() && r.Finished != 0:
			wrong("it is %s, and ended at %v", r.State, r.Finished)
		}
		if err := errors.Join(r.ID.Check(), solera.CheckName(r.Project)); err != nil {
			wrong("it cannot be named: %v", err)
		}
		return nil
	}, `SELECT `+runColumns+` FROM runs ORDER BY id`)
}

// checkIndex compares what the index of runs has of each run with its record,
// a chunk at a time: a run that the index has wrong is not found.
func (t *tx) checkIndex(report func(solera.Problem)) error {
	err := t.rows(func(scan func(...any) error) error {
		p := solera.Problem{Problem: missing, Detail: "it has no number in the index of runs"}
		err := scan(&p.Ref)
		report(p)
		return err
	}, `SELECT 'run ' || id FROM runs WHERE seq IS NULL ORDER BY id`)
	if err != nil {
		return err
	}
	var chunks []int64 // a damaged one may have any number: so those that there are
	err = t.rows(func(scan func(...any) error) error {
		var chunk int64
		err := scan(&chunk)
		chunks = append(chunks, chunk)
		return err
	}, fmt.Sprintf(`SELECT chunk FROM run_columns UNION SELECT seq / %d FROM run_tail
		UNION SELECT seq / %[1]d FROM runs WHERE seq IS NOT NULL ORDER BY 1`, chunkRuns))
	if err != nil {
		return err
	}
	for _, chunk := range chunks {
		if err := t.checkChunk(chunk, report); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) checkChunk(chunk int64, report func(solera.Problem)) error {
	from, to := chunk*chunkRuns, (chunk+1)*chunkRuns
	found := make(map[int64]fieldRow)
	at := func(seq int64) fieldRow {
		if found[seq] == nil {
			found[seq] = fieldRow{}
		}
		return found[seq]
	}
	err := t.rows(func(scan func(...any) error) error {
		var field string
		var raw []byte
		if err := scan(&field, &raw); err != nil {
			return err
		}
		c, err := readColumn(raw)
		if err != nil {
			return unreadable(report, fmt.Sprintf("index of runs, %s, %d", field, chunk), err)
		}
		for _, e := range c.entries() {
			row := at(from + int64(e.slot))
			row[field] = append(row[field], e.value)
		}
		return nil
	}, `SELECT field, data FROM run_columns WHERE chunk = $1`, chunk)
	if err != nil {
		return err
	}
	err = t.rows(func(scan func(...any) error) error {
		var seq int64
		var raw []byte
		if err := scan(&seq, &raw); err != nil {
			return err
		}
		row, err := readRow(raw, nil)
		if err != nil {
			return unreadable(report, fmt.Sprintf("index of runs, %d", seq), err)
		}
		maps.Copy(at(seq), row) // what the tail names takes the place of the column
		return nil
	}, `SELECT seq, data FROM run_tail WHERE seq >= $1 AND seq < $2`, from, to)
	if err != nil {
		return err
	}
	err = t.rows(func(scan func(...any) error) error {
		var seq int64
		r, err := scanIndexed(func(into ...any) error { return scan(append(into, &seq)...) })
		if err == nil && !sameRow(found[seq], indexRow(r)) {
			report(solera.Problem{Ref: "run " + string(r.ID), Problem: inconsistent, Detail: "the index of runs has other values than its record; a backup that is restored has its index made anew"})
		}
		delete(found, seq)
		if errors.Is(err, solera.ErrCorrupt) {
			return nil // checkRuns has it
		}
		return err
	}, `SELECT `+indexedColumns+`, seq FROM runs WHERE seq >= $1 AND seq < $2 ORDER BY seq`, from, to)
	if err != nil {
		return err
	}
	for _, seq := range slices.Sorted(maps.Keys(found)) {
		if !sameRow(found[seq], nil) {
			report(solera.Problem{Ref: "runs", Problem: inconsistent, Detail: fmt.Sprintf("the index has a run of number %d, which is not there", seq)})
		}
	}
	return nil
}

// sameRow compares rows of the index, of which columns keep the kinds of values
// apart.
func sameRow(a, b fieldRow) bool {
	plain := func(row fieldRow) fieldRow {
		sorted := make(fieldRow, len(row))
		for field, values := range row {
			if len(values) == 0 {
				continue
			}
			sorted[field] = slices.SortedFunc(slices.Values(values), func(v, w value) int {
				return cmp.Or(cmp.Compare(v.kind, w.kind), cmp.Compare(v.num, w.num), strings.Compare(v.text, w.text))
			})
		}
		return sorted
	}
	return maps.EqualFunc(plain(a), plain(b), func(v, w []value) bool { return slices.Equal(v, w) })
}

// checkItems reads what runs recorded that is no number, and positions.
func (t *tx) checkItems(report func(solera.Problem)) error {
	err := t.rows(func(scan func(...any) error) error {
		var run, value string
		var item solera.Item
		if err := scan(&run, &item.N, &item.Key, &value); err != nil {
			return err
		}
		item.Value = []byte(value)
		if err := item.Check(); err != nil || item.N < 1 {
			report(solera.Problem{Ref: "run " + run, Path: "items", Problem: altered, Detail: fmt.Sprintf("item %d is none that a run records: %v", item.N, err)})
		}
		return nil
	}, `SELECT run, n, key, value FROM items ORDER BY run, n`)
	if err != nil {
		return err
	}
	return t.rows(func(scan func(...any) error) error {
		var run, source string
		var n int64
		if err := scan(&run, &source, &n); err != nil {
			return err
		}
		if err := solera.CheckSource(source); err != nil || n < 0 {
			report(solera.Problem{Ref: "run " + run, Problem: altered, Detail: fmt.Sprintf("it has a position %d of the source %.80q", n, source)})
		}
		return nil
	}, `SELECT run, source, n FROM positions ORDER BY run, source`)
}

// checkContents makes the digest of every content again.
func (t *tx) checkContents(report func(solera.Problem)) error {
	const batch = 100
	for last := ""; ; {
		list := []dumpContent{}
		texts := []string{}
		err := t.rows(func(scan func(...any) error) error {
			var text string
			var c dumpContent
			err := scan(&text, &c.Type, jsonInto{&c.Metadata}, &c.Size)
			texts = append(texts, text)
			if err == nil {
				err = digestInto{&c.Digest}.Scan(text)
			}
			if err != nil {
				c.Digest = solera.Digest{}
				err = unreadable(report, text, err)
			}
			list = append(list, c)
			return err
		}, fmt.Sprintf(`SELECT digest, type, metadata, size FROM contents WHERE digest > $1 ORDER BY digest LIMIT %d`, batch), last)
		if err != nil || len(list) == 0 {
			return err
		}
		if err := t.checkManifests(list, texts, report); err != nil {
			return err
		}
		last = texts[len(texts)-1]
	}
}

// checkManifests reads the files of some contents, which come in the order of
// their digests, and compares. One manifest is in memory at a time.
func (t *tx) checkManifests(list []dumpContent, texts []string, report func(solera.Problem)) error {
	var files []solera.Entry
	readable := true
	at := 0
	next := func() {
		if c := list[at]; readable && !c.Digest.IsZero() {
			checkManifest(c, files, report)
		}
		files, readable = files[:0], true
		at++
	}
	err := t.rows(func(scan func(...any) error) error {
		var content, digest string
		var e solera.Entry
		if err := scan(&content, &e.Path, &digest, &e.Size, &e.Ref, &e.MD5, &e.ETag, &e.Extra); err != nil {
			return err
		}
		for at < len(list) && texts[at] < content {
			next()
		}
		if at == len(list) || texts[at] != content {
			return nil // of no content: checkReferences has it
		}
		if err := (digestInto{&e.Digest}).Scan(digest); err != nil {
			readable = false
			report(solera.Problem{Ref: content, Path: e.Path, Problem: altered, Detail: err.Error()})
		}
		files = append(files, e)
		return nil
	}, `SELECT content, `+entryColumns+` FROM entries WHERE content >= $1 AND content <= $2 ORDER BY content, path`,
		texts[0], texts[len(texts)-1])
	if err != nil {
		return err
	}
	for at < len(list) {
		next()
	}
	return nil
}

func checkManifest(c dumpContent, files []solera.Entry, report func(solera.Problem)) {
	wrong := func(problem, format string, args ...any) {
		report(solera.Problem{Ref: c.Digest.String(), Problem: problem, Detail: fmt.Sprintf(format, args...)})
	}
	got, err := solera.ContentDigest(c.Type, c.Metadata, files)
	if err != nil {
		wrong(altered, "its manifest is none: %v", err)
		return
	}
	if got != c.Digest {
		wrong(altered, "type, metadata and %d files have the digest %v", len(files), got)
		return
	}
	size := int64(0)
	for _, e := range files {
		size += e.Size
	}
	if size != c.Size {
		wrong(inconsistent, "its files have %d bytes, its record says %d", size, c.Size)
	}
}

// checkArtifacts counts versions: from 0 without a gap, and none to come has a
// number that is taken.
func (t *tx) checkArtifacts(report func(solera.Problem)) error {
	return t.rows(func(scan func(...any) error) error {
		var project, name string
		var next, count, newest int64
		if err := scan(&project, &name, &next, &count, &newest); err != nil {
			return err
		}
		wrong := func(problem, format string, args ...any) {
			report(solera.Problem{Ref: project + "/" + name, Problem: problem, Detail: fmt.Sprintf(format, args...)})
		}
		if err := errors.Join(solera.CheckName(project), solera.CheckName(name)); err != nil {
			wrong(inconsistent, "it cannot be named: %v", err)
		}
		switch {
		case next <= newest:
			wrong(inconsistent, "v%d would be its next version, and v%d is there", next, newest)
		case count != next:
			wrong(missing, "%d of its versions are there, and %d were made", count, next)
		}
		return nil
	}, `SELECT a.project, a.name, a.next, COUNT(v.number), COALESCE(MAX(v.number), -1) FROM artifacts a
		LEFT JOIN versions v ON v.project = a.project AND v.artifact = a.name
		GROUP BY a.project, a.name, a.next ORDER BY a.project, a.name`)
}

// checkVersions looks at what versions, their aliases and edges say.
func (t *tx) checkVersions(report func(solera.Problem)) error {
	err := t.rows(func(scan func(...any) error) error {
		var id solera.VersionID
		var have, want, tags string
		if err := scan(&id.Project, &id.Artifact, &id.Number, &have, &want, &tags); err != nil {
			return err
		}
		if have != want {
			report(solera.Problem{Ref: id.String(), Problem: inconsistent, Detail: fmt.Sprintf("its content is a %s, its artifact a %s", have, want)})
		}
		var list []string
		if err := (jsonInto{&list}).Scan(tags); err != nil {
			report(solera.Problem{Ref: id.String(), Problem: altered, Detail: fmt.Sprintf("its tags cannot be read: %v", err)})
		}
		return nil
	}, `SELECT v.project, v.artifact, v.number, c.type, a.type, v.tags FROM versions v
		JOIN contents c ON c.digest = v.content JOIN artifacts a ON a.project = v.project AND a.name = v.artifact
		ORDER BY v.project, v.artifact, v.number`)
	if err != nil {
		return err
	}
	err = t.rows(func(scan func(...any) error) error {
		var id solera.VersionID
		var alias string
		var deleted int64
		if err := scan(&id.Project, &id.Artifact, &id.Number, &alias, &deleted); err != nil {
			return err
		}
		ref := aliasSubject(id.Project, id.Artifact, alias)
		if err := solera.CheckAlias(alias); err != nil {
			report(solera.Problem{Ref: ref, Problem: inconsistent, Detail: err.Error()})
		}
		if deleted != 0 {
			report(solera.Problem{Ref: ref, Problem: inconsistent, Detail: fmt.Sprintf("this alias names %s, which is deleted", id.Name())})
		}
		return nil
	}, `SELECT x.project, x.artifact, x.number, x.alias, v.deleted FROM aliases x
		JOIN versions v ON v.project = x.project AND v.artifact = x.artifact AND v.number = x.number
		ORDER BY x.project, x.artifact, x.alias`)
	if err != nil {
		return err
	}
	return t.rows(func(scan func(...any) error) error {
		var run, kind string
		if err := scan(&run, &kind); err != nil {
			return err
		}
		report(solera.Problem{Ref: "run " + run, Problem: inconsistent, Detail: fmt.Sprintf("it is tied to a version as %.40q, which is no kind of tie", kind)})
		return nil
	}, `SELECT DISTINCT run, kind FROM edges WHERE kind NOT IN ('used', 'made', 'same') ORDER BY run, kind`)
}

// checkJournals reads deletions, keys and statements.
func (t *tx) checkJournals(report func(solera.Problem)) error {
	err := t.rows(func(scan func(...any) error) error {
		var digest string
		var d solera.Deletion
		if err := scan(&digest, &d.Planned, &d.Size, &d.Done); err != nil {
			return err
		}
		if err := (digestInto{&d.Digest}).Scan(digest); err != nil || d.Digest.IsZero() || d.Size < 0 {
			report(solera.Problem{Ref: digest, Problem: altered, Detail: fmt.Sprintf("the journal of deletions has a blob of %d bytes with this digest", d.Size)})
		}
		return nil
	}, `SELECT digest, planned, size, done FROM deletions ORDER BY planned, digest`)
	if err != nil {
		return err
	}
	return t.rows(func(scan func(...any) error) error {
		var id solera.VersionID
		var size int64
		if err := scan(&id.Project, &id.Artifact, &id.Number, &size); err != nil {
			return err
		}
		report(solera.Problem{Ref: id.String(), Problem: altered, Detail: "its statement is empty"})
		return nil
	}, `SELECT project, artifact, number, LENGTH(envelope) FROM statements WHERE LENGTH(envelope) = 0`)
}

// checkDocuments reads the bodies of documents.
func (t *tx) checkDocuments(report func(solera.Problem)) error {
	return t.rows(func(scan func(...any) error) error {
		d, err := scanDocument(scan)
		ref := "document " + d.Kind + " " + d.ID
		if err != nil {
			return unreadable(report, ref, err)
		}
		if err := d.Check(); err != nil {
			report(solera.Problem{Ref: ref, Problem: altered, Detail: err.Error()})
		}
		return nil
	}, `SELECT `+documentColumns+` FROM documents ORDER BY kind, id`)
}

// checkAudit follows the chain of the audit log. It names the first entry of
// each break: what comes after it is chained to what is there now.
func (t *tx) checkAudit(report func(solera.Problem)) error {
	var before solera.AuditEntry
	whole := true // before is readable
	return t.rows(func(scan func(...any) error) error {
		e, err := scanAudit(scan)
		wrong := func(problem, format string, args ...any) {
			report(solera.Problem{Ref: fmt.Sprintf("audit entry %d", e.N), Problem: problem, Detail: fmt.Sprintf(format, args...)})
		}
		defer func() { before, whole = e, err == nil }()
		if err != nil {
			return unreadable(report, fmt.Sprintf("audit entry %d", e.N), err)
		}
		if e.N != before.N+1 {
			wrong(missing, "the entries %d to %d before it are not there", before.N+1, e.N-1)
			return nil
		}
		if !whole {
			return nil
		}
		hash, hashErr := solera.AuditHash(before.Hash, e)
		if hashErr != nil || hash != e.Hash {
			wrong(altered, "its hash does not follow from entry %d: it was altered, or an entry before it", before.N)
		}
		return nil
	}, `SELECT `+auditColumns+` FROM audit ORDER BY n`)
}

// sqliteIntegrity lets SQLite check its pages, indexes and references.
func sqliteIntegrity(t *tx, report func(solera.Problem)) error {
	err := t.rows(func(scan func(...any) error) error {
		var detail string
		err := scan(&detail)
		if err == nil && detail != "ok" {
			report(solera.Problem{Ref: "database", Problem: damaged, Detail: strings.ReplaceAll(detail, "\n", "; ")})
		}
		return err
	}, `PRAGMA integrity_check(100)`)
	if err != nil {
		return err
	}
	// checkReferences has said what it knows, with names.
	known := map[string]bool{
		"versions": true, "entries": true, "aliases": true, "edges": true, "statements": true, "files": true, "lines": true, "heads": true,
		"items": true, "positions": true,
	}
	return t.rows(func(scan func(...any) error) error {
		var table, parent string
		var row, constraint any
		err := scan(&table, &row, &parent, &constraint)
		if err == nil && !known[table] {
			report(solera.Problem{Ref: table, Problem: missing, Detail: fmt.Sprintf("row %v names a row of %s that is not there", row, parent)})
		}
		return err
	}, `PRAGMA foreign_key_check`)
}
