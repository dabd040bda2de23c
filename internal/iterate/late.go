package iterate

import "github.com/lightningdb/lightning/internal/base"

// This file is about large values that a source leaves out of its records, so that of many
// sources side by side only the one whose record is shown has such a value in memory.

// Loader is a source that may leave the value out of a record, which is empty then, until
// Load. That keeps the source, and the record, where they are. What goes wrong is the error
// of the source, too.
type Loader interface {
	Load() error
	// Unloaded reports whether the value of the current record was left out.
	Unloaded() bool
}

// Load implements Loader for the source of the current record.
func (m *Merging) Load() error {
	if source := m.loader(); source != nil {
		return source.Load()
	}
	return nil
}

// Unloaded implements Loader for the source of the current record.
func (m *Merging) Unloaded() bool {
	source := m.loader()
	return source != nil && source.Unloaded()
}

// loader returns the source of the current record, nil if that is no Loader.
func (m *Merging) loader() Loader {
	at := m.top
	if m.single() {
		at = 0
	}
	if at < 0 || at >= len(m.slots) {
		return nil
	}
	source, _ := m.slots[at].iter.(Loader)
	return source
}

// Load implements Loader.
func (l *Level) Load() error {
	if source, ok := l.iter.(Loader); ok && l.err == nil {
		l.err = source.Load()
	}
	return l.err
}

// Unloaded implements Loader.
func (l *Level) Unloaded() bool {
	source, ok := l.iter.(Loader)
	return ok && source.Unloaded()
}

// load has the value of rec, at which the source stands, if it was left out.
func (v *UserIter) load(rec *base.Record) bool {
	if len(rec.Value) > 0 {
		return true
	}
	if v.err = v.merging.Load(); v.err != nil {
		return v.stop(failed)
	}
	return true
}
