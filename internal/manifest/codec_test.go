package manifest

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
)

func fullEdit() *Edit {
	return &Edit{
		NextFileNum: 300, LastSeq: base.SeqNumMax, LogStart: 1 << 40, NextKeyspaceID: 9,
		AddLogs: logs(12, 11), RemoveLogs: []base.FileNum{4},
		AddFiles:     []LevelFile{{0, table(200, "a", "b")}, {6, table(201, "", "c")}},
		RemoveFiles:  []LevelNum{{3, 7}, {6, 200}},
		AddKeyspaces: []Keyspace{{ID: 8, Name: "users", Compression: 2}}, DropKeyspaces: []uint64{5},
		AddDropped: []DroppedKeyspace{{ID: 5, Name: "old", LastSeq: 300}}, ForgetDropped: []uint64{3},
	}
}

// dataModelEdit has the fields that came with expiry and merge operators.
func dataModelEdit() *Edit {
	expiring := table(200, "a", "b")
	expiring.Expiring = Expiring{Count: 3, Mean: 1 << 60, Last: 1<<60 + 5}
	return &Edit{
		AddFiles: []LevelFile{{1, expiring}}, ClockHighWater: 1 << 60,
		AddKeyspaces: []Keyspace{{ID: 8, Name: "a", TTLNS: 1e9}, {ID: 9, Name: "b", Merge: "max"}},
	}
}

