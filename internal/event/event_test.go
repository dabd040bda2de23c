package event

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// TestWhatIsLogged has all that the database says: who reads logs, or has rules for
// them, notices each change of these lines.
func TestWhatIsLogged(t *testing.T) {
	var log bytes.Buffer
	s := NewSink(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})), nil)
	err := errors.New("reason")
	s.WritesRefused("log", err)
	s.BackgroundFailed("flush", err)
	s.BackgroundFailed("flush", fmt.Errorf("flush: %w", context.Canceled)) // has not failed
	s.FlushEnded(FlushInfo{Memtables: 2, Tables: 3, Took: time.Second})
	s.CompactionEnded(CompactionInfo{From: 1, To: 2, Move: true, InputBytes: 1000, Tables: 4, Took: time.Millisecond})
	s.CompactionEnded(CompactionInfo{Err: err}) // which was told already
	s.StallBegan(StallInfo{Reason: "level 0"})
	s.StallEnded(StallInfo{Reason: "level 0", Took: time.Second, Waited: time.Millisecond})
	s.Ingested(5, 2000)
	s.TornLog("000001.wal", 512)
	s.OrphanRemoved("000002.sst")
	s.CleanupFailed("000003.sst", err)
	s.MemoryShared(4096, 8192)
	s.CacheLeaked(4096)
	s.ArchiveFailed("000004.wal", err)
	s.ArchiveDamaged("000005.history", err)
	s.ArchiveGivenUp(6, 2, 77)
	want := `
level=ERROR msg="database refuses writes" cause=log err=reason
level=ERROR msg="background work failed" job=flush err=reason
level=INFO msg=flushed memtables=2 tables=3 took=1s
level=INFO msg=compacted from=1 to=2 move=true bytes=1000 tables=4 took=1ms
level=WARN msg="commits wait for background work" reason="level 0"
level=INFO msg="commits go on" reason="level 0" took=1s waited=1ms
level=INFO msg="committed past the log" files=5 bytes=2000
level=WARN msg="dropped the torn end of the log" file=000001.wal bytes=512
level=INFO msg="removed orphan" file=000002.sst
level=WARN msg="clean-up failed" file=000003.sst err=reason
level=INFO msg="moved memory between records and blocks" records_before=4096 records=8192
level=ERROR msg="block cache closed with blocks in use" bytes=4096
level=ERROR msg="archive a log segment" file=000004.wal err=reason
level=ERROR msg="an archived log segment is damaged" file=000005.history err=reason
level=WARN msg="the disk is full: a part of the log archive is given up" segments=6 transactions=2 oldest=77
`
	if got := "\n" + log.String(); got != want {
		t.Errorf("logged is\n%s\nwant\n%s", strings.TrimSpace(got), strings.TrimSpace(want))
	}
}
