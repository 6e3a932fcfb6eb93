package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A version is one as the API shows it.
type version struct {
	Name    string `json:"name"` // of the artifact
	Digest  string `json:"digest"`
	Version string `json:"version"`
}

// artifacts returns the newest versions of a project on the server, by name,
// and how many versions there are of all of them.
func (b *bench) artifacts(ctx context.Context, project string) (map[string]version, int, error) {
	var rows []struct {
		Name     string `json:"name"`
		Versions int    `json:"versions"`
		Version  *struct {
			Number int    `json:"number"`
			Digest string `json:"digest"`
		} `json:"version"`
	}
	if err := b.ask(ctx, "/artifacts?project="+project, &rows); err != nil {
		return nil, 0, err
	}
	newest, all := map[string]version{}, 0
	for _, r := range rows {
		all += r.Versions
		if r.Version != nil {
			newest[r.Name] = version{r.Name, r.Version.Digest, fmt.Sprintf("v%d", r.Version.Number)}
		}
	}
	return newest, all, nil
}

// runs returns how many runs a project has on the server, by stage, all of
// which must have finished.
func (b *bench) runs(ctx context.Context, project string) (map[string]int, error) {
	var page struct {
		Runs []struct {
			Stage, State, Name string
		} `json:"runs"`
	}
	if err := b.ask(ctx, "/runs?limit=1000&project="+project, &page); err != nil {
		return nil, err
	}
	stages := map[string]int{}
	for _, r := range page.Runs {
		stages[r.Stage]++
		if r.State != "finished" {
			return nil, fmt.Errorf("the run %s of %s is %s on the server", r.Name, project, r.State)
		}
	}
	return stages, nil
}

const project = "wine-classification"

// wanted are the artifacts of the wine project.
var wanted = []string{"WineClassifier", "trained-wine-model-exp001", "trained-wine-model-exp002", "trained-wine-model-exp003", "wine-preprocess", "wine-raw"}

// locally runs the project without any server, and returns the digests that it
// comes to.
func (b *bench) locally(ctx context.Context) (map[string]string, error) {
	dir := filepath.Join(b.scratch, "local")
	config, err := os.ReadFile(filepath.Join(b.origin, "solera.yaml"))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(os.Mkdir(dir, 0o755), os.WriteFile(filepath.Join(dir, "solera.yaml"), config, 0o644)); err != nil {
		return nil, err
	}
	out, err := b.command(ctx, dir, b.solera, "run", "--json")
	if err != nil {
		return nil, err
	}
	var result struct{ Artifacts []version }
	if err := json.Unmarshal([]byte(out), &result); err != nil {
		return nil, fmt.Errorf("solera run --json: %w", err)
	}
	digests := map[string]string{}
	for _, v := range result.Artifacts {
		digests[v.Name] = v.Digest
	}
	return digests, nil
}

// push is a change of solera.yaml on main, after somebody has tried the login
// by hand: Load data starts, and the others follow.
func (b *bench) push(ctx context.Context) error {
	login, err := b.trigger(ctx, trigger{workflow: "test_login.yml", event: "workflow_dispatch", secret: b.key, url: b.server.url}, "success")
	if err != nil {
		return err
	}
	if !strings.Contains(login.summary, b.server.url) || !strings.Contains(login.shown, strings.TrimSpace(login.summary)) {
		return fmt.Errorf("the summary of the login is %q, the log:\n%s", login.summary, login.shown)
	}
	first, err := b.trigger(ctx, trigger{workflow: "load_data.yml", event: "push", secret: b.key, url: b.server.url}, "success")
	if err != nil {
		return err
	}
	all, err := b.follow(ctx, first)
	if err != nil {
		return err
	}
	made := [][]string{{"wine-raw"}, {"wine-preprocess"}, {"WineClassifier"}, wanted[1:4]}
	if len(all) != len(made) {
		return fmt.Errorf("%d workflows ran in order, want %d", len(all), len(made))
	}
	for i, o := range all {
		for _, name := range made[i] {
			if want := regexp.MustCompile(`(?m)^\| ` + name + ` \| ` + name + `:v0 \| [0-9a-f]{12} \|$`); !want.MatchString(o.summary) {
				return fmt.Errorf("%v: its summary has no line of %s:\n%s", o, name, o.summary)
			}
		}
		if want := "### solera run "; !strings.HasPrefix(o.summary, want) {
			return fmt.Errorf("%v: its summary does not begin with %q:\n%s", o, want, o.summary)
		}
	}
	if last := all[3].summary; !strings.Contains(last, "| exp003") || !strings.Contains(last, "Best: ") {
		return fmt.Errorf("the summary of the training has no results:\n%s", last)
	}
	return b.complete(ctx)
}