func TestDataModelEditRoundTrip(t *testing.T) {
	b := appendEdit(nil, dataModelEdit())
	got, err := decodeEdit(b)
	if err != nil || !reflect.DeepEqual(got, dataModelEdit()) {
		t.Errorf("got %+v, %v", got, err)
	}
	state, err := newState(testID).apply(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := newState(testID).apply(state.snapshot())
	if err != nil || again.ClockHighWater != 1<<60 || !reflect.DeepEqual(again.Keyspaces, state.Keyspaces) {
		t.Errorf("the snapshot is of %+v, %v", again, err)
	}
	older, err := again.apply(&Edit{ClockHighWater: 5})
	if err != nil || older.ClockHighWater != 1<<60 {
		t.Errorf("the clock mark went back to %d, %v", older.ClockHighWater, err)
	}
}

func TestGrownLogsRoundTrip(t *testing.T) {
	e := &Edit{IngestedSeq: 5, GrowLogs: []LogSize{{Num: 300, SizeBytes: 1 << 18}, {Num: 2, SizeBytes: 1}}}
	const want = "0e0105" + "0f05" + "ac02" + "808010" + "0f02" + "02" + "01"
	b := appendEdit(nil, e)
	if hex.EncodeToString(b) != want {
		t.Errorf("got  %x\nwant %s", b, want)
	}
	if got, err := decodeEdit(b); err != nil || !reflect.DeepEqual(got, e) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// ingestEdit has the fields of commits past the log.
func ingestEdit() *Edit {
	plain, expiring := table(200, "a", "b"), table(201, "b", "c")
	plain.SeqBase, expiring.SeqBase = 1, 300
	expiring.SmallestSeq, expiring.LargestSeq = 300, 301
	expiring.Expiring = Expiring{Count: 3, Mean: 1, Last: 1}
	return &Edit{AddFiles: []LevelFile{{0, plain}, {0, expiring}}, LastSeq: 301, IngestedSeq: 301}
}

func TestIngestEditRoundTrip(t *testing.T) {
	const want = "0202ad02" +
		"081f" + "00" + "c801" + "b009" + "0161" + "0162" + "01" + "c801" + "0a" + "02" + "01" + "0161" + "0162" + "f403" +
		"68f03072eb18579b" + "0001" +
		"0823" + "00" + "c901" + "b109" + "0162" + "0163" + "ac02" + "ad02" + "0a" + "02" + "01" + "0162" + "0163" + "f403" +
		"7d6c7bf1a4928e39" + "030101" + "ac02" +
		"0e02ad02"
	b := appendEdit(nil, ingestEdit())
	if hex.EncodeToString(b) != want {
		t.Errorf("got  %x\nwant %s", b, want)
	}
	got, err := decodeEdit(b)
	if err != nil || !reflect.DeepEqual(got, ingestEdit()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	state, err := newState(testID).apply(got)
	if err != nil {
		t.Fatal(err)
	}
	again, err := newState(testID).apply(state.snapshot())
	if err != nil || again.IngestedSeq != 301 || again.Version.Levels[0][1].SeqBase != 1 {
		t.Errorf("the snapshot is of %+v, %v", again, err)
	}
	older, err := again.apply(&Edit{IngestedSeq: 5})
	if err != nil || older.IngestedSeq != 301 {
		t.Errorf("the number went back to %d, %v", older.IngestedSeq, err)
	}
}

// What a table has at the end of its description is left out where it is zero.
func TestMetaTails(t *testing.T) {
	for want, change := range map[string]func(m *FileMeta){
		"":             func(m *FileMeta) {},
		"0001":         func(m *FileMeta) { m.SeqBase = 1 },
		"0000ac02":     func(m *FileMeta) { m.CoveredBytes = 300 },
		"0001ac02":     func(m *FileMeta) { m.SeqBase, m.CoveredBytes = 1, 300 },
		"030102":       func(m *FileMeta) { m.Expiring = Expiring{Count: 3, Mean: 1, Last: 2} },
		"03010200ac02": func(m *FileMeta) { m.Expiring, m.CoveredBytes = Expiring{Count: 3, Mean: 1, Last: 2}, 300 },
	} {
		plain, m := table(200, "a", "b"), table(200, "a", "b")
		change(m)
		encoded := appendMeta(nil, m)
		if got := hex.EncodeToString(encoded[len(appendMeta(nil, plain)):]); got != want {
			t.Errorf("%+v ends with %s, want %s", m, got, want)
		}
		in := input{rest: encoded}
		if got := in.meta(); in.err != nil || len(in.rest) > 0 || !reflect.DeepEqual(got, m) {
			t.Errorf("%+v came back as %+v, %v", m, got, in.err)
		}
	}
}

// keptEdit has the fields of commits past the log that the archive keeps.
func keptEdit() *Edit {
	e := ingestEdit()
	first, second := e.AddFiles[0].Meta, e.AddFiles[1].Meta
	return &Edit{
		ForgetIngests: []base.SeqNum{7, 300},
		AddIngests: []IngestCommit{
			{First: 1, Last: 250, At: 5, Tables: []*FileMeta{first}},
			{First: 300, Last: 301, At: 6, Tables: []*FileMeta{second}},
		},
	}
}

func TestKeptIngestsRoundTrip(t *testing.T) {
	const want = "100107" + "1002ac02" +
		"1123" + "01" + "fa01" + "05" + "1e" + "c801" + "b009" + "0161" + "0162" + "01" + "c801" + "0a" + "02" + "01" + "0161" + "0162" + "f403" +
		"68f03072eb18579b" + "0001" +
		"1128" + "ac02" + "ad02" + "06" + "22" + "c901" + "b109" + "0162" + "0163" + "ac02" + "ad02" + "0a" + "02" + "01" + "0162" + "0163" + "f403" +
		"7d6c7bf1a4928e39" + "030101" + "ac02"
	b := appendEdit(nil, keptEdit())
	if hex.EncodeToString(b) != want {
		t.Errorf("got  %x\nwant %s", b, want)
	}
	got, err := decodeEdit(b)
	if err != nil || !reflect.DeepEqual(got, keptEdit()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	state, err := newState(testID).apply(got)
	if err != nil || state.NextFileNum != 202 {
		t.Fatalf("the next number is %v, %v", state, err)
	}
	again, err := newState(testID).apply(state.snapshot())
	if err != nil || !reflect.DeepEqual(again.Ingests, keptEdit().AddIngests) {
		t.Errorf("the snapshot is of %+v, %v", again, err)
	}
	for range 2 { // the second time it is not there any more
		if again, err = again.apply(&Edit{ForgetIngests: []base.SeqNum{1}}); err != nil {
			t.Fatal(err)
		}
		if len(again.Ingests) != 1 || again.Ingests[0].First != 300 {
			t.Errorf("%+v are left", again.Ingests)
		}
	}
}

func TestEditRoundTrip(t *testing.T) {
	edits := []*Edit{{}, fullEdit(), keptEdit()}
	state := newState(testID)
	ed := newEditor(1)
	for range 100 {
		e := ed.edit(state)
		state, _ = state.apply(e)
		edits = append(edits, e, state.snapshot())
	}
	for _, e := range edits {
		b := appendEdit(nil, e)
		got, err := decodeEdit(b)
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if again := appendEdit(nil, got); !bytes.Equal(again, b) {
			t.Fatalf("%+v came back as %+v", e, got)
		}
		clear(b) // the edit must not alias its encoding
		if again := appendEdit(nil, got); !bytes.Equal(again, appendEdit(nil, e)) {
			t.Fatal("the decoded edit aliases the bytes it came from")
		}
	}
	got, err := decodeEdit(appendEdit(nil, fullEdit()))
	got.AddFiles[1].Meta.Lo = []byte("") // nil and empty mean the same
	if err != nil || !reflect.DeepEqual(got, fullEdit()) {
		t.Fatalf("got %+v, %v", got, err)
	}
}

// The encoding is frozen: this is what version 1 of the format looks like.
func TestEditEncodingIsFrozen(t *testing.T) {
	const want = "0102ac02" + "0208ffffffffffffff7f" + "0306808080808020" + "040109" + "050104" +
		"0607" + "0c8160" + "0c0000a0" + "0607" + "0b8158" + "0b0000a0" + "07020307" + "070306c801" +
		"081d" + "00" + "c801" + "b009" + "0161" + "0162" + "01" + "c801" + "0a" + "02" + "01" + "0161" + "0162" + "f403" +
		"68f03072eb18579b" +
		"081b" + "06" + "c901" + "b109" + "00" + "0163" + "01" + "c901" + "0a" + "02" + "01" + "00" + "0163" + "f403" +
		"7d6c7bf1a4928e39" +
		"090105" + "0a080802057573657273" + "0b0103" + "0c0705ac02036f6c64"
	if got := hex.EncodeToString(appendEdit(nil, fullEdit())); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeEditRefuses(t *testing.T) {
	field := func(tag byte, value ...byte) []byte { return appendField(nil, tag, value) }
	addition := func(b ...byte) []byte { return append(appendMeta([]byte{1}, table(9, "b", "c")), b...) }
	long := appendMeta([]byte{1}, table(9, "b", strings.Repeat("c", maxBoundBytes+1)))
	for name, b := range map[string][]byte{
		"unknown field":     field(tagAddIngest+1, 1),
		"field zero":        field(0, 1),
		"no length":         {tagAddLog},
		"length too large":  {tagAddLog, 200, 1, 1},
		"huge length":       append([]byte{tagAddFile}, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
		"padded number":     field(tagAddLog, 0x81, 0),
		"endless number":    field(tagAddLog, bytes.Repeat([]byte{0x80}, 11)...),
		"left over":         field(tagAddLog, 1, 1),
		"zero counter":      field(tagLastSeq, 0),
		"counter twice":     append(field(tagLastSeq, 1), field(tagLastSeq, 2)...),
		"fields reversed":   append(field(tagLogStart, 1), field(tagLastSeq, 2)...),
		"log zero":          field(tagAddLog, 0),
		"level":             field(tagRemoveFile, NumLevels, 1),
		"half a table":      field(tagAddFile, 1, 9, 1, 1, 'a'),
		"long bound":        field(tagAddFile, long...),
		"keyspace nameless": field(tagAddKeyspace, 1, 0, 0),
		"empty settings":    field(tagAddKeyspace, 1, 0, 1, 'a', 0, 0),
		"half a setting":    field(tagAddKeyspace, 1, 0, 1, 'a', 1),
		"clock mark zero":   field(tagClockHighWater, 0),
		"empty addition":    field(tagAddFile, addition(0)...),
		"half an expiry":    field(tagAddFile, addition(1, 1)...),
		"base zero":         field(tagAddFile, addition(1, 1, 1, 0)...),
		"base alone zero":   field(tagAddFile, addition(0, 0)...),
		"base too large":    field(tagAddFile, addition(0, 2)...),
		"estimate zero":     field(tagAddFile, addition(0, 1, 0)...),
		"estimate zeroes":   field(tagAddFile, addition(0, 0, 0)...),
		"behind the last":   field(tagAddFile, addition(0, 1, 1, 1)...),
		"ingested zero":     field(tagIngestedSeq, 0),
		"ingest, no tables": field(tagAddIngest, 1, 1, 1),
		"half an ingest":    field(tagAddIngest, 1, 1, 1, 2, 9),
		"clock mark twice":  append(field(tagClockHighWater, 1), field(tagClockHighWater, 2)...),
		"dropped nameless":  field(tagAddDropped, 1, 0, 0),
	} {
		if e, err := decodeEdit(b); err == nil {
			t.Errorf("%s: decoded as %+v", name, e)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, n := range []base.FileNum{1, 999999, 1000000, maxFileNum} {
		if got, ok := ParseFileName(FileName(n)); !ok || got != n {
			t.Errorf("%s parsed as %d, %v", FileName(n), got, ok)
		}
	}
	for _, name := range []string{
		"", "manifest", ".manifest", "1.manifest", "000000.manifest", "+00001.manifest", "000001.manifest.tmp",
		"000001.sst", "0000001.manifest", "99999999999999999999.manifest",
	} {
		if n, ok := ParseFileName(name); ok {
			t.Errorf("%q parsed as %d", name, n)
		}
	}
}
