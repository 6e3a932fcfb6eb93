package wandb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

// ownKey is the key of a version's metadata under which its Solera digest
// travels, and the metadata as that digest has them: a server may write numbers
// otherwise, and people may edit.
const ownKey = "solera"

// sentVersion is what the document of a version says.
type sentVersion struct {
	Server    string   `json:"server"`
	Workspace string   `json:"workspace"`
	Version   string   `json:"version"` // "project/wine-raw:v0"
	ID        string   `json:"id"`      // of the server
	Number    int      `json:"number"`  // on the server
	Digest    string   `json:"digest"`  // of the manifest, in hexadecimal
	Aliases   []string `json:"aliases"` // that were sent; without latest, which follows by itself
}

func (m *Mirror) versionDocument(id solera.VersionID) string {
	// Hashed, since two names may be longer together than an identifier.
	return m.target() + "/version/" + solera.DigestOf([]byte(id.Project + "/" + id.Artifact)).Hex()[:32] + fmt.Sprintf(":v%d", id.Number)
}

// versionThere returns what was noted of a version; nil if it was not sent.
func (m *Mirror) versionThere(ctx context.Context, id solera.VersionID) (*sentVersion, error) {
	var there *sentVersion
	err := m.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		there = nil
		doc, err := tx.Document(documentKind, m.versionDocument(id))
		if errors.Is(err, solera.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		there = &sentVersion{}
		return fromFields(doc.Body, there)
	})
	return there, err
}

// Number returns the number that a version has on the server, and false while
// it is not there as far as is known here.
func (m *Mirror) Number(ctx context.Context, id solera.VersionID) (number int, there bool, err error) {
	sent, err := m.versionThere(ctx, id)
	if err != nil || sent == nil {
		return 0, false, err
	}
	return sent.Number, true, nil
}

func (m *Mirror) noteVersion(ctx context.Context, v solera.VersionID, a Artifact, aliases []string) (*sentVersion, error) {
	there := &sentVersion{m.Client.settings.URL, m.Workspace, v.String(), a.ID, a.Number, a.Digest, aliases}
	body, err := toFields(there)
	if err != nil {
		return nil, err
	}
	return there, m.Tracker.Store.Update(ctx, func(tx solera.Tx) error {
		_, err := tx.SetDocument(solera.Document{Kind: documentKind, ID: m.versionDocument(v), Body: body})
		return err
	})
}

// errGone says that a version cannot be sent because it was deleted here.
var errGone = errors.New("it was deleted here before it was sent")

// versions tells the server what the run made and used.
func (s *pass) versions(ctx context.Context) error {
	changed := false
	for _, e := range s.edges {
		word := "made "
		if e.Kind == solera.Used {
			word = "used "
		}
		name := word + e.Version.String()
		if slices.Contains(s.p.Versions, name) {
			if e.Kind == solera.Made {
				if err := s.aliases(ctx, e.Version); err != nil {
					return err
				}
			}
			continue
		}
		there, err := s.version(ctx, e.Version)
		if errors.Is(err, errGone) {
			s.sent.Left = append(s.sent.Left, e.Version.Name()+": "+errGone.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.Version.Name(), err)
		}
		if e.Kind == solera.Used {
			if err := s.Client.Use(ctx, s.Workspace, s.project(s.run.Project), string(s.run.ID), there.ID); err != nil {
				return err
			}
		}
		s.p.Versions = append(s.p.Versions, name)
		s.sent.Versions = append(s.sent.Versions, word+e.Version.Name())
		changed = true
	}
	if !changed {
		return nil
	}
	s.sent.Changed = true
	return s.save(ctx, s.p)
}

// version sees to it that the server has a version, and those of its artifact
// before it, so that numbers and latest agree.
func (m *Mirror) version(ctx context.Context, id solera.VersionID) (*sentVersion, error) {
	defer m.locks.lock("artifact " + id.Project + "/" + id.Artifact)()
	there, err := m.versionThere(ctx, id)
	if err != nil || there != nil {
		return there, err
	}
	var line []solera.Version
	err = m.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		line, err = tx.Versions(solera.VersionQuery{Project: id.Project, Artifact: id.Artifact, Files: true, Deleted: true})
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.Reverse(line) // the oldest first
	for _, v := range line {
		if v.Number > id.Number {
			break
		}
		if there, err = m.versionThere(ctx, v.ID()); err != nil {
			return nil, err
		}
		switch {
		case there != nil:
		case v.Deleted != 0:
			if v.Number == id.Number {
				return nil, errGone
			}
		default:
			if there, err = m.sendVersion(ctx, v); err != nil {
				return nil, err
			}
		}
	}
	if there == nil {
		return nil, fmt.Errorf("version %s: %w", id, solera.ErrNotFound)
	}
	return there, nil
}

