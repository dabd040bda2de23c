package badger

import (
	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/vfs/memfs"
)

// DefaultKeyspace is where keys are if Options say nothing else.
const DefaultKeyspace = "badger"

// Options are the settings of Open and New. They come from DefaultOptions, and the methods return
// changed ones.
type Options struct {
	// Dir is the directory of the database.
	Dir string
	// InMemory keeps the database in memory, and forgets it when it is closed.
	InMemory bool
	// ReadOnly opens an existing database for reading alone.
	ReadOnly bool
	// SyncWrites has commits wait for the disk. Without it they survive the end of the process, but
	// not the loss of power.
	SyncWrites bool
	// Keyspace is where the keys are.
	Keyspace string
	// Lightning are further options of the database, for Open. Its ReadOnly, Durability and, with
	// InMemory, FS are those above. Nil: the defaults.
	Lightning *lightning.Options
}

// DefaultOptions returns the defaults for a directory.
func DefaultOptions(dir string) Options { return Options{Dir: dir, Keyspace: DefaultKeyspace} }

// WithInMemory sets InMemory.
func (o Options) WithInMemory(b bool) Options { o.InMemory = b; return o }

// WithReadOnly sets ReadOnly.
func (o Options) WithReadOnly(b bool) Options { o.ReadOnly = b; return o }

// WithSyncWrites sets SyncWrites.
func (o Options) WithSyncWrites(b bool) Options { o.SyncWrites = b; return o }

// WithKeyspace sets Keyspace.
func (o Options) WithKeyspace(name string) Options { o.Keyspace = name; return o }

// WithLightning sets Lightning.
func (o Options) WithLightning(l *lightning.Options) Options { o.Lightning = l; return o }

// lightning returns the options of the database beneath.
func (o Options) lightning() *lightning.Options {
	var l lightning.Options
	if o.Lightning != nil {
		l = *o.Lightning
	}
	l.ReadOnly, l.Durability = o.ReadOnly, lightning.DurabilityBuffered
	if o.SyncWrites {
		l.Durability = lightning.DurabilitySync
	}
	if o.InMemory {
		l.FS = memfs.New()
	}
	return &l
}
