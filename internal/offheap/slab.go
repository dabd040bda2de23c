package offheap

import (
	"fmt"
	"math"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/ranked"
)

const (
	// Classes are spaced by an eighth: 64, 72, ... 128, 144, ... 128 KiB.
	minClassShift = 6
	maxClassShift = 17
	numClasses    = (maxClassShift-minClassShift)*8 + 1
	maxClassBytes = 1 << maxClassShift

	// Chunks are small while a slab is small, and for a class of which there are few
	// blocks, so that a few half-used ones do not matter, and otherwise large, so that
	// mappings stay few. What few would fit of in a small chunk has a mapping of its own
	// while the slab is small.
	tinyChunkBytes       = 64 << 10
	smallChunkBytes      = 256 << 10
	largeChunkBytes      = hugePageBytes
	smallChunkMaxBlock   = 16 << 10
	smallChunksFromBytes = 32 << 20
	largeChunksFromBytes = 64 << 20
	// fewBlocksFraction is the part of a class that a chunk may be, but for the tiny ones.
	fewBlocksFraction = 2

	// Sizes of mappings for one block are multiples of the first of these, those for
	// a block that a chunk could hold of the second.
	bigAlignBytes  = 64 << 10
	soleAlignBytes = 4 << 10

	// BlockAlignBytes divides the address of every block.
	BlockAlignBytes = 8
	// PrefixBytes is the room right before a block that belongs to whom the
	// block was handed out to, as the block does.
	PrefixBytes = 8

	// The prefix of a block of lineFromBytes or more is at the begin of a cache
	// line, so that it comes with the first bytes of the block. For smaller
	// blocks the padding would take too much memory.
	lineBytes     = 64
	lineFromBytes = 1 << 10
	// leadBytes is where in a mapping the first block is.
	leadBytes = lineBytes + PrefixBytes

	poison    = 0xdb
	stateLive = 0x6c697665 // "live"
	stateFree = 0x66726565 // "free"
	stateBig  = 0x62696721 // "big!": in a mapping of its own
)

// blockHeader stands before each block.
type blockHeader struct {
	chunk uint32 // index in class.chunks
	slot  uint32
	state uint64 // stateLive, stateFree or stateBig: finds blocks freed twice

	prefix [PrefixBytes]byte
}

const headerBytes = int(unsafe.Sizeof(blockHeader{}))

// chunk is one mapping cut into equal blocks.
type chunk struct {
	memory  []byte
	index   int      // in class.chunks
	partial int      // in class.partial, -1 when the chunk is full
	carved  int      // slots handed out at least once; those beyond are untouched
	slots   int      // that fit
	free    []uint32 // slots below carved that are free
}

func (c *chunk) used() int { return c.carved - len(c.free) }

// class holds all chunks of one block size.
type class struct {
	mu      ranked.Mutex[ranked.SlabClass]
	mapped  int      // bytes of the chunks
	chunks  []*chunk // nil where one was returned
	holes   []int    // indices of the nils
	partial []*chunk // chunks with a free slot; the last one serves the next Alloc
}

// Slab hands out blocks of memory and takes them back one by one. Blocks come
// from chunks of one size class each; a chunk without blocks is returned to
// the operating system, except that one of each chunk size is kept against
// flapping. Blocks above 128 KiB have a mapping of their own, and so have those
// above 16 KiB while the slab is small.
//
// All methods may be called by many goroutines at once, Close excepted.
type Slab struct {
	acct    *Accountant
	owner   Owner
	used    atomic.Int64 // bytes of blocks handed out
	mapped  atomic.Int64 // bytes of mappings held
	classes [numClasses]class

	mu     ranked.Mutex[ranked.Slab]
	spares [3][]byte        // an empty chunk of each size
	big    map[*byte][]byte // mappings of one block, by the start of the block
}

// NewSlab returns an empty slab whose memory counts as owner's.
func NewSlab(acct *Accountant, owner Owner) *Slab {
	return &Slab{acct: acct, owner: owner, big: make(map[*byte][]byte)}
}

// classOf returns the smallest class that holds sizeBytes, and its size.
func classOf(sizeBytes int) (index, classBytes int) {
	if sizeBytes <= 1<<minClassShift {
		return 0, 1 << minClassShift
	}
	shift := bits.Len(uint(sizeBytes-1)) - 1
	eighths := (sizeBytes - 1 - 1<<shift) >> (shift - 3)
	return (shift-minClassShift)*8 + eighths + 1, 1<<shift + (eighths+1)<<(shift-3)
}

