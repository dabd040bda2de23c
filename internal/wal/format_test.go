package wal

import (
	"encoding/hex"
	"math"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

// The layouts are frozen: this is what version 1 of the format looks like.
func TestLayoutsAreFrozen(t *testing.T) {
	segment := Segment{Num: 0x1122, SizeBytes: 0x40000, Salt: 0xa1b2c3d4}
	const wantPrepared = "4c544e47574c4f47" + "01000000" + "00000000" + "01020304000000000000000000000000" +
		"2211000000000000" + "0000040000000000" + "d4c3b2a1" + "0000000000000000"
	if got := hex.EncodeToString(encodePrepared(testID, segment)[:60]); got != wantPrepared {
		t.Errorf("prepared header\ngot  %s\nwant %s", got, wantPrepared)
	}
	if id, back, err := decodePrepared("x", encodePrepared(testID, segment)); err != nil || id != testID || back != segment {
		t.Errorf("%+v came back as %+v, %v", segment, back, err)
	}
	begin := beginHeader{number: 0x1122, salt: 0xa1b2c3d4, start: 0x10000, durable: 0x10000 - 0x50}
	const wantBegin = "4c544e4757424547" + "22110000" + "d4c3b2a1" + "0000010000000000" + "0a000000" +
		"0000000000000000000000000000000000000000000000000000000000000000"
	if got := hex.EncodeToString(begin.encode()[:60]); got != wantBegin {
		t.Errorf("begin header\ngot  %s\nwant %s", got, wantBegin)
	}
	if back, ok := decodeBegin(begin.encode()); !ok || back != begin {
		t.Errorf("%+v came back as %+v", begin, back)
	}
	h := groupHeader{
		length: 5, number: 0x1122, salt: 0xa1b2c3d4, position: 0x10040, first: 0x77, count: 3,
		durable: 0x10000, seal: true,
	}
	var group [groupHeaderBytes]byte
	h.encode(&group)
	const wantGroup = "00000000" + "05000000" + "22110000" + "d4c3b2a1" + "4000010000000000" +
		"7700000000000001" + "03000000" + "08000000"
	if got := hex.EncodeToString(group[:]); got != wantGroup {
		t.Errorf("group header\ngot  %s\nwant %s", got, wantGroup)
	}
	if back, ok := decodeGroupHeader(group[:]); !ok || back != h {
		t.Errorf("%+v came back as %+v", h, back)
	}
}

func TestDurableDistance(t *testing.T) {
	const far = Position(1) << 40
	for _, c := range []struct{ at, durable, want Position }{
		{0, 0, 0}, {800, 800, 800}, {800, 8, 8}, {800, 0, 0}, {far, far - 8, far - 8},
		{far, far - 8*(math.MaxUint32-1), far - 8*(math.MaxUint32-1)},
		{far, far - 8*math.MaxUint32, 0}, {far, 8, 0}, // too far: nothing is claimed
	} {
		if got := ahead(c.at, behind(c.at, c.durable)); got != c.want {
			t.Errorf("at %d, durable %d: came back as %d, want %d", c.at, c.durable, got, c.want)
		}
	}
	if got := ahead(80, 1000); got != 0 {
		t.Errorf("a distance beyond the beginning: %d", got)
	}
}

func TestGroupLimits(t *testing.T) {
	var b [groupHeaderBytes]byte
	for name, h := range map[string]groupHeader{
		"sequence numbers": {first: base.SeqNumMax, count: 1},
		"unknown flag":     {first: 1 << 57},
		"position":         {position: 4},
		"length":           {length: base.MaxBatchBytes + 1},
	} {
		h.encode(&b)
		if _, ok := decodeGroupHeader(b[:]); ok {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestGroupsAreAligned(t *testing.T) {
	for payload := range uint64(100) {
		size := groupBytes(payload)
		if size%alignBytes != 0 || size < groupHeaderBytes+payload || size >= groupHeaderBytes+payload+alignBytes {
			t.Errorf("a payload of %d bytes takes %d", payload, size)
		}
	}
	if segmentHeaderBytes%alignBytes != 0 || groupHeaderBytes%alignBytes != 0 {
		t.Error("headers are not aligned")
	}
}
