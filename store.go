package solera

import (
	"context"
	"io"
	"time"
)

// A Store remembers runs, artifacts, lineage and points. Implementations pass
// the same suite of tests. All methods may be called by many goroutines and by
// many processes at once.
//
// When Update, Append or Report returns nil, what it wrote is on disk and survives a
// kill of the process and a loss of power. When it returns an error, or the
// process dies inside it, nothing of it is visible to anybody.
type Store interface {
	// View calls fn with a consistent snapshot: later commits do not show. fn
	// must not write. View may call fn again when the database asks for a
	// retry, so fn starts its results afresh.
	View(ctx context.Context, fn func(Tx) error) error

	// Update calls fn and commits what it wrote if fn returns nil, all or
	// nothing. fn sees what earlier Updates committed, of every process, and
	// nobody sees fn's writes before the commit. Update may call fn again when
	// another writer was faster, so fn has no effects but through its Tx. fn
	// must not call the Store itself: it would wait for its own end. An error
	// of fn is returned so that errors.Is finds it.
	Update(ctx context.Context, fn func(Tx) error) error

	Points
	Console

	// Beat notes that the process of a run lives: Heartbeat becomes the time by
	// the clock of the database. It writes no entry of the audit log. A run that
	// does not exist is ErrNotFound.
	Beat(ctx context.Context, run RunID) error

	// Dump writes everything that the store holds, as of one moment, in a form
	// that every database reads. Others may write meanwhile. Before it writes,
	// it calls also with the transaction of that moment, so that a caller can
	// note what else belongs to it.
	Dump(ctx context.Context, w io.Writer, also ...func(Tx) error) error
	// Load fills an empty store with what Dump wrote, all or nothing. A store
	// that holds anything is ErrConflict, a dump that is altered or cut short
	// ErrCorrupt.
	Load(ctx context.Context, r io.Reader) error
	// Check reads everything and reports what is wrong with it. Its error is
	// about the reading, not about what was found.
	Check(ctx context.Context, report func(Problem)) error

	// Close waits for calls under way and releases the store.
	Close() error
}

// Console keeps what runs print.
type Console interface {
	// Print adds lines to a run's console. A line with N > 0 takes the place of
	// line N, or becomes it; N = 0 is the next after the last.
	Print(ctx context.Context, run RunID, lines []Line) error
	// Lines returns at most limit lines (0 = no limit) with N > after, in order.
	Lines(ctx context.Context, run RunID, after int64, limit int) ([]Line, error)
}

// A Tx is one transaction. It ends when the function that received it returns,
// and lives under the context that was given to View or Update. It is for one
// goroutine. Records that do not exist are ErrNotFound.
//
// Every method that changes something writes an entry of the audit log in the
// same transaction, in the name of ActorOf the context.
type Tx interface {
	// Now is the time by the clock of the database, which all processes share.
	Now() (Micros, error)

	// CreateRun stores a new run. An ID in use is ErrConflict.
	CreateRun(Run) error
	// UpdateRun replaces the record of a run. ID, Project, Created, Heartbeat and
	// Rewound stay as they were.
	UpdateRun(Run) error
	// Run returns a run, a deleted one too.
	Run(RunID) (Run, error)
	Runs(RunQuery) ([]Run, error)
	// CountRuns returns how many runs the query chooses, without Limit and
	// Offset.
	CountRuns(RunQuery) (int, error)
	// RunFields returns the fields of params and summaries that the runs have
	// which q chooses, by name, with at most so many of their texts. Order, Limit
	// and Offset do not matter. Names of more than 500 bytes are left out.
	RunFields(q RunQuery, texts int) ([]RunField, error)
	// RemoveRun removes the record of a run, its points, console and files for
	// good. A run that is tied to a version by an edge is ErrConflict.
	RemoveRun(RunID) error
	// SetFile makes e a file of the run, in place of one of the same path.
	SetFile(RunID, Entry) error
	// DeleteFile makes the run forget a file; one that is not there is ErrNotFound.
	DeleteFile(run RunID, path string) error
	// RunFiles returns the files of a run by path.
	RunFiles(RunID) ([]Entry, error)
	// Rewind makes a run forget the points and items for which keep is false. The
	// points that stay get the numbers 1, 2, 3 … in their order, items keep
	// theirs, and Run.Rewound becomes the time. keep is called for each point and
	// then for each item, by number.
	Rewind(run RunID, keep func(key string, step int64, at Micros) bool) error
	// SetPosition makes n what Points.Position returns.
	SetPosition(run RunID, source string, n int64) error

	// Projects returns the names of the projects that have a run, sorted.
	Projects() ([]string, error)
	Artifact(project, name string) (Artifact, error)
	Artifacts(project string) ([]Artifact, error) // by name; project "" = all, by project and name

	// CreateVersion stores v as the newest version of its artifact, which it
	// creates at its first version, and returns v with the Number that it got:
	// 0, 1, 2 … without gap or repeat, however many write. v.Files, Digest,
	// Run and Created are stored as given; Aliases are not. A Type other than
	// the artifact's is ErrConflict.
	CreateVersion(v Version) (Version, error)
	// UpdateVersion replaces the Tags, Description, Expires and Deleted of a
	// version. A deleted one loses its aliases; Latest goes to the newest that is
	// not deleted. Files of a deleted version stay listed.
	UpdateVersion(Version) error
	// Version returns the version with its files and aliases, a deleted one too.
	Version(VersionID) (Version, error)
	Versions(VersionQuery) ([]Version, error)
	// Resolve returns the version that ref names now. ref.Project is not "". A
	// deleted version is found by its number alone.
	Resolve(ref Ref) (VersionID, error)
	// SetAlias makes alias name the version, and no other of its artifact.
	// Latest cannot be set: it follows CreateVersion.
	SetAlias(id VersionID, alias string) error
	// DeleteAlias forgets an alias; one that is not there is no error.
	DeleteAlias(project, artifact, alias string) error

	// AddEdge stores an edge between a run and a version that exist. One that
	// is there already is no error.
	AddEdge(Edge) error
	Edges(EdgeQuery) ([]Edge, error)

	// SetStatement keeps the signed statement of where a version comes from, in
	// place of an older one. To the store it is bytes.
	SetStatement(id VersionID, envelope []byte) error
	Statement(VersionID) ([]byte, error)
	// AddKey keeps a public key; one that is there already stays as it is.
	AddKey(SigningKey) error
	SigningKeys() ([]SigningKey, error) // by ID

	// InUse returns those of the digests that a version which is not deleted, or
	// a run, needs: what gc must keep.
	InUse(digests []Digest) (map[Digest]bool, error)
	// SetDeletion notes in the journal that a blob is being deleted (Done 0), or
	// that it is gone.
	SetDeletion(Deletion) error
	// Deletions returns the journal, the oldest first; open chooses those that
	// are not done.
	Deletions(open bool) ([]Deletion, error)

	// SetDocument keeps d in place of one of the same kind and ID, and returns it
	// with its times. The audit log has the digest of the body alone, since that
	// may hold the hash of a secret. One that is not as Document says is
	// ErrInvalid.
	SetDocument(d Document) (Document, error)
	Document(kind, id string) (Document, error)
	Documents(kind string) ([]Document, error) // by ID
	// DeleteDocument removes a document; one that is not there is ErrNotFound.
	DeleteDocument(kind, id string) error

	// Note writes an entry of the audit log for something that no other method
	// changes, such as a backup. N, Time, Actor and Hash are given by the store.
	Note(AuditEntry) error
	Audit(AuditQuery) ([]AuditEntry, error)
}