// strideOf returns how far apart the blocks of a class are, the header of the
// next one being between them.
func strideOf(classBytes int) int {
	stride := classBytes + headerBytes
	if classBytes >= lineFromBytes {
		stride = (stride + lineBytes - 1) / lineBytes * lineBytes
	}
	return stride
}

// Alloc returns a block of sizeBytes, aligned to BlockAlignBytes, whose content
// is arbitrary, as are the PrefixBytes before it. Its capacity may be larger,
// and must be left as it is, since Free goes by it.
func (s *Slab) Alloc(sizeBytes int) ([]byte, error) {
	if sizeBytes < 0 || sizeBytes > math.MaxInt-bigAlignBytes-leadBytes {
		return nil, fmt.Errorf("cannot allocate a block of %d bytes", sizeBytes)
	}
	if sizeBytes > maxClassBytes {
		return s.allocBig(sizeBytes, bigAlignBytes)
	}
	if sizeBytes > smallChunkMaxBlock && s.mapped.Load() < largeChunksFromBytes {
		return s.allocBig(sizeBytes, soleAlignBytes)
	}
	index, classBytes := classOf(sizeBytes)
	cl := &s.classes[index]
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if len(cl.partial) == 0 {
		if err := s.addChunk(cl, classBytes); err != nil {
			return nil, err
		}
	}
	c := cl.partial[len(cl.partial)-1]
	slot := uint32(c.carved)
	if n := len(c.free); n > 0 {
		slot = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		c.carved++
	}
	if c.used() == c.slots {
		c.partial = -1
		cl.partial = cl.partial[:len(cl.partial)-1]
	}
	start := leadBytes + int(slot)*strideOf(classBytes)
	block := c.memory[start:][:sizeBytes:classBytes]
	header := headerOf(block)
	header.chunk, header.slot, header.state = uint32(c.index), slot, stateLive
	s.used.Add(int64(classBytes))
	return block, nil
}

// headerOf returns the header before the block. Sound for blocks that Alloc
// returned: the header is part of the same mapping, as the first block, or the
// only one, has leadBytes before it, which is more, and the others have what
// strideOf adds to their size. It is aligned because mappings, leadBytes,
// strides and the size of the header are multiples of 8.
func headerOf(block []byte) *blockHeader {
	return (*blockHeader)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(block)), -headerBytes))
}

// chunkBytes returns the size of the next chunk of a class. cl.mu is held.
func (s *Slab) chunkBytes(cl *class, classBytes int) int {
	switch mapped := s.mapped.Load(); {
	case classBytes > smallChunkMaxBlock,
		mapped >= largeChunksFromBytes && cl.mapped >= fewBlocksFraction*largeChunkBytes:
		return largeChunkBytes
	case mapped >= smallChunksFromBytes && cl.mapped >= fewBlocksFraction*smallChunkBytes:
		return smallChunkBytes
	}
	return tinyChunkBytes
}

// addChunk gives the class an empty chunk. cl.mu is held.
func (s *Slab) addChunk(cl *class, classBytes int) error {
	sizeBytes := s.chunkBytes(cl, classBytes)
	memory := s.takeSpare(sizeBytes)
	if memory == nil {
		var err error
		if memory, err = s.mapMemory(sizeBytes); err != nil {
			return err
		}
	}
	// Strides are counted from the first header to the end of the mapping, and
	// what follows a block in its stride is at least as long as a header: so
	// the last block ends inside.
	slots := (sizeBytes - (leadBytes - headerBytes)) / strideOf(classBytes)
	c := &chunk{memory: memory, slots: slots, partial: len(cl.partial)}
	if n := len(cl.holes); n > 0 {
		c.index = cl.holes[n-1]
		cl.holes = cl.holes[:n-1]
		cl.chunks[c.index] = c
	} else {
		c.index = len(cl.chunks)
		cl.chunks = append(cl.chunks, c)
	}
	cl.partial = append(cl.partial, c)
	cl.mapped += sizeBytes
	return nil
}

// Free takes back a block that Alloc returned, with its capacity unchanged.
// Nobody may use it any more. A nil block is ignored.
func (s *Slab) Free(block []byte) {
	if block == nil {
		return
	}
	classBytes := cap(block)
	block = block[:classBytes]
	if classBytes > maxClassBytes || headerOf(block).state == stateBig {
		s.freeBig(block)
		return
	}
	header := headerOf(block)
	index, size := classOf(classBytes)
	invariant.Check(size == classBytes, "block of %d bytes is not of this slab", classBytes)
	invariant.Check(header.state == stateLive, "block freed twice: state %#x", header.state)
	if invariant.Enabled {
		for i := range block {
			block[i] = poison
		}
		for i := range header.prefix {
			header.prefix[i] = poison
		}
	}
	cl := &s.classes[index]
	cl.mu.Lock()
	header.state = stateFree
	c := cl.chunks[header.chunk]
	c.free = append(c.free, header.slot)
	if c.partial < 0 {
		c.partial = len(cl.partial)
		cl.partial = append(cl.partial, c)
	}
	var empty []byte
	if c.used() == 0 {
		empty = c.memory
		cl.remove(c)
	}
	cl.mu.Unlock()
	s.used.Add(int64(-classBytes))
	if empty != nil {
		s.keepSpare(empty)
	}
}