// complete looks at what the jobs left: the artifacts with the digests of a
// local run, each once, and where the models come from.
func (b *bench) complete(ctx context.Context) error {
	local, err := b.locally(ctx)
	if err != nil {
		return err
	}
	newest, all, err := b.artifacts(ctx, project)
	if err != nil {
		return err
	}
	for _, name := range wanted {
		v := newest[name]
		if v.Version != "v0" || v.Digest == "" || v.Digest != local[name] {
			return fmt.Errorf("the server has %s:%s with %s, want v0 with %s as it comes without a server", name, v.Version, v.Digest, local[name])
		}
		fmt.Printf("  %-26s %s, as without a server\n", name, v.Digest)
	}
	if got := slices.Sorted(maps.Keys(newest)); !slices.Equal(got, wanted) || all != len(wanted) {
		return fmt.Errorf("the server has %d versions of %v, want one each of %v", all, got, wanted)
	}
	stages, err := b.runs(ctx, project)
	if err != nil {
		return err
	}
	if want := map[string]int{"load": 1, "preprocess": 1, "build": 1, "train": 3}; !maps.Equal(stages, want) {
		return fmt.Errorf("the server has the runs %v, want %v", stages, want)
	}
	for _, name := range wanted[1:4] {
		if err := b.lineage(ctx, name); err != nil {
			return fmt.Errorf("lineage of %s: %w", name, err)
		}
	}
	fmt.Println("  each model comes from a train run, of a network and a data set, of the raw rows")
	return nil
}

