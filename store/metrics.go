package store

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/solera-ml/solera"
)

var errNoRow = sql.ErrNoRows

// names are the numbers under which points name their metrics: one for each
// key in the store, given once and never taken back, so what was read in a
// committed transaction stays true. Values of keys in memory are a cache of
// the tables metrics and recorded.
type names struct {
	under *names // what is committed; nil there

	mu       sync.Mutex
	ids      map[string]int64
	keys     map[int64]string
	recorded map[int64]map[int64]bool // of heads by identifier: their metrics. Maps are never changed
	size     int                      // of all maps in recorded
	heads    map[solera.RunID]*head   // as this process last left them. Never changed
}

// maxNames is how many names are kept in memory. Beyond that the cache starts
// afresh.
const maxNames = 1 << 20

func (c *names) id(key string) (int64, bool) {
	for ; c != nil; c = c.under {
		c.mu.Lock()
		id, ok := c.ids[key]
		c.mu.Unlock()
		if ok {
			return id, true
		}
	}
	return 0, false
}

func (c *names) key(id int64) (string, bool) {
	for ; c != nil; c = c.under {
		c.mu.Lock()
		key, ok := c.keys[id]
		c.mu.Unlock()
		if ok {
			return key, true
		}
	}
	return "", false
}

// metrics returns what is known of the metrics of a head. Other processes may
// have recorded more.
func (c *names) metrics(head int64) map[int64]bool {
	for ; c != nil; c = c.under {
		c.mu.Lock()
		m := c.recorded[head]
		c.mu.Unlock()
		if m != nil {
			return m
		}
	}
	return nil
}

func (c *names) add(key string, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil || len(c.ids) >= maxNames {
		c.ids, c.keys = make(map[string]int64), make(map[int64]string)
	}
	c.ids[key], c.keys[id] = id, key
}

func (c *names) setMetrics(head int64, m map[int64]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.recorded == nil || c.size >= maxNames {
		c.recorded, c.size = make(map[int64]map[int64]bool), 0
	}
	c.size += len(m) - len(c.recorded[head])
	c.recorded[head] = m
}

// head returns where this process left the head of a run, or nil.
func (c *names) head(run solera.RunID) *head {
	for ; c != nil; c = c.under {
		c.mu.Lock()
		h := c.heads[run]
		c.mu.Unlock()
		if h != nil {
			return h
		}
	}
	return nil
}

// maxHeads is how many heads are kept in memory.
const maxHeads = 1 << 14

func (c *names) setHead(run solera.RunID, h *head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.heads == nil || len(c.heads) >= maxHeads {
		c.heads = make(map[solera.RunID]*head)
	}
	c.heads[run] = h
}

// merge takes over what a committed transaction has found.
func (c *names) merge(fresh *names) {
	for key, id := range fresh.ids {
		c.add(key, id)
	}
	for head, m := range fresh.recorded {
		c.setMetrics(head, m)
	}
	for run, h := range fresh.heads {
		c.setHead(run, h)
	}
}

// cache returns the names that this transaction knows.
func (t *tx) cache() *names {
	if t.names == nil {
		t.names = new(names)
	}
	return t.names
}