// remove forgets an empty chunk. cl.mu is held.
func (cl *class) remove(c *chunk) {
	last := cl.partial[len(cl.partial)-1]
	cl.partial[c.partial] = last
	last.partial = c.partial
	cl.partial = cl.partial[:len(cl.partial)-1]
	cl.chunks[c.index] = nil
	cl.mapped -= len(c.memory)
	cl.holes = append(cl.holes, c.index)
}

// spareIndex returns where a spare chunk of sizeBytes is kept.
func spareIndex(sizeBytes int) int {
	switch sizeBytes {
	case tinyChunkBytes:
		return 0
	case smallChunkBytes:
		return 1
	}
	return 2
}

func (s *Slab) takeSpare(sizeBytes int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := spareIndex(sizeBytes)
	spare := s.spares[i]
	s.spares[i] = nil
	return spare
}

// keepSpare keeps the empty chunk as the spare one, or returns it when there
// is one.
func (s *Slab) keepSpare(memory []byte) {
	s.mu.Lock()
	i := spareIndex(len(memory))
	keep := s.spares[i] == nil
	if keep {
		s.spares[i] = memory
	}
	s.mu.Unlock()
	if !keep {
		s.unmapMemory(memory)
	}
}

func (s *Slab) allocBig(sizeBytes, alignBytes int) ([]byte, error) {
	mappedBytes := (leadBytes + sizeBytes + alignBytes - 1) / alignBytes * alignBytes
	memory, err := s.mapMemory(mappedBytes)
	if err != nil {
		return nil, err
	}
	block := memory[leadBytes:]
	headerOf(block).state = stateBig
	s.mu.Lock()
	s.big[unsafe.SliceData(block)] = memory
	s.mu.Unlock()
	s.used.Add(int64(len(block)))
	return block[:sizeBytes], nil
}

func (s *Slab) freeBig(block []byte) {
	start := unsafe.SliceData(block)
	s.mu.Lock()
	memory, ok := s.big[start]
	delete(s.big, start)
	s.mu.Unlock()
	invariant.Check(ok, "block of %d bytes is not of this slab", len(block))
	if ok {
		s.used.Add(int64(-len(block)))
		s.unmapMemory(memory)
	}
}

func (s *Slab) mapMemory(sizeBytes int) ([]byte, error) {
	memory, err := reserve(sizeBytes)
	if err != nil {
		return nil, err
	}
	if err := commit(memory); err != nil {
		release(memory)
		return nil, err
	}
	if sizeBytes == largeChunkBytes {
		// Blocks are read at random: most of the cost beyond the cache misses
		// themselves is finding their pages.
		adviseHuge(memory)
	}
	s.mapped.Add(int64(sizeBytes))
	s.acct.add(s.owner, sizeBytes)
	return memory, nil
}

func (s *Slab) unmapMemory(memory []byte) {
	s.mapped.Add(int64(-len(memory)))
	s.acct.add(s.owner, -len(memory))
	release(memory)
}

// UsedBytes returns the bytes of all blocks handed out, rounded up to their
// classes. The accountant counts the mappings that they are cut from.
func (s *Slab) UsedBytes() int64 { return s.used.Load() }

// WasteBytes returns what the slab holds of the system beyond the blocks handed out.
func (s *Slab) WasteBytes() int64 { return max(s.mapped.Load()-s.used.Load(), 0) }

// Close returns all memory. No block may be used any more.
func (s *Slab) Close() {
	for i := range s.classes {
		cl := &s.classes[i]
		for _, c := range cl.chunks {
			if c != nil {
				s.unmapMemory(c.memory)
			}
		}
		cl.mapped, cl.chunks, cl.holes, cl.partial = 0, nil, nil, nil
	}
	for i, spare := range s.spares {
		if spare != nil {
			s.unmapMemory(spare)
		}
		s.spares[i] = nil
	}
	for _, memory := range s.big {
		s.unmapMemory(memory)
	}
	clear(s.big)
	s.used.Store(0)
}
