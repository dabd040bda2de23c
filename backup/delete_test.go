package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Each rule keeps the newest backup of each of the last periods that have any; together they
// keep what one of them does.
func TestKeep(t *testing.T) {
	var infos []Info
	for _, text := range []string{
		"2024-12-30T10:00:00Z", // of the first week of 2025
		"2025-12-31T23:59:00Z", "2026-01-01T00:01:00Z", "2026-01-30T08:00:00Z", "2026-02-01T08:00:00Z",
		"2026-02-02T08:00:00Z", "2026-02-02T20:00:00Z", "2026-02-03T08:00:00Z", "2026-02-03T09:00:00Z",
	} {
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, Info{ID: text, Time: at})
	}
	for _, c := range []struct {
		keep Keep
		want string // days and hours of those that stay
	}{
		{Keep{Last: 1}, "02-03T09"},
		{Keep{Last: 3}, "02-02T20 02-03T08 02-03T09"},
		{Keep{Last: 100}, "12-30T10 12-31T23 01-01T00 01-30T08 02-01T08 02-02T08 02-02T20 02-03T08 02-03T09"},
		{Keep{Daily: 1}, "02-03T09"},
		{Keep{Daily: 3}, "02-01T08 02-02T20 02-03T09"},
		{Keep{Weekly: 2}, "02-01T08 02-03T09"},
		{Keep{Weekly: 9}, "12-30T10 01-01T00 02-01T08 02-03T09"},
		{Keep{Monthly: 2}, "01-30T08 02-03T09"},
		{Keep{Yearly: 9}, "12-30T10 12-31T23 02-03T09"},
		{Keep{Within: 24 * time.Hour}, "02-02T20 02-03T08 02-03T09"},
		{Keep{Within: 25 * time.Hour, Yearly: 2}, "12-31T23 02-02T08 02-02T20 02-03T08 02-03T09"},
	} {
		stay := c.keep.chosen(infos)
		var got []string
		for _, info := range infos {
			if stay[info.ID] {
				got = append(got, info.ID[5:13])
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%+v keeps %v, want %s", c.keep, got, c.want)
		}
	}
	for _, k := range []Keep{{}, {Last: -1}, {Last: 1, Within: -1}} {
		if err := k.check(); !errors.Is(err, ErrOption) {
			t.Errorf("%+v: %v", k, err)
		}
	}
}

// Where a manifest is damaged, nothing is deleted but that backup itself.
func TestDeleteBesideDamage(t *testing.T) {
	target := newTarget(t)
	good, bad := putBackup(t, target, "good"), putBackup(t, target, "bad")
	must(t, target.Put(t.Context(), backupPrefix+bad, []byte("LDBACKUP\x01nonsense that is long enough to be looked at as a header")))
	before := names(t, target)
	_, err := Prune(t.Context(), target, Keep{Last: 1}, PruneOptions{})
	if !isDamage(err) {
		t.Errorf("prune: %v", err)
	}
	_, err = Delete(t.Context(), target, PruneOptions{}, good)
	if !isDamage(err) {
		t.Errorf("delete: %v", err)
	}
	_, err = Delete(t.Context(), target, PruneOptions{}, "20260101T000000.000Z-00000000")
	if !errors.Is(err, ErrNotFound) {
		t.Errorf("delete of nothing: %v", err)
	}
	if after := names(t, target); !slices.Equal(before, after) {
		t.Errorf("the target had %q and has %q", before, after)
	}
	d, err := Delete(t.Context(), target, PruneOptions{DryRun: true}, bad)
	must(t, err)
	if after := names(t, target); d.Chunks != 1 || !slices.Equal(before, after) {
		t.Errorf("a dry run says %+v, and leaves %q", d, after)
	}
	d, err = Delete(t.Context(), target, PruneOptions{}, bad)
	must(t, err)
	if d.Chunks != 1 || len(d.Kept) != 1 || d.Kept[0].ID != good {
		t.Errorf("deleted %+v", d)
	}
	infos, err := List(t.Context(), target)
	if err != nil || len(infos) != 1 || infos[0].ID != good {
		t.Errorf("left are %v, %v", infos, err)
	}
}

// dying is a target whose user dies: after some deletions nothing is deleted any more, a lease
// neither.
type dying struct {
	Target
	left atomic.Int64
}

func (d *dying) Delete(ctx context.Context, name string) error {
	if d.left.Add(-1) < 0 {
		return errDown
	}
	return d.Target.Delete(ctx, name)
}

// Wherever a deletion ends, the backups that are listed are whole, also those that share chunks
// with what went, and the next deletion takes away what the first one has left.
func TestDeleteEndsAnywhere(t *testing.T) {
	ended := 0
	for n := int64(0); ; n++ {
		target := &dying{Target: newTarget(t)}
		kept, shares := putBackup(t, target, "shared"), putBackup(t, target, "shared")
		alone, last := putBackup(t, target, "alone"), putBackup(t, target, "last")
		target.left.Store(n)
		_, err := Delete(t.Context(), target, PruneOptions{}, shares, alone)
		target.left.Store(1 << 30)
		for _, name := range names(t, target) {
			if strings.HasPrefix(name, leasePrefix) {
				must(t, target.Delete(t.Context(), name))
			}
		}
		report, checkErr := Check(t.Context(), target, CheckOptions{})
		must(t, checkErr)
		if len(report.Damage) != 0 {
			t.Fatalf("after %d deletions: %+v", n, report.Damage)
		}
		_, again := Delete(t.Context(), target, PruneOptions{}, last)
		must(t, again)
		infos, listErr := List(t.Context(), target)
		must(t, listErr)
		if !slices.ContainsFunc(infos, func(i Info) bool { return i.ID == kept }) {
			t.Fatalf("after %d deletions %s is gone", n, kept)
		}
		used := map[string]bool{}
		for _, i := range infos {
			used[i.ID] = true
		}
		want := 1
		if used[alone] {
			want++
		}
		chunks := 0
		for _, name := range names(t, target) {
			if strings.HasPrefix(name, chunkPrefix) {
				chunks++
			}
		}
		if chunks != want {
			t.Fatalf("after %d deletions and one more backup's, %d chunks are left, want %d", n, chunks, want)
		}
		if err == nil {
			break
		}
		ended++
	}
	if ended < 3 {
		t.Errorf("the deletion has ended early in %d places, want three at least", ended)
	}
}

// IDs that are no names reach no file.
func TestIDs(t *testing.T) {
	target := newTarget(t)
	putBackup(t, target, "one")
	for _, id := range []string{"", "../FORMAT", "..", ".", "a/b", `a\b`, "a b", strings.Repeat("x", 101)} {
		if _, err := load(t.Context(), target, newTestCodec(t), id); !errors.Is(err, ErrNotFound) {
			t.Errorf("%q: %v", id, err)
		}
		if _, err := Delete(t.Context(), target, PruneOptions{}, id); !errors.Is(err, ErrNotFound) {
			t.Errorf("delete of %q: %v", id, err)
		}
	}
	for range 3 {
		if err := checkID(newInfo(systemClock).ID); err != nil {
			t.Error(fmt.Errorf("an ID of ours: %w", err))
		}
	}
}
