package manifest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lightningdb/lightning/internal/base"
)

// The fields of an encoded edit. Each is a tag, a length and a value; they
// stand in the order of their tags, so that an edit has one encoding only. A
// reader refuses tags it does not know: every field matters.
const (
	tagNextFileNum    = 1
	tagLastSeq        = 2
	tagLogStart       = 3
	tagNextKeyspaceID = 4
	tagRemoveLog      = 5
	tagAddLog         = 6
	tagRemoveFile     = 7
	tagAddFile        = 8
	tagDropKeyspace   = 9
	tagAddKeyspace    = 10
	tagForgetDropped  = 11
	tagAddDropped     = 12
	tagClockHighWater = 13
	tagIngestedSeq    = 14
	tagGrowLog        = 15
	tagForgetIngest   = 16
	tagAddIngest      = 17
	tagAddBlob        = 18
	tagHistory        = 19
	tagAddPending     = 20
)

// repeats reports whether a field may stand several times.
func repeats(tag byte) bool {
	return tag >= tagRemoveLog && tag <= tagAddDropped || tag >= tagGrowLog && tag <= tagAddBlob || tag == tagAddPending
}

// appendEdit appends the encoding of e.
func appendEdit(dst []byte, e *Edit) []byte {
	dst = appendNumber(dst, tagNextFileNum, uint64(e.NextFileNum))
	dst = appendNumber(dst, tagLastSeq, uint64(e.LastSeq))
	dst = appendNumber(dst, tagLogStart, e.LogStart)
	dst = appendNumber(dst, tagNextKeyspaceID, e.NextKeyspaceID)
	var value []byte
	for _, n := range e.RemoveLogs {
		value = binary.AppendUvarint(value[:0], uint64(n))
		dst = appendField(dst, tagRemoveLog, value)
	}
	for _, l := range e.AddLogs {
		value = binary.AppendUvarint(value[:0], uint64(l.Num))
		value = binary.AppendUvarint(value, uint64(l.SizeBytes))
		value = binary.LittleEndian.AppendUint32(value, l.Salt)
		dst = appendField(dst, tagAddLog, value)
	}
	for _, f := range e.RemoveFiles {
		value = append(value[:0], byte(f.Level))
		value = binary.AppendUvarint(value, uint64(f.Num))
		dst = appendField(dst, tagRemoveFile, value)
	}
	for _, f := range e.AddFiles {
		value = append(value[:0], byte(f.Level))
		value = appendMeta(value, f.Meta)
		dst = appendField(dst, tagAddFile, value)
	}
	for _, id := range e.DropKeyspaces {
		value = binary.AppendUvarint(value[:0], id)
		dst = appendField(dst, tagDropKeyspace, value)
	}
	for _, k := range e.AddKeyspaces {
		value = AppendKeyspace(value[:0], &k)
		dst = appendField(dst, tagAddKeyspace, value)
	}
	for _, id := range e.ForgetDropped {
		value = binary.AppendUvarint(value[:0], id)
		dst = appendField(dst, tagForgetDropped, value)
	}
	for _, k := range e.AddDropped {
		value = binary.AppendUvarint(value[:0], k.ID)
		value = binary.AppendUvarint(value, uint64(k.LastSeq))
		value = appendBytes(value, []byte(k.Name))
		dst = appendField(dst, tagAddDropped, value)
	}
	dst = appendNumber(dst, tagClockHighWater, uint64(e.ClockHighWater))
	dst = appendNumber(dst, tagIngestedSeq, uint64(e.IngestedSeq))
	for _, l := range e.GrowLogs {
		value = binary.AppendUvarint(value[:0], uint64(l.Num))
		value = binary.AppendUvarint(value, uint64(l.SizeBytes))
		dst = appendField(dst, tagGrowLog, value)
	}
	for _, first := range e.ForgetIngests {
		value = binary.AppendUvarint(value[:0], uint64(first))
		dst = appendField(dst, tagForgetIngest, value)
	}
	for i := range e.AddIngests {
		value = appendIngest(value[:0], &e.AddIngests[i])
		dst = appendField(dst, tagAddIngest, value)
	}
	for _, m := range e.AddBlobs {
		value = appendMeta(value[:0], m)
		dst = appendField(dst, tagAddBlob, value)
	}
	return appendRestored(dst, e)
}

