package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/tracking"
)

func (a *app) backupCommand() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write the whole store into one file, while others work on",
		Long: `Write all runs, versions and contents of the store, as of one moment, into one
file. Others may go on writing. The file is complete or not there; - is stdout.
solera restore reads it into a new store of either kind, so this is also the way
from a folder to PostgreSQL and S3.`,
		Example: "  solera backup monday.tar\n  solera backup - | ssh safe 'cat > monday.tar'",
		Args:    oneFile,
		RunE:    func(c *cobra.Command, args []string) error { return a.backup(c.Context(), args[0], force) },
	}
	c.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return c
}

func oneFile(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage("solera %s takes one file, or - for the standard streams", c.Name())
	}
	return nil
}

// backupJSON is what backup and restore say to scripts.
type backupJSON struct {
	tracking.BackupReport
	File string `json:"file"`
	Size int64  `json:"size"` // of the file
}

func (a *app) backup(ctx context.Context, file string, force bool) error {
	w, err := a.openStore(ctx)
	if err != nil {
		return err
	}
	defer w.close()
	start := time.Now()
	var report backupJSON
	if file == "-" {
		if a.isTerminal(a.stdout) {
			return usage("a backup is no text: name a file, or send stdout into one")
		}
		counted := &countingWriter{w: a.stdout}
		report.BackupReport, err = a.writeBackup(ctx, w, counted, os.TempDir())
		report.Size = counted.n
	} else {
		report, err = a.backupFile(ctx, w, a.path(file), force)
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return fmt.Errorf("backup: %w: no file was written", solera.ErrStopped)
		}
		return err
	}
	report.File = file
	switch {
	case file == "-": // stdout has the archive
	case a.json:
		err = a.printJSON(report)
	default:
		speed := ""
		if took := time.Since(start).Seconds(); report.Size >= 16<<20 {
			speed = ", " + size(int64(float64(report.Size)/took)) + "/s"
		}
		err = a.printf("Wrote %s: %s, %s and %s of records%s.\n", file, count(int(report.Blobs), "content"), size(report.Bytes),
			size(report.Records), speed)
		if err == nil {
			err = a.printProblems(report.Problems)
		}
	}
	if err == nil && !report.OK {
		fmt.Fprintf(a.stderr, "solera: the backup lacks %s that the store has lost: %s verify tells more\n",
			count(len(report.Problems), "content"), a.self())
		return errFound
	}
	return err
}

// backupFile writes FILE.part and renames it when every byte of it is on disk.
func (a *app) backupFile(ctx context.Context, w *workspace, file string, force bool) (report backupJSON, err error) {
	fail := func(err error) (backupJSON, error) {
		return report, &solera.InputError{Op: "back up to " + file, File: file, Err: err}
	}
	there := func() error {
		info, err := os.Lstat(file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case !info.Mode().IsRegular():
			return fmt.Errorf("%w: it is there and is no file", solera.ErrConflict)
		case !force:
			return fmt.Errorf("%w: it is there already: choose another name, or replace it with --force", solera.ErrConflict)
		}
		return nil
	}
	if err := there(); err != nil {
		return fail(err)
	}
	part := file + ".part"
	// The store's history is for its owner's eyes.
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(part)
		}
	}()
	if report.BackupReport, err = a.writeBackup(ctx, w, f, filepath.Dir(file)); err != nil {
		return report, err
	}
	info, err := f.Stat()
	if err != nil {
		return fail(err)
	}
	report.Size = info.Size()
	if err = errors.Join(f.Sync(), f.Close()); err != nil {
		return fail(err)
	}
	if err = errors.Join(there(), ctx.Err()); err != nil {
		return fail(err)
	}
	if err = os.Rename(part, file); err != nil {
		return fail(err)
	}
	if dir, err := os.Open(filepath.Dir(file)); err == nil {
		_ = dir.Sync() // not every file system can
		dir.Close()
	}
	return report, nil
}

