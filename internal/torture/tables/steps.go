package tables

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/queue"
	"github.com/lightningdb/lightning/table"
)

// What a round does to its database. Each step is one transaction, or changes nothing
// that the model knows.

func (r *round) step() error {
	switch n := r.rng.IntN(25); {
	case n < 8:
		return r.write()
	case n < 10:
		return r.byQuery()
	case n < 12:
		return r.short()
	case n < 16:
		return r.work()
	case n < 19:
		return r.end()
	case n == 19:
		return r.redeclare()
	case n == 20:
		return r.upgrade()
	case n == 21:
		return errors.Join(r.book.build(), r.book.migrate())
	case n == 22:
		return r.rename()
	case n == 23:
		return r.db.Flush(context.Background())
	default:
		return r.db.Compact(context.Background(), nil, nil)
	}
}

// transact does a step of the model in a transaction.
func (r *round) transact(change func(s *state), do func(tx *lightning.Tx) error) error {
	r.begin(change)
	if err := r.db.Update(do); err != nil {
		return err
	}
	r.acknowledged()
	return nil
}

func (r *round) randomRow() row {
	return row{r.rng.IntN(ids), fmt.Sprint("n", r.rng.IntN(ids)), fmt.Sprint("c", r.rng.IntN(3))}
}

// write puts a row, in one of several ways, or removes one. Where another row has its nick
// nothing must happen.
func (r *round) write() error {
	one, now := r.randomRow(), r.now()
	_, exists := now.rows[one.ID]
	how := r.rng.IntN(5)
	do := func(tx *lightning.Tx) error { return r.book.put(tx, one) }
	expires := now.expiring[one.ID] // kept
	refused := now.taken(one)
	switch how {
	case 1:
		do = func(tx *lightning.Tx) error { return r.book.insert(tx, one) }
		refused = refused || exists
	case 2:
		do = func(tx *lightning.Tx) error { return r.book.putFor(tx, one, longTTL) }
		expires = true
	case 3:
		do = func(tx *lightning.Tx) error { return r.book.remove(tx, one.ID) }
		if !exists {
			return r.db.Update(do) // which writes nothing, and so makes nothing durable
		}
		return r.transact(func(s *state) { delete(s.rows, one.ID); delete(s.expiring, one.ID) }, do)
	case 4:
		if !exists {
			return nil
		}
		expires = r.rng.IntN(2) == 0
		ttl := lightning.Forever
		if expires {
			ttl = longTTL
		}
		return r.transact(func(s *state) { s.expiring[one.ID] = expires },
			func(tx *lightning.Tx) error { return r.book.touch(tx, one.ID, ttl) })
	}
	if refused {
		if err := r.db.Update(do); !errors.Is(err, table.ErrDuplicate) {
			return fmt.Errorf("%v is written in the place of another row, or with its nick: %w", one, err)
		}
		return nil
	}
	return r.transact(func(s *state) { s.rows[one.ID] = one; s.expiring[one.ID] = expires }, do)
}

// byQuery moves or removes all rows in a city.
func (r *round) byQuery() error {
	from, to := fmt.Sprint("c", r.rng.IntN(3)), fmt.Sprint("c", r.rng.IntN(3))
	remove := r.rng.IntN(3) == 0
	want := 0
	for _, one := range r.now().rows {
		if one.City == from {
			want++
		}
	}
	change := func(s *state) {
		for id, one := range s.rows {
			if one.City != from {
				continue
			}
			if one.City = to; remove {
				delete(s.rows, id)
				delete(s.expiring, id)
			} else {
				s.rows[id] = one
			}
		}
	}
	do := func(tx *lightning.Tx) error {
		n, err := r.book.move(tx, from, to)
		if err == nil && n != want {
			err = fmt.Errorf("%d rows in %s, not %d", n, from, want)
		}
		return err
	}
	if remove {
		do = func(tx *lightning.Tx) error {
			n, err := r.book.drop(tx, from)
			if err == nil && n != want {
				err = fmt.Errorf("%d rows in %s are removed, not %d", n, from, want)
			}
			return err
		}
	}
	if want == 0 {
		return r.db.Update(do)
	}
	return r.transact(change, do)
}

// short puts a row that soon expires. Its nick is its own, its city nobody's.
func (r *round) short() error {
	one := row{ID: shortID + r.rng.IntN(3)}
	one.Nick, one.City = fmt.Sprint("short", r.rng.IntN(3)), "nowhere"
	err := r.db.Update(func(tx *lightning.Tx) error { return r.book.putFor(tx, one, shortTTL) })
	if errors.Is(err, table.ErrDuplicate) {
		return nil // another one is still there
	}
	return err
}

// work puts a message into the queue, claims some, or does a piece of work: a row is
// written and a message ended in one transaction.
func (r *round) work() error {
	switch one := r.randomRow(); {
	case r.rng.IntN(2) == 0:
		return r.claim()
	case r.now().taken(one):
		return r.enqueue(nil)
	default:
		return r.enqueue(&one)
	}
}

