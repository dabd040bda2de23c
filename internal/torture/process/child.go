package process

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/internal/clock"
	"github.com/lightningdb/lightning/vfs"
	"github.com/lightningdb/lightning/vfs/faultfs"
)

// The child's side. It gets a job in its environment and tells what it does in
// messages of a fixed size on its standard output, each written in one call, so
// that what it said before it was killed is all there. It says in words what
// went wrong on its standard error. It ends when its standard input does, so
// that it never outlives its parent. A byte that comes from there tells it to cut
// the power.

const jobEnv = "LIGHTNING_TORTURE_CHILD"

// job is what a child has to do.
type job struct {
	Dir      string
	Seed     uint64
	Life     uint64   // which of the seed's options
	First    []uint32 // the first operation of each stream
	Count    uint32   // of operations of each stream
	OpenOnly bool     // do no operations
	Close    bool     // close the database at the end
	ReadOnly bool
	Bank     bool // move money instead

	Failpoint string // where to end; empty for nowhere
	Moment    Moment
	Nth       int64
	CutDir    string // there, or when told to, cut the power of its file system instead
	Scatter   bool   // just before, write parts of the files to the device

	User        int    // to become after the start; 0 is nobody else
	Descriptors uint64 // how many may be open once the database is; 0 for no limit
	Lie         lie
}

// lie is a way in which a child breaks its promises, to prove that the oracle
// sees it.
type lie uint8

const (
	honest      lie = iota
	lieAckFirst     // acknowledge before the commit
	lieLogSync      // skip the syncs of the log
)

// messageKind is what a message says.
type messageKind uint8

const (
	saysOpened messageKind = iota + 1
	saysAcked              // an operation
	saysSprung             // the failpoint was reached, or a power cut was ordered
	saysCut                // the power
	saysDone               // with all operations
	saysClosed
)

const messageBytes = 6

type message struct {
	kind   messageKind
	stream uint8
	n      uint32
}

func (m message) encode() []byte {
	return binary.LittleEndian.AppendUint32([]byte{byte(m.kind), m.stream}, m.n)
}

func decodeMessage(b []byte) message {
	return message{messageKind(b[0]), b[1], binary.LittleEndian.Uint32(b[2:])}
}

// How a child ends by itself.
const (
	exitFailed   = 4 // the database reported an error, and went on as it should
	exitBroken   = 5 // it did not
	exitOrphaned = 6
)

// Child runs the child and ends the process, if this process was started as
// one; else it returns at once. It is the first call of a main function or
// TestMain whose program runs these suites.
func Child() {
	text := os.Getenv(jobEnv)
	if text == "" {
		return
	}
	c := &child{}
	err := json.Unmarshal([]byte(text), &c.job)
	if err == nil {
		err = c.prepare()
	}
	if err == nil {
		go c.obey()
		err = c.run()
	}
	fmt.Fprintln(os.Stderr, err)
	if errors.Is(err, errBroken) {
		os.Exit(exitBroken)
	}
	os.Exit(exitFailed)
}

// errBroken marks what a child must never meet.
var errBroken = errors.New("broken promise")

type child struct {
	job
	db     *lightning.DB
	cutter cutter
	cut    sync.Once
}

// prepare does what comes before the first order.
func (c *child) prepare() error {
	if c.User != 0 {
		if err := becomeUser(c.User); err != nil {
			return fmt.Errorf("become user %d: %w", c.User, err)
		}
	}
	if c.CutDir == "" {
		return nil
	}
	var err error
	c.cutter, err = openCutter(c.CutDir)
	return err
}

// obey follows the orders of the parent until it is gone.
func (c *child) obey() {
	var order [1]byte
	for {
		if _, err := os.Stdin.Read(order[:]); err != nil {
			os.Exit(exitOrphaned)
		}
		c.cutPower()
	}
}

// run returns the error that ends the child. When all goes well it does not
// return: the child waits for its end.
func (c *child) run() error {
	fsys, err := c.fileSystem()
	if err != nil {
		return err
	}
	opts := databaseOptions(c.Seed, c.Life)
	if c.Bank {
		opts = bankOptions(c.Seed, c.Life)
	}
	opts.FS, opts.ReadOnly = fsys, c.ReadOnly
	if c.db, err = lightning.Open(c.Dir, opts); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := limitDescriptors(c.Descriptors); err != nil {
		return err
	}
	if c.Scatter {
		forget(c.Dir)
	}
	c.say(message{kind: saysOpened})
	if !c.OpenOnly {
		work := c.work
		if c.Bank {
			work = c.bank
		}
		if err := work(); err != nil {
			return errors.Join(err, c.afterFailure())
		}
	}
	c.say(message{kind: saysDone})
	if c.Close {
		if err := c.db.Close(); err != nil {
			return fmt.Errorf("close: %w", err)
		}
		c.say(message{kind: saysClosed})
	}
	select {}
}

