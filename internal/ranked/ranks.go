// Package ranked is the order of the library's locks. Every lock that can be
// held while another one is taken has a rank, a type of this file, and is
// declared with it:
//
//	mu ranked.Mutex[ranked.State]
//
// A goroutine takes locks in the order of their ranks, outermost first, and
// never two of one rank, so that no two goroutines can wait for each other. The
// second thing that the order says is under which locks a file may be touched:
// whoever waits for one of the others waits for no disk.
//
// In a release build a Mutex is a sync.Mutex by another name. Under the build tag
// "invariants" each call checks what its goroutine holds, and a program that is
// wrong panics there, before it waits. The race detector turns the checks off:
// what they share between goroutines would hide races from it.
//
// docs/locks.md is the same list with the locks that have no rank; a test of
// internal/arch compares the two with the code.
package ranked

// Lock describes the locks of one rank.
type Lock struct {
	Rank   Rank
	Name   string // as reports have it
	Guards string
	IO     bool // a file may be touched while it is held
	// Readers says that a get, an iterator, Begin or Snapshot may have to wait
	// for it.
	Readers bool
}

// Order returns all ranks, the outermost first. Below the last lock under which
// files may be touched, none is: by the order alone nobody who holds one of those
// can come to wait for a disk.
func Order() []Lock {
	return []Lock{
		{Progress{}, "progress of a backup", "how far a backup or a restore has come; the caller's function is called under it", true, false},
		{Desk{}, "desk of a queue", "which messages of a queue are being claimed, in package queue", true, false},
		{Sequence{}, "sequence", "who takes the next block of numbers, in package table", true, false},
		{Statistics{}, "statistics of a table", "who adds up and stores the statistics of package table", true, false},
		{Leader{}, "leadership of the pipeline", "the write path: the log's end and the memtable; no mutex, but handed on", true, false},
		{Landing{}, "landing of groups", "the memtable while groups are in flight; no mutex, but handed on", true, false},
		{Reserve{}, "reserve", "the file that holds space for a full disk", true, false},
		{ManifestEdit{}, "manifest edits", "one edit at a time, from the file number to the new read state", true, false},
		{ManifestLog{}, "manifest log", "the manifest's file and where it stands", true, false},
		{DirectorySync{}, "directory syncs", "one sync of a directory at a time, none after one that failed", true, false},
		{LogSync{}, "log sync", "who syncs the log", true, false},
		{LogWrite{}, "log write", "who writes the log's buffer out; its segments", true, false},
		{Iterator{}, "iterator", "what an iterator holds, while it is opened anew, parked or closed", true, true},
		{TableOpen{}, "opening of a table", "who opens the file of a table", true, true},
		{Queue{}, "queue of the pipeline", "who waits in line, and for the end of a group", false, false},
		{Flights{}, "groups in flight", "which groups are in flight, and who lands them", false, false},
		{Joins{}, "joins", "operands being applied against snapshots being made", false, true},
		{Claims{}, "claims of compactions", "which tables a job has to itself, and which are damaged", false, false},
		{State{}, "state", "a change of the read state and of the newest visible number as one step", false, false},
		{Tables{}, "tables", "the tables that the manifest names", false, false},
		{Keyspaces{}, "keyspaces", "names and numbers of the keyspaces", false, true},
		{Spills{}, "spills", "the transactions that have files", false, true},
		{LogSegments{}, "log segments", "which segments are named, free and prepared", false, false},
		{ManualQueue{}, "manual compactions", "the requests that wait", false, false},
		{Purging{}, "TTL compactions", "when the next one may begin", false, false},
		{DeadRanges{}, "dead ranges", "where scans have found nothing but deleted records", false, true},
		{OpenFiles{}, "open files", "which files of tables are open, and being read", false, true},
		{Cache{}, "block cache", "queues, tables and sizes of the cache", false, true},
		{SlabClass{}, "class of a slab", "chunks of one block size", false, true},
		{Slab{}, "slab", "spare chunks and large blocks", false, true},
		{Changes{}, "changes", "the channel that wakes those who wait", false, true},
		{Archive{}, "log archive", "the catalogue of segments that feeds can read", false, false},
		{Janitor{}, "janitor", "the tasks that wait", false, true},
		{Handles{}, "open handles", "the registry of iterators", false, true},
	}
}

// Rank is one of the types below.
type Rank interface{ isRank() }

type rank struct{}

func (rank) isRank() {}

// The ranks; Order says what they are.
type (
	Progress      struct{ rank }
	Desk          struct{ rank }
	Sequence      struct{ rank }
	Statistics    struct{ rank }
	Leader        struct{ rank }
	Landing       struct{ rank }
	Reserve       struct{ rank }
	ManifestEdit  struct{ rank }
	ManifestLog   struct{ rank }
	DirectorySync struct{ rank }
	LogSync       struct{ rank }
	LogWrite      struct{ rank }
	Iterator      struct{ rank }
	TableOpen     struct{ rank }
	Queue         struct{ rank }
	Flights       struct{ rank }
	Joins         struct{ rank }
	Claims        struct{ rank }
	State         struct{ rank }
	Tables        struct{ rank }
	Keyspaces     struct{ rank }
	Spills        struct{ rank }
	LogSegments   struct{ rank }
	ManualQueue   struct{ rank }
	Purging       struct{ rank }
	DeadRanges    struct{ rank }
	OpenFiles     struct{ rank }
	Cache         struct{ rank }
	SlabClass     struct{ rank }
	Slab          struct{ rank }
	Changes       struct{ rank }
	Archive       struct{ rank }
	Janitor       struct{ rank }
	Handles       struct{ rank }
)
