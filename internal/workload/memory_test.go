package workload

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
)

// memory is a Store in a map, which can note the operations on it and can end a
// row after so many of them.
type memory struct {
	mu     sync.Mutex
	keys   []string // sorted
	values map[string]string

	trace *trace // nil: nothing is noted
}

// trace is what the sessions of one row did.
type trace struct {
	skip     int // so many are not noted
	most     int // operations of a session
	workers  int // all of them come to the most before the row ends
	sessions []*memorySession
	waiting  int
	over     chan struct{}
}

var errEnough = errors.New("enough operations")

func newMemory() *memory { return &memory{values: map[string]string{}} }

func (m *memory) note(most, workers, skip int) *trace {
	m.trace = &trace{most: most, workers: workers, skip: skip, over: make(chan struct{})}
	return m.trace
}

func (m *memory) Session() (Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := &memorySession{memory: m}
	if m.trace != nil {
		m.trace.sessions = append(m.trace.sessions, s)
	}
	return s, nil
}

func (m *memory) Settle(context.Context) error { return nil }

type memorySession struct {
	*memory
	operations []string
}

// do notes an operation. The caller holds the lock.
func (s *memorySession) do(format string, args ...any) error {
	t := s.trace
	switch {
	case t == nil:
		return nil
	case t.skip > 0:
		t.skip--
		return nil
	case len(s.operations) < t.most:
		s.operations = append(s.operations, fmt.Sprintf(format, args...))
		return nil
	}
	if t.waiting++; t.waiting == t.workers {
		close(t.over)
	}
	s.mu.Unlock()
	<-t.over
	s.mu.Lock()
	return errEnough
}

// put stores a record. The caller holds the lock.
func (s *memorySession) put(key, value []byte) {
	if _, ok := s.values[string(key)]; !ok {
		i, _ := slices.BinarySearch(s.keys, string(key))
		s.keys = slices.Insert(s.keys, i, string(key))
	}
	s.values[string(key)] = string(value)
}

func (s *memorySession) Put(key, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.put(key, value)
	return s.do("put %x %x", key, value[:min(len(value), 16)])
}

func (s *memorySession) PutBatch(records []Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		s.put(r.Key, r.Value)
	}
	return s.do("put %d: %x to %x", len(records), records[0].Key, records[len(records)-1].Key)
}

func (s *memorySession) Delete(key []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i, ok := slices.BinarySearch(s.keys, string(key)); ok {
		s.keys = slices.Delete(s.keys, i, i+1)
	}
	delete(s.values, string(key))
	return s.do("delete %x", key)
}

func (s *memorySession) DeleteRange(lo, hi []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin, _ := slices.BinarySearch(s.keys, string(lo))
	end, _ := slices.BinarySearch(s.keys, string(hi))
	for _, key := range s.keys[begin:end] {
		delete(s.values, key)
	}
	s.keys = slices.Delete(s.keys, begin, end)
	return s.do("delete %x to %x", lo, hi)
}

func (s *memorySession) AppendGet(dst, key []byte) ([]byte, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[string(key)]
	return append(dst, value...), ok, s.do("get %x", key)
}

func (s *memorySession) Scan(lo []byte, limit int, fn func(key, value []byte) error) error {
	s.mu.Lock()
	begin, _ := slices.BinarySearch(s.keys, string(lo))
	return s.pass(s.keys[begin:min(begin+limit, len(s.keys))], s.do("scan %d from %x", limit, lo), fn)
}

func (s *memorySession) ScanKept(lo []byte, limit int, fn func(key, value []byte) error) error {
	return s.Scan(lo, limit, fn)
}

func (s *memorySession) ScanBack(hi []byte, limit int, fn func(key, value []byte) error) error {
	s.mu.Lock()
	end, _ := slices.BinarySearch(s.keys, string(hi))
	keys := slices.Clone(s.keys[max(end-limit, 0):end])
	slices.Reverse(keys)
	return s.pass(keys, s.do("scan %d back from %x", limit, hi), fn)
}

// pass calls fn with records, after it has given up the lock.
func (s *memorySession) pass(keys []string, err error, fn func(key, value []byte) error) error {
	var values []string
	keys = slices.Clone(keys)
	for _, key := range keys {
		values = append(values, s.values[key])
	}
	s.mu.Unlock()
	for i, key := range keys {
		if err == nil {
			err = fn([]byte(key), []byte(values[i]))
		}
	}
	return err
}

// Transactions of the memory store exclude nobody: rows are traced with one
// goroutine.
func (s *memorySession) Update(fn func(Tx) error) error { return fn(s) }

func (s *memorySession) View(fn func(Tx) error) error { return fn(s) }

func (s *memorySession) Close() error { return nil }