// appendRestored appends what restored databases have.
func appendRestored(dst []byte, e *Edit) []byte {
	if e.History != (base.DBID{}) {
		dst = appendField(dst, tagHistory, e.History[:])
	}
	for i := range e.AddPending {
		dst = appendField(dst, tagAddPending, appendIngest(nil, &e.AddPending[i]))
	}
	return dst
}

func appendIngest(dst []byte, c *IngestCommit) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.First))
	dst = binary.AppendUvarint(dst, uint64(c.Last))
	dst = binary.AppendUvarint(dst, uint64(c.At))
	for _, m := range c.Tables {
		dst = appendBytes(dst, appendMeta(nil, m))
	}
	return dst
}

// AppendKeyspace appends a keyspace as edits have it.
func AppendKeyspace(dst []byte, k *Keyspace) []byte {
	dst = binary.AppendUvarint(dst, k.ID)
	dst = append(dst, k.Compression)
	dst = appendBytes(dst, []byte(k.Name))
	if k.TTLNS != 0 || k.Merge != "" || k.BlobBytes != 0 {
		dst = binary.AppendUvarint(dst, k.TTLNS)
		dst = appendBytes(dst, []byte(k.Merge))
	}
	if k.BlobBytes != 0 {
		dst = binary.AppendUvarint(dst, k.BlobBytes)
	}
	return dst
}

// DecodeKeyspace reads what AppendKeyspace wrote.
func DecodeKeyspace(encoded []byte) (Keyspace, error) {
	in := input{rest: encoded}
	k := in.keyspace()
	if in.err == nil && len(in.rest) > 0 {
		in.err = errTrailing
	}
	if in.err != nil {
		return Keyspace{}, fmt.Errorf("keyspace: %w", in.err)
	}
	return k, k.validate()
}

func (in *input) keyspace() Keyspace {
	k := Keyspace{ID: in.uvarint(), Compression: in.byte()}
	k.Name = string(in.bytes())
	if len(in.rest) > 0 { // left out where all are zero
		k.TTLNS = in.uvarint()
		k.Merge = string(in.bytes())
		if len(in.rest) > 0 {
			k.BlobBytes = in.nonZero()
		} else if k.TTLNS == 0 && k.Merge == "" {
			in.fail(errNumber)
		}
	}
	return k
}

func appendMeta(dst []byte, m *FileMeta) []byte {
	dst = binary.AppendUvarint(dst, uint64(m.Num))
	dst = binary.AppendUvarint(dst, m.SizeBytes)
	dst = appendBytes(dst, m.Lo)
	dst = appendBytes(dst, m.Hi)
	dst = binary.AppendUvarint(dst, uint64(m.SmallestSeq))
	dst = binary.AppendUvarint(dst, uint64(m.LargestSeq))
	dst = binary.AppendUvarint(dst, m.Count)
	dst = binary.AppendUvarint(dst, m.Deletes)
	dst = binary.AppendUvarint(dst, m.RangeDeletes)
	if m.RangeDeletes > 0 {
		dst = appendBytes(dst, m.DeletesLo)
		dst = appendBytes(dst, m.DeletesHi)
	}
	dst = binary.AppendUvarint(dst, m.RawBytes)
	dst = binary.LittleEndian.AppendUint64(dst, m.EntryChecksum)
	if m.Expiring.Count == 0 && m.SeqBase == 0 && m.CoveredBytes == 0 && len(m.Blobs) == 0 {
		return dst
	}
	dst = binary.AppendUvarint(dst, m.Expiring.Count)
	if m.Expiring.Count > 0 {
		dst = binary.AppendUvarint(dst, uint64(m.Expiring.Mean))
		dst = binary.AppendUvarint(dst, uint64(m.Expiring.Last))
	}
	if m.SeqBase > 0 || m.CoveredBytes > 0 || len(m.Blobs) > 0 {
		dst = binary.AppendUvarint(dst, uint64(m.SeqBase))
	}
	if m.CoveredBytes > 0 || len(m.Blobs) > 0 {
		dst = binary.AppendUvarint(dst, m.CoveredBytes)
	}
	for _, use := range m.Blobs {
		dst = binary.AppendUvarint(dst, uint64(use.Num))
		dst = binary.AppendUvarint(dst, use.StoredBytes)
	}
	return dst
}

