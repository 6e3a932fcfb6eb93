package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"text/tabwriter"
	"time"
)

// load runs a server of its own process for a while: 20 clients report runs
// over the network as W&B's does, ten metrics every 100 ms, and 50 readers look
// at tables, runs and charts. Afterwards every point that was acknowledged is
// looked for. Any answer but the right one fails it.
func load(ctx context.Context, seconds int) error {
	dir, err := os.MkdirTemp("", "solera-load-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	site, err := startServer(ctx, dir)
	if err != nil {
		return err
	}
	defer site.stop()
	work, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second)
	defer cancel()
	var group sync.WaitGroup
	var mu sync.Mutex
	var faults []error
	times := map[string][]time.Duration{}
	points := make([]int, apiWriters)
	fail := func(err error) {
		mu.Lock()
		defer mu.Unlock()
		faults = append(faults, err)
	}
	took := func(name string, d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		times[name] = append(times[name], d)
	}
	// A run is there before anybody looks at it.
	for i := range apiWriters {
		if err := site.register(ctx, i); err != nil {
			return err
		}
	}
	for i := range apiWriters {
		group.Go(func() {
			n, err := site.report(work, i, func(d time.Duration) { took("write 10 points", d) })
			points[i] = n
			if err != nil {
				fail(err)
			}
		})
	}
	for i := range apiReaders {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 1))
			for work.Err() == nil {
				name, method, path, body := loadQuestion(random)
				start := time.Now()
				// One that has been asked is answered, though the time is over.
				if err := site.ask(ctx, method, path, body, nil); err != nil {
					fail(fmt.Errorf("%s: %w", name, err))
				} else {
					took(name, time.Since(start))
				}
				select {
				case <-time.After(time.Duration(random.ExpFloat64() * float64(apiThink))):
				case <-work.Done():
				}
			}
		})
	}
	group.Wait()
	written, found := 0, 0
	for i, n := range points {
		written += n
		there, err := site.count(ctx, i)
		if err != nil {
			return err
		}
		found += there
		if there != n {
			fail(fmt.Errorf("run load-%d: %d points of %d are there", i, there, n))
		}
	}
	memory := site.memory()
	if err := site.stop(); err != nil {
		fail(fmt.Errorf("the server: %w", err))
	}
	fmt.Printf("%d readers, %d writers over HTTP, %d s: %d points acknowledged, %d there (%.0f/s), %d errors, server %s\n",
		apiReaders, apiWriters, seconds, written, found, float64(written)/float64(seconds), len(faults), memory)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tanswers\tp50 ms\tp95 ms\tp99 ms\tmost ms")
	var all []time.Duration
	for _, name := range []string{"write 10 points", "table of 100 runs", "table, filtered and sorted", "one run", "chart of 20 series", "columns"} {
		timesRow(w, name, times[name])
		if name != "write 10 points" {
			all = append(all, times[name]...)
		}
	}
	timesRow(w, "all readers", all)
	if err := w.Flush(); err != nil {
		return err
	}
	if len(faults) > 0 {
		return fmt.Errorf("%d errors, the first: %w", len(faults), faults[0])
	}
	if written == 0 {
		return errors.New("nothing was written")
	}
	return nil
}

// timesRow writes the percentiles of a list as a row of a table.
func timesRow(w io.Writer, name string, list []time.Duration) {
	if len(list) == 0 {
		return
	}
	slices.Sort(list)
	at := func(part float64) float64 { return float64(list[int(part*float64(len(list)-1))].Microseconds()) / 1000 }
	fmt.Fprintf(w, "%s\t%d\t%.3g\t%.3g\t%.3g\t%.3g\n", name, len(list), at(0.5), at(0.95), at(0.99), at(1))
}

// A loadSite is a server in a process of its own.
type loadSite struct {
	url    string
	cmd    *exec.Cmd
	said   *bytes.Buffer
	client *http.Client
	once   sync.Once
	ended  error
}

// startServer builds the program and starts its server on a free port.
func startServer(ctx context.Context, dir string) (*loadSite, error) {
	bin := filepath.Join(dir, "solera")
	build := exec.CommandContext(ctx, "go", "build", "-o", bin, "./cmd/solera")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", build, err, out)
	}
	s := &loadSite{said: &bytes.Buffer{}}
	s.cmd = exec.CommandContext(ctx, bin, "-C", dir, "--store", filepath.Join(dir, "store"), "server", "--listen", "127.0.0.1:0", "--json", "-q")
	s.cmd.Stderr = s.said
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	var ready struct{ URL string }
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	if err != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		return nil, fmt.Errorf("start the server: %w\n%s", err, s.said)
	}
	s.url = ready.URL
	s.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: apiReaders + apiWriters}, Timeout: time.Minute}
	return s, nil
}

// stop ends the server as an operator does, and returns what went wrong.
func (s *loadSite) stop() error {
	s.once.Do(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM)
		if err := s.cmd.Wait(); err != nil {
			s.ended = fmt.Errorf("%w: %s", err, s.said)
		}
	})
	return s.ended
}

