package commit

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/batch"
	"github.com/lightningdb/lightning/vfs"
)

// What only deletes goes on where what adds finds no space, also in one group.
func TestDeletesLeaveAGroupThatFindsNoSpace(t *testing.T) {
	for step, deletesGoOn := range map[string]bool{"room b d c": true, "log b d c": true, "room": false} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake(t)
			release := f.holdAt("apply a")
			a := f.commit(Async, "a")
			b := f.commit(Async, "b")
			d := start(func() error { return f.Delete(nil, nil, []byte("d"), Async) })
			c := f.commit(Async, "c")
			f.expectWaiting(3)
			f.fail[step] = vfs.ErrNoSpace
			release()
			f.expect(a, nil)
			f.expect(b, vfs.ErrNoSpace)
			f.expect(c, vfs.ErrNoSpace)
			if deletesGoOn {
				f.expect(d, nil)
			} else {
				f.expect(d, vfs.ErrNoSpace)
			}
			if last := f.LastSeq(); (last == 2) != deletesGoOn {
				t.Errorf("the last number is %d", last)
			}
			f.expectIdle()
		})
	}
}

// What is not admitted takes no step, and nothing of its group with it.
func TestWhatIsNotAdmittedIsRefused(t *testing.T) {
	f := newFake(t)
	f.admit = errFake
	var mixed batch.Batch
	must(t, mixed.Delete(nil, []byte("a")))
	must(t, mixed.Merge(nil, []byte("b"), nil))
	for _, err := range []error{
		f.Set(nil, nil, []byte("a"), nil, Async),
		f.Commit(context.Background(), &mixed, Async, nil),
		f.Alone(context.Background(), func() error { return f.CommitAsLeader(batchOf(t, "a"), Sync) }),
	} {
		if err != errFake {
			t.Errorf("got %v", err)
		}
	}
	f.expectSteps()
	must(t, f.Delete(nil, nil, []byte("a"), Async))
	must(t, f.DeleteRange(nil, []byte("a"), []byte("b"), Async))
	f.expectSpans("1-1", "2-2")
}
