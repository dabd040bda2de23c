package table

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The record of three versions: a name that is split, a town that is renamed, initials
// that are computed.
type (
	guest0 struct {
		ID         int
		Name, Town string
	}
	guest1 struct {
		ID                int
		First, Last, Town string
	}
	guest2 struct {
		ID                          int
		First, Last, City, Initials string
	}
)

func schema0() Schema[guest0, int] {
	town := One("town", func(g guest0) string { return g.Town })
	name := One("name", func(g guest0) string { return g.Name })
	return Schema[guest0, int]{
		Name: "guests", Key: One("id", func(g guest0) int { return g.ID }), Expiry: &Expiry[guest0]{},
		Indexes: []Index[guest0]{{Name: "town", On: []Column[guest0]{town}}, {Name: "name", On: []Column[guest0]{name}}},
	}
}

var (
	guestID    = One("number", func(g guest2) int { return g.ID })
	guestIn    = One("city", func(g guest2) string { return g.City })
	guestAs    = One("last", func(g guest2) string { return g.Last })
	toVersion1 = Migration{
		From: 0, DroppedIndexes: []string{"name"},
		Upgrade: UpgradeOf(nil, nil, func(g guest0) (guest1, error) {
			first, last, ok := strings.Cut(g.Name, " ")
			if !ok {
				return guest1{}, errors.New("one name")
			}
			return guest1{g.ID, first, last, g.Town}, nil
		}),
	}
	toVersion2 = Migration{
		From: 1, RenamedAttributes: map[string]string{"town": "city", "id": "number"},
		RenamedIndexes: map[string]string{"town": "city"},
		Upgrade: UpgradeOf(nil, nil, func(g guest1) (guest2, error) {
			return guest2{g.ID, g.First, g.Last, g.Town, g.First[:1] + g.Last[:1]}, nil
		}),
	}
)

func schema2(migrations ...Migration) Schema[guest2, int] {
	return Schema[guest2, int]{
		Name: "guests", Key: guestID, Version: 2, Migrations: migrations,
		Indexes: []Index[guest2]{
			{Name: "city", On: []Column[guest2]{guestIn}}, {Name: "last", Unique: true, On: []Column[guest2]{guestAs}},
		},
	}
}

func guest(n int) guest0 { return guest0{n, fmt.Sprintf("Ada L%03d", n), fmt.Sprint("T", n%3)} }

// newGuest is guest as version 2 has it.
func newGuest(n int) guest2 {
	return guest2{n, "Ada", fmt.Sprintf("L%03d", n), fmt.Sprint("T", n%3), "AL"}
}

func openGuests[R any](t testing.TB, db *lightning.DB, s Schema[R, int]) *Table[R, int] {
	t.Helper()
	guests, err := Open(context.Background(), db, s)
	if err != nil {
		t.Fatal(err)
	}
	return guests
}

// expectGuests says what is wrong with a table of so many guests, of any version.
func expectGuests(guests *Table[guest2, int], n int) error {
	for i := range n {
		if got, err := guests.Get(i); got != newGuest(i) || err != nil {
			return fmt.Errorf("guest %d: %v, %w", i, got, err)
		}
	}
	in, err := guests.Query().Where(guestIn.Eq("T1")).Count()
	if want := (n + 1) / 3; in != want || err != nil {
		return fmt.Errorf("%d in T1, not %d: %w", in, want, err)
	}
	all, err := guests.Query().Count()
	if all != n || err != nil {
		return fmt.Errorf("%d rows, not %d: %w", all, n, err)
	}
	return guests.Check()
}

