package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/wandb"
)

func (a *app) loginCommand() *cobra.Command {
	check := false
	c := &cobra.Command{
		Use:   "login --check",
		Short: "Tell whether the key for tracking: wandb works",
		Long: `Tell in one line whether the key, the server and the workspace of tracking:
wandb work, and end with exit code 1 if not. Nothing is stored: the key is read
from WANDB_API_KEY each time, or from .netrc, as other clients of the server
do; the server from WANDB_BASE_URL, the workspace from WANDB_ENTITY.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if !check {
				return usage("solera login stores nothing: set WANDB_API_KEY (and WANDB_BASE_URL for a server of your own), then: %s login --check", a.self())
			}
			return a.login(c.Context())
		},
	}
	c.Flags().BoolVar(&check, "check", false, "ask the server who the key belongs to")
	return c
}

// loginJSON is what login --check --json writes. The key is no part of it.
type loginJSON struct {
	OK        bool     `json:"ok"`
	Server    string   `json:"server"`
	User      string   `json:"user"`
	Workspace string   `json:"workspace"`
	Teams     []string `json:"teams"`
	KeyFrom   string   `json:"key_from"` // "WANDB_API_KEY" or the path of a .netrc
}

// login asks who the key belongs to, for a quarter of a minute at most.
func (a *app) login(ctx context.Context) error {
	settings, err := a.remote()
	if err != nil {
		return err
	}
	client, err := wandb.NewClient(settings, version)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	client.Backoff = 500 * time.Millisecond
	v, err := client.Viewer(ctx)
	if err != nil {
		return a.refused(settings, err)
	}
	l := loginJSON{OK: true, Server: settings.URL, User: v.Name, Workspace: cmp.Or(settings.Workspace, v.Workspace), Teams: append([]string{}, v.Teams...), KeyFrom: settings.KeyFrom}
	if settings.Workspace != "" && settings.Workspace != v.Workspace && !slices.Contains(v.Teams, settings.Workspace) {
		there, err := client.HasWorkspace(ctx, settings.Workspace)
		if err != nil {
			return a.refused(settings, err)
		}
		if !there {
			known := append(v.Teams, v.Workspace)
			return &solera.InputError{
				Op: settings.URL, Msg: fmt.Sprintf("the key is that of %s, who sees no workspace %s", v.Name, settings.Workspace),
				Hint: "set WANDB_ENTITY to one of " + enumerate(slices.Compact(slices.Sorted(slices.Values(known)))), Err: solera.ErrNotFound,
			}
		}
	}
	if l.Workspace == "" {
		return &solera.InputError{Op: settings.URL, Msg: fmt.Sprintf("the key is that of %s, who has no workspace", v.Name), Hint: "name one with WANDB_ENTITY", Err: solera.ErrNotFound}
	}
	if a.json {
		return a.printJSON(l)
	}
	note := ""
	if settings.Plain() {
		note = "; unencrypted: whoever is on the way can read the key"
	}
	return a.printf("%s: signed in as %s, workspace %s (key from %s%s)\n", settings.URL, printable(l.User), printable(l.Workspace), settings.KeyFrom, note)
}

// refused says what a user can do about a key that does not open the server.
func (a *app) refused(s wandb.Settings, err error) error {
	var status *wandb.StatusError
	switch {
	case errors.As(err, &status) && (status.Status == 401 || status.Status == 403):
		return &solera.InputError{Op: s.URL, Msg: "the server does not accept the key from " + s.KeyFrom + ": " + err.Error(), Hint: "make a new one there and set WANDB_API_KEY", Err: err}
	case unreachable(err):
		return &solera.InputError{Op: s.URL, Msg: "the server does not answer: " + sentence(err), Hint: "see whether WANDB_BASE_URL is right and the network is there", Err: err}
	}
	return fmt.Errorf("%s: %w", s.URL, err)
}
