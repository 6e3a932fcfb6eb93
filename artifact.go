package solera

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Artifact is a named line of versions of one type: a data set, a model.
type Artifact struct {
	Project string `json:"project"`
	Name    string `json:"name"`
	Type    string `json:"type"`    // of the first version and of every later one
	Newest  int    `json:"newest"`  // number of the newest version that is not deleted; -1 if all are
	Created Micros `json:"created"` // of the first version
	Updated Micros `json:"updated"` // of the newest version
}

// A VersionID is the address of one version. It is comparable.
type VersionID struct {
	Project  string
	Artifact string
	Number   int
}

// Ref returns the reference that names exactly this version.
func (id VersionID) Ref() Ref {
	return Ref{Project: id.Project, Artifact: id.Artifact, Number: id.Number}
}

// Name returns "wine-raw:v0", which is unique within a project.
func (id VersionID) Name() string { return id.Artifact + ":v" + strconv.Itoa(id.Number) }

// String returns "project/wine-raw:v0".
func (id VersionID) String() string { return id.Ref().String() }

// A Version is one immutable snapshot of an artifact. Versions count from 0
// without a gap. Content, number and run never change after the commit.
type Version struct {
	Project  string   `json:"project"`
	Artifact string   `json:"name"`
	Number   int      `json:"number"`
	Type     string   `json:"type"`
	Digest   Digest   `json:"digest"` // see ContentDigest
	Size     int64    `json:"size"`   // bytes of all files
	Metadata Fields   `json:"metadata"`
	Files    []Entry  `json:"files"`   // sorted by path; nil where a list of versions was asked without files
	Aliases  []string `json:"aliases"` // sorted; Latest among them for the newest version
	Run      RunID    `json:"run"`     // that made it
	Created  Micros   `json:"created"`
	// What follows is about the version and not part of its content. It may
	// change, and every change is in the audit log.
	Tags        []string `json:"tags"` // sorted, without repeats
	Description string   `json:"description"`
	Expires     Micros   `json:"expires"`           // gc may delete it from then on; 0 = never
	Deleted     Micros   `json:"deleted,omitempty"` // its bytes are given up; the record stays, for the lineage. 0 = not
}

// An Entry is one file of a version.
type Entry struct {
	Path   string `json:"path"` // see CheckPath
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"` // bytes
	// Ref is where the bytes of an external file are: a file://, s3:// or
	// https:// URL without credentials; with an ETag, a URL of any scheme. They are
	// not in the blob store. "" = a blob.
	Ref string `json:"ref,omitempty"`
	// MD5 is that of the bytes in 32 hexadecimal digits, "" = not known. Other
	// programs name contents by it. It is no part of ContentDigest.
	MD5 string `json:"md5,omitempty"`
	// ETag is what the home of an external file says its content is, where nobody
	// has read the bytes. Digest is the SHA-256 of this text then, and says nothing
	// of the bytes, so they cannot be checked. "" = Digest is of the bytes.
	ETag string `json:"etag,omitempty"`
	// Extra is a JSON object of at most 64 KiB that a client keeps with a file, ""
	// if none. It is no part of ContentDigest.
	Extra string `json:"extra,omitempty"`
}

// ID returns the version's address.
func (v Version) ID() VersionID { return VersionID{v.Project, v.Artifact, v.Number} }

// Name returns "wine-raw:v0".
func (v Version) Name() string { return v.ID().Name() }

// File returns the entry of path, and whether there is one.
func (v Version) File(path string) (Entry, bool) {
	i := slices.IndexFunc(v.Files, func(e Entry) bool { return e.Path == path })
	if i < 0 {
		return Entry{}, false
	}
	return v.Files[i], true
}

// VersionQuery chooses versions; zero fields do not restrict. Versions come by
// artifact, the newest first.
type VersionQuery struct {
	Project  string
	Artifact string
	Digest   Digest
	Run      RunID
	Tag      string
	Files    bool // also fill Version.Files
	Deleted  bool // deleted versions too
	Limit    int  // 0 = all
}

// MaxFiles is the most files that a version may have. More belong into an
// archive or a table: a manifest is held in memory.
const MaxFiles = 1_000_000