// appendNumber appends a field that is left out when it is zero.
func appendNumber(dst []byte, tag byte, v uint64) []byte {
	if v == 0 {
		return dst
	}
	var value [binary.MaxVarintLen64]byte
	return appendField(dst, tag, binary.AppendUvarint(value[:0], v))
}

func appendField(dst []byte, tag byte, value []byte) []byte {
	return appendBytes(append(dst, tag), value)
}

func appendBytes(dst, b []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

// decodeEdit reads what appendEdit wrote. The edit holds copies, nothing of b.
// Anything else than a well-formed edit within the limits is an error; no
// length found in b makes it take more memory than b has bytes, but for a
// small factor.
func decodeEdit(b []byte) (*Edit, error) {
	e := new(Edit)
	if n := countFields(b, tagAddKeyspace); n > 0 {
		e.AddKeyspaces = make([]Keyspace, 0, n)
	}
	in := input{rest: b}
	last := byte(0)
	for len(in.rest) > 0 && in.err == nil {
		tag := in.byte()
		value := input{rest: in.bytes()}
		if in.err != nil {
			break
		}
		if tag < last || tag == last && !repeats(tag) {
			return nil, fmt.Errorf("field %d is out of order", tag)
		}
		last = tag
		e.decodeField(tag, &value)
		if value.err == nil && len(value.rest) > 0 {
			value.err = errTrailing
		}
		if value.err != nil {
			return nil, fmt.Errorf("field %d: %w", tag, value.err)
		}
	}
	if in.err != nil {
		return nil, in.err
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	return e, nil
}

// countFields returns how many fields of an encoded edit have a tag.
func countFields(b []byte, tag byte) (n int) {
	for in := (input{rest: b}); len(in.rest) > 0; in.bytes() {
		if in.byte() == tag {
			n++
		}
	}
	return n
}

func (e *Edit) decodeField(tag byte, in *input) {
	switch tag {
	case tagNextFileNum:
		e.NextFileNum = base.FileNum(in.nonZero())
	case tagLastSeq:
		e.LastSeq = base.SeqNum(in.nonZero())
	case tagLogStart:
		e.LogStart = in.nonZero()
	case tagNextKeyspaceID:
		e.NextKeyspaceID = in.nonZero()
	case tagRemoveLog:
		e.RemoveLogs = append(e.RemoveLogs, base.FileNum(in.uvarint()))
	case tagAddLog:
		l := LogSegment{Num: base.FileNum(in.uvarint()), SizeBytes: int64(in.uvarint())}
		if salt := in.take(4); salt != nil {
			l.Salt = binary.LittleEndian.Uint32(salt)
		}
		e.AddLogs = append(e.AddLogs, l)
	case tagRemoveFile:
		level := int(in.byte())
		e.RemoveFiles = append(e.RemoveFiles, LevelNum{level, base.FileNum(in.uvarint())})
	case tagAddFile:
		level := int(in.byte())
		e.AddFiles = append(e.AddFiles, LevelFile{level, in.meta()})
	case tagDropKeyspace:
		e.DropKeyspaces = append(e.DropKeyspaces, in.uvarint())
	case tagAddKeyspace:
		e.AddKeyspaces = append(e.AddKeyspaces, in.keyspace())
	case tagClockHighWater:
		e.ClockHighWater = base.Instant(in.nonZero())
	case tagForgetDropped:
		e.ForgetDropped = append(e.ForgetDropped, in.uvarint())
	case tagAddDropped:
		k := DroppedKeyspace{ID: in.uvarint(), LastSeq: base.SeqNum(in.uvarint())}
		k.Name = string(in.bytes())
		e.AddDropped = append(e.AddDropped, k)
	case tagIngestedSeq:
		e.IngestedSeq = base.SeqNum(in.nonZero())
	case tagGrowLog:
		l := LogSize{Num: base.FileNum(in.uvarint()), SizeBytes: int64(in.uvarint())}
		e.GrowLogs = append(e.GrowLogs, l)
	case tagForgetIngest:
		e.ForgetIngests = append(e.ForgetIngests, base.SeqNum(in.uvarint()))
	case tagAddIngest:
		e.AddIngests = append(e.AddIngests, in.ingest())
	case tagAddBlob:
		e.AddBlobs = append(e.AddBlobs, in.meta())
	case tagHistory:
		if copy(e.History[:], in.take(len(e.History))); e.History == (base.DBID{}) {
			in.fail(errNumber)
		}
	case tagAddPending:
		e.AddPending = append(e.AddPending, in.ingest())
	default:
		in.err = errUnknownField
	}
}

var (
	errTruncated    = errors.New("truncated")
	errTrailing     = errors.New("bytes left over")
	errNumber       = errors.New("malformed number")
	errUnknownField = errors.New("unknown field")
)

// input reads encoded values from the front of rest. After the first error it
// returns zeroes.
type input struct {
	rest []byte
	err  error
}

func (in *input) fail(err error) {
	if in.err == nil {
		in.err = err
	}
	in.rest = nil
}

func (in *input) take(n int) []byte {
	if n > len(in.rest) {
		in.fail(errTruncated)
		return nil
	}
	b := in.rest[:n]
	in.rest = in.rest[n:]
	return b
}

func (in *input) byte() byte {
	if b := in.take(1); b != nil {
		return b[0]
	}
	return 0
}

// uvarint accepts the shortest encoding of a number only.
func (in *input) uvarint() uint64 {
	v, n := binary.Uvarint(in.rest)
	if n <= 0 || n > 1 && in.rest[n-1] == 0 {
		in.fail(errNumber)
		return 0
	}
	in.rest = in.rest[n:]
	return v
}

func (in *input) nonZero() uint64 {
	v := in.uvarint()
	if v == 0 {
		in.fail(errNumber)
	}
	return v
}

// bytes returns a length-prefixed piece of the input, not a copy.
func (in *input) bytes() []byte {
	n := in.uvarint()
	if n > uint64(len(in.rest)) {
		in.fail(errTruncated)
		return nil
	}
	return in.take(int(n))
}

func (in *input) ingest() IngestCommit {
	c := IngestCommit{
		First: base.SeqNum(in.uvarint()), Last: base.SeqNum(in.uvarint()), At: base.Instant(in.uvarint()),
	}
	for len(in.rest) > 0 {
		table := input{rest: in.bytes()}
		c.Tables = append(c.Tables, table.meta())
		if table.err == nil && len(table.rest) > 0 {
			table.err = errTrailing
		}
		if in.err == nil {
			in.err = table.err
		}
	}
	return c
}

func (in *input) meta() *FileMeta {
	m := &FileMeta{
		Num:       base.FileNum(in.uvarint()),
		SizeBytes: in.uvarint(),
	}
	lo, hi := in.bytes(), in.bytes()
	m.SmallestSeq = base.SeqNum(in.uvarint())
	m.LargestSeq = base.SeqNum(in.uvarint())
	m.Count = in.uvarint()
	m.Deletes = in.uvarint()
	if m.RangeDeletes = in.uvarint(); m.RangeDeletes > 0 {
		m.DeletesLo, m.DeletesHi = bytes.Clone(in.bytes()), bytes.Clone(in.bytes())
	}
	m.RawBytes = in.uvarint()
	if sum := in.take(8); sum != nil {
		m.EntryChecksum = binary.LittleEndian.Uint64(sum)
	}
	if len(in.rest) > 0 { // left out where all are zero
		in.metaTail(m)
	}
	// One allocation for both bounds.
	both := append(append(make([]byte, 0, len(lo)+len(hi)), lo...), hi...)
	m.Lo = both[:len(lo):len(lo)]
	m.Hi = both[len(lo):]
	return m
}

// metaTail reads what most tables do not have; zeroes at its end are left out.
func (in *input) metaTail(m *FileMeta) {
	if m.Expiring.Count = in.uvarint(); m.Expiring.Count > 0 {
		m.Expiring.Mean, m.Expiring.Last = base.Instant(in.uvarint()), base.Instant(in.uvarint())
		if len(in.rest) == 0 {
			return
		}
	}
	m.SeqBase = base.SeqNum(in.uvarint())
	if len(in.rest) == 0 {
		if m.SeqBase == 0 {
			in.fail(errNumber)
		}
		return
	}
	if m.CoveredBytes = in.uvarint(); m.CoveredBytes == 0 && len(in.rest) == 0 {
		in.fail(errNumber)
	}
	for len(in.rest) > 0 { // the state knows the tables
		m.Blobs = append(m.Blobs, BlobUse{Num: base.FileNum(in.nonZero()), StoredBytes: in.uvarint()})
	}
}
