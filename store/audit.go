package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/solera-ml/solera"
)

// What an entry of the audit log may hold. It says that something changed and
// how, it is no second copy of what changed: the summary of a run may have
// megabytes.
const (
	maxAuditValue  = 4 << 10  // bytes of JSON of one field of before or after
	maxAuditFields = 64 << 10 // bytes of JSON of all of them
	maxAuditText   = 1 << 10  // bytes of an actor, an action or a subject
)

// link is the end of the audit log as this transaction knows it. Updates are
// serial, so nobody else moves it meanwhile.
type link struct {
	known bool
	n     int64
	hash  solera.Digest
}

// note writes an entry of the audit log: before and after are the fields that
// changed, nil for something new and something deleted. The time is that of
// the database's clock and the actor that of the context.
//
// Each entry is chained to the one before by solera.AuditHash. A field whose
// JSON is longer than 4 KiB is noted as {"bytes": …, "digest": …} of its
// canonical JSON.
func (t *tx) note(action, subject string, before, after solera.Fields) error {
	if err := t.appendAudit(action, subject, before, after); err != nil {
		return fmt.Errorf("note %s of %s in the audit log: %w", action, subject, err)
	}
	return nil
}

func (t *tx) appendAudit(action, subject string, before, after solera.Fields) error {
	if !t.audit.known {
		var hash string
		err := t.row(`SELECT n, hash FROM audit ORDER BY n DESC LIMIT 1`).Scan(&t.audit.n, &hash)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		if err := t.audit.hash.UnmarshalText([]byte(hash)); err != nil {
			return fmt.Errorf("entry %d of the audit log: %w: %v", t.audit.n, solera.ErrCorrupt, err)
		}
		t.audit.known = true
	}
	now, err := t.Now()
	if err != nil {
		return err
	}
	e := solera.AuditEntry{
		N: t.audit.n + 1, Time: now,
		Actor: auditText(solera.ActorOf(t.ctx)), Action: auditText(action), Subject: auditText(subject),
	}
	if e.Before, err = auditFields(before); err != nil {
		return err
	}
	if e.After, err = auditFields(after); err != nil {
		return err
	}
	if e.Hash, err = solera.AuditHash(t.audit.hash, e); err != nil {
		return err
	}
	if err := t.insertAudit(e); err != nil {
		return err
	}
	t.audit.n, t.audit.hash = e.N, e.Hash
	return nil
}

func (t *tx) insertAudit(e solera.AuditEntry) error {
	was, err := e.Before.MarshalJSON()
	if err != nil {
		return err
	}
	became, err := e.After.MarshalJSON()
	if err != nil {
		return err
	}
	_, err = t.exec(`INSERT INTO audit (n, at, actor, action, subject, was, became, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		e.N, int64(e.Time), e.Actor, e.Action, e.Subject, string(was), string(became), e.Hash.String())
	return err
}

// auditText makes s what every database returns unchanged: UTF-8 without NUL,
// not without end.
func auditText(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) > maxAuditText {
		s = s[:maxAuditText]
		for !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	return s
}

// auditFields returns f with long values replaced by what identifies them.
func auditFields(f solera.Fields) (solera.Fields, error) {
	short := make(solera.Fields, len(f))
	for key, value := range f {
		raw, err := solera.Fields{"": value}.MarshalJSON()
		if err != nil {
			return nil, err
		}
		raw = raw[len(`{"":`) : len(raw)-len(`}`)]
		short[key] = value
		if len(raw) > maxAuditValue {
			short[key] = solera.Fields{"bytes": len(raw), "digest": solera.DigestOf(raw).String()}
		}
	}
	raw, err := short.MarshalJSON()
	if err != nil {
		return nil, err
	}
	if len(raw) > maxAuditFields {
		return solera.Fields{"bytes": len(raw), "digest": solera.DigestOf(raw).String()}, nil
	}
	// As it will be read: a struct among the values has the form that its hash
	// is taken of.
	err = json.Unmarshal(raw, &short)
	return short, err
}

// Note writes an entry of the audit log for something that no other method
// changes.
func (t *tx) Note(e solera.AuditEntry) error {
	if e.Action == "" {
		return fmt.Errorf("note in the audit log: %w: an entry needs an action, such as \"backup\"", solera.ErrInvalid)
	}
	return t.note(e.Action, e.Subject, e.Before, e.After)
}

const auditColumns = `n, at, actor, action, subject, was, became, hash`

func (t *tx) Audit(q solera.AuditQuery) ([]solera.AuditEntry, error) {
	var f filter
	f.text("actor", q.Actor)
	f.text("subject", q.Subject)
	if q.Action != "" {
		// Not LIKE, which knows no case in SQLite; not a range, which follows
		// the collation in PostgreSQL.
		column := "action"
		if strings.HasSuffix(q.Action, ".") {
			column = fmt.Sprintf("substr(action, 1, %d)", len([]rune(q.Action)))
		}
		f.equal(column, q.Action)
	}
	if q.After != 0 {
		f.compare("n", ">", q.After)
	}
	if q.Before != 0 {
		f.compare("n", "<", q.Before)
	}
	if q.From != 0 {
		f.compare("at", ">=", int64(q.From))
	}
	if q.To != 0 {
		f.compare("at", "<=", int64(q.To))
	}
	order := "n"
	if q.Newest {
		order = "n DESC"
	}
	list := []solera.AuditEntry{}
	err := t.rows(func(scan func(...any) error) error {
		e, err := scanAudit(scan)
		list = append(list, e)
		return err
	}, f.query(`SELECT `+auditColumns+` FROM audit`, order, q.Limit), f.args...)
	if err != nil {
		return nil, fmt.Errorf("read the audit log: %w", err)
	}
	return list, nil
}

func scanAudit(scan func(...any) error) (solera.AuditEntry, error) {
	var e solera.AuditEntry
	var was, became, hash string
	if err := scan(&e.N, &e.Time, &e.Actor, &e.Action, &e.Subject, &was, &became, &hash); err != nil {
		return e, err
	}
	err := errors.Join(
		json.Unmarshal([]byte(was), &e.Before),
		json.Unmarshal([]byte(became), &e.After),
		e.Hash.UnmarshalText([]byte(hash)),
	)
	if err != nil {
		return e, fmt.Errorf("entry %d of the audit log: %w: it cannot be read: %v", e.N, solera.ErrCorrupt, err)
	}
	return e, nil
}