// CheckFiles reports ErrInvalid unless files can be the manifest of a version:
// at most MaxFiles, every path passes CheckPath, none appears twice, none is a
// folder of another, no size is negative, no digest missing, every Ref a
// file://, s3:// or https:// URL without credentials and control characters,
// of at most 2,048 bytes; and MD5, ETag and Extra are as Entry says.
func CheckFiles(files []Entry) error {
	if len(files) > MaxFiles {
		return fmt.Errorf("%d files: %w: a version has at most %d; pack them into archives or a table", len(files), ErrInvalid, MaxFiles)
	}
	paths := make(map[string]bool, len(files))
	for _, e := range files {
		if err := CheckPath(e.Path); err != nil {
			return err
		}
		if e.Size < 0 || e.Digest.IsZero() {
			return fmt.Errorf("path %s: %w: a file needs a digest and a size", clip(e.Path), ErrInvalid)
		}
		if paths[e.Path] {
			return fmt.Errorf("path %s: %w: it appears twice", clip(e.Path), ErrInvalid)
		}
		paths[e.Path] = true
		if e.Ref != "" {
			if err := checkExternal(e.Ref, e.ETag != ""); err != nil {
				return fmt.Errorf("path %s: reference %w", clip(e.Path), err)
			}
		}
		if err := e.checkMarks(); err != nil {
			return fmt.Errorf("path %s: %w", clip(e.Path), err)
		}
	}
	for _, e := range files {
		for i, c := range e.Path {
			if c == '/' && paths[e.Path[:i]] {
				return fmt.Errorf("path %s: %w: %s is a file, it cannot be a folder too", clip(e.Path), ErrInvalid, clip(e.Path[:i]))
			}
		}
	}
	return nil
}

// checkMarks looks at what clients say of a file.
func (e Entry) checkMarks() error {
	if e.MD5 != "" && (len(e.MD5) != 32 || strings.Trim(e.MD5, "0123456789abcdef") != "") {
		return fmt.Errorf("MD5 %s: %w: want 32 hexadecimal digits in lower case", clip(e.MD5), ErrInvalid)
	}
	if e.Ref == "" && e.ETag != "" {
		return fmt.Errorf("%w: an ETag is for a file that lies elsewhere, and it has no reference", ErrInvalid)
	}
	if e.ETag != "" {
		if len(e.ETag) > 2048 || !utf8.ValidString(e.ETag) || containsControl(e.ETag) {
			return fmt.Errorf("ETag: %w: want at most 2048 bytes of UTF-8 without control characters", ErrInvalid)
		}
		if want := DigestOf([]byte(e.ETag)); e.Digest != want {
			return fmt.Errorf("ETag %s: %w: the digest is %v, and that of the ETag %v", clip(e.ETag), ErrInvalid, e.Digest, want)
		}
	}
	if e.Extra != "" {
		if len(e.Extra) > 64<<10 {
			return fmt.Errorf("extra: %w: it has %d bytes, at most 64 KiB are allowed", ErrInvalid, len(e.Extra))
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal([]byte(e.Extra), &object); err != nil || object == nil || !utf8.ValidString(e.Extra) {
			return fmt.Errorf("extra: %w: it is no JSON object", ErrInvalid)
		}
	}
	return nil
}

// checkExternal reports ErrInvalid unless s says where an external file is; any
// says that the scheme does not matter. Messages do not repeat what may be a
// password.
func checkExternal(s string, any bool) error {
	if len(s) > 2048 {
		return fmt.Errorf("of %d bytes: %w: at most 2048 are allowed", len(s), ErrInvalid)
	}
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return fmt.Errorf("%w: it is not UTF-8 or has control characters", ErrInvalid)
	}
	if any {
		return checkAnyURL(s)
	}
	u, err := url.Parse(s)
	if err != nil {
		return fmt.Errorf("%w: it is no URL; write file:///folder/file, s3://bucket/key or https://host/path", ErrInvalid)
	}
	if u.User != nil {
		return fmt.Errorf("to %s: %w: credentials are not recorded; leave them out", clip(u.Redacted()), ErrInvalid)
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && strings.HasPrefix(u.Path, "/"):
	case (u.Scheme == "s3" || u.Scheme == "https") && u.Host != "" && u.Opaque == "":
	default:
		return fmt.Errorf("%s: %w: want file:///folder/file, s3://bucket/key or https://host/path", clip(s), ErrInvalid)
	}
	return nil
}

// checkAnyURL is checkExternal for a reference that only its client follows: it
// is SCHEME://REST, where the rest need not be escaped as a URL's. A scheme that
// would run when somebody clicks on it is refused.
func checkAnyURL(s string) error {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok || scheme == "" || strings.Trim(strings.ToLower(scheme), "abcdefghijklmnopqrstuvwxyz0123456789+-.") != "" || rest == "" {
		return fmt.Errorf("%s: %w: want SCHEME://PLACE, such as gs://bucket/key", clip(s), ErrInvalid)
	}
	if slices.Contains([]string{"javascript", "vbscript", "data", "blob"}, strings.ToLower(scheme)) {
		return fmt.Errorf("%s: %w: nothing is stored under such an address", clip(s), ErrInvalid)
	}
	if end := strings.IndexAny(rest+"/", "/?#"); strings.Contains(rest[:end], "@") {
		return fmt.Errorf("to %s://…: %w: credentials are not recorded; leave them out", clip(scheme), ErrInvalid)
	}
	return nil
}

