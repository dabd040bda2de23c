package process

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// PowerCut cuts the power of file systems that hold a database. A round is one
// image that lives through several cuts. After a cut the kernel refuses all
// operations on the file system, which the engine has to live with; what its
// journal and the device did not have is gone at the next mount.
type PowerCut struct {
	// Dir holds the images; the system's directory for temporary files where it
	// is empty. What a failed round leaves stays there, but nothing stays
	// mounted.
	Dir string

	lie lie // of the children
}

const (
	// cutsPerRound keeps a round below three seconds on a slow machine.
	cutsPerRound = 10
	imageBytes   = 64 << 20
)

// Needs says why the suite cannot run here, if it cannot.
func (p *PowerCut) Needs() error { return needsMounts() }

// Round makes an image, cuts its power again and again, and judges what is left
// of the database in it.
func (p *PowerCut) Round(ctx context.Context, seed uint64, tally *ledger.Tally) error {
	return inDirectory(ctx, p.Needs, p.Dir, seed, func(dir string) (err error) {
		rng := rand.New(rand.NewPCG(seed, 2))
		img, err := newImage(dir, imageBytes, "-b", []string{"1024", "4096"}[rng.IntN(2)])
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, img.unmount()) }()
		r := &cutRound{img: img, round: round{
			dir: filepath.Join(img.dir, "db"), seed: seed, rng: rng, tally: tally, lie: p.lie,
			oracle: newOracle(seed, 1+rng.IntN(streamsMax), lossOfPower),
		}}
		if err := r.remount(); err != nil {
			return err
		}
		for r.cuts < cutsPerRound && ctx.Err() == nil {
			if err := r.cutAndJudge(ctx); err != nil {
				return err
			}
		}
		tally.Add(ledger.Histories, 1)
		return nil
	})
}

type cutRound struct {
	round
	img  *image
	cuts int
}

// remount mounts the image with other options than before. Some make the file
// system promise less: what it does not promise must not be needed.
func (r *cutRound) remount() error {
	options := []string{
		[]string{"data=ordered", "data=writeback", "data=journal"}[r.rng.IntN(3)],
		[]string{"commit=1", "commit=5", "commit=30"}[r.rng.IntN(3)],
		[]string{"barrier=0", "barrier=1"}[r.rng.IntN(2)],
		[]string{"auto_da_alloc", "noauto_da_alloc"}[r.rng.IntN(2)],
	}
	if options[0] != "data=journal" && r.rng.IntN(3) == 0 {
		options = append(options, "nodelalloc")
	}
	return r.img.mount(strings.Join(options, ","), unix.MS_NOATIME)
}

// cutAndJudge lets the database live once, cuts its power, sometimes again
// while it recovers, and judges it.
func (r *cutRound) cutAndJudge(ctx context.Context) error {
	var how []string
	for again := true; again; again = r.rng.IntN(3) == 0 {
		// The first life of an image may end in its first open.
		openOnly := len(how) > 0 || r.rng.IntN(8) == 0
		end, err := r.cutOnce(ctx, openOnly)
		if err != nil || ctx.Err() != nil {
			return err
		}
		how = append(how, end.String())
		r.cuts++
		r.tally.Add(ledger.PowerCuts, 1)
		if err := errors.Join(r.img.unmount(), r.remount()); err != nil {
			return err
		}
	}
	if err := r.judge(ctx); err != nil {
		return fmt.Errorf("life %d, cut %d (%s): %w", r.lives, r.cuts, strings.Join(how, ", then "), err)
	}
	return nil
}

