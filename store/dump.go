package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/solera-ml/solera"
)

// Dump writes everything that the store holds, as of one moment, as lines of
// JSON: docs/dump-format.md. Two stores that hold the same give the same bytes,
// whatever their databases. The memory it takes depends on the largest record
// and the number of runs, not on the size of the store.
func (d *DB) Dump(ctx context.Context, w io.Writer, also ...func(solera.Tx) error) error {
	out := &watchedWriter{w: w}
	var final error
	err := d.view(ctx, func(t *tx) error {
		for _, fn := range also {
			if err := fn(t); err != nil {
				return err
			}
		}
		err := t.dump(out)
		if err != nil && out.touched {
			// What was written cannot be taken back, so there is no other try.
			final = d.explain(err)
			return errOver
		}
		return err
	})
	if final != nil {
		err = final
	}
	if err != nil {
		return fmt.Errorf("dump %s: %w", d.name, err)
	}
	return nil
}

// errOver ends a transaction that must not be tried again.
var errOver = errors.New("over")

// watchedWriter knows whether anything was written.
type watchedWriter struct {
	w       io.Writer
	touched bool
}

func (o *watchedWriter) Write(p []byte) (int, error) {
	o.touched = true
	return o.w.Write(p)
}

func (t *tx) dump(w io.Writer) error {
	schema, err := newestMigration()
	if err != nil {
		return err
	}
	out, err := newDumpWriter(w, schema)
	if err != nil {
		return err
	}
	runs, err := t.dumpRuns(out)
	if err != nil {
		return err
	}
	if err := t.dumpOutput(out); err != nil {
		return err
	}
	for _, run := range runs {
		if err := t.dumpPoints(out, run); err != nil {
			return err
		}
	}
	if err := t.dumpItems(out); err != nil {
		return err
	}
	if err := t.dumpVersions(out); err != nil {
		return err
	}
	if err := t.dumpJournals(out); err != nil {
		return err
	}
	return out.end()
}

// dumpTable writes a record for each row. Texts are ordered by their bytes in
// both databases.
func (t *tx) dumpTable(out *dumpWriter, query string, read func(scan func(...any) error) (record, error)) error {
	return t.rows(func(scan func(...any) error) error {
		r, err := read(scan)
		if err != nil {
			return err
		}
		return out.write(&r)
	}, query)
}

func (t *tx) dumpRuns(out *dumpWriter) (ids []solera.RunID, err error) {
	err = t.dumpTable(out, `SELECT `+runColumns+` FROM runs ORDER BY id`, func(scan func(...any) error) (record, error) {
		r, err := scanRun(scan)
		ids = append(ids, r.ID)
		return record{Run: &dumpRun{
			r, int64(r.Created), int64(r.Started), int64(r.Finished), int64(r.Heartbeat), int64(r.Deleted),
			int64(r.Stopping), int64(r.Rewound),
		}}, err
	})
	return ids, err
}

func (t *tx) dumpOutput(out *dumpWriter) error {
	err := t.dumpTable(out, `SELECT run, `+entryColumns+` FROM files ORDER BY run, path`, func(scan func(...any) error) (record, error) {
		var f dumpFile
		var err error
		f.Entry, err = scanEntry(after(scan, &f.Run))
		return record{File: &f}, err
	})
	if err != nil {
		return err
	}
	return t.dumpTable(out, `SELECT run, n, stream, text, at FROM lines ORDER BY run, n`, func(scan func(...any) error) (record, error) {
		var l dumpLine
		err := scan(&l.Run, &l.N, &l.Stream, &l.Text, &l.Time)
		return record{Line: &l}, err
	})
}

func (t *tx) dumpPoints(out *dumpWriter, run solera.RunID) error {
	for cursor := int64(0); ; {
		points, next, err := t.since(run, cursor, manyPoints)
		if err != nil {
			return fmt.Errorf("points of run %s: %w", run, err)
		}
		if len(points) == 0 {
			return nil
		}
		for batch := range slices.Chunk(points, batchPoints) {
			if err := out.write(&record{Points: batchOf(run, cursor+1, batch)}); err != nil {
				return err
			}
			cursor += int64(len(batch))
		}
		cursor = next
	}
}

// after returns a scan of the columns that come after first.
func after(scan func(...any) error, first any) func(...any) error {
	return func(rest ...any) error { return scan(append([]any{first}, rest...)...) }
}

