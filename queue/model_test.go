package queue

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/property"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// TestAgainstModel does random things to a queue and to a map of records: messages come,
// with priorities and delays; they are claimed, some at a time, and end in all ways, also
// by workers that have lost them; time passes; the machine crashes. After each step the
// queue holds what the map says. What is acknowledged is never lost and never done again,
// whatever the crash leaves of the claims.
func TestAgainstModel(t *testing.T) {
	property.Check(t, func(t *property.T) {
		m := &model{fs: memfs.New(), clock: newHandClock(), messages: map[ID]record{}}
		m.open(t)
		defer func() { _ = m.db.Close() }()
		actions := map[string]func(*property.T){
			"enqueue": m.enqueue, "claim": m.claim, "end": m.end, "time": m.pass, "dead": m.dead, "crash": m.crash,
		}
		names := property.SampledFrom(append(slices.Sorted(maps.Keys(actions)), "enqueue", "claim", "end", "end", "time"))
		for range property.Times(t, 0, 80) {
			actions[names.Draw(t, "action")](t)
			m.compare(t)
		}
		checkQueue(t, m.queue)
	})
}

type model struct {
	fs       *memfs.FS
	db       *lightning.DB
	queue    *Queue
	clock    *handClock
	messages map[ID]record
	jobs     []*Job // all that were ever claimed
}

const (
	modelVisibility = time.Minute
	modelAttempts   = 3
)

func (m *model) open(t *property.T) {
	var err error
	if m.db, err = lightning.Open("db", &lightning.Options{FS: m.fs, MemoryBudget: 8 << 20}); err != nil {
		t.Fatal(err)
	}
	m.queue = openQueue(t, m.db, &Options{
		Visibility: modelVisibility, Attempts: modelAttempts,
		Backoff: func(failures int) time.Duration { return time.Duration(failures-1) * time.Second },
	}, m.clock)
}

func (m *model) enqueue(t *property.T) {
	message := Message{
		Payload:  fmt.Append(nil, len(m.messages)),
		Priority: property.IntRange(-1, 1).Draw(t, "priority"),
		Delay:    time.Duration(property.IntRange(0, 2).Draw(t, "delay")) * time.Minute,
	}
	id, err := m.queue.Enqueue(message)
	if err != nil {
		t.Fatal(err)
	}
	r := record{place: keyReady, priority: int64(message.Priority)}
	if message.Delay > 0 {
		r.place, r.due = keyDelayed, m.clock.Now().Add(message.Delay)
	}
	m.messages[id] = r
}

// sweep is what a claim does first.
func (m *model) sweep() {
	for id, r := range m.messages {
		if r.place != keyDelayed && r.place != keyLeased || r.due.After(m.clock.Now()) {
			continue
		}
		if r.place == keyLeased {
			r.failures++
			r.reason = "the visibility timeout was over"
		}
		if r.place, r.due = keyReady, (time.Time{}); r.failures >= modelAttempts {
			r.place = keyDead
		}
		m.messages[id] = r
	}
}

func (m *model) claim(t *property.T) {
	m.sweep()
	var want []ID
	for id, r := range m.messages {
		if r.place == keyReady {
			want = append(want, id)
		}
	}
	slices.SortFunc(want, func(a, b ID) int {
		return cmp.Or(cmp.Compare(m.messages[b].priority, m.messages[a].priority), bytes.Compare(a[:], b[:]))
	})
	n := property.IntRange(0, 3).Draw(t, "how many")
	want = want[:min(n, len(want))]
	jobs, err := m.queue.Claim(n)
	if err != nil || len(jobs) != len(want) {
		t.Fatalf("claimed %d messages, not %d, %v", len(jobs), len(want), err)
	}
	for i, job := range jobs {
		r := m.messages[want[i]]
		if job.ID != want[i] || job.Attempt != int(r.failures)+1 || job.Priority != int(r.priority) {
			t.Fatalf("claimed %+v, want %x, %+v", job, want[i], r)
		}
		r.place, r.due = keyLeased, m.clock.Now().Add(modelVisibility)
		r.claims++
		m.messages[job.ID] = r
	}
	m.jobs = append(m.jobs, jobs...)
}

