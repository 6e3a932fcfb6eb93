package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// How many real processes log at once, and how much each.
const (
	loadProcesses = 20
	loadSteps     = 1000
	loadMetrics   = 20
)

// load lets many clients log to one server and counts what arrived: nothing may
// be lost, nothing come twice.
func (h *harness) load(ctx context.Context) error {
	s, err := h.serve(ctx, "load", false, "--store", filepath.Join(h.scratch, "store-load"))
	if err != nil {
		return err
	}
	c := h.clients[0]
	program, err := filepath.Abs("interop/wandb/load_process.py")
	if err != nil {
		return err
	}
	fmt.Printf("%d processes of client %s, each %d steps of %d metrics\n", loadProcesses, c.version, loadSteps, loadMetrics)
	before, err := cpuSeconds(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	start := time.Now()
	var group sync.WaitGroup
	errs := make([]error, loadProcesses)
	logging := make([]float64, loadProcesses)
	for i := range loadProcesses {
		group.Go(func() {
			id := fmt.Sprintf("load-%02d", i)
			home := filepath.Join(h.scratch, id)
			t := task{script: "load", client: c, place: onDisk, server: s}
			env, err := h.environment(t, home)
			if err = errors.Join(err, os.MkdirAll(filepath.Join(home, "tmp"), 0o755)); err != nil {
				errs[i] = err
				return
			}
			ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, c.python(h.options), program, id, strconv.Itoa(loadSteps), strconv.Itoa(loadMetrics))
			cmd.Dir, cmd.Env = home, env
			var complaint tail
			cmd.Stderr = &complaint
			out, err := cmd.Output()
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w\n%s", id, err, complaint.String())
				return
			}
			lines := strings.Fields(string(out))
			if len(lines) == 0 {
				errs[i] = fmt.Errorf("%s: said nothing", id)
				return
			}
			logging[i], errs[i] = strconv.ParseFloat(lines[len(lines)-1], 64)
		})
	}
	group.Wait()
	wall := time.Since(start)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	after, err := cpuSeconds(s.cmd.Process.Pid)
	if err != nil {
		return err
	}
	points := 0
	for i := range loadProcesses {
		n, err := h.count(s, fmt.Sprintf("load-%02d", i))
		if err != nil {
			return err
		}
		points += n
	}
	most := 0.0
	for _, s := range logging {
		most = max(most, s)
	}
	const want = loadProcesses * loadSteps * loadMetrics
	fmt.Printf("%d of %d points arrived, each once, with its step and value\n", points, want)
	fmt.Printf("wall time %.1f s (the slowest process logged for %.1f s of it), CPU of the server %.1f s, %.0f points a second\n",
		wall.Seconds(), most, after-before, float64(points)/wall.Seconds())
	if points != want {
		return fmt.Errorf("%d points are lost", want-points)
	}
	return nil
}

// count reads the points of a run and checks each.
func (h *harness) count(s *server, run string) (int, error) {
	type series struct {
		Run string `json:"run"`
		Key string `json:"key"`
	}
	var ask struct {
		Series []series `json:"series"`
		Pixels int      `json:"pixels"`
	}
	ask.Pixels = 10000 // more than points: nothing is thinned
	for i := range loadMetrics {
		ask.Series = append(ask.Series, series{run, fmt.Sprintf("m%02d", i)})
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequest(http.MethodPost, s.url+"/api/v1/workspaces/default/series", strings.NewReader(string(body)))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+s.key)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, err
	}
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("read the series of %s: %s: %s", run, res.Status, answer)
	}
	var got []struct {
		Key   string    `json:"key"`
		Whole bool      `json:"whole"`
		Steps []int64   `json:"steps"`
		Value []float64 `json:"values"`
	}
	if err := json.Unmarshal(answer, &got); err != nil {
		return 0, fmt.Errorf("the series of %s: %w", run, err)
	}
	n := 0
	for i, one := range got {
		if !one.Whole {
			return 0, fmt.Errorf("%s of %s came thinned", one.Key, run)
		}
		for j, step := range one.Steps {
			if step != int64(j) || one.Value[j] != float64(j)+float64(i)/100 {
				return 0, fmt.Errorf("%s of %s: point %d is step %d, value %v", one.Key, run, j, step, one.Value[j])
			}
		}
		n += len(one.Steps)
	}
	return n, nil
}

// cpuSeconds is the time that a process has computed.
func cpuSeconds(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// After the name, which stands in parentheses: fields 14 and 15 of proc(5).
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	const ticks = 100 // a second, on every Linux that Go runs on
	return (user + system) / ticks, errors.Join(err1, err2)
}
