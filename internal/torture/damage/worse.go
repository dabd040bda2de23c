package damage

import (
	"bytes"
	"context"
	"fmt"

	"github.com/lightningdb/lightning/internal/torture/ledger"
)

// Damage of more than a byte: what disks do to sectors. Every sector of every
// file is zeroed, alone and with its page, filled with noise, written over with
// its neighbour, and made the end of its file; when, follows the tape.

const pageBytes = 8 * sectorBytes

// worse damages the sectors that begin in a part of the tape, and then the file
// in two places at once.
func (r *round) worse(ctx context.Context, part run) error {
	s, file := part.specimen, part.file
	content := s.image[file]
	for at := (part.lo + sectorBytes - 1) / sectorBytes * sectorBytes; at < part.hi; at += sectorBytes {
		if part.step > 1 && r.rng.IntN(32) > 0 {
			continue // the end of a log that was never written to: samples
		}
		for _, m := range r.mishaps(content, at) {
			if ctx.Err() != nil {
				return nil
			}
			if bytes.Equal(m.content, content) {
				continue
			}
			if err := r.replaced(s, file, m.content); err != nil {
				return fmt.Errorf("damage, seed %d: specimen %q, %s: sector at %d %s: %w",
					r.seed, s.name, file, at, m.what, err)
			}
		}
	}
	fsys := flip(s.image, file)
	for range min(4, len(content)/2) {
		a, b := r.rng.Int64N(int64(len(content))), r.rng.Int64N(int64(len(content)))
		if ctx.Err() != nil || a == b {
			return nil
		}
		edits := []edit{r.changed(a, content[a]), r.changed(b, content[b])}
		if err := r.flip(s, fsys, edits); err != nil {
			return err
		}
	}
	return nil
}

// mishap is what became of a file.
type mishap struct {
	what    string
	content []byte
}

// mishaps returns what can become of a file at one sector.
func (r *round) mishaps(content []byte, at int64) []mishap {
	size := int64(len(content))
	over := func(what string, at int64, with []byte) mishap {
		b := bytes.Clone(content)
		copy(b[at:], with)
		return mishap{what, b}
	}
	noise := make([]byte, sectorBytes)
	for i := range noise {
		noise[i] = byte(r.rng.Uint32())
	}
	page := at / pageBytes * pageBytes
	all := []mishap{
		over("zeroed", at, make([]byte, sectorBytes)),
		over("zeroed with its page", page, make([]byte, pageBytes)),
		over("filled with noise", at, noise),
		{"and all behind it cut off", content[:at]},
	}
	if next := at + sectorBytes; next < size {
		all = append(all, over("written over with the next", at, content[next:min(next+sectorBytes, size)]))
	}
	if at > 0 {
		all = append(all, over("written over with the one before", at, content[at-sectorBytes:at]))
	}
	return all
}

// replaced inspects a specimen one of whose files has other content.
func (r *round) replaced(s *specimen, file string, content []byte) error {
	fsys := flip(s.image, file)
	fsys.content = content
	scope, err := s.scope(file, 0, int64(len(s.image[file])))
	if err != nil {
		return err
	}
	in := inspection{
		specimen: s, mount: fsys.mounted, damaged: []string{file}, scope: scope,
		allowed: s.allowed(s.image.with(file, content)),
	}
	r.tally.Add(ledger.Astray, 1)
	if err := r.inspect(&in); err != nil || r.rng.IntN(8) > 0 {
		return err
	}
	in.write, in.compact = true, r.rng.IntN(4) == 0
	in.mount = s.withFile(file, content)
	if err := r.inspect(&in); err != nil {
		return fmt.Errorf("opened for writing: %w", err)
	}
	return nil
}