// sendVersion sends one version.
func (m *Mirror) sendVersion(ctx context.Context, v solera.Version) (*sentVersion, error) {
	maker, err := m.Tracker.Run(ctx, v.Run)
	if err != nil {
		return nil, err
	}
	// A version belongs to a run, which the server may not know yet. One that it
	// knows is left alone: it may have ended.
	known, err := m.load(ctx, maker)
	if err != nil {
		return nil, err
	}
	if known.Record == "" {
		b := Bucket{Workspace: m.Workspace, Project: m.project(v.Project), Name: string(v.Run), DisplayName: &maker.Name, JobType: &maker.Stage}
		if _, err := m.announce(ctx, b); err != nil {
			return nil, err
		}
	}
	new, err := m.newArtifact(v)
	if err != nil {
		return nil, err
	}
	a, err := m.Client.Create(ctx, new)
	if err == nil && !sameDigest(a, v) {
		// The server looks at the bytes of the files alone. Equal ones under another
		// type, or with other metadata, are another version here, and become one
		// there.
		new.ClientID, new.Dedup = longID("again", new.ClientID), false
		a, err = m.Client.Create(ctx, new)
	}
	if err != nil {
		return nil, err
	}
	m.say(v.Run, fmt.Sprintf("%s is there as %s:v%d", v.Name(), v.Artifact, a.Number))
	return m.noteVersion(ctx, v.ID(), a, ownAliases(v))
}

// sameDigest reports whether what the server has is the version.
func sameDigest(a Artifact, v solera.Version) bool {
	own, _ := a.Metadata[ownKey].(map[string]any)
	return own["digest"] == v.Digest.String()
}

// ownAliases are the version's, without latest: that follows from the order of
// commits on both sides.
func ownAliases(v solera.Version) []string {
	return slices.DeleteFunc(slices.Clone(v.Aliases), func(a string) bool { return a == solera.Latest })
}

// newArtifact is a version in the words of the wire.
func (m *Mirror) newArtifact(v solera.Version) (NewArtifact, error) {
	canonical, err := v.Metadata.MarshalJSON()
	if err != nil {
		return NewArtifact{}, err
	}
	metadata := map[string]any{}
	maps.Copy(metadata, v.Metadata)
	metadata[ownKey] = map[string]any{"digest": v.Digest.String(), "metadata": string(canonical)}
	a := NewArtifact{
		Workspace: m.Workspace, Project: m.project(v.Project), Collection: v.Artifact, Type: v.Type, Run: string(v.Run),
		Description: v.Description, Metadata: metadata, Aliases: append(ownAliases(v), solera.Latest), Tags: v.Tags,
		Contents: map[string]Content{}, Dedup: true,
		ClientID: longID("version", m.target(), v.Project, v.Artifact, fmt.Sprint(v.Number), v.Digest.String(), v.Created.String()),
	}
	for _, e := range v.Files {
		entry := ManifestEntry{Path: e.Path, Size: e.Size, Ref: e.Ref}
		if e.Ref != "" {
			if entry.Digest = e.Digest.String(); e.ETag != "" {
				entry.Digest = e.ETag
			}
			entry.Extra = json.RawMessage(e.Extra)
		} else {
			a.Contents[e.Path] = m.content(e)
		}
		a.Files = append(a.Files, entry)
	}
	return a, nil
}

// Original returns the metadata of a version as Solera has them, when these are
// what a Mirror sends for them. What stands beside the original must say the
// same: who reads one must not miss what is in the other.
func Original(metadata map[string]any) (solera.Fields, bool) {
	own, _ := metadata[ownKey].(map[string]any)
	text, ok := own["metadata"].(string)
	if !ok {
		return nil, false
	}
	var original solera.Fields
	if err := original.UnmarshalJSON([]byte(text)); err != nil {
		return nil, false
	}
	beside, within := maps.Clone(metadata), maps.Clone(map[string]any(original))
	delete(beside, ownKey)
	delete(within, ownKey) // what was called like that is in the original alone
	a, aerr := solera.Fields(beside).MarshalJSON()
	b, berr := solera.Fields(within).MarshalJSON()
	if aerr != nil || berr != nil || !bytes.Equal(a, b) {
		return nil, false
	}
	return original, true
}

