package httpd

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// buckets bound how often something happens, by name: a bucket of tokens each,
// refilled at a rate.
type buckets struct {
	clock func() time.Time
	rate  float64 // tokens a second
	size  float64

	mu   sync.Mutex
	each map[string]*bucket
}

type bucket struct {
	tokens float64
	at     time.Time
}

// maxBuckets bounds the memory that strangers with many addresses can take.
const maxBuckets = 20_000

func newBuckets(clock func() time.Time, rate, size float64) *buckets {
	return &buckets{clock: clock, rate: rate, size: max(size, 1), each: make(map[string]*bucket)}
}

// take takes a token of name, or returns how long there will be none.
func (b *buckets) take(name string) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.fill(name)
	if x.tokens >= 1 {
		x.tokens--
		return 0, true
	}
	return time.Duration((1 - x.tokens) / b.rate * float64(time.Second)), false
}

// giveBack returns a token that was taken for what turned out well.
func (b *buckets) giveBack(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	x := b.fill(name)
	x.tokens = min(x.tokens+1, b.size)
}

func (b *buckets) fill(name string) *bucket {
	now := b.clock()
	x := b.each[name]
	if x == nil {
		if len(b.each) >= maxBuckets {
			b.forget(now)
		}
		x = &bucket{tokens: b.size, at: now}
		b.each[name] = x
		return x
	}
	x.tokens = min(x.tokens+now.Sub(x.at).Seconds()*b.rate, b.size)
	x.at = now
	return x
}

// forget drops the buckets that are full again, and if these are few, some of
// the others.
func (b *buckets) forget(now time.Time) {
	for name, x := range b.each {
		if x.tokens+now.Sub(x.at).Seconds()*b.rate >= b.size {
			delete(b.each, name)
		}
	}
	for name := range b.each {
		if len(b.each) < maxBuckets*9/10 {
			return
		}
		delete(b.each, name)
	}
}

// origin returns what a remote address is counted under: the address, of IPv6
// the network of one household.
func origin(remote string) string {
	at, err := netip.ParseAddrPort(remote)
	if err != nil {
		return remote
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if net, err := ip.Prefix(64); err == nil {
			return net.String()
		}
	}
	return ip.String()
}

// limitListener accepts at most n connections at once; others wait in the
// queue of the system.
func limitListener(l net.Listener, n int) net.Listener {
	return &limited{Listener: l, places: make(chan struct{}, n), closed: make(chan struct{})}
}

type limited struct {
	net.Listener
	places chan struct{}
	closed chan struct{}
	once   sync.Once
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &place{Conn: c, leave: sync.OnceFunc(func() { <-l.places })}, nil
}

func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A place is a connection that makes room when it is closed.
type place struct {
	net.Conn
	leave func()
}

func (p *place) Close() error {
	defer p.leave()
	return p.Conn.Close()
}
