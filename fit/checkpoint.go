package fit

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/nn"
)

// A checkpoint is a safetensors file. Tensors: "weights.*" and, once an epoch
// has ended, "best.*" of the network, "optimizer.*" of the trainer, "history"
// [epochs][5], "position" (epoch, next row, rows right so far, first wild step)
// and "loss" (the epoch's sum so far). Meta: the identity of the training, the
// state of the schedule, and a digest of all that.
const (
	checkpointFormat = "solera checkpoint 1"
	weightsPrefix    = "weights."
	bestPrefix       = "best."
	optimizerPrefix  = "optimizer."
	historyName      = "history"
	positionName     = "position"
	lossName         = "loss"
)

// An identity is what a training is a function of. A checkpoint with another
// identity belongs to another training and is refused.
type identity struct {
	Format         string  `json:"format"`
	Config         Config  `json:"config"`
	Network        nn.Spec `json:"network"`
	StartWeights   string  `json:"start_weights"` // digests
	TrainingRows   string  `json:"training_rows"`
	ValidationRows string  `json:"validation_rows"`
}

func identify(spec nn.Spec, n *nn.Network, train, val Data, c Config) (identity, error) {
	h := sha256.New()
	if err := nn.WriteSafetensors(h, n.Tensors(), nil); err != nil {
		return identity{}, fmt.Errorf("train: identify the weights: %w", err)
	}
	return identity{
		Format: checkpointFormat, Config: c, Network: spec, StartWeights: hex.EncodeToString(h.Sum(nil)),
		TrainingRows: digest(train), ValidationRows: digest(val),
	}, nil
}

// digestValues bounds the values that digest reads, so that identifying ten
// million rows does not take longer than an epoch.
const digestValues = 1 << 24