// memory returns what the server has taken at most, as Linux tells it.
func (s *loadSite) memory() string {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return "of unknown size"
	}
	for line := range bytes.Lines(raw) {
		if rest, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			return string(bytes.Join(bytes.Fields(rest), []byte(" "))) + " at most"
		}
	}
	return "of unknown size"
}

// ask sends a request and reads the answer, into v unless that is nil.
func (s *loadSite) ask(ctx context.Context, method, path string, body, v any) error {
	var reader io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		reader = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, s.url+path, reader)
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	answer, err := s.client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	raw, err := io.ReadAll(answer.Body)
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK:
		return fmt.Errorf("%s %s: %s: %.500s", method, path, answer.Status, raw)
	case v != nil:
		return json.Unmarshal(raw, v)
	}
	return nil
}

type object = map[string]any

// register makes the run of a writer.
func (s *loadSite) register(ctx context.Context, i int) error {
	var answer struct{ Errors []any }
	err := s.ask(ctx, http.MethodPost, "/graphql", object{
		"query": `mutation UpsertBucket($name: String, $project: String, $entity: String, $config: JSONString) {
			upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, config: $config}) { bucket { id name } inserted } }`,
		"variables": object{"name": fmt.Sprint("load-", i), "project": "load", "entity": "default", "config": fmt.Sprintf(`{"seed": {"value": %d}}`, i)},
	}, &answer)
	if err == nil && len(answer.Errors) > 0 {
		err = fmt.Errorf("register run load-%d: %v", i, answer.Errors)
	}
	return err
}

// report is one writer: it tells ten metrics at a time until ctx ends, and
// returns how many points were acknowledged.
func (s *loadSite) report(ctx context.Context, i int, took func(time.Duration)) (points int, err error) {
	whole := context.WithoutCancel(ctx)
	random := rand.New(rand.NewPCG(uint64(i), 2))
	path := fmt.Sprintf("/files/default/load/load-%d/file_stream", i)
	for step := 0; ctx.Err() == nil; step++ {
		line := object{"_step": step}
		for k := range 10 {
			line[fmt.Sprint("metric/", k)] = random.Float64()
		}
		raw, err := json.Marshal(line)
		if err != nil {
			return points, err
		}
		start := time.Now()
		err = s.ask(whole, http.MethodPost, path, object{"files": object{"wandb-history.jsonl": object{"offset": step, "content": []string{string(raw)}}}}, nil)
		if err != nil {
			return points, fmt.Errorf("report step %d of run load-%d: %w", step, i, err)
		}
		took(time.Since(start))
		points += 10
		select {
		case <-time.After(apiEpoch):
		case <-ctx.Done():
		}
	}
	return points, s.ask(whole, http.MethodPost, path, object{"complete": true, "exitcode": 0}, nil)
}

// count returns how many points of a run are there, each step of each metric
// once.
func (s *loadSite) count(ctx context.Context, i int) (int, error) {
	request := object{"pixels": 10_000} // four points each: more than a quarter of an hour writes
	var series []object
	for k := range 10 {
		series = append(series, object{"run": fmt.Sprint("load-", i), "key": fmt.Sprint("metric/", k)})
	}
	request["series"] = series
	var answer []struct {
		Steps []int64
		Whole bool
	}
	if err := s.ask(ctx, http.MethodPost, "/api/v1/workspaces/default/series", request, &answer); err != nil {
		return 0, err
	}
	n := 0
	for _, one := range answer {
		if !one.Whole {
			return 0, fmt.Errorf("run load-%d: the series is thinned", i)
		}
		seen := map[int64]bool{}
		for _, step := range one.Steps {
			if seen[step] {
				return 0, fmt.Errorf("run load-%d: step %d is there twice", i, step)
			}
			seen[step] = true
		}
		n += len(one.Steps)
	}
	return n, nil
}

// loadQuestion draws what a reader asks next.
func loadQuestion(random *rand.Rand) (name, method, path string, body any) {
	const root = "/api/v1/workspaces/default"
	one := func() string { return fmt.Sprint("load-", random.IntN(apiWriters)) }
	switch n := random.IntN(100); {
	case n < 30:
		return "table of 100 runs", http.MethodPost, root + "/runs/query", object{"project": "load"}
	case n < 50:
		return "table, filtered and sorted", http.MethodPost, root + "/runs/query", object{
			"project": "load", "where": "params.seed >= 5", "sort": []string{"-params.seed"}, "columns": []string{"params.seed"},
		}
	case n < 70:
		return "one run", http.MethodGet, root + "/runs/" + one(), nil
	case n < 98:
		var series []object
		for range 20 {
			series = append(series, object{"run": one(), "key": fmt.Sprint("metric/", random.IntN(10))})
		}
		return "chart of 20 series", http.MethodPost, root + "/series", object{"series": series, "pixels": 800}
	}
	return "columns", http.MethodGet, root + "/runs/columns?project=load", nil
}
