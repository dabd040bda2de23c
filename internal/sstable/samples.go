package sstable

// Samples calls fn with some keys of the index, ascending, and about how many bytes of data
// blocks lie between each and the one before: of the top index, which is in memory, or of the
// partitions where it has less than least. Behind each key, or at it, a block ends. The key is
// valid until fn returns. The caller is inside an epoch guard.
func (r *Reader) Samples(least int, fn func(key []byte, sizeBytes int64)) error {
	if len(r.parts) >= least {
		each := r.dataEnd() / int64(len(r.parts))
		for p := range r.parts {
			key, err := r.topEntry(p)
			if err != nil {
				return err
			}
			fn(key, each)
		}
		return nil
	}
	every := max(r.blockCount()/(4*least), 1)
	var key []byte
	var sizeBytes int64
	for p := range r.parts {
		index, err := r.partition(p)
		if err != nil {
			return err
		}
		for i := range index.Len() {
			sizeBytes += r.layout.storedBytes(dataRef(&index, i))
			if block := r.parts[p].firstBlock + i; (block+1)%every == 0 || block+1 == r.blockCount() {
				key = index.AppendKey(key[:0], i)
				fn(key, sizeBytes)
				sizeBytes = 0
			}
		}
	}
	return nil
}
