// Package provenance knows what is claimed of a version, and who claims it: an
// in-toto statement with the SLSA provenance predicate, in a DSSE envelope that
// an ed25519 key has signed. It builds, signs, reads and compares; it does not
// know where records and envelopes are kept, nor whom to trust: keys come in as
// arguments.
package provenance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	slsa "github.com/in-toto/attestation/go/predicates/provenance/v1"
	intoto "github.com/in-toto/attestation/go/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/solera-ml/solera"
)

// The names by which tools of others recognise what they read. They never
// change their meaning; a statement of another kind gets another name.
const (
	StatementType = intoto.StatementTypeUri          // https://in-toto.io/Statement/v1
	PredicateType = "https://slsa.dev/provenance/v1" // the predicate
	PayloadType   = "application/vnd.in-toto+json"   // of the envelope
	BuildType     = "https://github.com/solera-ml/solera/provenance/stage/v1"
	BuilderID     = "https://github.com/solera-ml/solera/provenance/builder/v1"
)

// MaxSubjects is the most files that a statement names one by one. The digest
// of the version, the first subject, covers all of them.
const MaxSubjects = 1000

// A Statement says where one version comes from. Its JSON is the payload of an
// envelope.
type Statement struct {
	Type          string     `json:"_type"`
	Subject       []Resource `json:"subject"` // the version, then its files by path
	PredicateType string     `json:"predicateType"`
	Predicate     Predicate  `json:"predicate"`
}

// A Resource is something with a digest: in-toto's ResourceDescriptor.
type Resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest"` // algorithm → hexadecimal digits
	Annotations solera.Fields     `json:"annotations,omitempty"`
}

// A Predicate is SLSA's Provenance.
type Predicate struct {
	BuildDefinition BuildDefinition `json:"buildDefinition"`
	RunDetails      RunDetails      `json:"runDetails"`
}

// A BuildDefinition is what was asked for, and from what it was made.
type BuildDefinition struct {
	BuildType            string        `json:"buildType"`
	ExternalParameters   solera.Fields `json:"externalParameters"`           // stage, experiment, params
	InternalParameters   solera.Fields `json:"internalParameters,omitempty"` // recipe, code, reuseOf
	ResolvedDependencies []Resource    `json:"resolvedDependencies,omitempty"`
}

// RunDetails say what did it, and when.
type RunDetails struct {
	Builder  Builder  `json:"builder"`
	Metadata Metadata `json:"metadata"`
}

// A Builder is the program.
type Builder struct {
	ID      string            `json:"id"`
	Version map[string]string `json:"version,omitempty"` // "solera", "go"
}

// Metadata name the run.
type Metadata struct {
	InvocationID string         `json:"invocationId"`
	StartedOn    *solera.Micros `json:"startedOn,omitempty"`
}

// New returns what the records say of a version: v with its files, the run that
// made it and the versions that this run used, in any order. Equal records give
// equal statements. Credentials in URLs are left out.
func New(run solera.Run, v solera.Version, used []solera.Version) Statement {
	d := BuildDefinition{
		BuildType:          BuildType,
		ExternalParameters: solera.Fields{"stage": run.Stage, "params": redact(map[string]any(run.Params))},
	}
	if run.Experiment != "" {
		d.ExternalParameters["experiment"] = run.Experiment
	}
	internal := solera.Fields{}
	for key, text := range map[string]string{"recipe": run.Recipe.String(), "code": run.Code.String(), "reuseOf": string(run.ReuseOf)} {
		if text != "" {
			internal[key] = text
		}
	}
	if len(internal) > 0 {
		d.InternalParameters = internal
	}
	sorted := slices.SortedFunc(slices.Values(used), func(a, b solera.Version) int { return strings.Compare(a.ID().String(), b.ID().String()) })
	for _, u := range slices.CompactFunc(sorted, func(a, b solera.Version) bool { return a.ID() == b.ID() }) {
		d.ResolvedDependencies = append(d.ResolvedDependencies, Resource{URI: "solera:" + u.ID().String(), Digest: sha256Of(u.Digest)})
	}
	if source, ok := sourceTree(run.Environment); ok {
		d.ResolvedDependencies = append(d.ResolvedDependencies, source)
	}
	details := RunDetails{Builder: Builder{ID: BuilderID}, Metadata: Metadata{InvocationID: string(run.ID)}}
	for key, text := range map[string]string{"solera": run.Solera, "go": run.Environment.Text("go")} {
		if text == "" {
			continue
		}
		if details.Builder.Version == nil {
			details.Builder.Version = map[string]string{}
		}
		details.Builder.Version[key] = text
	}
	if run.Started != 0 {
		details.Metadata.StartedOn = &run.Started
	}
	return Statement{
		Type: StatementType, Subject: subjects(v), PredicateType: PredicateType,
		Predicate: Predicate{BuildDefinition: d, RunDetails: details},
	}
}

