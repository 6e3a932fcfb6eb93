// Package wandb knows the wire of Weights & Biases: the forms that both ends
// of it share, and the client that sends runs and versions to such a server
// and takes versions from it. It decides nothing about runs or versions: the
// rules are in package tracking.
package wandb

import (
	"bytes"
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
)

// Files of a run's stream. Offsets count lines.
const (
	HistoryFile = "wandb-history.jsonl" // a line is one row: the values of one step
	EventsFile  = "wandb-events.jsonl"  // a line is the load of the machine at one moment
	SummaryFile = "wandb-summary.json"  // one line, the whole summary, sent again and again
	OutputFile  = "output.log"          // the console; its last lines may be sent again
)

// Keys of a row that do not come from the user.
const (
	StepKey      = "_step"      // counts rows up; a run has each value once
	TimeKey      = "_timestamp" // seconds since 1970, with a fraction
	RuntimeKey   = "_runtime"   // seconds since the run began
	ClientKey    = "_wandb"     // what the client says of itself, in a config and in a summary
	TypeKey      = "_type"      // of a value that is more than a number, such as "histogram"
	SystemPrefix = "system."    // of the keys of an event
)

// StreamPath is where the stream of a run is posted to, below the address of
// the server. The names are percent-encoded by the caller.
func StreamPath(workspace, project, run string) string {
	return "/files/" + workspace + "/" + project + "/" + run + "/file_stream"
}

// A Stream is what a run's process reports at once: the body of a post to
// file_stream. An empty one says that the process lives.
type Stream struct {
	Files      map[string]StreamFile `json:"files,omitempty"`
	Uploaded   []string              `json:"uploaded,omitempty"` // run files whose bytes have arrived
	Preempting bool                  `json:"preempting,omitempty"`
	Complete   bool                  `json:"complete,omitempty"` // nothing follows
	ExitCode   *int                  `json:"exitcode,omitempty"` // of the process, beside Complete
}

// A StreamFile is one block of lines: line Offset+i of the file is Content[i],
// however often it is sent.
type StreamFile struct {
	Offset  int64    `json:"offset"`
	Content []string `json:"content"`
}

// maxOffset keeps the sum of an offset and a number of lines within an int64,
// and a line number within what JavaScript can count.
const maxOffset = 1 << 53

// ParseStream reads the body of a post. Keys that it does not know are passed
// over: they are of a newer client. Wrong types, negative offsets and cut off
// bodies are ErrInvalid.
func ParseStream(body []byte) (Stream, error) {
	var s Stream
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '{' {
		return Stream{}, fmt.Errorf("file stream: %w: want a JSON object", solera.ErrInvalid)
	}
	if err := json.Unmarshal(body, &s); err != nil {
		return Stream{}, fmt.Errorf("file stream: %w: %v", solera.ErrInvalid, err)
	}
	for name, f := range s.Files {
		if name == "" || len(name) > 1024 {
			return Stream{}, fmt.Errorf("file stream: %w: a file's name has 1 to 1024 bytes, not %d", solera.ErrInvalid, len(name))
		}
		if f.Offset < 0 || f.Offset > maxOffset-int64(len(f.Content)) {
			return Stream{}, fmt.Errorf("file stream: %w: %s: offset %d", solera.ErrInvalid, name, f.Offset)
		}
	}
	return s, nil
}

// WrapConfig returns the tree in which a config travels: each param k as
// {k: {"value": v}}, and what the client says of itself as "_wandb", unless
// that is nil. A param of that name would be taken for the client's and is
// left out.
func WrapConfig(params, client map[string]any) map[string]any {
	tree := make(map[string]any, len(params)+1)
	for k, v := range params {
		tree[k] = map[string]any{"value": v}
	}
	delete(tree, ClientKey)
	if client != nil {
		tree[ClientKey] = map[string]any{"value": client}
	}
	return tree
}

// UnwrapConfig takes a config's tree apart. A branch that is not wrapped is
// taken for the value itself. client is nil if the client said nothing.
func UnwrapConfig(tree map[string]any) (params, client map[string]any) {
	params = make(map[string]any, len(tree))
	for k, v := range tree {
		if branch, ok := v.(map[string]any); ok {
			if inner, ok := branch["value"]; ok {
				v = inner
			}
		}
		params[k] = v
	}
	client, _ = params[ClientKey].(map[string]any)
	delete(params, ClientKey)
	return params, client
}

// A Manifest lists the files of an artifact's version, sorted by path.
type Manifest struct {
	Layout  string // "V2", or "V1" of old servers
	Region  string // where the bytes are kept; usually ""
	Entries []ManifestEntry
}

// A ManifestEntry is one file.
type ManifestEntry struct {
	Path string // passes solera.CheckPath
	// Digest is the MD5 of the bytes in base64. Of a reference it is whatever
	// the home of the bytes says of them: an ETag, or the URL itself.
	Digest    string
	Size      int64
	Ref       string          // where the bytes are, if not on the server; "" = there
	Birth     string          // identifier of the version with which the bytes came
	Extra     json.RawMessage // a JSON object that the client keeps with a reference; nil = none
	SkipCache bool            // clients do not keep a copy
}

type manifestJSON struct {
	Version int                          `json:"version"`
	Policy  string                       `json:"storagePolicy"`
	Config  policyJSON                   `json:"storagePolicyConfig"`
	Content map[string]manifestEntryJSON `json:"contents"`
}

type policyJSON struct {
	Layout string `json:"storageLayout,omitempty"`
	Region string `json:"storageRegion,omitempty"`
}