// digest tells one set of rows from another: by all rows, or of many by every k-th.
func digest(d Data) string {
	h := sha256.New()
	stride := 1 + d.X.Rows*d.X.Cols/digestValues
	fmt.Fprintf(h, "%d rows, %d features, every %d\n", d.X.Rows, d.X.Cols, stride)
	buf := make([]byte, 0, 4*(d.X.Cols+1))
	for i := 0; i < d.X.Rows; i += stride {
		buf = binary.LittleEndian.AppendUint32(buf[:0], uint32(d.Y[i]))
		for _, v := range d.X.Row(i) {
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(v))
		}
		h.Write(buf)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A saver decides when to write. The clock has no other use in this package.
type saver struct {
	on    bool
	every time.Duration
	last  time.Time // end of the last save, or start of the training
	calls int
	saved bool // the file is there
}

func newSaver(o Options) saver {
	return saver{on: true, every: cmp.Or(o.Every, time.Second), last: time.Now()}
}

// due says, between two batches, whether it is time to save. The clock is read
// at every 16th call only.
func (s *saver) due() bool {
	if !s.on || s.every < 0 {
		return false
	}
	s.calls++
	return s.calls%16 == 0 && time.Since(s.last) >= s.every
}

// dueAfterEpoch says, at the end of an epoch, whether it is time to save. The
// first is always kept: a training that diverges within a second must leave a
// state to look at, too.
func (s *saver) dueAfterEpoch() bool {
	return s.on && (!s.saved || s.every < 0 || time.Since(s.last) >= s.every)
}

// wrote notes a save that took so long. The next one is at least 20 times as
// far away, so that saving a large network costs at most a twentieth.
func (s *saver) wrote(took time.Duration) {
	s.saved, s.last = true, time.Now()
	if s.every >= 0 {
		s.every = max(s.every, 20*took)
	}
}

// save writes the checkpoint, if there is to be one.
func (t *training) save() error {
	if !t.saver.on {
		return nil
	}
	start := time.Now()
	tensors, meta, err := t.state()
	if err == nil {
		err = writeAtomically(t.o.Checkpoint, func(w io.Writer) error { return nn.WriteSafetensors(w, tensors, meta) })
	}
	if err != nil {
		return fmt.Errorf("train: save checkpoint: %w", err)
	}
	t.saver.wrote(time.Since(start))
	return nil
}

// state returns what a checkpoint holds, digest included.
func (t *training) state() ([]nn.NamedTensor, map[string]string, error) {
	tensors := t.trainer.State()
	tensors = append(tensors, prefixed(weightsPrefix, t.n.Tensors())...)
	if t.result.BestEpoch > 0 {
		tensors = append(tensors, prefixed(bestPrefix, t.best.Tensors())...)
	}
	history := make([]float64, 0, 5*len(t.result.History))
	for _, e := range t.result.History {
		history = append(history, e.LearningRate, e.TrainLoss, e.TrainAccuracy, e.ValLoss, e.ValAccuracy)
	}
	tensors = append(tensors,
		nn.NamedTensor{Name: historyName, Shape: []int{len(t.result.History), 5}, Float64: history},
		nn.NamedTensor{Name: positionName, Shape: []int{4}, Int64: []int64{int64(t.epoch), int64(t.next), int64(t.correct), t.wild}},
		nn.NamedTensor{Name: lossName, Float64: []float64{t.lossSum}},
	)
	schedule, err := t.scheduler.State()
	if err != nil {
		return nil, nil, err
	}
	training, err := json.Marshal(t.identity)
	if err != nil {
		return nil, nil, err
	}
	meta := map[string]string{"training": string(training), "schedule": string(schedule)}
	if meta["sha256"], err = checksum(tensors, meta); err != nil {
		return nil, nil, err
	}
	return tensors, meta, nil
}

func prefixed(prefix string, tensors []nn.NamedTensor) []nn.NamedTensor {
	for i := range tensors {
		tensors[i].Name = prefix + tensors[i].Name
	}
	return tensors
}

// withPrefix returns the tensors whose names start with prefix; cut takes it off.
func withPrefix(prefix string, cut bool, tensors []nn.NamedTensor) []nn.NamedTensor {
	var found []nn.NamedTensor
	for _, t := range tensors {
		if name, ok := strings.CutPrefix(t.Name, prefix); ok {
			if cut {
				t.Name = name
			}
			found = append(found, t)
		}
	}
	return found
}

// checksum is the SHA-256 of the file without the checksum itself.
func checksum(tensors []nn.NamedTensor, meta map[string]string) (string, error) {
	meta = maps.Clone(meta)
	delete(meta, "sha256")
	h := sha256.New()
	if err := nn.WriteSafetensors(h, tensors, meta); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// A comparing writer fails at the first byte that is not the wanted one.
type comparing struct{ want []byte }

func (c *comparing) Write(b []byte) (int, error) {
	if !bytes.HasPrefix(c.want, b) {
		return 0, errors.New("other bytes")
	}
	c.want = c.want[len(b):]
	return len(b), nil
}

// writeAtomically leaves at path either what was there or all that write writes,
// whenever the machine stops.
func writeAtomically(path string, write func(io.Writer) error) (err error) {
	// A name of its own: another process may be at the same training.
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 1<<16)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	// The rename itself lasts once the folder is on disk; where folders cannot
	// be synced the system does it soon.
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync()
		dir.Close()
	}
	return nil
}

// resume continues from the checkpoint if that is asked for and there is one.
func (t *training) resume() error {
	if !t.o.Resume || t.o.Checkpoint == "" {
		return nil
	}
	f, err := os.Open(t.o.Checkpoint)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("train: open checkpoint: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("train: open checkpoint: %w", err)
	}
	content := make([]byte, info.Size())
	if _, err := io.ReadFull(f, content); err != nil {
		return fmt.Errorf("train: read checkpoint: %w", err)
	}
	tensors, meta, err := nn.ReadSafetensors(bytes.NewReader(content), info.Size())
	if err != nil {
		return t.damaged(err.Error())
	}
	// Written again it must be the same file: then not even a space is another.
	again := &comparing{want: content}
	sum, err := checksum(tensors, meta)
	if err != nil || sum != meta["sha256"] || nn.WriteSafetensors(again, tensors, meta) != nil || len(again.want) > 0 {
		return t.damaged("its bytes are not those that were written")
	}
	if err := t.mine(meta["training"]); err != nil {
		return err
	}
	if err := t.restore(tensors, meta); err != nil {
		return t.damaged(err.Error())
	}
	t.saver.saved = true
	for _, e := range t.result.History {
		if err := t.record(e); err != nil {
			return err
		}
	}
	return nil
}

