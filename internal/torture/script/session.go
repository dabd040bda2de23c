package script

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/torture/model"
)

// Dir is where scripts have their database.
const Dir = "db"

// Session is a database under a script.
type Session struct {
	Options lightning.Options
	dir     string
	DB      *lightning.DB // nil while it is closed
	spaces  map[string]*lightning.Keyspace
	// keyspaces are the options of those that the session makes.
	keyspaces *lightning.KeyspaceOptions
}

// NewSession returns a session whose database is not open yet.
func NewSession(o lightning.Options) *Session {
	return &Session{Options: o, dir: Dir, keyspaces: &lightning.KeyspaceOptions{Merge: lightning.MergeAppend}}
}

// Attach returns a session of a database that is open, with plain keyspaces. There
// may be several, each for one goroutine.
func Attach(db *lightning.DB) *Session {
	return &Session{DB: db, spaces: map[string]*lightning.Keyspace{}}
}

// Open opens the database.
func (s *Session) Open() error {
	db, err := lightning.Open(s.dir, &s.Options)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	s.DB, s.spaces = db, map[string]*lightning.Keyspace{}
	return nil
}

// Close closes the database, if it is open.
func (s *Session) Close() error {
	if s.DB == nil {
		return nil
	}
	db := s.DB
	s.DB = nil
	if err := db.Close(); err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// Run runs one operation of those that History knows, and notes in h what may be
// found from then on.
func (s *Session) Run(o *Op, h *History) error {
	if o.Wait == 0 {
		waiting := *o
		waiting.Wait = WaitFor(s.Options.Durability)
		o = &waiting
	}
	h.Begin(o)
	err := s.do(o, h)
	if err != nil {
		h.Fail(o)
		return fmt.Errorf("%v: %w", o, err)
	}
	h.Acknowledge(o)
	return nil
}

// Space returns the handle of a keyspace, nil for the default one.
func (s *Session) Space(name string) (*lightning.Keyspace, error) {
	if k := s.spaces[name]; k != nil || name == "" {
		return k, nil
	}
	k, err := s.DB.Keyspace(context.Background(), name, s.keyspaces)
	if err == nil {
		s.spaces[name] = k
	}
	return k, err
}

func (s *Session) do(o *Op, h *History) error {
	if o.Kind == Reopen {
		if err := s.Close(); err != nil {
			return err
		}
		h.Acknowledge(o) // the clean end makes all durable, before the next beginning
		return s.Open()
	}
	if s.DB == nil {
		return lightning.ErrClosed
	}
	if o.Kind == Verify {
		found, err := s.Read()
		if err != nil {
			return err
		}
		return h.Now().Check(found)
	}
	switch o.Kind {
	case Checkpoint:
		return s.checkpoint(h)
	case Backup:
		return s.backup(h)
	}
	if o.Wait == WaitFor(s.Options.Durability) {
		single := *o
		single.Wait = 0
		o = &single
	}
	return s.Do(context.Background(), o)
}

// Do does one operation to a database that is open, and no Reopen. A write is a
// batch only if it says what it waits for.
func (s *Session) Do(ctx context.Context, o *Op) error {
	switch o.Kind {
	case Flush:
		return s.DB.Flush(ctx)
	case Compact:
		return s.DB.Compact(ctx, o.Key.Bytes(), o.Upper.Bytes())
	case SyncLog:
		return s.DB.SyncLog(context.Background())
	case CreateSpace:
		_, err := s.Space(o.Space)
		return err
	case DropSpace:
		delete(s.spaces, o.Space)
		return s.DB.DropKeyspace(context.Background(), o.Space)
	case Batch:
		return s.commit(o, o.Parts)
	case Fill:
		if o.Count%2 == 1 {
			return s.load(o)
		}
		return s.commit(o, o.Singles())
	case Sweep:
		return s.commit(o, o.Singles())
	case Transact:
		return s.transact(o)
	case Decide:
		err := s.single(o)
		if err == nil && o.Wait == WaitFor(lightning.DurabilitySync) {
			err = s.DB.SyncLog(ctx) // which it cannot ask for itself
		}
		return err
	}
	if o.Wait != 0 {
		return s.commit(o, []Op{*o})
	}
	return s.single(o)
}

// single does without a batch what can be done without.
func (s *Session) single(o *Op) error {
	k, err := s.Space(o.Space)
	if err != nil {
		return err
	}
	if k != nil {
		return o.Write(k)
	}
	return o.Write(s.DB)
}

// load does the puts of an operation as a bulk load, which is durable whatever o waits for.
func (s *Session) load(o *Op) error {
	k, err := s.Space(o.Space)
	if err != nil {
		return err
	}
	begin := s.DB.BulkLoader
	if k != nil {
		begin = k.BulkLoader
	}
	loader, err := begin()
	if err != nil {
		return err
	}
	defer loader.Close()
	rows := o.Singles()
	if o.Kind == Fill && o.Count%8 == 1 && s.Options.FS != nil {
		if err := s.loadTable(loader, rows); err != nil {
			return err
		}
		return loader.Commit()
	}
	if o.Count%4 == 3 {
		rows = append(rows[1:], rows[0]) // not in order at the end
	}
	if err := putAll(loader, rows); err != nil {
		return err
	}
	return loader.Commit()
}

// loadTable adds rows by way of a table that belongs to no database.
func (s *Session) loadTable(loader *lightning.BulkLoader, rows []Op) error {
	const path = "loaded.table"
	w, err := lightning.CreateTable(path, &lightning.TableOptions{FS: s.Options.FS})
	if err != nil {
		return err
	}
	defer w.Close()
	if err := putAll(w, rows); err != nil {
		return err
	}
	if err := w.Finish(); err != nil {
		return err
	}
	if err := loader.AddTable(context.Background(), path); err != nil {
		return err
	}
	return s.Options.FS.Remove(path)
}

// putAll puts rows, and scribbles over what it handed in.
func putAll(to interface{ Put(key, value []byte) error }, rows []Op) error {
	for _, one := range rows {
		key, value := one.Key.Bytes(), one.Value.Bytes()
		err := to.Put(key, value)
		Scribble(key, value)
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *Session) transact(o *Op) error {
	tx, err := s.DB.Begin(lightning.TxOptions{})
	if err != nil {
		return err
	}
	defer tx.Rollback()
	for i := range o.Parts {
		into := tx
		k, err := s.Space(o.Parts[i].Space)
		if err != nil {
			return err
		}
		if k != nil {
			into = tx.In(k)
		}
		if err := o.Parts[i].Write(into); err != nil {
			return err
		}
	}
	return tx.CommitWith(o.Wait.Or(s.Options.Durability))
}

func (s *Session) commit(o *Op, parts []Op) error {
	b := s.DB.NewBatch()
	for i := range parts {
		into := b
		k, err := s.Space(parts[i].Space)
		if err != nil {
			return err
		}
		if k != nil {
			into = b.In(k)
		}
		if err := parts[i].Write(into); err != nil {
			return err
		}
	}
	return o.Commit(b)
}

// Read returns all that the database holds, by a scan of each keyspace. Every
// row is also looked for by its key.
func (s *Session) Read() (model.State, error) {
	var state model.State
	for _, name := range append([]string{""}, s.DB.Keyspaces()...) {
		k, err := s.Space(name)
		if err != nil {
			return state, err
		}
		var r Reader = s.DB
		if k != nil {
			r = k
		}
		rows, err := readSpace(r)
		if err != nil {
			return state, fmt.Errorf("keyspace %q: %w", name, err)
		}
		state = state.With(name, rows)
	}
	return state, nil
}

// Reader is what the database, a keyspace, a snapshot and a keyspace of a snapshot
// have in common.
type Reader interface {
	Get(key []byte) ([]byte, error)
	AppendGet(dst, key []byte) ([]byte, error)
	GetFunc(key []byte, fn func(value []byte) error) error
	GetReader(key []byte) (*lightning.ValueReader, error)
	Has(key []byte) (bool, error)
	MultiGet(keys [][]byte, fn func(i int, value []byte, err error) error) error
	Iterator(o lightning.IterOptions) (*lightning.Iterator, error)
	Scan(o lightning.ScanOptions, fn func(rows iter.Seq2[[]byte, []byte]) error) error
	Count(ctx context.Context, lo, hi []byte) (int64, error)
}

// ReadStream returns a value as its reader yields it.
func ReadStream(from Reader, key []byte) (string, error) {
	r, err := from.GetReader(key)
	if err != nil {
		return "", err
	}
	value, err := io.ReadAll(r)
	return string(value), errors.Join(err, r.Close())
}

func readSpace(r Reader) (rows model.Store, err error) {
	var all []model.Row
	err = r.Scan(lightning.ScanOptions{}, func(seq iter.Seq2[[]byte, []byte]) error {
		for k, v := range seq {
			all = append(all, model.Row{Key: string(k), Value: string(v)})
		}
		return nil
	})
	if err != nil {
		return rows, fmt.Errorf("scan: %w", err)
	}
	for _, row := range all {
		v, err := r.Get([]byte(row.Key))
		if err != nil {
			return rows, fmt.Errorf("get %q, which the scan showed: %w", row.Key, err)
		}
		if string(v) != row.Value {
			return rows, fmt.Errorf("get %q is %.40q, the scan showed %.40q", row.Key, v, row.Value)
		}
		if len(v) < streamFromBytes {
			continue
		}
		if streamed, err := ReadStream(r, []byte(row.Key)); err != nil || streamed != row.Value {
			return rows, fmt.Errorf("the reader of %q yields %.40q, %v; the scan showed %.40q", row.Key, streamed, err, row.Value)
		}
	}
	return model.NewStore(all), nil
}