type manifestEntryJSON struct {
	Digest    string          `json:"digest"`
	Ref       string          `json:"ref,omitempty"`
	Birth     string          `json:"birthArtifactID,omitempty"`
	Size      *int64          `json:"size,omitempty"`
	Extra     json.RawMessage `json:"extra,omitempty"`
	SkipCache bool            `json:"skip_cache,omitempty"`
}

const storagePolicy = "wandb-storage-policy-v1"

// ParseManifest reads a manifest. One of another version, with a path that
// could leave a folder, with a digest that is none, with more files than a
// version may have, is ErrInvalid.
func ParseManifest(b []byte) (Manifest, error) {
	bad := func(format string, args ...any) (Manifest, error) {
		return Manifest{}, fmt.Errorf("manifest: %w: "+format, append([]any{solera.ErrInvalid}, args...)...)
	}
	var raw manifestJSON
	if err := json.Unmarshal(b, &raw); err != nil {
		return bad("%v", err)
	}
	if raw.Version != 1 {
		return bad("version %d, want 1", raw.Version)
	}
	if raw.Policy != storagePolicy {
		return bad("storage policy %q, want %q", clipped(raw.Policy), storagePolicy)
	}
	switch raw.Config.Layout {
	case "", "V1", "V2":
	default:
		return bad("storage layout %q, want V2 or V1", clipped(raw.Config.Layout))
	}
	if len(raw.Content) > solera.MaxFiles {
		return bad("%d files, at most %d are allowed", len(raw.Content), solera.MaxFiles)
	}
	m := Manifest{Layout: cmp.Or(raw.Config.Layout, "V1"), Region: raw.Config.Region, Entries: make([]ManifestEntry, 0, len(raw.Content))}
	for _, path := range slices.Sorted(maps.Keys(raw.Content)) {
		e := raw.Content[path]
		if err := solera.CheckPath(path); err != nil {
			return Manifest{}, fmt.Errorf("manifest: %w", err)
		}
		entry := ManifestEntry{Path: path, Digest: e.Digest, Ref: e.Ref, Birth: e.Birth, SkipCache: e.SkipCache}
		if e.Size != nil {
			entry.Size = *e.Size
		}
		if entry.Size < 0 {
			return bad("%q has a size of %d bytes", path, entry.Size)
		}
		if extra := bytes.TrimSpace(e.Extra); len(extra) > 0 && string(extra) != "null" {
			if extra[0] != '{' {
				return bad("extra of %q is no object", path)
			}
			if string(extra) != "{}" {
				entry.Extra = extra
			}
		}
		switch {
		case strings.ContainsRune(e.Digest, '\n'):
			return bad("the digest of %q has a line break", path)
		case e.Ref != "":
			if e.Digest == "" {
				return bad("%q is a reference without a digest", path)
			}
		case e.Size == nil:
			return bad("%q has no size", path)
		default:
			if _, err := MD5Hex(e.Digest); err != nil {
				return Manifest{}, fmt.Errorf("manifest: %q: %w", path, err)
			}
		}
		m.Entries = append(m.Entries, entry)
	}
	return m, nil
}

// Encode returns the manifest as it travels. Equal manifests give equal bytes.
func (m Manifest) Encode() ([]byte, error) {
	raw := manifestJSON{
		Version: 1, Policy: storagePolicy,
		Config:  policyJSON{cmp.Or(m.Layout, "V2"), m.Region},
		Content: make(map[string]manifestEntryJSON, len(m.Entries)),
	}
	for _, e := range m.Entries {
		if _, twice := raw.Content[e.Path]; twice {
			return nil, fmt.Errorf("manifest: %w: %q appears twice", solera.ErrInvalid, e.Path)
		}
		raw.Content[e.Path] = manifestEntryJSON{e.Digest, e.Ref, e.Birth, &e.Size, e.Extra, e.SkipCache}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(raw); err != nil {
		return nil, fmt.Errorf("manifest: %w: %v", solera.ErrInvalid, err)
	}
	return bytes.TrimRight(b.Bytes(), "\n"), nil
}

// Digest returns the digest of the version that has this manifest, 32
// hexadecimal digits: the MD5 over a line of its own and a line
// "path:digest" for each file, by path.
func (m Manifest) Digest() string {
	h := md5.New()
	h.Write([]byte("wandb-artifact-manifest-v1\n"))
	for _, e := range slices.SortedFunc(slices.Values(m.Entries), func(a, b ManifestEntry) int { return strings.Compare(a.Path, b.Path) }) {
		h.Write([]byte(e.Path + ":" + e.Digest + "\n"))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Size returns the bytes of all files.
func (m Manifest) Size() int64 {
	var n int64
	for _, e := range m.Entries {
		if n += e.Size; n < 0 {
			return math.MaxInt64
		}
	}
	return n
}

// MD5Hex turns the MD5 of a manifest's entry, 16 bytes in base64, into 32
// hexadecimal digits. Anything else is ErrInvalid.
func MD5Hex(b64 string) (string, error) {
	sum, err := base64.StdEncoding.Strict().DecodeString(b64)
	if err != nil || len(sum) != md5.Size || len(b64) != 24 {
		return "", fmt.Errorf("digest %q: %w: want the 16 bytes of an MD5 in base64", clipped(b64), solera.ErrInvalid)
	}
	return hex.EncodeToString(sum), nil
}

// MD5Base64 is the way back.
func MD5Base64(digits string) (string, error) {
	sum, err := hex.DecodeString(digits)
	if err != nil || len(sum) != md5.Size {
		return "", fmt.Errorf("digest %q: %w: want the 32 hexadecimal digits of an MD5", clipped(digits), solera.ErrInvalid)
	}
	return base64.StdEncoding.EncodeToString(sum), nil
}

// clipped shortens what nobody would read in a message.
func clipped(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}
