package backup

import (
	"fmt"
	"maps"
	"slices"
)

// This file says which parts of the archived log nobody needs any more: those before the oldest backup that one
// may want to go on from, and all of a history without backups. Parts that are stored meanwhile
// are behind all backups that were seen.

// unusedLog returns the objects of the log that are of no use to the backups that stay, in the order in which they are
// deleted, and notes the chunks of the others as used.
func (r *remover) unusedLog(used map[sum]bool) (unused []Object, err error) {
	byDir, err := listParts(r.ctx, r.target, logPrefix)
	if err != nil {
		return nil, err
	}
	for _, dir := range slices.Sorted(maps.Keys(byDir)) {
		database, history := ofLogDir(dir)
		needed, ok := r.neededFrom(database, history)
		isOther := r.Database != "" && r.Database != database
		for _, p := range byDir[dir] {
			if !isOther && (!ok || p.last < needed) {
				unused = append(unused, Object{Name: p.name, SizeBytes: p.sizeBytes})
				r.deleted.LogParts++
				r.deleted.LogBytes += p.sizeBytes
			} else if err := r.use(p, used); err != nil {
				return nil, err
			}
		}
		if !isOther && !ok {
			unused = append(unused, Object{Name: dir + seenName})
		}
	}
	return unused, nil
}

// neededFrom returns the first number from which on the log of a history is needed. ok is false where no backup of it
// stays.
func (r *remover) neededFrom(database, history string) (first uint64, ok bool) {
	var kept []Info // the oldest first
	for _, info := range r.deleted.Kept {
		if info.Database == database && info.History == history {
			kept = append(kept, info)
		}
	}
	if len(kept) == 0 {
		return 0, false
	}
	from := kept[0]
	since := kept[len(kept)-1].Time.Add(-r.logFor)
	for _, info := range kept {
		if r.logFor > 0 && !info.Time.After(since) {
			from = info
		}
	}
	return from.Seq + 1, true
}

// use notes the chunks of a part as used.
func (r *remover) use(p part, used map[sum]bool) error {
	if !p.isLarge {
		return nil
	}
	read, err := loadPart(r.ctx, r.target, r.with, p)
	if isDamage(err) {
		return fmt.Errorf("nothing is deleted, because it is not known which chunks a part of the log needs; a check that discards deletes it: %w",
			err)
	}
	if err != nil {
		return err
	}
	for _, f := range read.Files {
		for _, s := range f.Chunks {
			used[s] = true
		}
	}
	return nil
}
