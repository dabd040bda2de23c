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

// readFrom returns how long it takes to read so many rows from the first one on that is
// not below a key, which is that of the given number.
func (d *deletedRows) readFrom(key []byte, first, rows int) time.Duration {
	start := time.Now()
	it, err := d.Iterator(lightning.IterOptions{})
	must(d.b, err)
	ok := it.SeekGE(key)
	if !ok || binary.BigEndian.Uint64(it.Key()) != uint64(first) {
		d.b.Fatalf("row %d is not the first: %v", first, it.Err())
	}
	n := 1
	for ; n < rows && it.Next(); n++ {
	}
	must(d.b, it.Close())
	if n != rows {
		d.b.Fatalf("%d rows", n)
	}
	return time.Since(start)
}

// BenchmarkDeletedWindow moves a window on, by one range delete for each step, and reads
// the rows at its head. Beside it is a database into which the same rows were put and
// from which none was deleted: reads there, of the same rows, are what there is to reach.
func BenchmarkDeletedWindow(b *testing.B) {
	const step, kept, steps = 1000, 400_000, 2000
	for range b.N {
		window, other := openDeletedRows(b, 64<<20), openDeletedRows(b, 64<<20)
		window.settle(kept)
		other.settle(kept)
		var heads, others []time.Duration
		for i := range steps {
			first := (i + 1) * step
			window.put(kept+i*step, kept+first)
			must(b, window.DeleteRange(numberedKey(i*step), numberedKey(first)))
			other.put(kept+i*step, kept+first)
			if i%2 == 0 {
				heads = append(heads, window.readFrom(nil, first, step))
			}
			others = append(others, other.readFrom(numberedKey(first), first, step))
			if i%2 == 1 {
				heads = append(heads, window.readFrom(nil, first, step))
			}
		}
		slices.Sort(heads)
		slices.Sort(others)
		b.ReportMetric(float64(heads[steps-1])/1e3, "us-head-most")
		b.ReportMetric(float64(others[steps-1])/1e3, "us-other-most")
		b.ReportMetric(float64(heads[steps/2])/1e3, "us-head-median")
		b.ReportMetric(float64(others[steps/2])/1e3, "us-other-median")
		window.idleFor(20*time.Second, kept*116)
		live, same := time.Hour, time.Hour
		for range 20 {
			live = min(live, window.readFrom(nil, steps*step, kept))
			same = min(same, other.readFrom(numberedKey(steps*step), steps*step, kept))
		}
		b.ReportMetric(float64(live)/kept, "ns/row-live")
		b.ReportMetric(float64(same)/kept, "ns/row-other")
		must(b, window.Close())
		must(b, other.Close())
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
