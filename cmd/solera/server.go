package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/auth"
	"github.com/solera-ml/solera/httpd"
	"github.com/solera-ml/solera/tracking"
	"github.com/solera-ml/solera/web"
)

// defaultAddress is where a server listens, and the dashboard of solera ui is
// if nobody else is there.
const defaultAddress = "127.0.0.1:7654"

// serverOptions are what the flags of server and ui say.
type serverOptions struct {
	listen     string
	hosts      []string
	workspaces []string // beside the store's own, as NAME=STORE[,BLOBS]
	auth       bool     // sign-in on loopback too
	drain      time.Duration
	create     bool                        // make the store if there is none
	ready      func(url string, open bool) // called when the server answers
}

func (a *app) serverCommand() *cobra.Command {
	o := serverOptions{create: true}
	c := &cobra.Command{
		Use:   "server",
		Short: "Serve the dashboard and the API of a store, to you or to a team",
		Long: `Serve the dashboard and the API of a store. On 127.0.0.1, where only this machine
can reach it, nobody signs in. On any other address everybody does: the first
start makes the user admin and shows its key, once. solera user adds others.

Browsers must ask for the server by an address in digits, by localhost, by this
machine's name, or by a name that --host gives.

The store of --store is the workspace "default", and the accounts of all are in
it. --workspace adds others, each a store of its own: a user sees those that a
role was given in (solera user role). docs/server.md tells the rest.`,
		Example: "  solera server\n  solera server --listen :7654 --host runs.example.org\n" +
			"  solera server --auth --workspace vision=/srv/vision --workspace speech=/srv/speech",
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return a.serve(c.Context(), o) },
	}
	f := c.Flags()
	f.StringVar(&o.listen, "listen", defaultAddress, "listen on `ADDR`, as HOST:PORT; port 0 takes a free one")
	f.StringArrayVar(&o.hosts, "host", nil, "a `NAME` by which browsers may ask for this server; may be given more than once")
	f.StringArrayVar(&o.workspaces, "workspace", nil, "also serve the workspace `NAME=STORE[,BLOBS]`; may be given more than once (SOLERA_WORKSPACES, divided by spaces)")
	f.BoolVar(&o.auth, "auth", false, "sign-in on 127.0.0.1 too, as for a machine that many use")
	f.DurationVar(&o.drain, "drain", 0, "after SIGTERM, answer for `TIME` longer while /readyz says that it ends")
	return c
}

// onlyHere tells whether an address can be reached from this machine alone.
func onlyHere(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// serve runs a server until ctx ends.
func (a *app) serve(ctx context.Context, o serverOptions) error {
	host, port, err := net.SplitHostPort(o.listen)
	if err != nil {
		return usage("--listen %s: want HOST:PORT, such as %s", o.listen, defaultAddress)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return usage("--listen %s: the port %q is no number from 0 to 65535", o.listen, port)
	} else {
		port = strconv.FormatUint(n, 10)
	}
	for _, name := range o.hosts {
		if strings.ContainsAny(name, "/: \t") || name == "" {
			return usage("--host %q: want the name alone, such as runs.example.org", name)
		}
	}
	if o.drain < 0 {
		return usage("--drain %v: want a time such as 5s", o.drain)
	}
	open := onlyHere(host) && !o.auth
	places, err := a.workspaceHomes(o.workspaces)
	if err != nil {
		return err
	}
	served := make(map[string]*tracking.Tracker, len(places))
	for _, p := range places {
		w, err := a.openToServe(ctx, p.records, p.bytes, o.create)
		if err != nil {
			if p.name != workspaceName {
				err = fmt.Errorf("workspace %s: %w", p.name, err)
			}
			return err
		}
		defer w.close()
		served[p.name] = w.Tracker
	}
	if err := differ(places); err != nil {
		return err
	}
	records := places[0].records
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		hint := "name another with --listen"
		if errors.Is(err, syscall.EADDRINUSE) {
			hint = "something listens there already; name another port with --listen, or 0 for a free one"
		}
		return &solera.InputError{Op: "listen on " + o.listen, Msg: "cannot", Hint: hint, Err: err}
	}
	defer l.Close()
	accounts := auth.New(served[workspaceName].Store, auth.Options{})
	log := a.serverLog()
	options := httpd.Options{
		Accounts:   accounts,
		Workspaces: served,
		Open:       open,
		Actor:      solera.ActorOf(ctx),
		Hosts:      append(o.hosts, host),
		Version:    version,
		Log:        log,
		Limits:     httpd.Limits{Drain: o.drain},
	}
	if files, ok := web.Files(); ok {
		options.Dashboard = files
	}
	s, err := httpd.New(options)
	if err != nil {
		return err
	}
	// Last: a key that was made must be shown.
	key := ""
	if !open {
		if key, err = accounts.First(ctx); err != nil {
			return fmt.Errorf("a server that others can reach needs a user who may sign in: %w", err)
		}
	}
	url := "http://" + a.reachable(host, o.hosts, l.Addr())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, l) }()
	for _, t := range served {
		go a.reap(ctx, t, log)
	}
	if err := a.tellServer(url, key, open, records, len(places)-1); err != nil {
		return err
	}
	if o.ready != nil {
		o.ready(url, open)
	}
	err = <-done
	if err == nil {
		log.Info("stopped")
	}
	return err
}

