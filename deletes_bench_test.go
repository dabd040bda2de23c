package lightning_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/lightningdb/lightning"
)

// These print what deleted data costs, at full size, in files of the machine:
//
//	go test -run - -bench Deleted -benchtime 1x .
//
// Each is a history that takes seconds to minutes, so once is enough.

// deletedRows is a database of rows of 16 + 100 bytes, numbered in the order of their
// keys.
type deletedRows struct {
	*lightning.DB
	b     *testing.B
	dir   string
	opts  *lightning.Options
	value []byte
}

func openDeletedRows(b *testing.B, budget int64) *deletedRows {
	d := &deletedRows{
		b: b, dir: b.TempDir(), value: make([]byte, 100),
		opts: &lightning.Options{
			MemoryBudget: budget, Durability: lightning.DurabilityAsync, Compression: lightning.CompressionNone,
		},
	}
	for i := range d.value {
		d.value[i] = byte(rand.Uint32())
	}
	d.reopen()
	return d
}

func (d *deletedRows) reopen() {
	var err error
	d.DB, err = lightning.Open(d.dir, d.opts)
	must(d.b, err)
}

func numberedKey(i int) []byte {
	var key [16]byte
	binary.BigEndian.PutUint64(key[:], uint64(i))
	return key[:]
}

// each commits one call for each of [from, to), a thousand at a time.
func (d *deletedRows) each(from, to int, fn func(batch *lightning.Batch, i int) error) {
	d.b.Helper()
	batch := d.NewBatch()
	for i := from; i < to; i++ {
		must(d.b, fn(batch, i))
		if batch.Len() == 1000 || i == to-1 {
			must(d.b, batch.Commit())
			batch.Reset()
		}
	}
}

func (d *deletedRows) put(from, to int) {
	d.each(from, to, func(batch *lightning.Batch, i int) error { return batch.Put(numberedKey(i), d.value) })
}

// settle puts rows and waits until they are in their place.
func (d *deletedRows) settle(rows int) {
	d.put(0, rows)
	must(d.b, d.Flush(d.b.Context()))
	for d.Metrics().Compactions.DebtBytes > 0 {
		<-time.After(10 * time.Millisecond)
	}
}

func (d *deletedRows) tableBytes() (n float64) {
	for _, l := range d.Metrics().Levels {
		n += float64(l.SizeBytes)
	}
	return n
}

// idleFor reports how much the tables take in times of what lives, and when this was
// below 1.3 first.
func (d *deletedRows) idleFor(most time.Duration, liveBytes float64) {
	debt := uint64(0)
	start, reached := time.Now(), -1.0
	for time.Since(start) < most {
		debt = max(debt, d.Metrics().Compactions.DebtBytes)
		if reached < 0 && d.tableBytes() <= 1.3*liveBytes {
			reached = time.Since(start).Seconds()
		}
		<-time.After(50 * time.Millisecond)
	}
	m := d.Metrics()
	d.b.ReportMetric(d.tableBytes()/max(liveBytes, 1), "x-live")
	d.b.ReportMetric(reached, "s-until-1.3x")
	d.b.ReportMetric(float64(debt)/1e6, "MB-debt-at-most")
	d.b.ReportMetric(float64(m.Compactions.DebtBytes)/1e6, "MB-debt-left")
	d.b.ReportMetric(float64(m.Compactions.WrittenBytes)/1e6, "MB-compacted")
}

const deletedRowCount = 5_000_000

func BenchmarkDeletedSpace(b *testing.B) {
	const live = deletedRowCount / 10 * 116
	one := func(batch *lightning.Batch, i int) error {
		if i%10 == 0 {
			return nil
		}
		return batch.Delete(numberedKey(i))
	}
	for name, del := range map[string]func(d *deletedRows) float64{
		"singly": func(d *deletedRows) float64 { d.each(0, deletedRowCount, one); return live },
		"singly at random": func(d *deletedRows) float64 {
			order := rand.Perm(deletedRowCount)
			d.each(0, deletedRowCount, func(batch *lightning.Batch, i int) error { return one(batch, order[i]) })
			return live
		},
		"500 ranges": func(d *deletedRows) float64 {
			const step = deletedRowCount / 500
			for i := range 500 {
				must(b, d.DeleteRange(numberedKey(i*step+step/10), numberedKey((i+1)*step)))
			}
			return live
		},
		"all in one range": func(d *deletedRows) float64 { must(b, d.DeleteRange(nil, nil)); return 0 },
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				d := openDeletedRows(b, 256<<20)
				d.settle(deletedRowCount)
				liveBytes := del(d)
				d.idleFor(time.Minute, liveBytes)
				must(b, d.Close())
			}
		})
	}
}