// content is a file of the store, checked while it is read.
func (m *Mirror) content(e solera.Entry) Content {
	f := Content{Name: e.Path, Size: e.Size, Open: func(ctx context.Context) (io.ReadCloser, error) { return m.Tracker.OpenEntry(ctx, e) }}
	f.MD5, _ = MD5Base64(e.MD5) // "" where it is not known
	return f
}

// aliases brings the aliases of a version that was sent up to date.
func (s *pass) aliases(ctx context.Context, id solera.VersionID) error {
	there, err := s.versionThere(ctx, id)
	if err != nil || there == nil {
		return err
	}
	var v solera.Version
	err = s.Tracker.Store.View(ctx, func(tx solera.Tx) (err error) {
		v, err = tx.Version(id)
		return err
	})
	if err != nil || v.Deleted != 0 {
		return err
	}
	want := ownAliases(v)
	if slices.Equal(want, there.Aliases) {
		return nil
	}
	s.sent.Changed = true
	for _, alias := range want {
		if !slices.Contains(there.Aliases, alias) {
			err = errors.Join(err, s.Client.SetAlias(ctx, s.Workspace, s.project(v.Project), v.Artifact, there.ID, alias, false))
		}
	}
	for _, alias := range there.Aliases {
		// One that moved to another version has moved there, too.
		if !slices.Contains(want, alias) && !s.elsewhere(ctx, v, alias) {
			err = errors.Join(err, s.Client.SetAlias(ctx, s.Workspace, s.project(v.Project), v.Artifact, there.ID, alias, true))
		}
	}
	if err != nil {
		return err
	}
	_, err = s.noteVersion(ctx, id, Artifact{ID: there.ID, Number: there.Number, Digest: there.Digest}, want)
	return err
}

// elsewhere reports whether an alias names another version of the artifact.
func (m *Mirror) elsewhere(ctx context.Context, v solera.Version, alias string) bool {
	err := m.Tracker.Store.View(ctx, func(tx solera.Tx) error {
		_, err := tx.Resolve(solera.Ref{Project: v.Project, Artifact: v.Artifact, Alias: alias})
		return err
	})
	return err == nil
}

func (m *Mirror) say(run solera.RunID, text string) {
	if m.Say != nil {
		m.Say(run, text)
	}
}

// FetchStage is the stage of a run that took a version from a server.
const FetchStage = "fetch"

// fetchedHere reports whether a run took a version from this very server: it
// is no run there.
func (m *Mirror) fetchedHere(run solera.Run) bool {
	return run.Stage == FetchStage && run.Params.Text("server") == m.Client.settings.URL && run.Params.Text("workspace") == m.Workspace &&
		run.Params.Text("project") == m.project(run.Project)
}

// Fetch brings the newest version that the server has of an artifact into the
// store, as the newest there. The bytes are checked against the manifest, the
// manifest against its digest, and what Solera recorded of the version, if it
// did, against all of it. A run of stage fetch tells where it came from. An
// artifact that the server does not have is ErrNotFound.
func (m *Mirror) Fetch(ctx context.Context, artifact string) (solera.Version, error) {
	v, err := m.fetch(ctx, artifact)
	if err != nil {
		return v, fmt.Errorf("fetch %s from %s: %w", artifact, m.Client.settings.Host(), err)
	}
	return v, nil
}

func (m *Mirror) fetch(ctx context.Context, artifact string) (solera.Version, error) {
	project := m.project(m.Tracker.Project)
	a, err := m.Client.Named(ctx, m.Workspace, project, artifact+":"+solera.Latest)
	if err != nil {
		return solera.Version{}, err
	}
	manifest, err := m.Client.Manifest(ctx, a)
	if err != nil {
		return solera.Version{}, err
	}
	draft, recorded, err := draftOf(artifact, a, manifest)
	if err != nil {
		return solera.Version{}, err
	}
	remote := fmt.Sprintf("%s:v%d", a.Collection, a.Number)
	run, err := m.Tracker.Start(ctx, tracking.RunSpec{
		Name: FetchStage + " " + remote, Stage: FetchStage,
		Params: solera.Fields{
			"server": m.Client.settings.URL, "workspace": m.Workspace, "project": project, "version": remote, "manifest_md5": a.Digest,
		},
	})
	if err != nil {
		return solera.Version{}, err
	}
	v, err := m.bring(ctx, run, a, manifest, draft, recorded)
	if ferr := run.Finish(ctx, err, nil); err == nil {
		err = ferr
	}
	if err != nil {
		return solera.Version{}, err
	}
	_, err = m.noteVersion(ctx, v.ID(), a, ownAliases(v))
	return v, err
}

