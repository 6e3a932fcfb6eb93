package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// A server is a Solera server that runs until it is stopped.
type server struct {
	url string
	key string // of the admin; "" = the server is open
	log string
	cmd *exec.Cmd
}

// silence is after which time without a word the servers of this test take a
// script for dead. It is longer than what a client sends while it lives.
const silence = 20 * time.Second

// serve starts a server on a free port of loopback and waits until it answers.
// where are the flags that say where its records are.
func (h *harness) serve(ctx context.Context, name string, open bool, where ...string) (*server, error) {
	args := append(append([]string{"--json"}, where...), "server", "--listen", "127.0.0.1:0")
	if !open {
		args = append(args, "--auth")
	}
	s := &server{log: filepath.Join(h.scratch, name+".log")}
	log, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	program, err := filepath.Abs(h.solera)
	if err != nil {
		return nil, err
	}
	s.cmd = exec.Command(program, args...)
	s.cmd.Dir = h.scratch
	s.cmd.Env = append(os.Environ(), "SOLERA_STORE=", "SOLERA_BLOBS=", "SOLERA_SILENCE="+silence.String(), "XDG_CONFIG_HOME="+filepath.Join(h.scratch, "config"))
	s.cmd.Stderr = log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	h.servers = append(h.servers, s)
	said := make(chan error, 1)
	go func() {
		line, err := bufio.NewReader(out).ReadBytes('\n')
		if err != nil {
			said <- errors.New("it ended before it answered")
			return
		}
		var answer struct {
			URL string `json:"url"`
			Key string `json:"admin_key"`
		}
		err = json.Unmarshal(line, &answer)
		s.url, s.key = answer.URL, answer.Key
		said <- err
	}()
	select {
	case err = <-said:
	case <-ctx.Done():
		err = ctx.Err()
	case <-time.After(30 * time.Second):
		err = errors.New("it does not answer")
	}
	if err != nil {
		s.stop()
		text, _ := os.ReadFile(s.log)
		return nil, fmt.Errorf("start the server %s: %w\n%s", name, err, text)
	}
	return s, nil
}

// stop ends the server. It may have ended before.
func (s *server) stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		_ = s.cmd.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-done
	}
	s.cmd = nil
}
