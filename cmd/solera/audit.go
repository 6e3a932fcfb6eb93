package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// auditFlags choose entries of the audit log.
type auditFlags struct {
	subject, actor, action, since string
	limit                         int
}

func (a *app) auditCommand() *cobra.Command {
	var flags auditFlags
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what, and check that the log is whole",
		Long: `List the newest entries of the audit log, the latest last: when, who, what, and
the fields that changed, before → after. Every entry is chained to the one before
it by a hash; the chain is checked, and a broken one is exit code 1.`,
		Example: "  solera audit\n  solera audit --subject wine/wine-raw:v0\n  solera audit --action version. --since 2026-11-01",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if flags.limit < 0 {
				return usage("--limit %d: want 0 or more", flags.limit)
			}
			return a.audit(c.Context(), flags)
		},
	}
	f := c.Flags()
	f.StringVar(&flags.subject, "subject", "", "only changes of `NAME`: a run, PROJECT/NAME:v0, a digest, store")
	f.StringVar(&flags.actor, "actor", "", "only changes by `USER@HOST`")
	f.StringVar(&flags.action, "action", "", "only `ACTION`, such as run.create; with a dot at its end all that begin so")
	f.StringVar(&flags.since, "since", "", "only changes after `TIME`: 2026-11-22, 2026-11-22T19:53:12Z, or 90m ago")
	f.IntVar(&flags.limit, "limit", 50, "at most `N` entries, the newest (0 = all)")
	return c
}

// moment reads a time: a date, a date with a time, or how long ago.
func moment(s string, now time.Time) (solera.Micros, error) {
	if s == "" {
		return 0, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return solera.MicrosOf(t), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return solera.MicrosOf(now.Add(-d)), nil
	}
	return 0, usage("--since %q: want 2026-11-22, 2026-11-22T19:53:12Z (UTC), or 90m", s)
}

// auditJSON is the audit log as scripts see it.
type auditJSON struct {
	OK      bool                `json:"ok"`
	Chain   tracking.AuditCheck `json:"chain"`
	Entries []solera.AuditEntry `json:"entries"`
}

func (a *app) audit(ctx context.Context, flags auditFlags) error {
	from, err := moment(flags.since, time.Now())
	if err != nil {
		return err
	}
	w, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	out := auditJSON{Entries: []solera.AuditEntry{}}
	err = w.Store.View(ctx, func(tx solera.Tx) (err error) {
		out.Entries, err = tx.Audit(solera.AuditQuery{
			Subject: flags.subject, Actor: flags.actor, Action: flags.action, From: from, Newest: true, Limit: flags.limit,
		})
		return err
	})
	if err != nil {
		return err
	}
	slices.Reverse(out.Entries)
	if out.Chain, err = tracking.CheckAudit(ctx, w.Store); err != nil {
		return err
	}
	out.OK = out.Chain.OK
	if a.json {
		err = a.printJSON(out)
	} else {
		err = a.printAudit(out)
	}
	if err == nil && !out.OK {
		return errFound
	}
	return err
}

// printAudit writes two lines for each entry: who did what to what, and what
// that changed.
func (a *app) printAudit(out auditJSON) error {
	w := bufio.NewWriter(a.stdout)
	for _, e := range out.Entries {
		line := strings.Join([]string{e.Time.Time().Format(time.DateTime), e.Actor, e.Action, e.Subject}, "  ")
		fmt.Fprintln(w, printable(cutTo(line, maxWidth)))
		if change := auditChange(e); change != "" {
			fmt.Fprintln(w, printable(cutTo("    "+change, maxWidth)))
		}
	}
	if len(out.Entries) > 0 {
		fmt.Fprintln(w)
	}
	switch {
	case out.Chain.OK && out.Chain.Entries == 0:
		fmt.Fprintln(w, "The log is empty.")
	case out.Chain.OK:
		fmt.Fprintf(w, "%s in the log. The chain is whole; its last hash is %s.\n", entries(out.Chain.Entries), out.Chain.Last.Short())
	default:
		fmt.Fprintf(w, "The log was tampered with: %s. Before it %s are whole.\n", out.Chain.Problem, entries(out.Chain.Entries))
	}
	return w.Flush()
}

// auditChange tells which fields changed: "state: running → finished".
func auditChange(e solera.AuditEntry) string {
	keys := make(map[string]bool)
	for key := range e.Before {
		keys[key] = true
	}
	for key := range e.After {
		keys[key] = true
	}
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		before, was := e.Before[key]
		after, is := e.After[key]
		switch {
		case was && is:
			parts = append(parts, fmt.Sprintf("%s: %s → %s", key, auditValue(before), auditValue(after)))
		case was:
			parts = append(parts, fmt.Sprintf("%s: %s → gone", key, auditValue(before)))
		default:
			parts = append(parts, fmt.Sprintf("%s: %s", key, auditValue(after)))
		}
	}
	return strings.Join(parts, ", ")
}

// auditValue is a value in few words.
func auditValue(v any) string {
	const most = 40
	s, ok := v.(string)
	if !ok {
		b, err := solera.Fields{"": v}.MarshalJSON()
		if err != nil {
			return "?"
		}
		s = string(b[len(`{"":`) : len(b)-1])
	}
	if d, err := solera.ParseDigest(s); err == nil {
		return d.Short()
	}
	return cutTo(strings.Join(strings.Fields(s), " "), most)
}

// cutTo shortens s to so many characters.
func cutTo(s string, most int) string {
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}

func entries(n int64) string {
	if n == 1 {
		return "1 entry"
	}
	return fmt.Sprintf("%d entries", n)
}
