package manifest

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"github.com/lightningdb/lightning/internal/base"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// restoredEdit has the fields of restored databases.
func restoredEdit() *Edit {
	return &Edit{History: base.DBID{0xab, 15: 1}, AddPending: []IngestCommit{pendingAt(9, 31), pendingAt(20, 32)}}
}

// pendingAt is a commit past the log with one number and one table.
func pendingAt(seq base.SeqNum, num base.FileNum) IngestCommit {
	m := table(num, "a", "c")
	m.SmallestSeq, m.LargestSeq, m.SeqBase = seq, seq, seq
	return IngestCommit{First: seq, Last: seq, At: 5, Tables: []*FileMeta{m}}
}

func TestRestoredRoundTrip(t *testing.T) {
	b := appendEdit(nil, restoredEdit())
	if want := "1310" + "ab0000000000000000000000000000" + "01" + "14"; !strings.HasPrefix(hex.EncodeToString(b), want) {
		t.Errorf("got %x, want it to begin with %s", b, want)
	}
	got, err := decodeEdit(b)
	if err != nil || !reflect.DeepEqual(got, restoredEdit()) {
		t.Fatalf("got %+v, %v", got, err)
	}
	if e, err := decodeEdit(appendField(nil, tagHistory, make([]byte, 16))); err == nil {
		t.Errorf("a history of zeroes is %+v", e)
	}
	if e, err := decodeEdit(appendField(nil, tagHistory, make([]byte, 15))); err == nil {
		t.Errorf("a short history is %+v", e)
	}
	again, err := DecodeIngest(EncodeIngest(&restoredEdit().AddPending[0]))
	if err != nil || !reflect.DeepEqual(again, restoredEdit().AddPending[0]) {
		t.Errorf("the commit came back as %+v, %v", again, err)
	}
	for _, bad := range [][]byte{nil, {1}, appendEdit(nil, restoredEdit()), appendEdit(nil, keptEdit())} {
		if c, err := DecodeIngest(bad); err == nil {
			t.Errorf("%x is the commit %+v", bad, c)
		}
	}
}

// A pending commit is listed until the tree has come past it, and a copy of the state has it, with its blob tables.
func TestPending(t *testing.T) {
	s, err := newState(testID).apply(&Edit{LastSeq: 5})
	if err != nil {
		t.Fatal(err)
	}
	withBlobs := pendingAt(20, 32)
	withBlobs.Tables[0].Blobs = []BlobUse{{Num: 40, StoredBytes: 7, Table: table(40, "a", "c")}}
	history := base.DBID{1}
	fork, err := s.Fork(history, []IngestCommit{pendingAt(9, 31), withBlobs})
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Pending) > 0 || fork.History != history || fork.NextFileNum != 41 || len(fork.PendingTables()) != 3 {
		t.Errorf("the copy is %+v", fork)
	}
	fsys := memfs.New()
	if err := fsys.MkdirAll(testDir); err != nil {
		t.Fatal(err)
	}
	if err := fork.Copy(fsys, testDir, nil, nil, 0); err != nil {
		t.Fatal(err)
	}
	read, err := Load(fsys, testDir, nil)
	if err != nil || fingerprint(read) != fingerprint(fork) || read.Pending[1].Tables[0].Blobs[0].Table == nil {
		t.Fatalf("the copy was read as %+v, %v", read, err)
	}
	installed, err := read.apply(&Edit{LastSeq: 9, AddFiles: []LevelFile{{0, read.Pending[0].Tables[0]}}})
	if err != nil || len(installed.Pending) != 1 || installed.Pending[0].First != 20 || installed.Blobs[40] == nil {
		t.Fatalf("one was installed: %+v, %v", installed, err)
	}
	installed, err = installed.apply(&Edit{LastSeq: 20, AddFiles: []LevelFile{{0, installed.Pending[0].Tables[0]}}})
	if err != nil || len(installed.Pending) != 0 || installed.Blobs[40] == nil || installed.History != history {
		t.Fatalf("both were installed: %+v, %v", installed, err)
	}
	for _, bad := range [][]IngestCommit{{pendingAt(5, 31)}, {pendingAt(9, 31), pendingAt(9, 32)}, {pendingAt(9, 0)}} {
		if f, err := s.Fork(history, bad); err == nil {
			t.Errorf("%+v is pending in %+v", bad, f)
		}
	}
}
