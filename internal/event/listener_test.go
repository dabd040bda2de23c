package event

import (
	"bytes"
	"errors"
	"log/slog"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/lightningdb/lightning/internal/base"
)

// Each function of a listener is called for its event, and one that is nil is not.
func TestListenerHearsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		heard := map[string]int{}
		var l Listener
		v := reflect.ValueOf(&l).Elem()
		for i := range v.NumField() {
			name := v.Type().Field(i).Name
			v.Field(i).Set(reflect.MakeFunc(v.Field(i).Type(), func([]reflect.Value) []reflect.Value {
				heard[name]++
				return nil
			}))
		}
		everything := func(s *Sink) {
			damage := &base.CorruptionError{File: "000001.sst", Offset: 7, Err: errors.New("checksum")}
			s.OpenProgress(OpenInfo{})
			s.FlushBegan(FlushInfo{})
			s.FlushEnded(FlushInfo{})
			s.CompactionBegan(CompactionInfo{})
			s.CompactionEnded(CompactionInfo{})
			s.StallBegan(StallInfo{})
			s.StallEnded(StallInfo{})
			ScrubEnded(s, ScrubInfo{Damage: []*base.CorruptionError{}})
			Healed(s, HealInfo{})
			HandleForgotten(s, HandleInfo{})
			HandleExpired(s, HandleInfo{})
			s.LogRotated("000002.wal")
			s.TableCreated(TableInfo{})
			s.TableDeleted(TableInfo{})
			s.Damaged(damage)
			s.Damaged(damage) // is known
			s.BackgroundFailed("compaction", damage)
			s.ReserveGivenUp(1, damage.Err)
			s.ReserveTaken(1)
			s.WritesRefused("log", damage.Err)
		}
		everything(NewSink(slog.New(slog.DiscardHandler), &l))
		synctest.Wait()
		for i := range v.NumField() {
			if name := v.Type().Field(i).Name; heard[name] != 1 {
				t.Errorf("%s was called %d times", name, heard[name])
			}
		}
		everything(NewSink(slog.New(slog.DiscardHandler), &Listener{}))
		everything(NewSink(slog.New(slog.DiscardHandler), nil))
	})
}

// A listener is told in the order of the events, one at a time. Who tells does not wait for it,
// what it cannot take is counted, and when it panics the next event is told.
func TestListenerThatMisbehaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		stalled := make(chan struct{})
		var heard []int
		var ends atomic.Bool
		s := NewSink(slog.New(slog.NewTextHandler(&log, nil)), &Listener{FlushBegin: func(i FlushInfo) {
			if ends.Load() {
				runtime.Goexit()
			}
			if heard = append(heard, i.Memtables); i.Memtables == 0 {
				<-stalled
				panic("of the listener")
			}
		}})
		const more = 10
		s.FlushBegan(FlushInfo{})
		synctest.Wait()
		for i := range waitingMax + more {
			s.FlushBegan(FlushInfo{Memtables: 1 + i})
		}
		close(stalled)
		synctest.Wait()
		for i, n := range heard {
			if i != n {
				t.Fatalf("event %d is %d", i, n)
			}
		}
		dropped, panics := s.Told()
		if len(heard) != 1+waitingMax || dropped != more || panics != 1 || !strings.Contains(log.String(), "of the listener") {
			t.Errorf("%d were heard, %d dropped, %d panics; logged: %s", len(heard), dropped, panics, &log)
		}
		ends.Store(true)
		s.FlushBegan(FlushInfo{})
		synctest.Wait()
		ends.Store(false)
		s.FlushBegan(FlushInfo{Memtables: waitingMax + 1})
		synctest.Wait()
		if _, panics := s.Told(); len(heard) != 2+waitingMax || panics != 2 {
			t.Errorf("nothing is told any more, behind %d panics", panics)
		}
	})
}

// BenchmarkNobodyListens is what an event costs that nobody wants to hear.
func BenchmarkNobodyListens(b *testing.B) {
	s := NewSink(slog.New(slog.DiscardHandler), nil)
	b.ReportAllocs()
	for b.Loop() {
		s.TableCreated(TableInfo{SizeBytes: 1})
	}
}
