package offheap

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

// Free gives the memory back; the zero Block has none.
func (b Block) Free() {
	if b.memory != nil {
		release(b.memory)
		b.acct.add(b.owner, -len(b.memory))
	}
}
