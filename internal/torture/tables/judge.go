package tables

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/queue"
	"github.com/lightningdb/lightning/table"
)

// found is what a picture holds.
type found struct {
	state
	waiting int // messages that are ready or soon will be
	counts  queue.Counts
}

// judge opens a picture and says what is wrong with it.
func (r *round) judge(p picture) (err error) {
	db, err := lightning.Open("db", options(p.fs))
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	book, err := openNewest(db)
	if err != nil {
		return fmt.Errorf("open the table: %w", err)
	}
	jobs, err := openQueue(db)
	if err != nil {
		return fmt.Errorf("open the queue: %w", err)
	}
	f, err := look(db, book, jobs)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(r.states[p.first:p.last+1], func(s *state) bool { return f.holds(s) })
	if at < 0 {
		return fmt.Errorf("found %v, counts %+v, which is after none of the steps:\n%v", &f.state, f.counts, r.states[p.first:p.last+1])
	}
	if err := errors.Join(book.build(), book.migrate()); err != nil {
		return fmt.Errorf("finish the table: %w", err)
	}
	again, err := look(db, book, jobs)
	if err != nil {
		return fmt.Errorf("after building and migrating: %w", err)
	}
	if want := r.states[p.first+at]; !again.holds(want) {
		return fmt.Errorf("after building and migrating: found %v, not %v", &again.state, want)
	}
	return claimAll(jobs, r.states[p.first+at])
}

// openNewest opens the table by the newest schema, by the name that it has, with the index
// extra where it is there.
func openNewest(db *lightning.DB) (b book, err error) {
	for _, name := range names {
		for _, extra := range []bool{false, true} {
			b, err = openBook(db, name, 1, extra)
			if !errors.As(err, new(*table.DefinitionError)) {
				return b, err
			}
		}
	}
	return b, err
}

// look reads all that the model knows, at one moment, and checks that rows and entries agree.
func look(db *lightning.DB, b book, jobs *queue.Queue) (f found, err error) {
	f.state = state{map[int]row{}, map[int]bool{}, map[queue.ID]message{}}
	err = db.View(func(tx *lightning.Tx) error {
		all, err := b.all(tx)
		if err != nil {
			return err
		}
		for _, one := range all {
			if one.ID >= shortID {
				continue
			}
			at, err := b.expiresAt(tx, one.ID)
			if err != nil {
				return err
			}
			f.rows[one.ID], f.expiring[one.ID] = one, !at.IsZero()
		}
		if err := b.check(tx); err != nil {
			return err
		}
		return checkQueries(tx, b, all)
	})
	if err != nil {
		return f, err
	}
	for letter, err := range jobs.Dead() {
		if err != nil {
			return f, err
		}
		f.messages[letter.ID] = message{dead, letter.Failures}
	}
	f.counts, err = jobs.Counts()
	return f, err
}

// checkQueries compares queries through indexes with what is in all rows.
func checkQueries(tx *lightning.Tx, b book, all []row) error {
	for _, city := range []string{"c0", "c1", "c2", "nowhere"} {
		const nick = "n4"
		var want []row
		for _, one := range all {
			if one.City == city && one.Nick >= nick {
				want = append(want, one)
			}
		}
		got, err := b.in(tx, city, nick)
		if err != nil {
			return err
		}
		byID := func(a, b row) int { return cmp.Compare(a.ID, b.ID) }
		slices.SortFunc(got, byID)
		if slices.SortFunc(want, byID); !slices.Equal(got, want) {
			return fmt.Errorf("a query for %s from %s on finds %v, not %v", city, nick, got, want)
		}
	}
	return nil
}

// holds reports whether what was found is a state.
func (f *found) holds(s *state) bool {
	letters := map[queue.ID]message{}
	for _, id := range s.in(dead) {
		letters[id] = s.messages[id]
	}
	for id := range s.rows {
		if s.expiring[id] != f.expiring[id] {
			return false
		}
	}
	return maps.Equal(f.rows, s.rows) && maps.Equal(f.messages, letters) &&
		f.counts.Leased == len(s.in(leased)) && f.counts.Ready+f.counts.Delayed == len(s.in(ready))
}

// claimAll claims all messages that are ready: each of them, once, and no other.
func claimAll(jobs *queue.Queue, s *state) error {
	var got []queue.ID
	for {
		claimed, err := jobs.Claim(3)
		if err != nil {
			return err
		}
		if len(claimed) == 0 {
			break
		}
		for _, job := range claimed {
			got = append(got, job.ID)
		}
	}
	slices.SortFunc(got, func(a, b queue.ID) int { return slices.Compare(a[:], b[:]) })
	if want := s.in(ready); !slices.Equal(got, want) {
		return fmt.Errorf("messages %v are claimed, and %v are ready", got, want)
	}
	return nil
}

// String shows a state to people.
func (s *state) String() string {
	text := "rows"
	for _, id := range slices.Sorted(maps.Keys(s.rows)) {
		text += fmt.Sprintf(" %v", s.rows[id])
		if s.expiring[id] {
			text += "~"
		}
	}
	return text + fmt.Sprintf("; messages %d ready, %d leased, %d dead",
		len(s.in(ready)), len(s.in(leased)), len(s.in(dead)))
}