// A place is where a workspace is kept.
type place struct {
	name           string
	records, bytes home
}

// workspaceHomes returns where the workspaces are: first the store's own, then
// those of the flag, or of the environment, where passwords are not seen by
// everybody on the machine.
func (a *app) workspaceHomes(given []string) ([]place, error) {
	first := place{name: workspaceName}
	var err error
	if first.records, err = a.storeHome(); err != nil {
		return nil, err
	}
	if first.bytes, err = a.blobHome(first.records); err != nil {
		return nil, err
	}
	from := "--workspace"
	if len(given) == 0 {
		from, given = "SOLERA_WORKSPACES:", strings.Fields(a.env("SOLERA_WORKSPACES"))
	}
	list := []place{first}
	for _, text := range given {
		p, err := a.workspaceHome(from, text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(list, func(other place) bool { return other.name == p.name }) {
			return nil, usage("%s %s=…: there is a workspace of this name already; the store of --store is %s", from, p.name, workspaceName)
		}
		list = append(list, p)
	}
	return list, nil
}

// workspaceHome reads NAME=STORE[,BLOBS]. A comma in the path of a store is
// possible where BLOBS is given: it is the last one that divides.
func (a *app) workspaceHome(from, text string) (p place, err error) {
	name, where, ok := strings.Cut(text, "=")
	if !ok || where == "" {
		return p, usage("%s %.80q: want NAME=STORE or NAME=STORE,BLOBS, such as vision=/srv/vision", from, name)
	}
	if err := httpd.CheckWorkspace(name); err != nil {
		return p, usage("%s %.80q: %v", from, name, err)
	}
	what := from + " " + name + "="
	records, bytes := where, ""
	if i := strings.LastIndexByte(where, ','); i >= 0 {
		if records, bytes = where[:i], where[i+1:]; records == "" || bytes == "" {
			return p, usage("%s…: want a store before the comma and a place for bytes after it", what)
		}
	}
	p.name = name
	if p.records, err = a.home(what, records, "postgres", "postgresql"); err != nil {
		return p, err
	}
	switch {
	case bytes != "":
		p.bytes, err = a.home(what+"…,", bytes, "s3")
	case p.records.url != "":
		err = usage("%s%s: the bytes of artifacts need a place too: add ,s3://BUCKET or ,FOLDER", what, printableURL(records))
	default:
		p.bytes = home{folder: filepath.Join(p.records.folder, "blobs")}
	}
	return p, err
}

// differ refuses two workspaces of one store, where who may see one would see
// the other, and two that share the home of their bytes, where gc of one would
// delete those of the other. All are open, so their folders are there.
func differ(places []place) error {
	for i, p := range places {
		for _, q := range places[:i] {
			if onePlace(p.records, q.records) {
				return usage("the workspaces %s and %s are one store: each needs its own", q.name, p.name)
			}
			if onePlace(p.bytes, q.bytes) {
				return usage("the workspaces %s and %s keep their bytes in one place: each needs its own, such as another prefix or folder", q.name, p.name)
			}
		}
	}
	return nil
}

func onePlace(a, b home) bool {
	if a.url != "" || b.url != "" {
		return a.url == b.url
	}
	first, err := os.Stat(a.folder)
	if err != nil {
		return false
	}
	second, err := os.Stat(b.folder)
	return err == nil && os.SameFile(first, second)
}

// openToServe opens a store, all its projects. A server commits nothing of its
// own, so it signs nothing.
func (a *app) openToServe(ctx context.Context, records, bytes home, create bool) (*workspace, error) {
	db, checkpoints, err := a.openRecords(ctx, records, create)
	if err != nil {
		return nil, err
	}
	blobs, err := a.openBlobs(ctx, bytes, create)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	host, _ := os.Hostname() // only for the record of a run
	t := &tracking.Tracker{Store: db, Blobs: blobs, Solera: version, Host: host, External: openExternal}
	if err := a.silence(t); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &workspace{Tracker: t, checkpoints: checkpoints, close: db.Close}, nil
}

// reachable returns the address by which a browser of this machine, or with
// --host of another, finds the server.
func (a *app) reachable(host string, hosts []string, at net.Addr) string {
	_, port, _ := net.SplitHostPort(at.String())
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && !ip.IsUnspecified(), err != nil && host != "":
		return net.JoinHostPort(host, port)
	case len(hosts) > 0:
		return net.JoinHostPort(hosts[0], port)
	}
	return net.JoinHostPort("127.0.0.1", port)
}

