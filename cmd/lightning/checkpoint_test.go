package main

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"
)

func TestCheckpoint(t *testing.T) { runScripts(t, "checkpoint") }

func TestCheck(t *testing.T) { runScripts(t, "check") }

func TestRepair(t *testing.T) { runScripts(t, "repair") }

// The line tells as much as fits, and nothing that is not known yet.
func TestFileProgress(t *testing.T) {
	p := newFileProgress(&bytes.Buffer{}, "read")
	for _, c := range []struct {
		done, total int64
		want        string
	}{
		{0, 100, "0 B read"}, {50, 0, "50 B read"}, {50, 100, "50 B read, 50%"}, {200, 100, "200 B read, 100%"},
	} {
		forms := p.forms(c.done, c.total, time.Second)
		if !slices.Contains(forms, c.want) {
			t.Errorf("%d of %d: %q", c.done, c.total, forms)
		}
	}
	if p.update(1, 2); p.visible {
		t.Error("a line is drawn where there is no terminal")
	}
}

// An interrupt ends a check and a checkpoint as it ends all else.
func TestCheckIsInterrupted(t *testing.T) {
	dir := t.TempDir() + "/my.db"
	if code := run(context.Background(), []string{"put", dir, "a", "1"}, nil, &bytes.Buffer{}, &bytes.Buffer{}); code != exitOK {
		t.Fatal(code)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, args := range [][]string{{"check", dir}, {"checkpoint", dir, dir + "-copy"}, {"repair", dir, dir + "-new"}} {
		if code := run(ctx, args, nil, &bytes.Buffer{}, &bytes.Buffer{}); code != exitInterrupted {
			t.Errorf("%s: exit code %d", args[0], code)
		}
	}
}

func TestBackup(t *testing.T) { runScripts(t, "backup") }
