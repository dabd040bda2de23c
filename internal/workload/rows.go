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
}

// Rows are the rows on records that are there already, in an order in which each
// can follow on the one before. The last one, and only that, leaves some of the
// records out.
func Rows() []Row {
	return []Row{
		{"get-uniform", "get random records", (*Runner).GetUniform},
		{"get-zipf", "get records, popular ones more often (zipf 0.99)", (*Runner).getZipf},
		{"get-hot", "get random ones of 10,000 records", (*Runner).getHot},
		{"get-absent", "get random keys that are not there", (*Runner).getMissing},
		{"scan-100", "read 100 rows from a random record on", (*Runner).scan100},
		{"full-scan", "read all records once, by 1 goroutine", (*Runner).fullScan},
		{"get-uniform-1", "get random records, 1 goroutine", getsBy(1)},
		{"get-uniform-8", "get random records, 8 goroutines", getsBy(8)},
		{"get-uniform-64", "get random records, 64 goroutines", getsBy(64)},
		{"ycsb-c", "YCSB C: 100 % reads, zipf", (*Runner).ycsbC},
		{"ycsb-b", "YCSB B: 95 % reads, 5 % updates, zipf", (*Runner).ycsbB},
		{"ycsb-a", "YCSB A: 50 % reads, 50 % updates, zipf", (*Runner).ycsbA},
		{"ycsb-f", "YCSB F: 50 % reads, 50 % read-modify-write, zipf", (*Runner).ycsbF},
		{"ycsb-d", "YCSB D: 95 % reads of the latest, 5 % inserts", (*Runner).ycsbD},
		{"ycsb-e", "YCSB E: 95 % scans of 1 to 100 rows, 5 % inserts, zipf", (*Runner).ycsbE},
		{"read-while-writing", "get random records beside a writer of 10,000 puts/s", (*Runner).readWhileWriting},
		{"put-1", "put random records again, 1 goroutine", PutsBy(1)},
		{"put-8", "put random records again, 8 goroutines", PutsBy(8)},
		{"put-64", "put random records again, 64 goroutines", PutsBy(64)},
		{"overwrite", "put all records again, one by one, until settled", (*Runner).overwrite},
		{"delete-half", "delete every other record, one by one, until settled", (*Runner).deleteHalf},
	}
}

// TransactionRows are the rows for databases whose sessions are Transactors.
func TransactionRows() []Row {
	return []Row{
		{"tx-read-4", "transactions that read 4 random records", (*Runner).txReadOnly},
		{"tx-update-4", "transactions that read and write 4 random records", (*Runner).txLowContention},
		{"tx-update-4-hot", "the same on 16 records for which all contend", (*Runner).txHighContention},
		{"tx-scan-insert", "transactions that read 20 rows and insert a record", (*Runner).txScanInsert},
	}
}

// IteratorRows are the rows for Lightning DB alone, whose iterators can be kept.
func IteratorRows() []Row {
	return []Row{
		{"scan", "the same as scan-100 with one iterator for all scans", (*Runner).scanKept},
		{"scan-reverse", "the same as scan backwards", (*Runner).scanBack},
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