// tellServer says where the server is.
func (a *app) tellServer(url, key string, open bool, records home, others int) error {
	if a.json {
		line := struct {
			URL      string  `json:"url"`
			AdminKey *string `json:"admin_key"`
		}{URL: url}
		if key != "" {
			line.AdminKey = &key
		}
		b, err := json.Marshal(line)
		if err != nil {
			return err
		}
		return a.printf("%s\n", b)
	}
	where := records.folder
	if records.url != "" {
		where = printableURL(records.url)
	}
	if others > 0 {
		where += " and " + count(others, "other workspace")
	}
	who := "Nobody signs in: only this machine can reach it."
	switch {
	case key != "":
		who = "The key of the user admin, which is kept nowhere and shown this once:\n\n  " + key + "\n"
	case !open:
		who = "Everybody signs in: " + a.self() + " user lists who may."
	}
	return a.printf("Solera serves %s at %s\n%s\nCtrl-C stops it.\n", where, url, who)
}

// serverLog is where a server says what it does: in colours to a terminal, else
// as lines of JSON.
func (a *app) serverLog() *slog.Logger {
	level := slog.LevelInfo
	switch {
	case a.quiet:
		level = slog.LevelWarn
	case a.verbose:
		level = slog.LevelDebug
	}
	if a.isTerminal(a.stderr) && !a.json && a.env("CI") == "" {
		return slog.New(tint.NewTextHandler(a.stderr, &tint.Options{Level: level, TimeFormat: time.TimeOnly, NoColor: !a.colour(a.stderr)}))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, &slog.HandlerOptions{Level: level}))
}

// reap finds runs whose process died, so that a dashboard that is looked at all
// day shows them.
func (a *app) reap(ctx context.Context, t *tracking.Tracker, log *slog.Logger) {
	for {
		list, err := t.Reap(ctx)
		if err != nil && ctx.Err() == nil {
			log.Debug("look for dead runs", "error", err)
		}
		for _, r := range list {
			log.Info("a run has died without a word", "run", string(r.ID))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(30 * time.Second):
		}
	}
}
