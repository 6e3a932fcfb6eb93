package api

import (
	recent "container/list"
	"sync"

	"github.com/solera-ml/solera"
)

// A cache keeps the values that were asked for last. What it keeps is named by
// content, so nothing in it grows old.
type cache[K comparable, V any] struct {
	mu    sync.Mutex
	most  int
	order *recent.List // of pair, the last used first
	found map[K]*recent.Element
}

// within is a name in one store. A digest is named by whoever commits, and what
// is behind it in another workspace is not for him.
type within[K comparable] struct {
	store solera.Store
	name  K
}

type pair[K comparable, V any] struct {
	key   K
	value V
}

func newCache[K comparable, V any](most int) *cache[K, V] {
	return &cache[K, V]{most: most, order: recent.New(), found: map[K]*recent.Element{}}
}

// get returns the value of key, and makes it if it is not there. Two that ask
// at once may both make it.
func (c *cache[K, V]) get(key K, make func() (V, error)) (V, error) {
	c.mu.Lock()
	if e, ok := c.found[key]; ok {
		c.order.MoveToFront(e)
		c.mu.Unlock()
		return e.Value.(pair[K, V]).value, nil
	}
	c.mu.Unlock()
	value, err := make()
	if err != nil {
		return value, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.found[key]; ok {
		return e.Value.(pair[K, V]).value, nil
	}
	c.found[key] = c.order.PushFront(pair[K, V]{key, value})
	if c.order.Len() > c.most {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.found, last.Value.(pair[K, V]).key)
	}
	return value, nil
}
