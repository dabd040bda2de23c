package offheap

import (
	"bytes"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"unsafe"

	"github.com/lightningdb/lightning/internal/invariant"
	"github.com/lightningdb/lightning/internal/leak"
)

func TestMain(m *testing.M) { os.Exit(leak.Run(m)) }

func TestClassesCoverAllSizesTightly(t *testing.T) {
	previousIndex, previousBytes := -1, 0
	for size := 0; size <= maxClassBytes; size++ {
		index, classBytes := classOf(size)
		if classBytes < size || index >= numClasses {
			t.Fatalf("size %d got class %d of %d bytes", size, index, classBytes)
		}
		if size > 64 && classBytes-size >= (size+7)/8 {
			t.Fatalf("size %d got %d bytes: more than an eighth is wasted", size, classBytes)
		}
		if i, b := classOf(classBytes); i != index || b != classBytes {
			t.Fatalf("class size %d maps to class %d of %d bytes, not to itself", classBytes, i, b)
		}
		if index != previousIndex && (index != previousIndex+1 || classBytes <= previousBytes) {
			t.Fatalf("class %d of %d bytes follows class %d of %d", index, classBytes, previousIndex, previousBytes)
		}
		previousIndex, previousBytes = index, classBytes
	}
	if previousIndex != numClasses-1 {
		t.Fatalf("last class is %d of %d", previousIndex, numClasses)
	}
}

func prefixOf(block []byte) []byte {
	start := unsafe.Add(unsafe.Pointer(unsafe.SliceData(block)), -PrefixBytes)
	return unsafe.Slice((*byte)(start), PrefixBytes)
}

// TestSlabModel allocates and frees at random, fills each block with a byte of
// its own, and looks for blocks that overlap and for wrong accounts.
func TestSlabModel(t *testing.T) {
	const seed = 7
	rng := rand.New(rand.NewPCG(seed, 0))
	var acct Accountant
	s := NewSlab(&acct, OwnerCache)
	type held struct {
		block []byte
		fill  byte
	}
	var live []held
	for step := range 12_000 {
		growing := step/2000%2 == 0
		if len(live) == 0 || rng.IntN(10) < 3 || growing && rng.IntN(2) == 0 {
			size := rng.IntN(9000)
			switch rng.IntN(50) {
			case 0:
				size = rng.IntN(400 << 10)
			case 1:
				size = 0
			}
			block, err := s.Alloc(size)
			if err != nil || len(block) != size || block == nil {
				t.Fatalf("seed %d: block of %d bytes: %d, %v", seed, size, len(block), err)
			}
			address := uintptr(unsafe.Pointer(unsafe.SliceData(block)))
			inLine := cap(block) < lineFromBytes || address%lineBytes == PrefixBytes
			if address%BlockAlignBytes != 0 || !inLine {
				t.Fatalf("seed %d: block of %d bytes is at %#x", seed, size, address)
			}
			fill := byte(rng.IntN(256))
			copy(prefixOf(block), bytes.Repeat([]byte{fill}, PrefixBytes))
			whole := block[:cap(block)] // all of it must be there
			for i := range whole {
				whole[i] = fill
			}
			live = append(live, held{block, fill})
		} else {
			i := rng.IntN(len(live))
			h := live[i]
			want := bytes.Repeat([]byte{h.fill}, max(len(h.block), PrefixBytes))
			if !bytes.Equal(h.block, want[:len(h.block)]) ||
				!bytes.Equal(prefixOf(h.block), want[:PrefixBytes]) {
				t.Fatalf("seed %d: step %d: a block of %d bytes was overwritten", seed, step, len(h.block))
			}
			s.Free(h.block)
			live[i] = live[len(live)-1]
			live = live[:len(live)-1]
		}
		if used := s.UsedBytes(); used > acct.Bytes(OwnerCache) {
			t.Fatalf("seed %d: %d bytes used of %d mapped", seed, used, acct.Bytes(OwnerCache))
		}
	}
	for _, h := range live {
		s.Free(h.block)
	}
	if used, mapped := s.UsedBytes(), acct.Total(); used != 0 || mapped > smallChunkBytes+largeChunkBytes {
		t.Fatalf("%d bytes used and %d mapped after all blocks were freed", used, mapped)
	}
	s.Close()
	if acct.Total() != 0 {
		t.Fatalf("%d bytes accounted after Close", acct.Total())
	}
}

func TestSlabCloseReturnsLiveBlocks(t *testing.T) {
	var acct Accountant
	s := NewSlab(&acct, OwnerCache)
	for _, size := range []int{1, 5000, 100 << 10, 3 << 20} {
		if _, err := s.Alloc(size); err != nil {
			t.Fatal(err)
		}
	}
	s.Free(nil)
	if acct.Bytes(OwnerCache) < 3<<20 {
		t.Fatalf("only %d bytes accounted", acct.Bytes(OwnerCache))
	}
	s.Close()
	if acct.Total() != 0 || s.UsedBytes() != 0 {
		t.Fatalf("%d bytes accounted after Close", acct.Total())
	}
	if _, err := s.Alloc(-1); err == nil {
		t.Error("a block of -1 bytes was allocated")
	}
}

