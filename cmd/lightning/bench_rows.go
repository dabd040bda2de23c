package main

import (
	"context"
	"slices"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/workload"
)

// benchRun is a database that is measured. Its rows are those of internal/workload,
// and the few that begin or end with the database itself. One goroutine uses it.
type benchRun struct {
	flags *benchFlags
	db    *lightning.DB // nil while it is closed
	work  workload.Runner
}

func (b *benchRun) open() error {
	db, err := lightning.Open(b.flags.dir, &lightning.Options{
		MemoryBudget: int64(b.flags.memory),
		Durability:   b.flags.durability.value,
		Compression:  b.flags.compression.value,
	})
	if err != nil {
		return err
	}
	b.db, b.work.Store = db, workload.On(db)
	return nil
}

func (b *benchRun) close() error {
	if b.db == nil {
		return nil
	}
	db := b.db
	b.db = nil
	return db.Close()
}

// benchRow is a workload of bench.
type benchRow struct {
	name, what string
	run        func(*benchRun, context.Context) (workload.Outcome, error)
}

// defaultRows are what bench runs by itself.
func defaultRows() []benchRow {
	rows := []benchRow{
		{"fill", "put all records in random order", (*benchRun).fill},
		{"settle", "compact until nothing is left to do", (*benchRun).settle},
	}
	for _, row := range slices.Concat(workload.Rows(), workload.IteratorRows()) {
		if isDefault(row) {
			rows = append(rows, shared(row))
		}
	}
	return append(rows, benchRow{"open-clean", "close, open and get one record", (*benchRun).reopen})
}

func isDefault(row workload.Row) bool {
	return slices.Contains([]string{
		"get-uniform", "get-zipf", "get-hot", "get-absent", "scan-100", "scan", "scan-reverse", "full-scan",
	}, row.Name)
}

// otherRows are what bench runs if it is told to.
func otherRows() (rows []benchRow) {
	for _, row := range slices.Concat(workload.Rows(), workload.TransactionRows()) {
		if !isDefault(row) {
			rows = append(rows, shared(row))
		}
	}
	return rows
}

func shared(row workload.Row) benchRow {
	return benchRow{row.Name, row.What, func(b *benchRun, ctx context.Context) (workload.Outcome, error) {
		return row.Run(&b.work, ctx)
	}}
}

func names(rows []benchRow) (all []string) {
	for _, row := range rows {
		all = append(all, row.name)
	}
	return all
}

func (b *benchRun) fill(ctx context.Context) (workload.Outcome, error) {
	return b.work.Fill(ctx, b.flags.batch)
}

func (b *benchRun) settle(ctx context.Context) (workload.Outcome, error) { return b.work.Settle(ctx) }

// reopen measures how long it takes from opening a cleanly closed database to
// its first answer.
func (b *benchRun) reopen(context.Context) (workload.Outcome, error) {
	o := workload.Outcome{Unit: "opens", Operations: 1, Goroutines: 1}
	if err := b.close(); err != nil {
		return o, err
	}
	start := time.Now()
	if err := b.open(); err != nil {
		return o, err
	}
	err := b.work.GetFirst()
	o.Elapsed = time.Since(start)
	return o, err
}