// inChunks calls fn with a list of at most 200 arguments at a time, for the
// placeholders of IN.
func inChunks[T any](list []T, fn func(placeholders string, args []any) error) error {
	for chunk := range slices.Chunk(list, 200) {
		marks, args := make([]string, len(chunk)), make([]any, len(chunk))
		for i, v := range chunk {
			marks[i], args[i] = "$"+strconv.Itoa(i+1), v
		}
		if err := fn(strings.Join(marks, ", "), args); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) scanMetric(scan func(...any) error) error {
	var id int64
	var key string
	if err := scan(&id, &key); err != nil {
		return err
	}
	t.cache().add(key, id)
	return nil
}

// findMetrics reads the numbers of keys and returns those keys that have none.
func (t *tx) findMetrics(keys []string) (missing []string, err error) {
	unknown := func(key string) bool { _, ok := t.cache().id(key); return !ok }
	for _, key := range keys {
		if unknown(key) {
			missing = append(missing, key)
		}
	}
	err = inChunks(missing, func(marks string, args []any) error {
		return t.rows(t.scanMetric, `SELECT id, key FROM metrics WHERE key IN (`+marks+`)`, args...)
	})
	return slices.DeleteFunc(missing, func(key string) bool { return !unknown(key) }), err
}

// nameMetrics makes sure that keys have numbers in the cache.
func (t *tx) nameMetrics(keys []string) error {
	missing, err := t.findMetrics(keys)
	if err != nil || len(missing) == 0 {
		return err
	}
	last, err := t.count("metrics", len(missing))
	if err != nil {
		return err
	}
	// The counter is locked, so what another writer has added is there by now.
	if missing, err = t.findMetrics(missing); err != nil {
		return err
	}
	return t.many(`INSERT INTO metrics (id, key) VALUES ($1, $2)`, len(missing), func(i int) []any {
		id := last - int64(i)
		t.cache().add(missing[i], id)
		return []any{id, missing[i]}
	})
}

// metricKeys returns the keys of numbers that occur in stored points.
func (t *tx) metricKeys(ids map[int64]bool) (map[int64]string, error) {
	keys := make(map[int64]string, len(ids))
	var missing []int64
	for id := range ids {
		if key, ok := t.cache().key(id); ok {
			keys[id] = key
		} else {
			missing = append(missing, id)
		}
	}
	err := inChunks(missing, func(marks string, args []any) error {
		return t.rows(func(scan func(...any) error) error {
			var id int64
			var key string
			if err := scan(&id, &key); err != nil {
				return err
			}
			t.cache().add(key, id)
			keys[id] = key
			return nil
		}, `SELECT id, key FROM metrics WHERE id IN (`+marks+`)`, args...)
	})
	if err != nil {
		return nil, err
	}
	for _, id := range missing {
		if _, ok := keys[id]; !ok {
			return nil, fmt.Errorf("%w: there are points of metric %d, which has no name", solera.ErrCorrupt, id)
		}
	}
	return keys, nil
}

// The metrics of a head are kept as lists of at most partMetrics numbers, so
// that one more is a small write.
const partMetrics = 1024

// readRecorded reads the metrics of a head: all, and the last list.
func (t *tx) readRecorded(head int64) (all map[int64]bool, part int64, list []byte, count int, err error) {
	all = make(map[int64]bool)
	err = t.rows(func(scan func(...any) error) error {
		var raw []byte
		if err := scan(&part, &raw); err != nil {
			return err
		}
		list, count = raw, 0
		for b := raw; len(b) > 0; count++ {
			id, n := binary.Uvarint(b)
			if n <= 0 {
				return fmt.Errorf("%w: the list of its metrics cannot be read", solera.ErrCorrupt)
			}
			all[int64(id)] = true
			b = b[n:]
		}
		return nil
	}, `SELECT part, metrics FROM recorded WHERE run = $1 ORDER BY part`, head)
	return all, part, list, count, err
}

// record adds metrics to those of a head, which is locked, and returns how
// many it has.
func (t *tx) record(head int64, metrics map[int64]bool) (int, error) {
	known := t.cache().metrics(head)
	fresh := func() (ids []int64) {
		for id := range metrics {
			if !known[id] {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		return ids
	}
	if len(fresh()) == 0 {
		return len(known), nil
	}
	known, part, list, count, err := t.readRecorded(head)
	if err != nil {
		return 0, err
	}
	ids := fresh()
	all := maps.Clone(known)
	list = slices.Clone(list)
	for len(ids) > 0 {
		if count == partMetrics {
			part, list, count = part+1, nil, 0
		}
		n := min(partMetrics-count, len(ids))
		for _, id := range ids[:n] {
			list = binary.AppendUvarint(list, uint64(id))
			all[id] = true
		}
		_, err := t.exec(`INSERT INTO recorded (run, part, metrics) VALUES ($1, $2, $3)
			ON CONFLICT (run, part) DO UPDATE SET metrics = EXCLUDED.metrics`, head, part, list)
		if err != nil {
			return 0, err
		}
		ids, count = ids[n:], count+n
	}
	t.cache().setMetrics(head, all)
	return len(all), nil
}

// headOf returns the head of a run, or nil when it has recorded nothing.
func (t *tx) headOf(run solera.RunID) (*head, error) {
	h := &head{run: run}
	err := t.row(`SELECT id, n, packed FROM heads WHERE run = $1`, string(run)).Scan(&h.id, &h.n, &h.packed)
	if errors.Is(err, errNoRow) {
		return nil, nil
	}
	return h, err
}
