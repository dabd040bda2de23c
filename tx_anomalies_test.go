package lightning_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// The ten anomalies of Hermitage (Kleppmann, after Adya 1999), and the phantoms
// that a range can hide behind. A script is a list of steps "T1 put a 1": the
// transaction begins with its first step. A step that reads ends with "= what it
// must see", one that commits may end with "= conflict".

// script runs the steps and reports the first that goes otherwise.
func script(t *testing.T, isolation lightning.Isolation, steps string) error {
	t.Helper()
	db := open(t, &lightning.Options{FS: memfs.New(), Durability: lightning.DurabilityAsync})
	defer db.Close()
	txs := map[string]*lightning.Tx{}
	for line := range strings.Lines(steps) {
		line, want, _ := strings.Cut(strings.TrimSpace(line), "=")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		got, err := scriptStep(db, txs, isolation, words)
		if err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if got != strings.TrimSpace(want) {
			return fmt.Errorf("%s: %q, not %q", line, got, strings.TrimSpace(want))
		}
	}
	for _, tx := range txs {
		tx.Rollback()
	}
	return nil
}

func scriptStep(
	db *lightning.DB, txs map[string]*lightning.Tx, isolation lightning.Isolation, words []string,
) (got string, err error) {
	defer func() {
		if e, ok := recover().(error); ok {
			err = e
		}
	}()
	name, verb, args := words[0], words[1], words[2:]
	tx := txs[name]
	if tx == nil {
		if tx, err = db.Begin(lightning.TxOptions{Isolation: isolation}); err != nil {
			return "", err
		}
		txs[name] = tx
	}
	v := txView{tx: tx}
	switch verb {
	case "put":
		v.put(args[0], args[1])
	case "del":
		v.del(args[0])
	case "delrange":
		v.delRange(args[0], args[1])
	case "get":
		return v.get(args[0]), nil
	case "scan":
		return v.scan(args[0], args[1], false, 99), nil
	case "count":
		return fmt.Sprint(strings.Count(v.scan(args[0], args[1], false, 99), "=")), nil
	case "first":
		return v.scan(args[0], args[1], false, 1), nil
	case "last":
		return v.scan(args[0], args[1], true, 1), nil
	case "seek":
		return v.seek(args[0]), nil
	case "rollback":
		tx.Rollback()
		delete(txs, name)
	case "commit":
		delete(txs, name)
		if err := tx.Commit(); errors.Is(err, lightning.ErrConflict) {
			return "conflict", nil
		} else if err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("no step %q", verb)
	}
	return "", nil
}

const both = "T0 put a 10\nT0 put b 20\nT0 commit\n"

func TestHermitage(t *testing.T) {
	for _, c := range []struct{ name, steps, snapshot string }{ // snapshot: if it differs there
		{"G0 dirty write", both + `
			T1 put a 11
			T2 put a 12
			T1 put b 21
			T1 commit
			T2 put b 22
			T2 commit
			T3 get a = 12
			T3 get b = 22`, both + `
			T1 put a 11
			T2 put a 12
			T1 put b 21
			T1 commit
			T2 put b 22
			T2 commit = conflict
			T3 get a = 11
			T3 get b = 21`},
		{"G1a aborted read", both + `
			T1 put a 101
			T2 get a = 10
			T1 rollback
			T2 get a = 10
			T2 commit`, ""},
		{"G1b intermediate read", both + `
			T1 put a 101
			T2 get a = 10
			T1 put a 11
			T1 commit
			T2 get a = 10
			T2 commit`, ""},
		{"G1c circular information flow", both + `
			T1 put a 11
			T2 put b 22
			T1 get b = 20
			T2 get a = 10
			T1 commit
			T2 commit = conflict`, both + `
			T1 put a 11
			T2 put b 22
			T1 get b = 20
			T2 get a = 10
			T1 commit
			T2 commit`},
		{"OTV observed transaction vanishes", both + `
			T1 put a 11
			T1 put b 19
			T2 put a 12
			T1 commit
			T3 get a = 11
			T2 put b 18
			T3 get b = 19
			T2 commit
			T3 get b = 19
			T3 get a = 11
			T3 commit`, both + `
			T1 put a 11
			T1 put b 19
			T2 put a 12
			T1 commit
			T3 get a = 11
			T2 put b 18
			T3 get b = 19
			T2 commit = conflict
			T3 get b = 19
			T3 get a = 11
			T3 commit`},
		{"PMP predicate-many-preceders", both + `
			T1 scan c z =
			T2 put c 30
			T2 commit
			T1 scan c z =
			T1 commit`, ""},
		{"PMP for writes", both + `
			T1 scan a z = a=10 b=20
			T1 delrange a z
			T2 put c 20
			T2 commit
			T1 commit = conflict`, both + `
			T1 scan a z = a=10 b=20
			T1 delrange a z
			T2 put c 20
			T2 commit
			T1 commit = conflict`},
		{"P4 lost update", both + `
			T1 get a = 10
			T2 get a = 10
			T1 put a 11
			T2 put a 12
			T1 commit
			T2 commit = conflict`, ""},
		{"G-single read skew", both + `
			T1 get a = 10
			T2 put a 12
			T2 put b 18
			T2 commit
			T1 get b = 20
			T1 commit`, ""},
		{"G-single by writes", both + `
			T1 get a = 10
			T2 put a 12
			T2 put b 18
			T2 commit
			T1 del b
			T1 commit = conflict`, ""},
		{"G2-item write skew", both + `
			T1 get a = 10
			T1 get b = 20
			T2 get a = 10
			T2 get b = 20
			T1 put a 11
			T2 put b 21
			T1 commit
			T2 commit = conflict`, both + `
			T1 get a = 10
			T1 get b = 20
			T2 get a = 10
			T2 get b = 20
			T1 put a 11
			T2 put b 21
			T1 commit
			T2 commit`},
		{"G2 phantom skew", both + `
			T1 scan c z =
			T2 scan c z =
			T1 put c 30
			T2 put d 42
			T1 commit
			T2 commit = conflict`, both + `
			T1 scan c z =
			T2 scan c z =
			T1 put c 30
			T2 put d 42
			T1 commit
			T2 commit`},
	} {
		if err := script(t, lightning.StrictSerializable, c.steps); err != nil {
			t.Errorf("%s, strict serializable: %v", c.name, err)
		}
		steps := c.snapshot
		if steps == "" {
			steps = c.steps
		}
		if err := script(t, lightning.SnapshotIsolation, steps); err != nil {
			t.Errorf("%s, snapshot isolation: %v", c.name, err)
		}
	}
}

