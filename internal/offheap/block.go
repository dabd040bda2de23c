package offheap

import "unsafe"

// Block is memory for one large thing that is soon given back. It is a value of which
// one copy is freed; the zero Block has no memory. It is for one goroutine at a time.
type Block struct {
	memory []byte
	acct   *Accountant
	owner  Owner
}

// NewBlock returns a block of sizeBytes zeroes.
func NewBlock(acct *Accountant, owner Owner, sizeBytes int) (Block, error) {
	memory, err := reserve(sizeBytes)
	if err != nil {
		return Block{}, err
	}
	if err := commit(memory); err != nil {
		release(memory)
		return Block{}, err
	}
	acct.add(owner, sizeBytes)
	return Block{memory: memory, acct: acct, owner: owner}, nil
}

// Bytes returns the memory, which is valid until Free.
func (b Block) Bytes() []byte { return b.memory }

// Values returns the memory of a block as values of a type without pointers, as many as it
// holds. They are valid until Free.
func Values[T any](b Block) []T {
	n := len(b.memory) / int(unsafe.Sizeof(*new(T)))
	if n == 0 {
		return nil
	}
	// Sound: the memory was reserved for this alone, and begins at a page, or as the
	// allocator aligns what is large.
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b.memory))), n)
}

// Free gives the memory back; the zero Block has none.
func (b Block) Free() {
	if b.memory != nil {
		release(b.memory)
		b.acct.add(b.owner, -len(b.memory))
	}
}