func TestSlabConcurrently(t *testing.T) {
	var acct Accountant
	s := NewSlab(&acct, OwnerCache)
	defer s.Close()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 3))
			var live [][]byte
			for range 3000 {
				if len(live) > 40 || len(live) > 0 && rng.IntN(2) == 0 {
					last := live[len(live)-1]
					live = live[:len(live)-1]
					for _, b := range last {
						if b != byte(g) {
							t.Errorf("block of goroutine %d holds %d", g, b)
							return
						}
					}
					s.Free(last)
					continue
				}
				block, err := s.Alloc(rng.IntN(20_000))
				if err != nil {
					t.Error(err)
					return
				}
				for i := range block {
					block[i] = byte(g)
				}
				live = append(live, block)
			}
			for _, block := range live {
				s.Free(block)
			}
		})
	}
	wg.Wait()
	if s.UsedBytes() != 0 {
		t.Fatalf("%d bytes in use at the end", s.UsedBytes())
	}
}

func TestSlabFindsMisuse(t *testing.T) {
	if !invariant.Enabled {
		t.Skip("needs invariants")
	}
	var acct Accountant
	s := NewSlab(&acct, OwnerCache)
	defer s.Close()
	keep, _ := s.Alloc(100)
	block, _ := s.Alloc(100)
	s.Free(block)
	if block[0] != poison || block[99] != poison || prefixOf(block)[0] != poison {
		t.Error("a freed block is not poisoned")
	}
	defer func() {
		if recover() == nil {
			t.Error("freeing twice went unnoticed")
		}
		s.Free(keep)
	}()
	s.Free(block)
}

func BenchmarkSlabAllocFree(b *testing.B) {
	var acct Accountant
	s := NewSlab(&acct, OwnerCache)
	defer s.Close()
	b.ReportAllocs()
	for b.Loop() {
		block, err := s.Alloc(8 << 10)
		if err != nil {
			b.Fatal(err)
		}
		s.Free(block)
	}
}

// A slab that holds one block of each size has little more than the blocks: what few
// would fit of in a small chunk has a mapping of its own, not a chunk of two mebibytes.
func TestSmallSlabWastesLittle(t *testing.T) {
	var acct Accountant
	s := NewSlab(&acct, OwnerCache)
	defer s.Close()
	var blocks [][]byte
	for sizeBytes := smallChunkMaxBlock + 1; sizeBytes <= maxClassBytes; sizeBytes += sizeBytes / 8 {
		b, err := s.Alloc(sizeBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != sizeBytes {
			t.Fatalf("%d bytes, not %d", len(b), sizeBytes)
		}
		blocks = append(blocks, b)
	}
	if waste := s.WasteBytes(); waste > s.UsedBytes()/8 {
		t.Errorf("%d bytes are wasted beside %d", waste, s.UsedBytes())
	}
	if held := acct.Bytes(OwnerCache); held != s.UsedBytes()+s.WasteBytes() {
		t.Errorf("%d bytes are accounted for, not %d", held, s.UsedBytes()+s.WasteBytes())
	}
	for _, b := range blocks {
		s.Free(b)
	}
	if held := acct.Bytes(OwnerCache); s.UsedBytes() != 0 || held != 0 {
		t.Errorf("%d bytes are held, of which %d are used", held, s.UsedBytes())
	}
}

// A class of which there are few blocks has small chunks in a large slab too, and one of
// which there are many has large ones.
func TestFewBlocksWasteLittle(t *testing.T) {
	s := NewSlab(new(Accountant), OwnerCache)
	defer s.Close()
	for range 100 << 20 / (8 << 10) {
		if _, err := s.Alloc(8 << 10); err != nil {
			t.Fatal(err)
		}
	}
	before := s.WasteBytes()
	const sizes = 8 // up to smallChunkMaxBlock
	for i := range sizes {
		if _, err := s.Alloc(100 << i); err != nil {
			t.Fatal(err)
		}
	}
	if waste := s.WasteBytes() - before; waste > 2*sizes*tinyChunkBytes {
		t.Errorf("%d blocks of different sizes waste %d KiB", sizes, waste>>10)
	}
	index, _ := classOf(8 << 10)
	large := 0
	for _, c := range s.classes[index].chunks {
		if len(c.memory) == largeChunkBytes {
			large++
		}
	}
	if large < 15 {
		t.Errorf("%d of %d chunks of the common class are large", large, len(s.classes[index].chunks))
	}
}