// lineage checks all that a trained model comes from.
func (b *bench) lineage(ctx context.Context, model string) error {
	var graph struct {
		Nodes []struct {
			ID, Kind, Stage, Artifact, Version string
		}
		Edges []struct{ From, To, Kind string }
	}
	if err := b.ask(ctx, "/lineage?direction=up&ref="+project+"/"+model+":v0", &graph); err != nil {
		return err
	}
	names := map[string]string{} // of nodes, by ID
	for _, n := range graph.Nodes {
		names[n.ID] = n.Stage
		if n.Kind == "version" {
			names[n.ID] = n.Artifact + ":" + n.Version
		}
	}
	var got []string
	for _, e := range graph.Edges {
		got = append(got, names[e.From]+" "+e.Kind+" "+names[e.To])
	}
	slices.Sort(got)
	want := []string{
		"WineClassifier:v0 used train", "build made WineClassifier:v0", "load made wine-raw:v0", "preprocess made wine-preprocess:v0",
		"train made " + model + ":v0", "wine-preprocess:v0 used build", "wine-preprocess:v0 used train", "wine-raw:v0 used preprocess",
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("it is\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	return nil
}

// again starts every workflow by hand: nothing changed, so there are the same
// versions as before.
func (b *bench) again(ctx context.Context) error {
	for _, file := range workflowNames {
		o, err := b.trigger(ctx, trigger{workflow: file, event: "workflow_dispatch", secret: b.key, url: b.server.url}, "success")
		if err != nil {
			return err
		}
		if file != workflowNames[0] && (!strings.Contains(o.summary, ":v0 | ") || strings.Contains(o.summary, ":v1 | ")) {
			return fmt.Errorf("%v: its summary has other versions than the first:\n%s", o, o.summary)
		}
	}
	_, all, err := b.artifacts(ctx, project)
	if err != nil {
		return err
	}
	if all != len(wanted) {
		return fmt.Errorf("the server has %d versions, want the %d of before", all, len(wanted))
	}
	return nil
}

// pullRequest runs all five for a pull request: with the secret they log to a
// project of their own, without it to nowhere. Both times the project itself
// stays as it is.
func (b *bench) pullRequest(ctx context.Context) error {
	before, err := b.runs(ctx, project)
	if err != nil {
		return err
	}
	for _, secret := range []string{b.key, ""} {
		for _, file := range workflowNames {
			o, err := b.trigger(ctx, trigger{
				workflow: file, event: "pull_request", secret: secret, url: b.server.url,
				payload: map[string]any{"action": "opened", "number": 1, "pull_request": map[string]any{
					"number": 1, "head": map[string]any{"ref": "change"}, "base": map[string]any{"ref": "main"},
				}},
			}, "success")
			if err != nil {
				return err
			}
			if told := len(o.notices) == 1 && strings.Contains(o.notices[0], "cannot see the secret"); told != (secret == "") {
				return fmt.Errorf("%v: notices %q, and a secret: %v", o, o.notices, secret != "")
			}
			if file == "train_model.yml" && !strings.Contains(o.summary, "Best: ") {
				return fmt.Errorf("%v: its summary has no results:\n%s", o, o.summary)
			}
		}
	}
	after, err := b.runs(ctx, project)
	if err != nil {
		return err
	}
	_, all, err := b.artifacts(ctx, project)
	if err != nil {
		return err
	}
	if !maps.Equal(before, after) || all != len(wanted) {
		return fmt.Errorf("a pull request changed the project: runs %v, before %v; %d versions", after, before, all)
	}
	newest, all, err := b.artifacts(ctx, project+"-pull-requests")
	if err != nil {
		return err
	}
	if got := slices.Sorted(maps.Keys(newest)); !slices.Equal(got, wanted) || all != len(wanted) {
		return fmt.Errorf("the project of pull requests has %d versions of %v, want one each of %v", all, got, wanted)
	}
	return nil
}

// chainEnds starts a workflow with ends that must not start it.
func (b *bench) chainEnds(ctx context.Context) error {
	for _, o := range []outcome{
		{result: "failure", trigger: trigger{event: "push"}},
		{result: "skipped", trigger: trigger{event: "workflow_run"}},
		{result: "success", trigger: trigger{event: "pull_request"}}, // of a fork whose branch is called main, for example
	} {
		run, err := b.ended(ctx, "Load data", o)
		if err != nil {
			return err
		}
		if _, err := b.trigger(ctx, trigger{workflow: "preprocess_data.yml", event: "workflow_run", payload: run, secret: b.key, url: b.server.url}, "skipped"); err != nil {
			return fmt.Errorf("after a %s that ended in %s: %w", o.event, o.result, err)
		}
	}
	return nil
}

// broken runs what cannot work. It must fail, in one clear line that shows no
// secret, and leave nothing.
func (b *bench) broken(ctx context.Context) error {
	_, before, err := b.artifacts(ctx, project)
	if err != nil {
		return err
	}
	wrong := b.key[:len(b.key)-4] + "AAAA"
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	nowhere := "http://" + closed.Addr().String()
	if err := closed.Close(); err != nil {
		return err
	}
	for _, tt := range []struct {
		what, secret, url string
		files             []string
		says              string
	}{
		{"no secret", "", b.server.url, []string{"test_login.yml", "load_data.yml"}, "WANDB_API_KEY"},
		{"a wrong key", wrong, b.server.url, []string{"test_login.yml", "load_data.yml"}, "key"},
		{"no server", b.key, nowhere, []string{"test_login.yml"}, nowhere},
	} {
		for _, file := range tt.files {
			o, err := b.trigger(ctx, trigger{workflow: file, event: "push", secret: tt.secret, url: tt.url}, "failure")
			if err != nil {
				return fmt.Errorf("%s: %w", tt.what, err)
			}
			var said []string
			for line := range strings.Lines(o.shown) {
				if strings.HasPrefix(line, "solera: ") && !strings.HasPrefix(line, "solera: made the key") {
					said = append(said, strings.TrimSpace(line))
				}
			}
			if len(said) != 1 || !strings.Contains(said[0], tt.says) {
				return fmt.Errorf("%s: %v says\n%s\nwant one line of solera's that names %s", tt.what, o, o.shown, tt.says)
			}
			fmt.Printf("  %s: %s\n", tt.what, said[0])
			if !strings.Contains(strings.ReplaceAll(o.summary, "\\", ""), tt.says) { // without Markdown's backslashes
				return fmt.Errorf("%s: the summary of %v does not say why: %q", tt.what, o, o.summary)
			}
		}
	}
	_, after, err := b.artifacts(ctx, project)
	if err != nil {
		return err
	}
	if after != before {
		return fmt.Errorf("%d versions, before %d", after, before)
	}
	return nil
}
