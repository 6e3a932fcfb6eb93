package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// A server is a program that runs until it is stopped, and may be started
// again.
type server struct {
	name, log, dir string
	args, env      []string
	credential     *syscall.Credential // who runs it; nil = we
	ready          func(context.Context) error

	mu   sync.Mutex
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
}

// startPatience is how long a server may take until it answers. After a kill
// PostgreSQL first reads its log, and waits for the last of its old processes.
const startPatience = 60 * time.Second

// start runs the server and waits until it answers.
func (s *server) start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	for try := 1; ; try++ {
		if err := s.launch(); err != nil {
			return err
		}
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil || try == 50 {
			s.halt(syscall.SIGKILL)
			return fmt.Errorf("%s does not start: %w\n%s", s.name, err, s.lastLines())
		}
		// It ended at once, such as PostgreSQL while a process of the one
		// before holds its shared memory.
		s.cmd = nil
		time.Sleep(200 * time.Millisecond)
	}
}

func (s *server) launch() error {
	log, err := os.OpenFile(s.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.args[0], s.args[1:]...)
	cmd.Dir, cmd.Env = s.dir, append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = log, log
	// A group of its own: Ctrl-C is for the tests, the servers are stopped
	// after them. Should this program be killed, they go too.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGQUIT, Credential: s.credential}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", s.name, err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended does not matter
		close(done)
	}()
	s.cmd, s.done = cmd, done
	return nil
}

// answers waits until the server does. It fails when the server has ended.
func (s *server) answers(ctx context.Context) error {
	for {
		err := s.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.done:
			return errors.New("it has ended")
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the server with a signal and waits until it has ended.
func (s *server) stop(signal syscall.Signal) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.halt(signal)
}

func (s *server) halt(signal syscall.Signal) {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(signal) // it may have ended by itself
	select {
	case <-s.done:
	case <-time.After(15 * time.Second):
		_ = s.cmd.Process.Kill()
		<-s.done
	}
	s.cmd = nil
}

func (s *server) lastLines() string {
	text, _ := os.ReadFile(s.log)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}

// tail prints the end of the server's log.
func (s *server) tail(w io.Writer) {
	if s != nil {
		fmt.Fprintf(w, "\nthe last lines of %s:\n%s\n", s.name, s.lastLines())
	}
}

// postgresUser returns as whom PostgreSQL runs: it refuses root.
func postgresUser() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no user postgres: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func (c *cluster) postgresReady(ctx context.Context) error {
	config, err := pgx.ParseConfig(c.postgresURL())
	if err != nil {
		return err
	}
	config.Password = c.secret
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