func (t *tx) dumpItems(out *dumpWriter) error {
	err := t.dumpTable(out, `SELECT run, n, key, step, value, at FROM items ORDER BY run, n`, func(scan func(...any) error) (record, error) {
		var i dumpItem
		var value string
		err := scan(&i.Run, &i.N, &i.Key, &i.Step, &value, &i.Time)
		if i.Value = []byte(value); err == nil && !json.Valid(i.Value) {
			err = fmt.Errorf("item %d of run %s: %w: its value is no JSON", i.N, i.Run, solera.ErrCorrupt)
		}
		return record{Item: &i}, err
	})
	if err != nil {
		return err
	}
	return t.dumpTable(out, `SELECT run, source, n FROM positions ORDER BY run, source`, func(scan func(...any) error) (record, error) {
		var p dumpPosition
		err := scan(&p.Run, &p.Source, &p.N)
		return record{Position: &p}, err
	})
}

func (t *tx) dumpVersions(out *dumpWriter) error {
	err := t.dumpTable(out, `SELECT digest, type, metadata, size FROM contents ORDER BY digest`, func(scan func(...any) error) (record, error) {
		var c dumpContent
		err := scan(digestInto{&c.Digest}, &c.Type, jsonInto{&c.Metadata}, &c.Size)
		return record{Content: &c}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT content, `+entryColumns+` FROM entries ORDER BY content, path`, func(scan func(...any) error) (record, error) {
		var e dumpEntry
		var err error
		e.Entry, err = scanEntry(after(scan, digestInto{&e.Content}))
		return record{Entry: &e}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT project, name, type, next, created, updated FROM artifacts ORDER BY project, name`, func(scan func(...any) error) (record, error) {
		var a dumpArtifact
		err := scan(&a.Project, &a.Name, &a.Type, &a.Next, &a.Created, &a.Updated)
		return record{Artifact: &a}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT project, artifact, number, content, run, created, tags, description, expires, deleted
		FROM versions ORDER BY project, artifact, number`, func(scan func(...any) error) (record, error) {
		var v dumpVersion
		err := scan(&v.Project, &v.Artifact, &v.Number, digestInto{&v.Content}, &v.Run, &v.Created,
			jsonInto{&v.Tags}, &v.Description, &v.Expires, &v.Deleted)
		return record{Version: &v}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT project, artifact, number, alias FROM aliases ORDER BY project, artifact, alias`, func(scan func(...any) error) (record, error) {
		var a dumpAlias
		err := scan(&a.Project, &a.Artifact, &a.Number, &a.Alias)
		return record{Alias: &a}, err
	})
	if err != nil {
		return err
	}
	return t.dumpTable(out, `SELECT run, kind, project, artifact, number FROM edges
		ORDER BY run, kind, project, artifact, number`, func(scan func(...any) error) (record, error) {
		var e dumpEdge
		err := scan(&e.Run, &e.Kind, &e.Project, &e.Artifact, &e.Number)
		return record{Edge: &e}, err
	})
}

func (t *tx) dumpJournals(out *dumpWriter) error {
	err := t.dumpTable(out, `SELECT project, artifact, number, envelope FROM statements
		ORDER BY project, artifact, number`, func(scan func(...any) error) (record, error) {
		var s dumpStatement
		err := scan(&s.Project, &s.Artifact, &s.Number, &s.Envelope)
		return record{Statement: &s}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT id, public, owner, created FROM keys ORDER BY id`, func(scan func(...any) error) (record, error) {
		var k dumpKey
		err := scan(&k.ID, &k.Public, &k.Owner, &k.Created)
		return record{Key: &k}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT digest, planned, size, done FROM deletions ORDER BY digest, planned`, func(scan func(...any) error) (record, error) {
		var d dumpDeletion
		err := scan(digestInto{&d.Digest}, &d.Planned, &d.Size, &d.Done)
		return record{Deletion: &d}, err
	})
	if err != nil {
		return err
	}
	err = t.dumpTable(out, `SELECT kind, id, body, created, updated FROM documents ORDER BY kind, id`, func(scan func(...any) error) (record, error) {
		var d dumpDocument
		err := scan(&d.Kind, &d.ID, jsonInto{&d.Body}, &d.Created, &d.Updated)
		return record{Document: &d}, err
	})
	if err != nil {
		return err
	}
	return t.dumpTable(out, `SELECT `+auditColumns+` FROM audit ORDER BY n`, func(scan func(...any) error) (record, error) {
		e, err := scanAudit(scan)
		return record{Audit: &dumpAudit{e.N, int64(e.Time), e.Actor, e.Action, e.Subject, e.Before, e.After, e.Hash}}, err
	})
}

// digestInto scans the text of a digest.
type digestInto struct{ d *solera.Digest }

func (i digestInto) Scan(value any) error {
	s, err := textOf(value)
	if err == nil {
		err = i.d.UnmarshalText(s)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", solera.ErrCorrupt, err)
	}
	return nil
}

func textOf(value any) ([]byte, error) {
	switch v := value.(type) {
	case string:
		return []byte(v), nil
	case []byte:
		return v, nil
	}
	return nil, fmt.Errorf("want a text, it is %v", value)
}

// jsonInto scans a JSON text.
type jsonInto struct{ v any }

func (i jsonInto) Scan(value any) error {
	s, err := textOf(value)
	if err == nil {
		err = json.Unmarshal(s, i.v)
	}
	if err != nil {
		return fmt.Errorf("%w: %v", solera.ErrCorrupt, err)
	}
	return nil
}

// Load fills an empty store with what Dump wrote, in one transaction and
// without a word in the audit log, which comes with the dump. What r holds is
// read once; if the connection to the database is lost meanwhile, Load begins
// again where r can seek.
func (d *DB) Load(ctx context.Context, r io.Reader) error {
	schema, err := newestMigration()
	if err != nil {
		return err
	}
	var start int64
	seeker, _ := r.(io.Seeker)
	if seeker != nil {
		if start, err = seeker.Seek(0, io.SeekCurrent); err != nil {
			seeker = nil // a pipe says that it can, until it is asked
		}
	}
	var final, last error
	tries := 0
	err = d.update(ctx, func(t *tx) error {
		tries++
		if tries > 1 {
			if seeker == nil {
				final = fmt.Errorf("%w; nothing was loaded, try again", last)
				return errOver
			}
			if _, err := seeker.Seek(start, io.SeekStart); err != nil {
				final = err
				return errOver
			}
		}
		if err := t.isEmpty(); err != nil {
			last = err
			return err
		}
		l := &loader{t: t}
		err := readDump(r, schema, l.load)
		if err == nil {
			err = l.flush()
		}
		if l.failed { // the database, not the dump
			last = err
			return err
		}
		if err != nil {
			final = err
			return errOver
		}
		return nil
	})
	if final != nil {
		err = final
	}
	if err != nil {
		return fmt.Errorf("load into %s: %w", d.name, err)
	}
	return nil
}

// isEmpty reports ErrConflict if the store holds anything.
func (t *tx) isEmpty() error {
	var full bool
	err := t.row(`SELECT EXISTS (SELECT 1 FROM runs) OR EXISTS (SELECT 1 FROM contents) OR EXISTS (SELECT 1 FROM artifacts)
		OR EXISTS (SELECT 1 FROM keys) OR EXISTS (SELECT 1 FROM deletions) OR EXISTS (SELECT 1 FROM documents)
		OR EXISTS (SELECT 1 FROM audit)`).Scan(&full)
	if err == nil && full {
		return fmt.Errorf("%w: it is not empty; name a new store", solera.ErrConflict)
	}
	return err
}

// A loader stores the records of a dump, those of one table together.
type loader struct {
	t      *tx
	query  string
	rows   [][]any
	first  int64 // line of the first of rows
	line   int64
	failed bool // an error came from the database and is not about the dump
}

const loaderBatch = 500

func (l *loader) load(line int64, r *record) error {
	l.line = line
	t := l.t
	switch {
	case r.Run != nil:
		run := r.Run.Run
		run.Created, run.Started, run.Finished = solera.Micros(r.Run.Created), solera.Micros(r.Run.Started), solera.Micros(r.Run.Finished)
		run.Heartbeat, run.Deleted = solera.Micros(r.Run.Heartbeat), solera.Micros(r.Run.Deleted)
		run.Stopping, run.Rewound = solera.Micros(r.Run.Stopping), solera.Micros(r.Run.Rewound)
		return l.blame(line, t.insertRun(run))
	case r.File != nil:
		f := r.File
		return l.add(`INSERT INTO files (run, `+entryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`, entryArgs(string(f.Run), f.Entry)...)
	case r.Line != nil:
		x := r.Line
		return l.add(`INSERT INTO lines (run, n, stream, text, at) VALUES ($1, $2, $3, $4, $5)`, string(x.Run), x.N, x.Stream, x.Text, x.Time)
	case r.Points != nil:
		return l.points(r.Points)
	case r.Item != nil:
		return l.add(insertItem, itemArgs(r.Item.Run, r.Item.N, r.Item.item())...)
	case r.Position != nil:
		return l.add(`INSERT INTO positions (run, source, n) VALUES ($1, $2, $3)`, string(r.Position.Run), r.Position.Source, r.Position.N)
	case r.Content != nil:
		c := r.Content
		metadata, err := c.Metadata.MarshalJSON()
		if err != nil {
			return l.blame(line, err)
		}
		return l.add(`INSERT INTO contents (digest, type, metadata, size) VALUES ($1, $2, $3, $4)`,
			c.Digest.String(), c.Type, string(metadata), c.Size)
	case r.Entry != nil:
		e := r.Entry
		return l.add(`INSERT INTO entries (content, `+entryColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			entryArgs(e.Content.String(), e.Entry)...)
	case r.Artifact != nil:
		a := r.Artifact
		return l.add(`INSERT INTO artifacts (project, name, type, next, created, updated) VALUES ($1, $2, $3, $4, $5, $6)`,
			a.Project, a.Name, a.Type, a.Next, a.Created, a.Updated)
	case r.Version != nil:
		v := r.Version
		_, tags, err := tagList(v.Tags)
		if err != nil {
			return l.blame(line, err)
		}
		return l.add(`INSERT INTO versions (project, artifact, number, content, run, created, tags, description, expires, deleted)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`, v.Project, v.Artifact, v.Number, v.Content.String(), string(v.Run), v.Created,
			tags, v.Description, v.Expires, v.Deleted)
	case r.Alias != nil:
		a := r.Alias
		return l.add(`INSERT INTO aliases (project, artifact, alias, number) VALUES ($1, $2, $3, $4)`, a.Project, a.Artifact, a.Alias, a.Number)
	case r.Edge != nil:
		e := r.Edge
		return l.add(`INSERT INTO edges (run, kind, project, artifact, number) VALUES ($1, $2, $3, $4, $5)`,
			string(e.Run), string(e.Kind), e.Project, e.Artifact, e.Number)
	case r.Statement != nil:
		s := r.Statement
		return l.add(`INSERT INTO statements (project, artifact, number, envelope) VALUES ($1, $2, $3, $4)`,
			s.Project, s.Artifact, s.Number, s.Envelope)
	case r.Key != nil:
		k := r.Key
		return l.add(`INSERT INTO keys (id, public, owner, created) VALUES ($1, $2, $3, $4)`, k.ID, k.Public, k.Owner, k.Created)
	case r.Deletion != nil:
		d := r.Deletion
		return l.add(`INSERT INTO deletions (digest, planned, size, done) VALUES ($1, $2, $3, $4)`, d.Digest.String(), d.Planned, d.Size, d.Done)
	case r.Document != nil:
		d := r.Document
		body, err := d.Body.MarshalJSON()
		if err != nil {
			return l.blame(line, err)
		}
		return l.add(`INSERT INTO documents (kind, id, body, created, updated) VALUES ($1, $2, $3, $4, $5)`,
			d.Kind, d.ID, string(body), d.Created, d.Updated)
	default:
		a := r.Audit
		was, err := a.Before.MarshalJSON()
		if err != nil {
			return l.blame(line, err)
		}
		became, err := a.After.MarshalJSON()
		if err != nil {
			return l.blame(line, err)
		}
		return l.add(`INSERT INTO audit (`+auditColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			a.N, a.Time, a.Actor, a.Action, a.Subject, string(was), string(became), a.Hash.String())
	}
}

// add stores a row soon.
func (l *loader) add(query string, args ...any) error {
	if len(l.rows) == loaderBatch || l.query != query {
		if err := l.flush(); err != nil {
			return err
		}
	}
	if len(l.rows) == 0 {
		l.first = l.line
	}
	l.query = query
	l.rows = append(l.rows, args)
	return nil
}

func (l *loader) flush() error {
	err := l.t.many(l.query, len(l.rows), func(i int) []any { return l.rows[i] })
	clear(l.rows)
	l.rows = l.rows[:0]
	return l.blame(l.first, err)
}

func (l *loader) points(p *dumpPoints) error {
	if err := l.flush(); err != nil {
		return err
	}
	last, err := l.t.append(p.Run, p.points())
	if err != nil {
		return l.blame(l.line, err)
	}
	if first := last - int64(len(p.Key)) + 1; first != p.First {
		return fmt.Errorf("line %d: %w: point %d of run %s, where %d follows", l.line, solera.ErrCorrupt, p.First, p.Run, first)
	}
	return nil
}

// blame says whose fault an error of the database is: that of the lines from
// first, when they break a rule of the schema, or its own.
func (l *loader) blame(first int64, err error) error {
	if err == nil {
		return nil
	}
	why := l.t.explain(err)
	if !errors.Is(why, solera.ErrNotFound) && !errors.Is(why, solera.ErrConflict) && !errors.Is(why, solera.ErrInvalid) {
		l.failed = true
		return fmt.Errorf("line %d: %w", l.line, err)
	}
	where := fmt.Sprintf("line %d", l.line)
	if first < l.line {
		where = fmt.Sprintf("lines %d to %d", first, l.line)
	}
	return fmt.Errorf("%s: %w: %v", where, solera.ErrCorrupt, why)
}