// writeBackup writes an archive; the records wait in a file of folder that
// has no name as soon as the system allows.
func (a *app) writeBackup(ctx context.Context, w *workspace, to io.Writer, folder string) (tracking.BackupReport, error) {
	spool, err := os.CreateTemp(folder, ".solera-records-*")
	if err != nil {
		return tracking.BackupReport{}, &solera.InputError{Op: "back up", File: folder, Err: err}
	}
	os.Remove(spool.Name())
	defer func() {
		spool.Close()
		os.Remove(spool.Name())
	}()
	o := tracking.BackupOptions{Solera: version}
	var stop func()
	o.Progress, stop = a.byteProgress("backup")
	defer stop()
	return tracking.Backup(ctx, w.Store, w.Blobs, to, spool, o)
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

func (a *app) restoreCommand() *cobra.Command {
	var verify bool
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Fill a new store from a backup, or check one",
		Long: `Fill an empty store from a file that solera backup wrote; - is stdin. --store and
--blobs name the new store, which may be of the other kind. Every byte is
compared with its digest. The records come last and at once: if anything fails,
the store stays empty and the command can be given again.`,
		Example: "  solera restore monday.tar --store restored\n" +
			"  solera restore monday.tar --store postgres://db/solera --blobs s3://bucket\n" +
			"  solera restore --verify monday.tar",
		Args: oneFile,
		RunE: func(c *cobra.Command, args []string) error { return a.restore(c.Context(), args[0], verify) },
	}
	c.Flags().BoolVar(&verify, "verify", false, "only check the file; restore nothing")
	return c
}

func (a *app) restore(ctx context.Context, file string, verify bool) (err error) {
	in, length := a.stdin, int64(0)
	if file != "-" {
		f, err := os.Open(a.path(file))
		if err != nil {
			return &solera.InputError{Op: "restore " + file, File: file, Err: err}
		}
		defer f.Close()
		if info, err := f.Stat(); err == nil {
			length = info.Size()
		}
		in = f
	}
	counted := &countingReader{r: bufio.NewReaderSize(in, 1<<20)}
	o := tracking.BackupOptions{Solera: version}
	tell, stop := a.byteProgress("restore")
	if tell != nil {
		o.Progress = func(done, _ int64) { tell(done, max(length, done)) }
	}
	defer stop()
	report := backupJSON{File: file}
	var store solera.Store
	var blobs solera.Blobs
	if verify {
		report.BackupReport, err = tracking.CheckBackup(ctx, counted, o)
	} else {
		records, herr := a.storeHome()
		if herr != nil {
			return herr
		}
		bytes, herr := a.blobHome(records)
		if herr != nil {
			return herr
		}
		db, _, oerr := a.openRecords(ctx, records, true)
		if oerr != nil {
			return oerr
		}
		defer db.Close()
		if blobs, err = a.openBlobs(ctx, bytes, true); err != nil {
			return err
		}
		store = db
		report.BackupReport, err = tracking.Restore(ctx, store, blobs, counted, o)
	}
	stop()
	switch {
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("restore: %w: the store is empty; the same command begins again", solera.ErrStopped)
	case errors.Is(err, solera.ErrCorrupt), errors.Is(err, solera.ErrInvalid):
		return &solera.InputError{File: file, Msg: sentence(err), Err: err}
	case err != nil:
		return err
	}
	report.Size = counted.n
	if !verify {
		// What the backup could not have, and what nobody foresaw.
		found, err := tracking.Fsck(ctx, store, blobs, tracking.FsckOptions{})
		if err != nil {
			return err
		}
		report.OK, report.Problems = found.OK && report.OK, append(report.Problems, found.Problems...)
	}
	if a.json {
		err = a.printJSON(report)
	} else {
		done := "Restored"
		if verify {
			done = "The file is whole:"
		}
		err = a.printf("%s %s, %s and %s of records, of %s.\n", done, count(int(report.Blobs), "content"), size(report.Bytes),
			size(report.Records), report.Created.Time().Format("2006-01-02 15:04 MST"))
		if err == nil {
			err = a.printProblems(report.Problems)
		}
	}
	if err == nil && !report.OK {
		return errFound
	}
	return err
}

type countingReader struct {
	r io.Reader
	n int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
