package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// A server is solera server on a free port of loopback, with sign-in as for a
// team.
type server struct {
	program, store, log string
	env                 []string
	url                 string

	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// start runs the server until stop and returns the key of its admin.
func (s *server) start(ctx context.Context) (admin string, err error) {
	log, err := os.Create(s.log)
	if err != nil {
		return "", err
	}
	defer log.Close()
	cmd := exec.Command(s.program, "--store", s.store, "server", "--listen", "127.0.0.1:0", "--auth", "--json")
	cmd.Env, cmd.Stderr = s.env, log
	// A group of its own, since Ctrl-C is for the jobs; it dies with us.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	s.cmd, s.done = cmd, make(chan struct{})
	first := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n') // it says one line, or ends
		first <- line
		_ = cmd.Wait()
		close(s.done)
	}()
	select {
	case line := <-first:
		if s.url, err = field(line, "url"); err != nil {
			return "", fmt.Errorf("solera server: %w", err)
		}
		return field(line, "admin_key")
	case <-ctx.Done():
		return "", ctx.Err()
	case <-time.After(30 * time.Second):
		return "", errors.New("solera server does not say where it is")
	}
}

func (s *server) stop() {
	if s == nil || s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

// tail prints the end of the server's log.
func (s *server) tail(w io.Writer) {
	if s == nil {
		return
	}
	text, err := os.ReadFile(s.log)
	if err != nil {
		return
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	fmt.Fprintf(w, "\nthe last lines of the server:\n%s\n", strings.Join(lines[max(0, len(lines)-20):], "\n"))
}

// field returns a text of a JSON object.
func field(object, name string) (string, error) {
	var m map[string]any
	if err := json.Unmarshal([]byte(object), &m); err != nil {
		return "", fmt.Errorf("%q is no JSON: %w", object, err)
	}
	s, ok := m[name].(string)
	if !ok || s == "" {
		return "", fmt.Errorf("there is no %s in %s", name, object)
	}
	return s, nil
}

// ask reads a page of the API of the server.
func (b *bench) ask(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, b.server.url+"/api/v1/workspaces/default"+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+b.admin)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s: %s", path, res.Status, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}
