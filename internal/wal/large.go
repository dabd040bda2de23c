package wal

import (
	"encoding/binary"
	"slices"

	"github.com/lightningdb/lightning/internal/checksum"
)

// appendLarge writes a group that is larger than the ring straight to the
// segment. The ring, once it is empty, is the buffer of those writes.
func (l *Log) appendLarge(h groupHeader, payload [][]byte) (Position, error) {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	if err := l.flushLocked(); err != nil {
		return 0, err
	}
	end := h.position + Position(h.sizeBytes())
	padding := h.sizeBytes() - groupHeaderBytes - uint64(h.length)
	pieces := append(slices.Clip(payload), make([]byte, padding))

	header := new([groupHeaderBytes]byte)
	h.encode(header)
	crc := checksum.CRC(0, header[4:])
	for _, p := range pieces {
		crc = checksum.CRC(crc, p)
	}
	binary.LittleEndian.PutUint32(header[:], crc)

	w := pieceWriter{l: l, at: h.position}
	w.write(header[:])
	for _, p := range pieces {
		w.write(p)
	}
	if err := w.flush(); err != nil {
		return 0, l.fail(err)
	}
	l.written.Store(uint64(end))
	l.publish(end, &h)
	return end, nil
}

// pieceWriter joins pieces to writes of the size of the ring. The first
// failure ends its work; flush returns it.
type pieceWriter struct {
	l    *Log
	at   Position // of the ring's first byte
	fill int
	err  error
}

func (w *pieceWriter) write(p []byte) {
	for len(p) > 0 && w.err == nil {
		n := copy(w.l.ring[w.fill:], p)
		p, w.fill = p[n:], w.fill+n
		if w.fill == len(w.l.ring) {
			w.err = w.flush()
		}
	}
}

func (w *pieceWriter) flush() error {
	if w.err == nil && w.fill > 0 {
		w.err = w.l.current.write(w.l.ring[:w.fill], w.at)
		w.at, w.fill = w.at+Position(w.fill), 0
	}
	return w.err
}
