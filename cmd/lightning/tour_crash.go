package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

// The writer is killed after this many acknowledged writes or this time,
// whichever comes first.
const (
	crashWrites  = 2000
	crashTimeout = 2 * time.Second
)

// crash runs a writer in another process, kills it in the middle of its work,
// and checks that every write it had acknowledged is there.
func (t *tour) crash() error {
	err := t.heading("Crash",
		"Another process now writes as fast as it can, one synced put after the other,",
		"and says of each when it is done. Then it is killed, without a warning, while",
		"it writes.")
	if err != nil {
		return err
	}
	dir := filepath.Join(t.dir, "crash.db")
	start := time.Now()
	acknowledged, err := t.killWriter(dir)
	if err != nil {
		return err
	}
	err = t.result(time.Since(start),
		fmt.Sprintf("killed after %s acknowledged writes", console.Count(acknowledged)))
	if err != nil {
		return err
	}
	start = time.Now()
	db, err := lightning.Open(dir, &lightning.Options{MustExist: true})
	if err != nil {
		return err
	}
	return closing(db, func() error {
		if err := t.result(time.Since(start), "opened again: the log was replayed"); err != nil {
			return err
		}
		start := time.Now()
		found, err := countCrashWrites(db)
		if err != nil {
			return err
		}
		err = expect(found >= acknowledged, "%d writes acknowledged, %d found", acknowledged, found)
		if err != nil {
			return err
		}
		text := fmt.Sprintf("checked: %s found, ", console.Count(found)) + t.style.Good("none lost")
		if extra := found - acknowledged; extra > 0 {
			text += fmt.Sprintf(" (%d not yet acknowledged)", extra)
		}
		return t.result(time.Since(start), text)
	})
}

// killWriter starts the writer on dir and kills it after a while. It returns
// how many writes the writer had acknowledged.
func (t *tour) killWriter(dir string) (int64, error) {
	program, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var complaint bytes.Buffer
	writer := exec.CommandContext(t.ctx, program, tourWriterName, dir)
	writer.Stderr = &complaint
	output, err := writer.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := writer.Start(); err != nil {
		return 0, err
	}
	deadline := time.Now().Add(crashTimeout)
	acknowledged, killed := int64(0), false
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		// What the writer said before the kill still comes out of the pipe.
		if lines.Text() != strconv.FormatInt(acknowledged, 10) {
			err = fmt.Errorf("the writer said %q after %d writes", lines.Text(), acknowledged)
			break
		}
		acknowledged++
		if !killed && (acknowledged >= crashWrites || time.Now().After(deadline)) {
			killed = true
			err = writer.Process.Kill()
		}
	}
	if !killed {
		err = errors.Join(err, writer.Process.Kill())
	}
	// Wait reports the kill; only a writer that ended otherwise has failed.
	waitErr := writer.Wait()
	switch {
	case t.ctx.Err() != nil:
		return 0, errInterrupted
	case !killed:
		return 0, fmt.Errorf("the writer ended by itself: %w %s", errors.Join(err, waitErr), complaint.Bytes())
	}
	return acknowledged, errors.Join(err, lines.Err())
}

// tourWriterName is the hidden sub-command that writes until it is killed.
const tourWriterName = "tour-writer"

func newTourWriterCommand() *cobra.Command {
	return &cobra.Command{
		Use:    tourWriterName + " DIR",
		Short:  "Write until killed (the tour runs this)",
		Hidden: true,
		Args:   arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			db, err := lightning.Open(args[0], &lightning.Options{Durability: lightning.DurabilitySync})
			if err != nil {
				return err
			}
			return closing(db, func() error { return writeForever(db, cmd.OutOrStdout()) })
		},
	}
}

// writeForever puts numbered records and acknowledges each by a line with its
// number, until the one who reads these lines has gone.
func writeForever(db *lightning.DB, acknowledge io.Writer) error {
	for i := uint64(0); ; i++ {
		key, value := crashRecord(i)
		if err := db.Put(key, value); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(acknowledge, i); err != nil {
			return err
		}
	}
}

// crashRecord is the record that the writer writes as number i.
func crashRecord(i uint64) (key, value []byte) {
	key = binary.BigEndian.AppendUint64([]byte("write/"), i)
	return key, bytes.Repeat(binary.LittleEndian.AppendUint64(nil, i*0x9e3779b97f4a7c15), 12)
}

// countCrashWrites checks that the database holds the writer's first records
// without a gap, and returns how many.
func countCrashWrites(db *lightning.DB) (count int64, err error) {
	it, err := db.Iterator(lightning.IterOptions{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		key, value := crashRecord(uint64(count))
		if err := expect(bytes.Equal(it.Key(), key), "write %d is missing", count); err != nil {
			return 0, err
		}
		if err := expect(bytes.Equal(it.Value(), value), "write %d has a wrong value", count); err != nil {
			return 0, err
		}
		count++
	}
	return count, it.Err()
}