// Points is the hot path of a Store: what runs measured, in the order in which
// it was appended.
type Points interface {
	// Append adds points to a run, in one transaction of its own, and numbers
	// them onwards from the run's last: 1, 2, 3 … It returns the number of the
	// last. Keys are 1 to 1,024 bytes of UTF-8.
	Append(ctx context.Context, run RunID, points []Point) (last int64, err error)

	// Since returns at most limit points (0 = no limit) with numbers above
	// cursor, oldest first, and the cursor to pass next time. Cursor 0 is the
	// beginning. Because numbers are given inside the appending transaction,
	// no point is ever skipped or seen twice.
	Since(ctx context.Context, run RunID, cursor int64, limit int) (points []Point, next int64, err error)

	// Last returns the number of a run's last point; 0 if it has none.
	Last(ctx context.Context, run RunID) (int64, error)

	// Series returns the points of one metric by step; points of one step in
	// the order of their appending. A metric nobody recorded has none. See
	// SeriesQuery for ranges and thinning.
	Series(ctx context.Context, q SeriesQuery) ([]Point, error)

	// Keys returns the names of the metrics that a run recorded, sorted.
	Keys(ctx context.Context, run RunID) ([]string, error)

	// Report stores what a batch holds, in one transaction, and returns the number
	// of the run's last point then. A batch that Batch.Check refuses is ErrInvalid,
	// a run that does not exist ErrNotFound, one that does not begin at the
	// position of its source ErrConflict; nothing of it is stored then.
	Report(ctx context.Context, b Batch) (last int64, err error)
	// Position returns how many lines of a source were stored: where the next
	// Batch has to begin.
	Position(ctx context.Context, run RunID, source string) (int64, error)
	// Items returns the items that q chooses. A run that does not exist has none.
	Items(ctx context.Context, q ItemQuery) ([]Item, error)
	// ItemKeys returns the names of the items that a run recorded, sorted.
	ItemKeys(ctx context.Context, run RunID) ([]string, error)
}

// Blobs keep bytes under their digest. Implementations pass the suite in
// blob/blobtest. All methods may be called by many goroutines and processes at
// once.
type Blobs interface {
	// Put stores what r holds to its end and returns its address and length.
	// When it returns nil, the bytes survive a kill of the process and a loss
	// of power. When r or the writing fails, nothing appears under any
	// address. Content that is there already is kept. Contents of any length
	// pass through in constant memory.
	Put(ctx context.Context, r io.Reader) (Digest, int64, error)
	// Open returns the content at its beginning; missing is ErrNotFound. It
	// does not check the bytes: see VerifyReader. The result also is an
	// io.ReaderAt where the home of the blobs allows it.
	Open(ctx context.Context, d Digest) (io.ReadSeekCloser, error)
	// Stat returns the length of the content; missing is ErrNotFound.
	Stat(ctx context.Context, d Digest) (int64, error)
	// Delete removes the content; missing is no error. Readers that opened it
	// before may go on.
	Delete(ctx context.Context, d Digest) error
	// List calls fn for every content, in no particular order, until fn
	// returns an error, which it returns. put is when the content was last Put,
	// to the second, also by a Put that found it there: gc keeps what is young,
	// so that nothing vanishes between a Put and the commit that names it.
	// Content that comes or goes meanwhile may or may not appear.
	List(ctx context.Context, fn func(d Digest, size int64, put time.Time) error) error
	// Sweep removes what Puts that died before before have left behind, and
	// returns how many and how many bytes.
	Sweep(ctx context.Context, before time.Time) (n int, size int64, err error)
}

type actorKey struct{}

// WithActor returns a context under which changes are made in the name of
// actor, such as "ana@laptop".
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns in whose name changes are made, or "".
func ActorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}
