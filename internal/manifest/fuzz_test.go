package manifest

import (
	"bytes"
	"testing"
)

func FuzzDecodeEdit(f *testing.F) {
	f.Add(appendEdit(nil, fullEdit()))
	f.Add(appendEdit(nil, keptEdit()))
	f.Add(appendEdit(nil, newState(testID).snapshot()))
	f.Add(appendEdit(nil, restoredEdit()))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEdit(b)
		if err != nil {
			return
		}
		if again := appendEdit(nil, e); !bytes.Equal(again, b) {
			t.Fatalf("%x decoded to %+v, which encodes as %x", b, e, again)
		}
		if state, err := newState(testID).apply(e); err == nil {
			checkVersion(t, state.Version)
		}
	})
}

func FuzzDecodeCurrent(f *testing.F) {
	f.Add(pointer{id: testID, num: 3, salt: 9, synced: 100}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		seal := func(b []byte) []byte {
			if len(b) >= headerBytes {
				return seal(b)
			}
			return b
		}
		p, err := decodePointer(seal(bytes.Clone(b)))
		if err == nil && !bytes.Equal(p.encode(), seal(bytes.Clone(b))) {
			t.Fatalf("%x decoded to %+v", b, p)
		}
	})
}

// FuzzReplay loads manifests in which a part is overwritten; half of the time
// the checksum of the record there is made right again.
func FuzzReplay(f *testing.F) {
	s := newSample(f)
	p, err := decodePointer(s.current)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.file, false)
	f.Add(s.file[:s.proof], true)
	f.Add(s.file[:s.snapshot+5], true)
	f.Fuzz(func(t *testing.T, b []byte, repair bool) {
		if repair {
			for off := headerBytes; off+recordHeaderBytes <= len(b); {
				rec, ok := decodeRecord(repairRecord(b[off:], p.salt), p.salt)
				if !ok {
					break
				}
				off += rec.sizeBytes
			}
		}
		state, err := replay(s.name, p, b)
		if err != nil {
			if !isDamage(err) {
				t.Fatalf("%v is not typed as damage", err)
			}
			return
		}
		checkVersion(t, state.Version)
	})
}

// repairRecord gives the record at the start of b the checksum it should have.
func repairRecord(b []byte, salt uint64) []byte {
	length := uint64(b[4]) | uint64(b[5])<<8 | uint64(b[6])<<16 | uint64(b[7])<<24
	if size := (recordHeaderBytes + length + 7) &^ 7; size <= uint64(len(b)) {
		sum := recordChecksum(salt, b[4:size])
		b[0], b[1], b[2], b[3] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	}
	return b
}