// end ends a job, or makes it longer. It may be another worker's by now.
func (m *model) end(t *property.T) {
	if len(m.jobs) == 0 {
		return
	}
	job := property.SampledFrom(m.jobs).Draw(t, "job")
	if property.Bool().Draw(t, "the newest") {
		job = m.jobs[len(m.jobs)-1]
	}
	r, ok := m.messages[job.ID]
	var err error
	switch verb := property.SampledFrom([]string{"ack", "ack", "fail", "bury", "extend"}).Draw(t, "verb"); {
	case !ok || r.place != keyLeased || r.claims != job.claims:
		for _, err := range []error{job.Ack(), job.Fail(nil), job.Bury(nil), job.Extend()} {
			if !errors.Is(err, ErrLeaseLost) {
				t.Fatalf("a job that was lost: %v", err)
			}
		}
		return
	case verb == "ack":
		err = job.Ack()
		delete(m.messages, job.ID)
	case verb == "fail":
		err = job.Fail(errors.New("failed"))
		r.failures++
		r.reason = "failed"
		r.place, r.due = keyDelayed, m.clock.Now().Add(time.Duration(r.failures-1)*time.Second)
		if r.failures == 1 {
			r.place, r.due = keyReady, time.Time{}
		}
		if r.failures >= modelAttempts {
			r.place, r.due = keyDead, time.Time{}
		}
		m.messages[job.ID] = r
	case verb == "bury":
		err = job.Bury(nil)
		r.failures++
		r.place, r.due = keyDead, time.Time{}
		m.messages[job.ID] = r
	case verb == "extend":
		err = job.Extend()
		r.due = m.clock.Now().Add(modelVisibility)
		m.messages[job.ID] = r
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (m *model) pass(t *property.T) {
	m.clock.pass(time.Duration(property.IntRange(1, 90).Draw(t, "seconds")) * time.Second)
}

// dead revives or discards the first dead letter.
func (m *model) dead(t *property.T) {
	for letter, err := range m.queue.Dead() {
		if err != nil {
			t.Fatal(err)
		}
		r := m.messages[letter.ID]
		if r.place != keyDead || letter.Reason != r.reason || letter.Failures != int(r.failures) {
			t.Fatalf("dead letter %+v, want %+v", letter, r)
		}
		if property.Bool().Draw(t, "discard") {
			err = m.queue.Discard(letter.ID)
			delete(m.messages, letter.ID)
		} else {
			err = m.queue.Revive(letter.ID)
			r.place, r.failures = keyReady, 0
			m.messages[letter.ID] = r
		}
		if err != nil {
			t.Fatal(err)
		}
		return
	}
}

// crash opens the database again from what a loss of power leaves. Claims may be lost:
// the messages that there were are there, ready or leased.
func (m *model) crash(t *property.T) {
	crashed := m.fs.Crash(memfs.CrashOptions{
		Keep: memfs.KeepRandom, Seed: uint64(property.IntRange(0, 1000).Draw(t, "seed")),
	})
	if err := m.db.Close(); err != nil {
		t.Fatal(err)
	}
	m.fs = crashed
	m.open(t)
	found := m.read(t)
	for id, r := range m.messages {
		now, ok := found[id]
		if !ok || now.claims > r.claims {
			t.Fatalf("message %x was %+v and is %+v", id, r, now)
		}
	}
	if len(found) != len(m.messages) {
		t.Fatalf("%d messages of %d", len(found), len(m.messages))
	}
	m.messages = found
	m.jobs = nil
	checkQueue(t, m.queue)
}

// read returns all records.
func (m *model) read(t *property.T) map[ID]record {
	found := map[ID]record{}
	err := m.db.View(func(tx *lightning.Tx) error {
		for k, data := range tx.In(m.queue.space).Range(key(keyRecord), key(keyRecord+1)) {
			r, err := decodeRecord(data)
			if err != nil {
				return err
			}
			found[ID(k[len(k)-len(ID{}):])] = *r
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func (m *model) compare(t *property.T) {
	found := m.read(t)
	for id, want := range m.messages {
		if got := found[id]; !bytes.Equal(got.encode(), want.encode()) {
			t.Fatalf("message %x is %+v, want %+v", id, got, want)
		}
	}
	if len(found) != len(m.messages) {
		t.Fatalf("%d messages, not %d", len(found), len(m.messages))
	}
}