// firstRow returns how long it takes to find the first row.
func (d *deletedRows) firstRow() time.Duration {
	start := time.Now()
	it, err := d.Iterator(lightning.IterOptions{})
	must(d.b, err)
	if !it.First() {
		d.b.Fatalf("no row: %v", it.Err())
	}
	took := time.Since(start)
	must(d.b, it.Close())
	return took
}

func BenchmarkDeletedHead(b *testing.B) {
	const rows, deleted = 1_000_000, 900_000
	inOrder := func(i int) int { return i }
	order := rand.Perm(deleted)
	for name, nth := range map[string]func(i int) int{
		"in order": inOrder, "at random": func(i int) int { return order[i] },
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				d := openDeletedRows(b, 64<<20)
				d.settle(rows)
				d.each(0, deleted, func(batch *lightning.Batch, i int) error { return batch.Delete(numberedKey(nth(i))) })
				report := func(when string) {
					b.ReportMetric(float64(d.firstRow())/1e3, "us-"+when)
					b.ReportMetric(float64(d.firstRow())/1e3, "us-"+when+"-again")
				}
				report("at-once")
				<-time.After(10 * time.Second)
				report("10s-later")
				must(b, d.Close())
				d.reopen()
				report("reopened")
				must(b, d.Close())
			}
		})
	}
}

func BenchmarkDeletedWindow(b *testing.B) {
	const seconds, perSecond, kept = 120, 20_000, 20
	scan := func(d *deletedRows) float64 {
		best := time.Hour
		for range 5 {
			start, n := time.Now(), 0
			it, err := d.Iterator(lightning.IterOptions{})
			must(b, err)
			for ok := it.First(); ok; ok = it.Next() {
				n++
			}
			must(b, it.Close())
			if n != kept*perSecond {
				b.Fatalf("%d rows", n)
			}
			best = min(best, time.Since(start))
		}
		return float64(best) / (kept * perSecond)
	}
	for range b.N {
		d := openDeletedRows(b, 64<<20)
		d.put(0, kept*perSecond)
		before := scan(d)
		var firsts []time.Duration
		for s := range seconds - kept {
			d.put((s+kept)*perSecond, (s+kept+1)*perSecond)
			must(b, d.DeleteRange(nil, numberedKey((s+1)*perSecond)))
			firsts = append(firsts, d.firstRow())
		}
		slices.Sort(firsts)
		b.ReportMetric(before, "ns/row-before")
		b.ReportMetric(scan(d), "ns/row-after")
		b.ReportMetric(float64(firsts[len(firsts)/2])/1e3, "us-first-median")
		b.ReportMetric(float64(firsts[len(firsts)-1])/1e3, "us-first-most")
		b.ReportMetric(d.tableBytes()/(kept*perSecond*116), "x-live")
		must(b, d.Close())
	}
}

// BenchmarkDeletedQueue pops the head and pushes at the tail.
func BenchmarkDeletedQueue(b *testing.B) {
	const queued, moves = 1_000_000, 2_000_000
	for range b.N {
		d := openDeletedRows(b, 256<<20)
		d.settle(queued)
		heads := make([]time.Duration, moves)
		start := time.Now()
		for i := range moves {
			began := time.Now()
			it, err := d.Iterator(lightning.IterOptions{})
			if err != nil || !it.First() || binary.BigEndian.Uint64(it.Key()) != uint64(i) {
				b.Fatalf("the head is not that of move %d: %v", i, err)
			}
			key := slices.Clone(it.Key())
			closed := it.Close()
			heads[i] = time.Since(began)
			if err := errors.Join(closed, d.Delete(key), d.Put(numberedKey(queued+i), d.value)); err != nil {
				b.Fatal(err)
			}
		}
		took := time.Since(start)
		total := time.Duration(0)
		for _, h := range heads {
			total += h
		}
		slices.Sort(heads)
		b.ReportMetric(2*moves/took.Seconds()/1e3, "K-pops+pushes/s")
		b.ReportMetric(float64(total)/moves/1e3, "us-head-mean")
		b.ReportMetric(float64(heads[moves*999/1000])/1e3, "us-head-p99.9")
		b.ReportMetric(float64(heads[moves-1])/1e3, "us-head-most")
		b.ReportMetric(d.tableBytes()/(queued*116), "x-live")
		must(b, d.Close())
	}
}