func sha256Of(d solera.Digest) map[string]string { return map[string]string{"sha256": d.Hex()} }

func subjects(v solera.Version) []Resource {
	list := []Resource{{
		Name: v.ID().String(), Digest: sha256Of(v.Digest),
		Annotations: solera.Fields{"type": v.Type, "files": len(v.Files)},
	}}
	files := slices.SortedFunc(slices.Values(v.Files), func(a, b solera.Entry) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files[:min(len(files), MaxSubjects)] {
		digest := sha256Of(f.Digest)
		if f.ETag != "" {
			// Of what its home says of it, and not of its bytes.
			digest = map[string]string{"etagSha256": f.Digest.Hex()}
		}
		list = append(list, Resource{Name: f.Path, URI: solera.RedactURL(f.Ref), Digest: digest})
	}
	return list
}

// sourceTree is the commit that the run's source tree was at, if it was in a
// repository. A tree with changes that no commit has is annotated as dirty.
func sourceTree(environment solera.Fields) (Resource, bool) {
	git, ok := asFields(environment["git"])
	if !ok {
		return Resource{}, false
	}
	commit := git.Text("commit")
	algorithm := "gitCommit"
	if len(commit) == 64 {
		algorithm = "gitCommitSha256" // a repository of SHA-256; in-toto's gitCommit is a SHA-1
	}
	if strings.Trim(commit, "0123456789abcdef") != "" || (len(commit) != 40 && len(commit) != 64) {
		return Resource{}, false
	}
	dirty, _ := git["dirty"].(bool)
	return Resource{
		Name: "source", URI: gitURI(git.Text("remote")), Digest: map[string]string{algorithm: commit},
		Annotations: solera.Fields{"dirty": dirty},
	}, true
}

// gitURI returns a remote as SPDX writes it, without credentials; "" for a
// folder, whose path is nobody's business.
func gitURI(remote string) string {
	if !strings.Contains(remote, "://") {
		// git@host:path
		host, path, ok := strings.Cut(remote, ":")
		if !ok || strings.ContainsAny(host, `/\`) || len(host) < 2 {
			return ""
		}
		remote = "ssh://" + host + "/" + strings.TrimPrefix(path, "/")
	}
	u, err := url.Parse(remote)
	if err != nil || u.Host == "" {
		return ""
	}
	u.User = nil
	u.RawQuery, u.Fragment = "", ""
	return "git+" + strings.TrimPrefix(u.String(), "git+")
}

func asFields(v any) (solera.Fields, bool) {
	switch v := v.(type) {
	case solera.Fields:
		return v, true
	case map[string]any:
		return v, true
	}
	return nil, false
}

// Payload returns the canonical JSON of the statement: equal statements give
// equal bytes. A statement that in-toto or SLSA would refuse is ErrInvalid.
func (s Statement) Payload() ([]byte, error) {
	raw, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("statement: %w: %v", solera.ErrInvalid, err)
	}
	payload, err := canonical(raw)
	if err != nil {
		return nil, fmt.Errorf("statement: %w", err)
	}
	return payload, conforms(payload)
}

func canonical(raw []byte) ([]byte, error) {
	var f solera.Fields
	if err := f.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return f.MarshalJSON()
}

// conforms holds a payload to the published schemas, by the types and checks
// that in-toto maintains. Ours have numbers with all digits: their Struct
// would round a 64-bit seed to a float64, so we write the JSON ourselves.
func conforms(payload []byte) error {
	// New fields may come into the schemas; their meaning is for who knows them.
	read := protojson.UnmarshalOptions{DiscardUnknown: true}
	bad := func(err error) error { return fmt.Errorf("statement: %w: %v", solera.ErrInvalid, err) }
	var s intoto.Statement
	if err := read.Unmarshal(payload, &s); err != nil {
		return bad(err)
	}
	if err := s.Validate(); err != nil {
		return bad(err)
	}
	if s.Type != StatementType {
		return bad(fmt.Errorf("it is of type %q, want %s", s.Type, StatementType))
	}
	if s.PredicateType != PredicateType {
		return bad(fmt.Errorf("its predicate is %q, want %s", s.PredicateType, PredicateType))
	}
	predicate, err := s.Predicate.MarshalJSON()
	if err != nil {
		return bad(err)
	}
	var p slsa.Provenance
	if err := read.Unmarshal(predicate, &p); err != nil {
		return bad(err)
	}
	if err := p.Validate(); err != nil {
		return bad(err)
	}
	return nil
}

// ParseStatement reads a payload. What does not conform to the schemas, or
// describes another kind of build, is ErrInvalid.
func ParseStatement(payload []byte) (Statement, error) {
	if err := conforms(payload); err != nil {
		return Statement{}, err
	}
	var s Statement
	if err := json.NewDecoder(bytes.NewReader(payload)).Decode(&s); err != nil {
		return Statement{}, fmt.Errorf("statement: %w: %v", solera.ErrInvalid, err)
	}
	if got := s.Predicate.BuildDefinition.BuildType; got != BuildType {
		return Statement{}, fmt.Errorf("statement: %w: its build type is %q, want %s", solera.ErrInvalid, got, BuildType)
	}
	return s, nil
}

// A Difference is something that a statement says and the records do not, or
// the other way round.
type Difference struct {
	Path   string // file of the version, "" if it is about something else
	Detail string // a sentence
}

// Compare returns how what was signed and what the records say now differ;
// nothing if they agree.
func Compare(signed, recorded Statement) []Difference {
	var list []Difference
	say := func(path, format string, args ...any) {
		list = append(list, Difference{path, fmt.Sprintf(format, args...)})
	}
	if len(signed.Subject) == 0 || len(recorded.Subject) == 0 {
		say("", "a statement names no version")
		return list
	}
	if a, b := signed.Subject[0], recorded.Subject[0]; a.Name != b.Name {
		// Nothing else can agree, and saying so would only hide this.
		say("", "the statement is about %s", a.Name)
		return list
	} else if d := differ(a, b); d != "" {
		say("", "the content of the version is not what was signed (%s)", d)
	}
	files := func(s Statement) map[string]Resource {
		m := make(map[string]Resource, len(s.Subject))
		for _, r := range s.Subject[1:] {
			m[r.Name] = r
		}
		return m
	}
	were, are := files(signed), files(recorded)
	for _, r := range recorded.Subject[1:] {
		was, ok := were[r.Name]
		if !ok {
			say(r.Name, "this file was not signed")
		} else if d := differ(was, r); d != "" {
			say(r.Name, "the record of this file is not what was signed (%s)", d)
		}
	}
	for _, r := range signed.Subject[1:] {
		if _, ok := are[r.Name]; !ok {
			say(r.Name, "this file was signed and is not in the record")
		}
	}
	a, b := signed.Predicate, recorded.Predicate
	// Once more, as what counts as a credential may have grown since it was signed.
	if d := differ(redact(map[string]any(a.BuildDefinition.ExternalParameters)), b.BuildDefinition.ExternalParameters); d != "" {
		say("", "the record of run %s is not what was signed (%s)", b.RunDetails.Metadata.InvocationID, d)
	}
	if d := differ(a.BuildDefinition.InternalParameters, b.BuildDefinition.InternalParameters); d != "" {
		say("", "the record of run %s is not what was signed (%s)", b.RunDetails.Metadata.InvocationID, d)
	}
	if d := differ(a.RunDetails, b.RunDetails); d != "" {
		say("", "the record of run %s is not what was signed (%s)", b.RunDetails.Metadata.InvocationID, d)
	}
	return append(list, compareMaterials(a.BuildDefinition.ResolvedDependencies, b.BuildDefinition.ResolvedDependencies)...)
}

func compareMaterials(signed, recorded []Resource) (list []Difference) {
	name := func(r Resource) string {
		if id, ok := strings.CutPrefix(r.URI, "solera:"); ok {
			return id
		}
		return "the source tree"
	}
	index := func(rs []Resource) map[string]Resource {
		m := make(map[string]Resource, len(rs))
		for _, r := range rs {
			m[name(r)] = r
		}
		return m
	}
	were, are := index(signed), index(recorded)
	for _, r := range recorded {
		was, ok := were[name(r)]
		if !ok {
			list = append(list, Difference{"", fmt.Sprintf("the lineage says that it was made from %s; what was signed does not", name(r))})
		} else if d := differ(was, r); d != "" {
			list = append(list, Difference{"", fmt.Sprintf("%s, from which it was made, is not what was signed (%s)", name(r), d)})
		}
	}
	for _, r := range signed {
		if _, ok := are[name(r)]; !ok {
			list = append(list, Difference{"", fmt.Sprintf("it was made from %s, says what was signed; the lineage does not", name(r))})
		}
	}
	return list
}

// differ returns where the JSON of two values first differs, as
// "params.seed: signed 42, recorded 43", or "" if it does not.
func differ(signed, recorded any) string {
	a, aerr := plain(signed)
	b, berr := plain(recorded)
	if err := errors.Join(aerr, berr); err != nil {
		return err.Error()
	}
	path, was, is, differs := firstDifference(a, b)
	if !differs {
		return ""
	}
	if path == "" {
		return fmt.Sprintf("signed %s, recorded %s", was, is)
	}
	return fmt.Sprintf("%s: signed %s, recorded %s", path, was, is)
}

// plain returns v as maps, lists, strings, json.Numbers: what JSON makes of it.
func plain(v any) (any, error) {
	raw, err := solera.Fields{"": v}.MarshalJSON()
	if err != nil {
		return nil, err
	}
	var f solera.Fields
	if err := f.UnmarshalJSON(raw); err != nil {
		return nil, err
	}
	return f[""], nil
}

func firstDifference(a, b any) (path, was, is string, differs bool) {
	x, xIs := asFields(a)
	y, yIs := asFields(b)
	if !xIs || !yIs {
		was, is = text(a), text(b)
		return "", was, is, was != is
	}
	keys := make([]string, 0, len(x)+len(y))
	for k := range x {
		keys = append(keys, k)
	}
	for k := range y {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range slices.Compact(keys) {
		if _, there := x[k]; !there {
			return k, "nothing", text(y[k]), true
		}
		if _, there := y[k]; !there {
			return k, text(x[k]), "nothing", true
		}
		if path, was, is, differs := firstDifference(x[k], y[k]); differs {
			return strings.TrimSuffix(k+"."+path, "."), was, is, true
		}
	}
	return "", "", "", false
}

// text returns canonical JSON.
func text(v any) string {
	b, err := solera.Fields{"": v}.MarshalJSON()
	if err != nil {
		return err.Error()
	}
	return strings.TrimSuffix(strings.TrimPrefix(string(b), `{"":`), "}")
}