// ContentDigest returns the digest of a version: SHA-256 over the canonical
// JSON {"files":[{"digest","path","size"}…],"metadata":{…},"type":…}, files
// sorted by path, no space between tokens; an external file has "ref" too. It depends on content alone: not on
// the artifact's name, the version's number, the run, the time or the host.
// Whatever may differ between two makings of the same thing (durations, paths,
// hosts) therefore belongs to the run and not into metadata.
func ContentDigest(typ string, metadata Fields, files []Entry) (Digest, error) {
	if err := CheckFiles(files); err != nil {
		return Digest{}, err
	}
	sorted := slices.SortedFunc(slices.Values(files), func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	manifest := make([]any, len(sorted))
	for i, e := range sorted {
		entry := Fields{"path": e.Path, "digest": e.Digest.String(), "size": e.Size}
		if e.Ref != "" {
			entry["ref"] = e.Ref
		}
		manifest[i] = entry
	}
	content, err := Fields{"type": typ, "metadata": metadata, "files": manifest}.MarshalJSON()
	if err != nil {
		return Digest{}, err
	}
	return DigestOf(content), nil
}

// An EdgeKind says how a run and a version are tied.
type EdgeKind string

const (
	Used EdgeKind = "used" // the run read the version
	Made EdgeKind = "made" // the run committed the version; each version has one such run
	// Same: the run committed content that the version, already the newest of
	// its artifact, had. The run proved the version reproducible; it did not
	// make it. Kept apart from Made so that a run which only copies its input
	// cannot appear as its own ancestor.
	Same EdgeKind = "same"
)

// An Edge ties a run to a version.
type Edge struct {
	Run     RunID
	Version VersionID
	Kind    EdgeKind
}

// EdgeQuery chooses edges; zero fields do not restrict. Edges come sorted by
// run, kind, project, artifact and number.
type EdgeQuery struct {
	Run     RunID
	Version VersionID // zero = any
	Kind    EdgeKind
}

// An AuditEntry is one change of the store: who did what to what, and when.
// Entries are numbered from 1 without a gap. Hash chains each to the one before
// it, so that none can be altered or removed unnoticed: see AuditHash.
type AuditEntry struct {
	N       int64  `json:"n"`
	Time    Micros `json:"time"` // by the clock of the database
	Actor   string `json:"actor"`
	Action  string `json:"action"`  // "run.create", "version.create", "alias.set", "blob.delete" …
	Subject string `json:"subject"` // run ID, version ("project/wine-raw:v0"), digest …
	Before  Fields `json:"before"`  // the fields that changed, as they were; empty for something new
	After   Fields `json:"after"`   // and as they are; empty for something deleted
	Hash    Digest `json:"hash"`
}

// AuditHash returns the Hash of e when the entry before it has the Hash
// previous (zero for the first entry). It is the SHA-256 over three things: the
// text of previous ("sha256:" and 64 hexadecimal digits, or nothing), a newline,
// and the canonical JSON of e without "hash":
//
//	{"action":…,"actor":…,"after":{…},"before":{…},"n":…,"subject":…,"time":…}
func AuditHash(previous Digest, e AuditEntry) (Digest, error) {
	entry, err := Fields{
		"n": e.N, "time": e.Time.String(), "actor": e.Actor, "action": e.Action, "subject": e.Subject,
		"before": e.Before, "after": e.After,
	}.MarshalJSON()
	if err != nil {
		return Digest{}, err
	}
	return DigestOf(append([]byte(previous.String()+"\n"), entry...)), nil
}

// AuditQuery chooses entries of the audit log, the oldest first; zero fields do
// not restrict.
type AuditQuery struct {
	After   int64 // only entries with a larger N
	Before  int64 // and a smaller one; 0 = no end
	Actor   string
	Action  string // "run." chooses every action that begins so
	Subject string
	From    Micros // ≤ Time
	To      Micros // ≥ Time
	Newest  bool   // the newest first
	Limit   int
}

// A SigningKey is a public key that has signed versions of this store.
type SigningKey struct {
	ID      string `json:"id"`     // SHA-256 of the public key, in hexadecimal
	Public  string `json:"public"` // PEM, PKIX
	Owner   string `json:"owner"`  // user@host that brought it
	Created Micros `json:"created"`
}

// A Deletion is the journal's line of a blob that is being deleted, or was.
type Deletion struct {
	Digest  Digest `json:"digest"`
	Size    int64  `json:"size"`
	Planned Micros `json:"planned"`
	Done    Micros `json:"done"` // 0 until the bytes are gone; Planned if they stay: see Withdrawn
}

// Withdrawn reports whether the plan was given up, because something needs the
// content again.
func (d Deletion) Withdrawn() bool { return d.Done != 0 && d.Done == d.Planned }

// A Problem is something wrong with what is stored.
type Problem struct {
	Ref     string `json:"ref"`     // version, run or table at fault
	Path    string `json:"path"`    // file of the version, "" if none
	Problem string `json:"problem"` // one word or two: "missing", "altered"
	Detail  string `json:"detail"`  // a sentence for people
}
