package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/cities"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func newTourCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "tour",
		Short: "See what Lightning DB does, on real data, in a few seconds",
		Long: `Tour loads the cities of the world into a new database and shows reads, writes,
scans, snapshots and batches on it; then it kills a process in the middle of
writing and looks what is left. It works in a temporary directory and removes
it, unless --dir says where to keep it.`,
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runTour(cmd.Context(), cmd.OutOrStdout(), dir)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "keep the databases in this directory, which must be new or empty")
	return cmd
}

// runTour gives the tour in dir, or in a temporary directory for "".
func runTour(ctx context.Context, out io.Writer, dir string) error {
	kept := dir != ""
	if kept {
		if err := claimEmptyDir(dir); err != nil {
			return err
		}
	} else {
		temporary, err := os.MkdirTemp("", "lightning-tour-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(temporary)
		dir = temporary
	}
	t := &tour{ctx: ctx, out: out, style: console.StyleFor(out), dir: dir, kept: kept}
	t.columns = min(tourColumns, console.LineWidth(out))
	return t.run()
}

// claimEmptyDir makes dir if it is missing and refuses one that has anything
// in it.
func claimEmptyDir(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return usagef("%s is not empty", dir)
	}
	return nil
}

// tour is a tour under way. Each step prints what it does as it does it.
type tour struct {
	ctx   context.Context
	out   io.Writer
	style console.Style
	dir   string
	kept  bool
	step  int

	columns int // of the page

	db           *lightning.DB
	byPopulation *lightning.Keyspace // population and key of a city, to its name
	keys         [][]byte            // of all cities, in order
}