func TestRowsOfOlderVersions(t *testing.T) {
	inBubble(t, func(t *testing.T, db *lightning.DB) {
		const n = 31
		old := openGuests(t, db, schema0())
		for i := range n {
			if err := old.PutWithTTL(guest(i), time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		guests := openGuests(t, db, schema2(toVersion1, toVersion2))
		if err := expectGuests(guests, n); err != nil {
			t.Fatal("at once: ", err)
		}
		for name, err := range map[string]error{
			"get": func() error { _, err := old.Get(1); return err }(), "put": old.Put(guest(0)),
			"count":   func() error { _, err := old.Query().Count(); return err }(),
			"migrate": old.Migrate(t.Context(), nil), "build": old.Build(t.Context(), nil),
		} {
			if !errors.Is(err, ErrStale) {
				t.Errorf("%s through the handle of version 0: %v", name, err)
			}
		}
		expectRefused(t, db, schema0(), "is 2 in the database and 0 in this program")
		expectRefused(t, db, schema2(toVersion2), "no migration leads from version 0 to 1")
		if err := guests.Build(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := guests.Update(7, func(g *guest2) error { return nil }); err != nil {
			t.Fatal(err)
		}
		rows := 0
		if err := guests.Migrate(t.Context(), func(p MigrateProgress) { rows = int(p.Rows) }); err != nil || rows != n {
			t.Fatal(rows, err)
		}
		if err := expectGuests(guests, n); err != nil {
			t.Fatal("migrated: ", err)
		}
		if at, err := guests.ExpiresAt(3); time.Until(at) != time.Hour || err != nil {
			t.Errorf("expires at %v, %v", at, err)
		}
		guests = openGuests(t, db, schema2()) // nothing is left to be migrated
		if err := expectGuests(guests, n); err != nil {
			t.Fatal("without migrations: ", err)
		}
		if err := guests.Migrate(t.Context(), func(MigrateProgress) { t.Error("something is left") }); err != nil {
			t.Error(err)
		}
		pass(time.Hour)
		// The update had no word about expiry, so the row lives on.
		if got, err := guests.Query().Count(); got != 1 || err != nil {
			t.Errorf("after an hour: %d, %v", got, err)
		}
	})
}

func expectRefused[R any](t *testing.T, db *lightning.DB, s Schema[R, int], reason string) {
	t.Helper()
	_, err := Open(t.Context(), db, s)
	if !errors.As(err, new(*DefinitionError)) || !strings.Contains(err.Error(), reason) {
		t.Errorf("got %v, not that it %s", err, reason)
	}
}

func TestMigrationsThatCannotBe(t *testing.T) {
	db := testDB(t)
	guests := openGuests(t, db, schema0())
	expectRefused(t, db, schema2(toVersion1, toVersion1), "is declared twice")
	expectRefused(t, db, schema2(Migration{From: 2}), "does not lead to version 2")
	expectRefused(t, db, schema2(Migration{}, Migration{From: 1}), "primary key: was id (integer) and is declared as number (integer)")
	expectRefused(t, db, schema2(Migration{}, toVersion2), "index name: is in the database and not declared")
	if err := guests.Put(guest0{1, "Ada", "T1"}); err != nil {
		t.Fatal(err)
	}
	upgraded := openGuests(t, db, schema2(toVersion1, toVersion2))
	if _, err := upgraded.Get(1); err == nil || !strings.Contains(err.Error(), "row (1): upgrade from version 0: one name") {
		t.Errorf("got %v", err)
	}
	if err := upgraded.Migrate(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "one name") {
		t.Errorf("got %v", err)
	}
	moved := toVersion2
	moved.Upgrade = UpgradeOf(nil, nil, func(g guest1) (guest2, error) { return guest2{ID: g.ID + 1}, nil })
	whole := toVersion1
	whole.Upgrade = func(data []byte) ([]byte, error) { return bytes.Clone(data), nil }
	wrong := openGuests(t, db, schema2(whole, moved))
	if err := wrong.Migrate(t.Context(), nil); !errors.Is(err, ErrKeyChanged) {
		t.Errorf("got %v", err)
	}
}

// raw is a codec of strings that keeps them as they are.
type raw struct{}

func (raw) Name() string                                  { return "raw" }
func (raw) Append(dst []byte, rec string) ([]byte, error) { return append(dst, rec...), nil }
func (raw) Decode(data []byte) (string, error)            { return string(data), nil }
func rawSchema(version uint64, m ...Migration) Schema[string, string] {
	return Schema[string, string]{
		Name: "raw", Key: One("all", func(s string) string { return s }), Codec: raw{}, Version: version, Migrations: m,
	}
}

// Whatever a codec makes is read as it was, also what looks as if it told a version. The
// bytes are those that docs/format/table.md shows.
func TestRowsTellTheirVersion(t *testing.T) {
	for _, c := range []struct {
		version   uint64
		data, row string
	}{
		{0, "", ""}, {0, "\xfe\xff", "\xfe\xff"}, {0, "{}", "{}"},
		{0, "\xff", "\xff\x00\xff"}, {0, "\xff\x01{}", "\xff\x00\xff\x01{}"},
		{1, "", "\xff\x01"}, {1, "{}", "\xff\x01{}"}, {300, "{}", "\xff\xac\x02{}"},
	} {
		v := versions{now: c.version}
		row := v.frame([]byte(c.data))
		version, data, err := unframe(row)
		if string(row) != c.row || version != c.version || string(data) != c.data || err != nil {
			t.Errorf("%q of version %d is %q, which is %q of version %d, %v", c.data, c.version, row, data, version, err)
		}
	}
	db := testDB(t)
	for version, suffix := range []string{"\xff\x01", "\xff", "x"} {
		table, err := Open(t.Context(), db, rawSchema(uint64(version), []Migration{{From: 0}, {From: 1}}[:version]...))
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Put(suffix); err != nil {
			t.Fatal(err)
		}
		if got, err := table.Get("\xff\x01"); got != "\xff\x01" || err != nil {
			t.Errorf("version %d: %q, %v", version, got, err)
		}
		if err := table.Check(); err != nil {
			t.Error(err)
		}
	}
}

// FuzzRowVersion reads arbitrary rows: nothing panics, and what is accepted is a version
// and what follows it.
func FuzzRowVersion(f *testing.F) {
	f.Add([]byte("{}"))
	f.Add([]byte("\xff\x00\xff"))
	f.Add([]byte("\xff\xac\x02{}"))
	f.Fuzz(func(t *testing.T, row []byte) {
		version, data, err := unframe(row)
		if err != nil && !errors.Is(err, lightning.ErrCorrupted) {
			t.Errorf("unexpected %v", err)
		}
		if err == nil && !bytes.HasSuffix(row, data) {
			t.Errorf("%x is %x of version %d", row, data, version)
		}
	})
}

// Writers change rows while they are migrated.
func TestMigrateBesideWriters(t *testing.T) {
	db := testDB(t)
	const n = 60
	old := openGuests(t, db, schema0())
	for i := range n {
		if err := old.Put(guest(i)); err != nil {
			t.Fatal(err)
		}
	}
	guests := openGuests(t, db, schema2(toVersion1, toVersion2))
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for i := w; i < n; i += 2 {
				if err := guests.Update(i, func(g *guest2) error { return nil }); err != nil {
					t.Error(err)
				}
				if err := guests.Put(newGuest(n + i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if err := guests.Migrate(t.Context(), nil); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if err := expectGuests(openGuests(t, db, schema2()), 2*n); err != nil {
		t.Error(err)
	}
}

// TestMigrationCrashes cuts the power before every operation of the file system while a
// table gets a new version and is migrated. Whatever is found then is one version or the
// other, with all rows, and can be finished.
func TestMigrationCrashes(t *testing.T) {
	const n = 8
	run := func(fs *memfs.FS, opened *atomic.Bool) error {
		db, err := lightning.Open("db", &lightning.Options{FS: fs, MemoryBudget: 8 << 20})
		if err != nil {
			return err
		}
		defer db.Close()
		old, err := Open(context.Background(), db, schema0())
		if err != nil {
			return err
		}
		err = db.Update(func(tx *lightning.Tx) error {
			for i := range n {
				if err := old.In(tx).Put(guest(i)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		opened.Store(true)
		guests, err := Open(context.Background(), db, schema2(toVersion1, toVersion2))
		if err != nil {
			return err
		}
		for range 4 {
			err := db.Update(func(tx *lightning.Tx) error {
				_, err := guests.migrateSome(tx, 3)
				return err
			})
			if err != nil {
				return err
			}
		}
		return guests.Build(context.Background(), nil)
	}
	whole := memfs.New()
	if err := run(whole, new(atomic.Bool)); err != nil {
		t.Fatal(err)
	}
	cut := errors.New("power cut")
	for at := int64(1); at < whole.Ops(); at++ {
		fs, filled := memfs.New(), new(atomic.Bool)
		var ops atomic.Int64
		fs.SetHook(func(vfs.Op) error {
			if ops.Add(1) >= at {
				return cut
			}
			return nil
		})
		if _ = run(fs, filled); filled.Load() { // it fails where it is cut
			finishMigration(t, fs.Crash(memfs.CrashOptions{Seed: uint64(at), Keep: memfs.Policy(at % 3)}), at, n)
		}
	}
}

// finishMigration opens what a crash has left, and brings it to version 2.
func finishMigration(t *testing.T, fs *memfs.FS, at int64, n int) {
	t.Helper()
	db, err := lightning.Open("db", &lightning.Options{FS: fs, MemoryBudget: 8 << 20})
	if err != nil {
		t.Fatalf("crash at %d: %v", at, err)
	}
	defer db.Close()
	guests := openGuests(t, db, schema2(toVersion1, toVersion2))
	err = errors.Join(expectGuests(guests, n), guests.Migrate(t.Context(), nil), guests.Build(t.Context(), nil),
		expectGuests(openGuests(t, db, schema2()), n))
	if names := db.Keyspaces(); err == nil && len(names) != 4 {
		err = fmt.Errorf("keyspaces %q are left", names)
	}
	if err != nil {
		t.Fatalf("crash at %d: %v", at, err)
	}
}