func (t *training) damaged(what string) error {
	return &solera.InputError{
		Op: "train: resume", File: t.o.Checkpoint, Msg: "the checkpoint is damaged: " + what,
		Hint: "remove the file to train from the beginning", Err: solera.ErrCorrupt,
	}
}

// mine refuses a checkpoint of another training and says what differs.
func (t *training) mine(theirs string) error {
	ours, err := json.Marshal(t.identity)
	if err != nil {
		return fmt.Errorf("train: resume: %w", err)
	}
	if theirs == string(ours) {
		return nil
	}
	var a, b map[string]json.RawMessage
	if json.Unmarshal([]byte(theirs), &a) != nil || json.Unmarshal(ours, &b) != nil {
		return t.damaged("it does not say which training it belongs to")
	}
	return &solera.InputError{
		Op: "train: resume", File: t.o.Checkpoint, Msg: "the checkpoint belongs to another training: " + difference("", a, b),
		Hint: "remove the file to train from the beginning, or train with the same settings, network and rows", Err: solera.ErrConflict,
	}
}

// difference names the first key at which two JSON objects differ, and its values.
func difference(path string, a, b map[string]json.RawMessage) string {
	keys := slices.Sorted(maps.Keys(b))
	for k := range a {
		if _, ok := b[k]; !ok {
			keys = append(keys, k)
		}
	}
	slices.Sort(keys)
	for _, k := range keys {
		if bytes.Equal(a[k], b[k]) {
			continue
		}
		name := strings.TrimPrefix(path+"."+k, ".")
		var x, y map[string]json.RawMessage
		if json.Unmarshal(a[k], &x) == nil && json.Unmarshal(b[k], &y) == nil && x != nil && y != nil {
			return difference(name, x, y)
		}
		return fmt.Sprintf("%s is %s there, %s here", name, shown(a[k]), shown(b[k]))
	}
	return "it is written in another way"
}

func shown(v json.RawMessage) string {
	switch {
	case v == nil:
		return "not set"
	case len(v) > 40:
		return string(v[:37]) + "…"
	}
	return string(v)
}

// restore sets the training to where the checkpoint was written.
func (t *training) restore(tensors []nn.NamedTensor, meta map[string]string) error {
	named := func(name string) nn.NamedTensor {
		if i := slices.IndexFunc(tensors, func(t nn.NamedTensor) bool { return t.Name == name }); i >= 0 {
			return tensors[i]
		}
		return nn.NamedTensor{}
	}
	position, loss, history := named(positionName).Int64, named(lossName).Float64, named(historyName).Float64
	if len(position) != 4 || len(loss) != 1 || len(history)%5 != 0 {
		return errors.New("it lacks its position or history")
	}
	epochs := len(history) / 5
	if position[0] != int64(epochs)+1 || epochs > t.c.Epochs || position[1] < 0 || position[1] >= int64(len(t.order)) {
		return fmt.Errorf("epoch %d, row %d with a history of %d epochs", position[0], position[1], epochs)
	}
	if err := t.n.SetTensors(withPrefix(weightsPrefix, true, tensors)); err != nil {
		return err
	}
	if epochs > 0 {
		if err := t.best.SetTensors(withPrefix(bestPrefix, true, tensors)); err != nil {
			return err
		}
	}
	if err := t.trainer.Restore(withPrefix(optimizerPrefix, false, tensors)); err != nil {
		return err
	}
	if err := t.scheduler.Restore([]byte(meta["schedule"])); err != nil {
		return err
	}
	for i := range epochs {
		v := history[5*i:]
		t.note(Epoch{i + 1, v[0], v[1], v[2], v[3], v[4]})
	}
	t.epoch, t.next, t.correct, t.wild, t.lossSum = int(position[0]), int(position[1]), int(position[2]), position[3], loss[0]
	return nil
}
