package workload

import (
	"context"
	"errors"
)

// A row is one thing to measure, under the one name that it has wherever it is
// measured. Rows that only bench/ has, because they are another database or
// another configuration and not other work, are made there of the exported
// methods of Runner.

// Row is one thing to measure.
type Row struct {
	Name, What string
	Run        func(*Runner, context.Context) (Outcome, error)
	// DeletesRanges says that it does, which not every database has a verb for.
	DeletesRanges bool
}

// Rows are the rows on records that are there already, in an order in which each
// can follow on the one before. The last one, and only that, leaves some of the
// records out.
func Rows() []Row {
	return []Row{
		{Name: "get-uniform", What: "get random records", Run: (*Runner).GetUniform},
		{Name: "get-zipf", What: "get records, popular ones more often (zipf 0.99)", Run: (*Runner).getZipf},
		{Name: "get-hot", What: "get random ones of 10,000 records", Run: (*Runner).getHot},
		{Name: "get-absent", What: "get random keys that are not there", Run: (*Runner).getMissing},
		{Name: "scan-100", What: "read 100 rows from a random record on", Run: (*Runner).scan100},
		{Name: "full-scan", What: "read all records once, by 1 goroutine", Run: (*Runner).fullScan},
		{Name: "get-uniform-1", What: "get random records, 1 goroutine", Run: getsBy(1)},
		{Name: "get-uniform-8", What: "get random records, 8 goroutines", Run: getsBy(8)},
		{Name: "get-uniform-64", What: "get random records, 64 goroutines", Run: getsBy(64)},
		{Name: "ycsb-c", What: "YCSB C: 100 % reads, zipf", Run: (*Runner).ycsbC},
		{Name: "ycsb-b", What: "YCSB B: 95 % reads, 5 % updates, zipf", Run: (*Runner).ycsbB},
		{Name: "ycsb-a", What: "YCSB A: 50 % reads, 50 % updates, zipf", Run: (*Runner).ycsbA},
		{Name: "ycsb-f", What: "YCSB F: 50 % reads, 50 % read-modify-write, zipf", Run: (*Runner).ycsbF},
		{Name: "ycsb-d", What: "YCSB D: 95 % reads of the latest, 5 % inserts", Run: (*Runner).ycsbD},
		{Name: "ycsb-e", What: "YCSB E: 95 % scans of 1 to 100 rows, 5 % inserts, zipf", Run: (*Runner).ycsbE},
		{Name: "read-while-writing", What: "get random records beside a writer of 10,000 puts/s", Run: (*Runner).readWhileWriting},
		{Name: "put-1", What: "put random records again, 1 goroutine", Run: PutsBy(1)},
		{Name: "put-8", What: "put random records again, 8 goroutines", Run: PutsBy(8)},
		{Name: "put-64", What: "put random records again, 64 goroutines", Run: PutsBy(64)},
		{Name: "overwrite", What: "put all records again, one by one, until settled", Run: (*Runner).overwrite},
		{Name: "delete-half", What: "delete every other record, one by one, until settled", Run: (*Runner).deleteHalf},
	}
}

// CacheRows are the rows that a cache can do as well: values are copied out.
func CacheRows() []Row {
	return []Row{
		{Name: "cache-hot", What: "get random ones of 10,000 records, of a million", Run: (*Runner).getHot},
		{Name: "cache-uniform", What: "get random ones of a million records", Run: (*Runner).GetUniform},
	}
}

// TransactionRows are the rows for databases whose sessions are Transactors.
func TransactionRows() []Row {
	return []Row{
		{Name: "tx-read-4", What: "transactions that read 4 random records", Run: (*Runner).txReadOnly},
		{Name: "tx-update-4", What: "transactions that read and write 4 random records", Run: (*Runner).txLowContention},
		{Name: "tx-update-4-hot", What: "the same on 16 records for which all contend", Run: (*Runner).txHighContention},
		{Name: "tx-scan-insert", What: "transactions that read 20 rows and insert a record", Run: (*Runner).txScanInsert},
	}
}

// IteratorRows are the rows for Lightning DB alone, whose iterators can be kept.
func IteratorRows() []Row {
	return []Row{
		{Name: "scan", What: "the same as scan-100 with one iterator for all scans", Run: (*Runner).scanKept},
		{Name: "scan-reverse", What: "the same as scan backwards", Run: (*Runner).scanBack},
	}
}

// keeper is a session that can keep its iterator from one scan to the next.
type keeper interface {
	// ScanKept is Scan with the kept iterator, which sees what it first saw.
	ScanKept(lo []byte, limit int, fn func(key, value []byte) error) error
	// ScanBack passes records before hi, backwards.
	ScanBack(hi []byte, limit int, fn func(key, value []byte) error) error
}

var (
	errNoTransactions = errors.New("the database has no transactions")
	errNoIterators    = errors.New("the database has no iterators to keep")
	errNoVersions     = errors.New("transactions are checked by versions, for which values need at least 16 bytes")
)
