package pipeline

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera/tracking"
)

const rows = "data: {source: sample:wine, target: class}\n"

func TestRetentionIsReadAndChangesNoRun(t *testing.T) {
	c, err := Parse("solera.yaml", []byte(rows+`retention:
  keep_versions: 10
  keep_days: 90
  artifacts:
    - {name: "trained-*", keep_versions: 3}
    - {name: wine-raw}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := tracking.Retention{
		KeepRule: tracking.KeepRule{KeepVersions: 10, KeepDays: 90},
		Artifacts: []tracking.ArtifactRetention{
			{Pattern: "trained-*", KeepRule: tracking.KeepRule{KeepVersions: 3}},
			{Pattern: "wine-raw"},
		},
	}
	if diff := cmp.Diff(want, c.Retention.Rules()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	plain, err := Parse("solera.yaml", []byte(rows))
	if err != nil {
		t.Fatal(err)
	}
	for name, params := range map[string]func(*Config) map[string]any{
		"load": (*Config).LoadParams, "preprocess": (*Config).PreprocessParams, "build": (*Config).BuildParams,
		"train": func(c *Config) map[string]any { return c.TrainParams(0) },
	} {
		if diff := cmp.Diff(params(plain), params(c)); diff != "" {
			t.Errorf("retention enters the params of %s:\n%s", name, diff)
		}
	}
	if !cmp.Equal(plain.Retention.Rules(), tracking.Retention{}) {
		t.Errorf("without the key there are rules: %+v", plain.Retention)
	}
}

func TestRetentionRefusesWhatMakesNoSense(t *testing.T) {
	for text, says := range map[string]string{
		"retention: {keep_versions: -1}":               "keep_versions is -1",
		"retention: {keep_days: 1.5}":                  "a whole number",
		"retention: {keep: 3}":                         `unknown key "keep"`,
		"retention: 10":                                "want a map",
		`retention: {artifacts: [{name: "[a"}]}`:       "no pattern of names",
		"retention: {artifacts: [{keep_versions: 3}]}": "no pattern of names",
	} {
		_, err := Parse("solera.yaml", []byte(rows+text+"\n"))
		if err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%s: got %v, want line 2 and %q", text, err, says)
		}
	}
}
