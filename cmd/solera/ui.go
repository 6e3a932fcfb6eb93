package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"
)

func (a *app) uiCommand() *cobra.Command {
	var stay bool
	c := &cobra.Command{
		Use:   "ui",
		Short: "Open the dashboard of your store in the browser",
		Long: `Serve the dashboard of a store on this machine alone, without sign-in, and open it
in the browser. It ends with Ctrl-C.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			o := serverOptions{listen: a.freeAddress(c.Context())}
			if !stay {
				o.ready = a.browse
			}
			return a.serve(c.Context(), o)
		},
	}
	c.Flags().BoolVar(&stay, "no-open", false, "only say where the dashboard is")
	return c
}

// freeAddress returns the usual address if nobody listens there, else one of
// any free port. A browser keeps settings by address, so the usual one is
// better.
func (a *app) freeAddress(ctx context.Context) string {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", defaultAddress)
	if err != nil {
		return "127.0.0.1:0"
	}
	l.Close()
	return defaultAddress
}

// browse opens a page as the system opens pages. The program it starts is the
// system's own, and the one argument is an address that we have made.
func (a *app) browse(url string, _ bool) {
	if err := a.startBrowser(url); err != nil && !a.json {
		fmt.Fprintf(a.stderr, "solera: no browser could be opened (%v): open %s yourself\n", err, url)
	}
}

func (a *app) startBrowser(url string) error {
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		cmd = exec.Command("open", url)
	case "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", url)
	default:
		if a.env("DISPLAY") == "" && a.env("WAYLAND_DISPLAY") == "" {
			return errors.New("there is no screen")
		}
		cmd = exec.Command("xdg-open", url)
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	// It ends when it has handed over, or with the browser that it became; who
	// waits for it is here until the server ends.
	go func() { _ = cmd.Wait() }()
	return nil
}