// fileSystem is the operating system's, with the job's trap and lies.
func (c *child) fileSystem() (vfs.FS, error) {
	fsys := vfs.OS
	if c.Lie == lieLogSync {
		// Not the syncs of preparation: a segment that lacks its header is damage.
		lying := faultfs.New(fsys)
		lying.Add(faultfs.Rule{Kinds: vfs.OpSyncData, Name: "*.wal", Sticky: true, Ignore: true})
		fsys = lying
	}
	if c.Failpoint == "" {
		return fsys, nil
	}
	spring := c.killSelf
	if c.CutDir != "" {
		spring = c.cutPower
	}
	for _, point := range Failpoints() {
		if point.Name == c.Failpoint {
			return &trap{
				FS: fsys, point: point, moment: c.Moment, nth: c.Nth, spring: spring, passed: new(atomic.Int64),
			}, nil
		}
	}
	return nil, fmt.Errorf("there is no failpoint %q", c.Failpoint)
}

// killSelf does not return.
func (c *child) killSelf() {
	c.say(message{kind: saysSprung})
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "the child cannot kill itself:", err)
		os.Exit(exitBroken)
	}
	select {} // the signal is on its way
}

// cutPower cuts the power once. What the child says before that tells the
// parent where the acknowledgements end that count.
func (c *child) cutPower() {
	c.cut.Do(func() {
		c.say(message{kind: saysSprung})
		if c.Scatter {
			scatter(c.Dir, rand.New(rand.NewPCG(c.Seed, c.Life)))
		}
		if err := c.cutter.cut(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(exitBroken)
		}
		c.say(message{kind: saysCut})
	})
}

// say tells the parent. When that fails there is no parent any more.
func (c *child) say(m message) {
	if _, err := os.Stdout.Write(m.encode()); err != nil {
		os.Exit(exitOrphaned)
	}
}

// work does the operations of all streams at once and returns the first error
// of each.
func (c *child) work() error {
	p, err := newPerformer(c.db, c.Seed, len(c.First))
	if err != nil {
		return err
	}
	errs := make([]error, len(c.First))
	var streams sync.WaitGroup
	for i, first := range c.First {
		streams.Go(func() {
			for n := first; n < first+c.Count; n++ {
				if c.Lie == lieAckFirst {
					c.say(message{saysAcked, uint8(i), n})
				}
				if errs[i] = c.perform(p, i, n); errs[i] != nil {
					return
				}
				if c.Lie != lieAckFirst {
					c.say(message{saysAcked, uint8(i), n})
				}
			}
		})
	}
	streams.Wait()
	return errors.Join(errs...)
}

// perform does an operation. One that fails for lack of descriptors gets them
// back and is tried again until it works or the database says that it will not.
func (c *child) perform(p *performer, stream int, n uint32) error {
	err := p.perform(context.Background(), stream, n)
	if err == nil || c.Descriptors == 0 {
		return err
	}
	if limitErr := limitDescriptors(ampleDescriptors); limitErr != nil {
		return errors.Join(err, limitErr)
	}
	deadline := clock.System.Now().Add(retryWithin)
	for err != nil && c.db.Metrics().Health.WriteErr == nil && clock.System.Now().Before(deadline) {
		pause()
		err = p.perform(context.Background(), stream, n)
	}
	if err != nil && c.db.Metrics().Health.WriteErr == nil {
		return fmt.Errorf("%w: %v after the descriptors came back: %w", errBroken, retryWithin, err)
	}
	return err
}

const (
	ampleDescriptors = 1000
	retryWithin      = 10 * time.Second
)

// afterFailure checks what the database does once its files have failed for
// good: no commit may claim to be durable, after one has failed no other may
// succeed, and reads and Close must return.
func (c *child) afterFailure() error {
	if c.CutDir == "" {
		return c.db.Close()
	}
	key := []byte(keyOf(0, 0))
	commits := []struct {
		name string
		do   func() error
	}{
		{"put", func() error { return c.commit(lightning.DurabilitySync) }},
		{"async put", func() error { return c.commit(lightning.DurabilityAsync) }},
		{"range delete", func() error { return c.db.DeleteRange(key, []byte(keyOf(0, 1))) }},
		{"sync of the log", func() error { return c.db.SyncLog(context.Background()) }},
	}
	for _, commit := range commits {
		if err := commit.do(); err == nil {
			return fmt.Errorf("%w: a %s succeeded after the power cut", errBroken, commit.name)
		}
	}
	_, err := c.db.Get(key)
	if errors.Is(err, lightning.ErrNotFound) {
		err = nil
	}
	return errors.Join(err, c.db.Close())
}

func (c *child) commit(d lightning.Durability) error {
	b := c.db.NewBatch()
	if err := b.Put([]byte(keyOf(0, 0)), nil); err != nil {
		return err
	}
	return b.CommitWith(d)
}