// draftOf is the version without its files' bytes, and the digest that Solera
// recorded of it, zero if it came from elsewhere.
func draftOf(artifact string, a Artifact, manifest Manifest) (d tracking.Draft, recorded solera.Digest, err error) {
	d = tracking.Draft{Artifact: artifact, Type: a.Type, Files: map[string]tracking.Source{}}
	metadata := maps.Clone(a.Metadata)
	if own, ok := metadata[ownKey].(map[string]any); ok {
		if text, ok := own["digest"].(string); ok {
			if recorded, err = solera.ParseDigest(text); err != nil {
				return d, recorded, fmt.Errorf("metadata.%s: %w", ownKey, err)
			}
		}
		delete(metadata, ownKey)
		if text, ok := own["metadata"].(string); ok {
			metadata = nil
			if err := json.Unmarshal([]byte(text), (*solera.Fields)(&metadata)); err != nil {
				return d, recorded, fmt.Errorf("metadata.%s: %w", ownKey, err)
			}
		}
	}
	d.Metadata = metadata
	for _, e := range manifest.Entries {
		if e.Ref == "" {
			if alg := e.Algorithm(); alg != "MD5" {
				return d, recorded, fmt.Errorf("%s: %w: its digest is an %s; only MD5 can be checked here, so log the artifact with that", e.Path, solera.ErrInvalid, clipped(alg))
			}
			d.Files[e.Path] = tracking.Source{} // its place; the bytes come later
			continue
		}
		digest, err := solera.ParseDigest(e.Digest)
		if err != nil {
			return d, recorded, fmt.Errorf("%s: %w: it is a reference to %s, whose content cannot be checked; log the artifact with its bytes", e.Path, solera.ErrInvalid, clipped(solera.RedactURL(e.Ref)))
		}
		d.Files[e.Path] = tracking.Reference(e.Ref, digest, e.Size)
	}
	return d, recorded, d.Check()
}

// bring downloads the files of a version and commits it.
func (m *Mirror) bring(ctx context.Context, run *tracking.Run, a Artifact, manifest Manifest, draft tracking.Draft, recorded solera.Digest) (solera.Version, error) {
	var urls map[string]string
	var entries []solera.Entry
	began := time.Now()
	for _, e := range manifest.Entries {
		if e.Ref != "" {
			digest, _ := solera.ParseDigest(e.Digest) // draftOf did
			entries = append(entries, solera.Entry{Path: e.Path, Digest: digest, Size: e.Size, Ref: e.Ref})
			continue
		}
		find := func(fresh bool) (string, error) {
			if urls == nil || fresh {
				var err error
				if urls, err = m.Client.FileURLs(ctx, m.Workspace, m.project(m.Tracker.Project), a); err != nil {
					return "", err
				}
			}
			address := urls[e.Path]
			if address == "" {
				return "", fmt.Errorf("%s: %w: the server does not say where it is", e.Path, solera.ErrNotFound)
			}
			return address, nil
		}
		entry := solera.Entry{Path: e.Path}
		err := m.Client.Download(ctx, e, find, func(r io.Reader) (err error) {
			entry.Digest, entry.Size, err = run.Put(ctx, r)
			return err
		})
		if err != nil {
			return solera.Version{}, err
		}
		draft.Files[e.Path] = tracking.Blob(entry.Digest, entry.Size)
		entries = append(entries, entry)
	}
	if !recorded.IsZero() {
		digest, err := solera.ContentDigest(draft.Type, draft.Metadata, entries)
		if err != nil {
			return solera.Version{}, err
		}
		if digest != recorded {
			return solera.Version{}, fmt.Errorf("%s:v%d: %w: its content has the digest %s, and %s was recorded when it was made", a.Collection, a.Number, solera.ErrCorrupt, digest, recorded)
		}
	}
	v, _, err := run.Commit(ctx, draft)
	if err == nil {
		run.Print(tracking.Out, fmt.Sprintf("%s:v%d, %d files, %d bytes, in %s", a.Collection, a.Number, len(entries), v.Size, time.Since(began).Round(time.Millisecond)))
	}
	return v, err
}

// Algorithm names how the digest of an entry was made: "MD5" unless it says
// otherwise.
func (e ManifestEntry) Algorithm() string {
	var extra struct{ Alg string }
	if len(e.Extra) > 0 && json.Unmarshal(e.Extra, &extra) == nil && extra.Alg != "" {
		return strings.ToUpper(extra.Alg)
	}
	return "MD5"
}