// cutOnce runs a child that cuts its power.
func (r *cutRound) cutOnce(ctx context.Context, openOnly bool) (*cutEnd, error) {
	j := r.job()
	j.OpenOnly, j.Count = openOnly, uint32(400/len(j.First))
	j.CutDir, j.Scatter = r.img.dir, r.rng.IntN(2) == 0
	end := &cutEnd{oracle: r.oracle, mercy: r.rng.IntN(2) == 0}
	switch at := r.rng.IntN(10); {
	case at < 5 || openOnly:
		r.arm(&j)
	case at < 8:
		end.acks = 1 + r.rng.IntN(150)
	default:
		end.after = time.Duration(1+r.rng.IntN(40_000)) * time.Microsecond
	}
	end.job = j
	e, err := runChild(ctx, j, end.hear)
	r.tally.Add(ledger.Operations, int64(e.ackCount()))
	switch {
	case ctx.Err() != nil:
		return nil, nil
	case err == nil && !e.sprung:
		err = fmt.Errorf("the child ended before the power cut: %s", e.said)
	case err == nil && !e.cut: // it was killed too early
		err = r.img.cut()
	}
	if err != nil {
		return nil, fmt.Errorf("life %d (%s): %w", j.Life, end, err)
	}
	return end, nil
}

// cutEnd is how a child loses its power: at its failpoint, after so many
// acknowledgements, after some time, but at the latest when it has done all.
type cutEnd struct {
	oracle *oracle
	job    job
	acks   int           // 0 for no such end
	after  time.Duration // 0 for no such end
	mercy  bool          // let the child live with what it finds then

	seen      int
	done, cut bool
}

func (e *cutEnd) String() string {
	switch {
	case e.job.Failpoint != "":
		return fmt.Sprintf("power to be cut %v the %d. %s", e.job.Moment, e.job.Nth, e.job.Failpoint)
	case e.acks > 0:
		return fmt.Sprintf("power cut after %d acknowledgements", e.acks)
	}
	return fmt.Sprintf("power cut after %v", e.after)
}

// hear follows a child and has its power cut.
func (e *cutEnd) hear(c *running, m message) error {
	switch m.kind {
	case saysOpened:
		if e.job.OpenOnly {
			return nil
		}
		e.oracle.opened(databaseOptions(e.job.Seed, e.job.Life).Durability)
		if e.after > 0 {
			clock.System.AfterFunc(e.after, c.orderCut)
		}
	case saysAcked:
		if err := e.oracle.ack(int(m.stream), m.n); err != nil {
			return err
		}
		if e.seen++; e.seen == e.acks {
			c.orderCut()
		}
	case saysSprung:
		e.oracle.powerLost()
	case saysDone:
		e.done = true
		c.orderCut()
	case saysCut:
		e.cut = true
		if !e.mercy {
			c.kill()
		}
	}
	if e.done && e.cut {
		c.kill() // there is nothing left that it could fail at
	}
	return nil
}

// scatter writes random parts of the files of a database to the device, as the
// kernel may do at any time and in any order. A part that lies in blocks which
// the file system knows of is then there after a power cut, whatever was
// written before it is not.
func scatter(dir string, rng *rand.Rand) {
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) == 0 {
		return // there is no database yet
	}
	for range 1 + rng.IntN(4) {
		entry := entries[rng.IntN(len(entries))]
		f, err := os.Open(filepath.Join(dir, entry.Name()))
		if err != nil {
			continue // it was removed meanwhile
		}
		if info, err := f.Stat(); err == nil && info.Size() > 0 {
			pages := info.Size()/pageBytes + 1
			first := rng.Int64N(pages)
			const wait = unix.SYNC_FILE_RANGE_WAIT_BEFORE | unix.SYNC_FILE_RANGE_WRITE | unix.SYNC_FILE_RANGE_WAIT_AFTER
			// It promises nothing, so nobody needs to know when it fails.
			_ = unix.SyncFileRange(int(f.Fd()), first*pageBytes, (1+rng.Int64N(pages))*pageBytes, wait)
		}
		_ = f.Close() // opened for reading
	}
}

const pageBytes = 4096

// forget drops what the page cache holds of the logs of a database. The kernel
// caches a prepared segment in large pieces and writes those as a whole; what is
// cached anew for small writes goes page by page.
func forget(dir string) {
	names, err := filepath.Glob(filepath.Join(dir, "*.wal"))
	if err != nil {
		return
	}
	for _, name := range names {
		f, err := os.Open(name)
		if err != nil {
			continue // it was removed meanwhile
		}
		_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED) // it promises nothing
		_ = f.Close()                                           // opened for reading
	}
}