func (t *tour) run() error {
	start := time.Now()
	if err := t.welcome(); err != nil {
		return err
	}
	db, err := lightning.Open(t.citiesDir(), &lightning.Options{})
	if err != nil {
		return err
	}
	err = closing(db, func() error {
		t.db = db
		for _, step := range []func() error{
			t.load, t.get, t.put, t.scanPrefix, t.scanRange, t.snapshot, t.batch,
		} {
			if t.ctx.Err() != nil {
				return errInterrupted
			}
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := t.crash(); err != nil {
		return err
	}
	return t.farewell(time.Since(start))
}

func (t *tour) citiesDir() string { return filepath.Join(t.dir, "cities.db") }

func (t *tour) welcome() error {
	return t.print("", t.style.Bold("  ⚡ Lightning DB: a tour"), "", t.paragraph("  ",
		"Lightning DB is a database that lives inside your program. It keeps keys and",
		"values in key order, writes them atomically, and has them still after a",
		"crash. All you see here happens now, in "+t.style.Accent(t.dir)))
}

func (t *tour) farewell(elapsed time.Duration) error {
	took := t.style.Dim("  It took " + console.Duration(elapsed) + ".")
	lines := []string{"", t.style.Bold("  That was the tour.") + took}
	if t.kept {
		lines = append(lines,
			"  The databases are kept. Look into them:",
			"",
			"    "+t.style.Accent("lightning scan "+t.citiesDir()+" --prefix IS/"),
			"    "+t.style.Accent("lightning stats "+t.citiesDir()))
	} else {
		lines = append(lines,
			"  Its databases are removed again. To go on by yourself:",
			"",
			"    "+t.style.Accent("lightning tour --dir DIR")+"     keep them",
			"    "+t.style.Accent("lightning import --help")+"      load your own data",
			"    "+t.style.Accent("lightning bench")+"              see what this machine can do")
	}
	return t.print(console.Wrap(strings.Join(append(lines, ""), "\n"), t.columns))
}

// The width of the page and of its right column, the timings.
const (
	tourColumns   = 78
	timingColumns = 9
)

// print writes lines.
func (t *tour) print(lines ...string) error {
	_, err := io.WriteString(t.out, strings.Join(lines, "\n")+"\n")
	return err
}

// heading begins a step: a title and a paragraph.
func (t *tour) heading(title string, text ...string) error {
	t.step++
	return t.print("", t.style.Bold(fmt.Sprintf("%d  %s", t.step, title)), t.paragraph("   ", text...), "")
}

// paragraph indents lines, and lays them out anew where the terminal is narrow.
func (t *tour) paragraph(indent string, lines ...string) string {
	if t.columns < tourColumns {
		return console.Fill(indent+strings.Join(lines, " "), len(indent), t.columns)
	}
	return indent + strings.Join(lines, "\n"+indent)
}

// command prints what is done next.
func (t *tour) command(format string, args ...any) error {
	return t.print("   " + t.style.Dim("› ") + t.style.Accent(fmt.Sprintf(format, args...)))
}

// result prints an outcome, and how long it took at the right.
func (t *tour) result(elapsed time.Duration, text string) error {
	room := t.columns - timingColumns
	if t.columns < tourColumns {
		text = strings.TrimLeft(console.Fill("     "+text, 7, room-2), " ")
	}
	above, last := "", "     "+text
	if i := strings.LastIndexByte(last, '\n'); i >= 0 {
		above, last = last[:i+1], last[i+1:]
	}
	left := above + console.Left(last+"  ", room)
	return t.print(left + t.style.Dim(console.Right(console.Duration(elapsed), timingColumns)))
}

// show prints an outcome that has no time of its own.
func (t *tour) show(text string) error { return t.print("     " + text) }

// expect fails the tour if the database did not do what it must.
func expect(ok bool, format string, args ...any) error {
	if !ok {
		return fmt.Errorf("the database gave a wrong answer: "+format, args...)
	}
	return nil
}

// loadBatch is how many cities go into one batch.
const loadBatch = 1000

func (t *tour) load() error {
	err := t.heading("Load",
		console.Count(cities.Count)+" cities of the world, as GeoNames has them. A city's key is its",
		"country, name and number, its value a small JSON document. A second keyspace",
		"has the same cities by population.")
	if err != nil {
		return err
	}
	start := time.Now()
	loader := cityLoader{tour: t}
	if err := loader.run(); err != nil {
		return err
	}
	elapsed := time.Since(start)
	rate := console.Rate(loader.records, elapsed)
	err = t.result(elapsed, fmt.Sprintf("%s records, %s, %s records to a batch: %s",
		console.Count(loader.records), console.Bytes(loader.bytes), console.Count(loadBatch), rate))
	if err != nil {
		return err
	}
	start = time.Now()
	if err := t.db.SyncLog(t.ctx); err != nil {
		return err
	}
	return t.result(time.Since(start), "and all of it synced to stable storage")
}

// cityLoader fills the two keyspaces, with batches that span both.
type cityLoader struct {
	tour           *tour
	batch, index   *lightning.Batch // the same batch in each keyspace
	records, bytes int64
	indexKey       []byte // reused
}

func (l *cityLoader) run() error {
	t := l.tour
	var err error
	if t.byPopulation, err = t.db.Keyspace(t.ctx, "by-population", nil); err != nil {
		return err
	}
	l.batch = t.db.NewBatch()
	l.index = l.batch.In(t.byPopulation)
	if err := cities.Each(l.add); err != nil {
		return err
	}
	return l.commit()
}

func (l *cityLoader) add(city cities.City) error {
	key, value := []byte(city.Key()), cityJSON(city)
	l.tour.keys = append(l.tour.keys, key)
	l.indexKey = appendPopulationKey(l.indexKey[:0], city.Population, key)
	if err := l.batch.Put(key, value); err != nil {
		return err
	}
	if err := l.index.Put(l.indexKey, []byte(city.Name)); err != nil {
		return err
	}
	l.records += 2
	l.bytes += int64(len(key) + len(value) + len(l.indexKey) + len(city.Name))
	if l.batch.Len() < loadBatch {
		return nil
	}
	if l.tour.ctx.Err() != nil {
		return errInterrupted
	}
	return l.commit()
}

// commit writes the batch without waiting for the disk.
func (l *cityLoader) commit() error {
	err := l.batch.CommitWith(lightning.DurabilityAsync)
	l.batch.Reset()
	return err
}

// scanRows collects up to limit rows of an iterator that step moves.
func scanRows(it *lightning.Iterator, first bool, step func() bool, limit int) (keys, values [][]byte) {
	for ok := first; ok && len(keys) < limit; ok = step() {
		keys = append(keys, bytes.Clone(it.Key()))
		values = append(values, bytes.Clone(it.Value()))
	}
	return keys, values
}