// A transaction looks at a range in some way and writes elsewhere; another one
// changes what it would have seen, and then something that it did not look at.
func TestPhantoms(t *testing.T) {
	const rows = "T0 put b 1\nT0 put f 1\nT0 put j 1\nT0 commit\n"
	for _, c := range []struct{ name, look, into, beside string }{
		{"empty scan", "T1 scan c f =", "put d 2", "put f 2"},
		{"full scan", "T1 scan b z = b=1 f=1 j=1", "put y 2", "put a 2"},
		{"scan stopped early", "T1 first c z = f=1", "put d 2", "put g 2"},
		{"scan stopped early, the row it ended at", "T1 first c z = f=1", "put f 2", "put j 2"},
		{"reverse", "T1 last a i = f=1", "put g 2", "put e 2"},
		{"seek that lands", "T1 seek c = f=1", "put e 2", "put g 2"},
		{"seek behind the last row", "T1 seek k =", "put m 2", "put j 2"},
		{"absent key", "T1 get c = -", "put c 2", "put d 2"},
		{"count only", "T1 count a g = 2", "del b", "del j"},
		{"range delete over a scan", "T1 scan e k = f=1 j=1", "delrange a g", "delrange a e"},
		{"range delete over an absent key", "T1 get h = -", "delrange g i", "delrange i z"},
		{"insert into a range this one deletes", "T1 scan e k = f=1 j=1\nT1 delrange e k", "put g 2", "put k 2"},
		{"deleted key in the range", "T1 scan c f =", "put e 2\nT2 del e", "put b 2"},
		{"read under an own write", "T1 put f 9\nT1 scan e i = f=9", "put g 2", "put i 2"},
		{"read under an own range delete", "T1 delrange c i\nT1 first c z = j=1", "put d 2", "put k 2"},
	} {
		for _, other := range []struct{ steps, ends string }{{c.into, "= conflict"}, {c.beside, ""}} {
			steps := fmt.Sprintf("%s%s\nT1 put q 1\nT2 %s\nT2 commit\nT1 commit %s", rows, c.look, other.steps, other.ends)
			if err := script(t, lightning.StrictSerializable, steps); err != nil {
				t.Errorf("%s, then %s: %v", c.name, other.steps, err)
			}
		}
	}
}

// A key that came and went leaves what was read as it was.
func TestWhatCameAndWentIsNoConflictAfterCompaction(t *testing.T) {
	db := open(t, small(memfs.New()))
	tx, err := db.Begin(lightning.TxOptions{})
	must(t, err)
	_, err = tx.Get([]byte("k"))
	wantErr(t, err, lightning.ErrNotFound)
	must(t, tx.Put([]byte("other"), nil))
	must(t, db.Put([]byte("k"), []byte("1")))
	must(t, db.Compact(t.Context(), nil, nil))
	must(t, db.Delete([]byte("k")))
	must(t, db.Compact(t.Context(), nil, nil))
	if err := tx.Commit(); err != nil && !errors.Is(err, lightning.ErrConflict) {
		t.Error(err)
	}
}