// enqueue puts a message into the queue, in the transaction that writes a row if there is
// one. Nobody knows the name of the message before.
func (r *round) enqueue(with *row) error {
	tx, err := r.db.Begin(lightning.TxOptions{})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	id, err := r.queue.In(tx).Enqueue(queue.Message{Payload: []byte("work")})
	if err == nil && with != nil {
		err = r.book.put(tx, *with)
	}
	if err != nil {
		return err
	}
	r.begin(func(s *state) {
		s.messages[id] = message{}
		if with != nil {
			s.rows[with.ID] = *with
			s.expiring[with.ID] = s.expiring[with.ID]
		}
	})
	if err := tx.Commit(); err != nil {
		return err
	}
	r.acknowledged()
	return nil
}

// claim takes up to two messages that are ready. Those that have failed may be found a
// moment later only.
func (r *round) claim() error {
	waiting := r.now().in(ready)
	n := 1 + r.rng.IntN(2)
	// Which of them it will be is known afterwards, but not to a picture: one that is
	// taken in between has a claim that the model does not have. So none is.
	r.disk.SetHook(nil)
	defer r.disk.SetHook(r.takePicture)
	jobs, err := r.queue.Claim(n)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if !slices.Contains(waiting, job.ID) {
			return fmt.Errorf("message %v is claimed and was not ready", job.ID)
		}
		r.jobs[job.ID] = job
	}
	r.begin(func(s *state) {
		for _, job := range jobs {
			s.messages[job.ID] = message{leased, s.messages[job.ID].failures}
		}
	})
	return nil
}

// in returns the messages that are somewhere, in an order that follows from them.
func (s *state) in(place where) []queue.ID {
	var found []queue.ID
	for id, m := range s.messages {
		if m.where == place {
			found = append(found, id)
		}
	}
	slices.SortFunc(found, func(a, b queue.ID) int { return slices.Compare(a[:], b[:]) })
	return found
}

// end ends a job in one of several ways; with an Ack a row is written.
func (r *round) end() error {
	mine := r.now().in(leased)
	if len(mine) == 0 {
		return nil
	}
	id := mine[r.rng.IntN(len(mine))]
	job, one := r.jobs[id], r.randomRow()
	failed := errors.New("it failed")
	switch r.rng.IntN(4) {
	case 0:
		return r.transact(func(s *state) {
			m := s.messages[id]
			if m.failures++; m.failures == attemptsMax {
				m.where = dead
			} else {
				m.where = ready
			}
			s.messages[id] = m
		}, func(tx *lightning.Tx) error { return r.queue.In(tx).Fail(job, failed) })
	case 1:
		return r.transact(func(s *state) {
			s.messages[id] = message{dead, s.messages[id].failures + 1}
		}, func(tx *lightning.Tx) error { return r.queue.In(tx).Bury(job, failed) })
	}
	free := !r.now().taken(one)
	return r.transact(func(s *state) {
		delete(s.messages, id)
		if free {
			s.rows[one.ID] = one
			s.expiring[one.ID] = s.expiring[one.ID]
		}
	}, func(tx *lightning.Tx) error {
		if err := r.queue.In(tx).Ack(job); err != nil || !free {
			return err
		}
		return r.book.put(tx, one)
	})
}

// redeclare adds the index that comes and goes, or drops it.
func (r *round) redeclare() (err error) {
	if r.extra {
		if err := table.DropIndex(context.Background(), r.db, names[r.name], extra); err != nil {
			return err
		}
	}
	r.extra = !r.extra
	r.book, err = openBook(r.db, names[r.name], r.version, r.extra)
	return err
}

// rename gives the table its other name.
func (r *round) rename() error {
	from := names[r.name]
	r.name = 1 - r.name
	if err := table.Rename(context.Background(), r.db, from, names[r.name]); err != nil {
		return err
	}
	return r.refused(r.book)
}

// upgrade opens the table by the newer version. The handle of the older one must be
// refused from then on.
func (r *round) upgrade() error {
	if r.version > 0 {
		return nil
	}
	r.version++
	return r.refused(r.book)
}

// refused opens the table anew. The handle of before must be refused from then on.
func (r *round) refused(old book) (err error) {
	if r.book, err = openBook(r.db, names[r.name], r.version, r.extra); err != nil {
		return err
	}
	for name, do := range map[string]func(tx *lightning.Tx) error{
		"reads":  func(tx *lightning.Tx) error { _, err := old.all(tx); return err },
		"writes": func(tx *lightning.Tx) error { return old.put(tx, row{ID: 1}) },
	} {
		if err := r.db.Update(do); !errors.Is(err, table.ErrStale) {
			return fmt.Errorf("a handle of the definition before %s: %w", name, err)
		}
	}
	return nil
}
