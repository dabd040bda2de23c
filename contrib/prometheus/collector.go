// Package prometheus gives the figures of Lightning DB databases to Prometheus.
//
//	registry.MustRegister(prometheus.NewCollector(db, "orders"))
//
// A scrape asks DB.Metrics once for each database. Names and units follow the conventions of
// Prometheus: seconds and bytes, and _total for what only grows. Everything has the label
// "database". Latencies of gets, and of commits that wait for no disk, are those of a sample: the
// _count of such a histogram is that of the sample, and how many there were is a counter of its own.
package prometheus

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lightningdb/lightning"
)

// NewCollector returns a collector of the figures of a database, which is told from others by its
// label. It is safe for concurrent use. Once the database is closed it collects nothing.
func NewCollector(db *lightning.DB, database string) prometheus.Collector {
	return &collector{db, prometheus.Labels{"database": database}}
}

type collector struct {
	db     *lightning.DB
	labels prometheus.Labels
}

// Describe implements prometheus.Collector. It describes nothing: which levels there are, and which
// owners of memory, is known when it collects.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := c.db.Metrics()
	if m.Levels == nil { // it is closed
		return
	}
	s := sender{out, c.labels}
	s.operations(&m)
	s.transactions(&m)
	s.work(&m)
	s.tree(&m)
	s.memory(&m)
	s.log(&m)
	s.health(&m)
}

// sender sends metrics.
type sender struct {
	out    chan<- prometheus.Metric
	labels prometheus.Labels
}

func (s *sender) desc(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc("lightning_"+name, help, labels, s.labels)
}

// counter sends what only grows; labels are names and values by turns.
func (s *sender) counter(name, help string, value float64, labels ...string) {
	s.send(name, help, prometheus.CounterValue, value, labels)
}

func (s *sender) gauge(name, help string, value float64, labels ...string) {
	s.send(name, help, prometheus.GaugeValue, value, labels)
}

func (s *sender) send(name, help string, kind prometheus.ValueType, value float64, labels []string) {
	names, values := split(labels)
	s.out <- prometheus.MustNewConstMetric(s.desc(name, help, names), kind, value, values...)
}

func split(labels []string) (names, values []string) {
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	return names, values
}

// The bounds of buckets.
var (
	latencyBounds = bounds(250e-9, 30)   // seconds
	syncBounds    = bounds(25e-6, 30)    // seconds
	sizeBounds    = powers(16, 1<<30, 4) // bytes
	countBounds   = powers(1, 16<<10, 2) // commits, keys
)

// bounds returns 1, 2.5 and 5 of each power of ten from one on.
func bounds(from, to float64) (all []float64) {
	for step := 0; from <= to; step++ {
		all = append(all, from)
		from *= []float64{2, 2, 2.5}[step%3]
	}
	return all
}

func powers(from, to, factor float64) (all []float64) {
	for ; from <= to; from *= factor {
		all = append(all, from)
	}
	return all
}

// histogram sends a histogram, whose values are multiplied by unit, in some buckets. A value counts for
// the first one that is not below it, as far as the buckets of h tell.
func histogram[T ~int64](s *sender, name, help string, h lightning.Histogram[T], unit float64, bounds []float64, labels ...string) {
	counts := make(map[float64]uint64, len(bounds))
	for _, bound := range bounds {
		counts[bound] = 0
	}
	i, below := 0, uint64(0)
	for value, n := range h.Buckets() {
		for i < len(bounds) && bounds[i] < float64(value)*unit {
			counts[bounds[i]] = below
			i++
		}
		below += n
	}
	for ; i < len(bounds); i++ {
		counts[bounds[i]] = below
	}
	names, values := split(labels)
	s.out <- prometheus.MustNewConstHistogram(s.desc(name, help, names), h.Count(), float64(h.Sum())*unit, counts, values...)
}

const nanosecond = 1e-9

func (s *sender) operations(m *lightning.Metrics) {
	gets, commits := &m.Operations.Gets, &m.Operations.Commits
	s.counter("gets_total", "Gets of one key, by whether they found a value.", float64(gets.Found), "result", "found")
	s.counter("gets_total", "Gets of one key, by whether they found a value.", float64(gets.Missed), "result", "missed")
	s.counter("tree_gets_total", "Gets that no cached record has answered.", float64(gets.FromTree))
	histogram(s, "get_duration_seconds", "Time of a sample of gets, one in 64.", gets.Latency, nanosecond, latencyBounds)
	multi := &m.Operations.MultiGets
	histogram(s, "multi_get_duration_seconds", "Time of gets of many keys.", multi.Latency, nanosecond, latencyBounds)
	histogram(s, "multi_get_keys", "Keys that gets of many keys have asked for.", multi.Keys, 1, countBounds)
	s.counter("commits_total", "Commits that were written to the log.", float64(commits.Count))
	const help = "Time of commits: of all that were synced, and of a sample of the others, one in 64."
	histogram(s, "commit_duration_seconds", help, commits.Sync, nanosecond, latencyBounds, "durability", "sync")
	histogram(s, "commit_duration_seconds", help, commits.Buffered, nanosecond, latencyBounds, "durability", "buffered")
	histogram(s, "commit_duration_seconds", help, commits.Async, nanosecond, latencyBounds, "durability", "async")
	histogram(s, "commit_size_bytes", "Size of the batches whose time was taken.", commits.SizeBytes, 1, sizeBounds)
	histogram(s, "log_sync_duration_seconds", "Time of syncs of the log that commits waited for.", commits.LogSyncs, nanosecond, syncBounds)
	histogram(s, "commits_per_sync", "Commits that one sync has served.", commits.CommitsPerSync, 1, countBounds)
	s.counter("multi_reads_total", "Reads of files that were under way with others, by how they were done.", float64(m.Reads.ByIOUring), "path", "io_uring")
	s.counter("multi_reads_total", "Reads of files that were under way with others, by how they were done.", float64(m.Reads.ByPread), "path", "pread")
}

func (s *sender) transactions(m *lightning.Metrics) {
	const help = "Transactions that came to their commit, by how it ended."
	s.counter("transactions_total", help, float64(m.Transactions.Commits), "result", "committed")
	s.counter("transactions_total", help, float64(m.Transactions.Conflicts), "result", "conflict")
	s.gauge("open_iterators", "Iterators that are open.", float64(m.Handles.Iterators))
	s.gauge("open_snapshots", "Snapshots that are open.", float64(m.Handles.Snapshots))
	s.gauge("open_transactions", "Transactions that are open.", float64(m.Handles.Transactions))
	s.counter("handles_forgotten_total", "Handles that were not closed before the program lost them.", float64(m.Handles.Forgotten.Total()))
	s.counter("handles_expired_total", "Handles that were open for longer than Options.HandleAge.", float64(m.Handles.Expired.Total()))
	s.gauge("oldest_handle_age_seconds", "Age of the oldest open iterator, snapshot or transaction.", m.Handles.OldestAge.Seconds())
	s.counter("events_dropped_total", "Events that the listener was not told of.", float64(m.Events.Dropped))
}

func (s *sender) work(m *lightning.Metrics) {
	s.counter("flushes_total", "Flushes of memtables.", float64(m.Flushes.Count))
	s.counter("flush_written_bytes_total", "Bytes that flushes have written.", float64(m.Flushes.WrittenBytes))
	s.counter("flush_seconds_total", "Time that flushes took.", m.Flushes.Time.Seconds())
	s.counter("compactions_total", "Compactions.", float64(m.Compactions.Count))
	s.counter("compaction_moves_total", "Tables that changed level without being rewritten.", float64(m.Compactions.Moves))
	s.counter("compaction_read_bytes_total", "Bytes that compactions have read.", float64(m.Compactions.ReadBytes))
	s.counter("compaction_written_bytes_total", "Bytes that compactions have written.", float64(m.Compactions.WrittenBytes))
	s.counter("compaction_seconds_total", "Time that compactions took.", m.Compactions.Time.Seconds())
	s.gauge("compaction_debt_bytes", "Estimate of what compactions have yet to write.", float64(m.Compactions.DebtBytes))
	s.counter("records_dropped_total", "Records that flushes and compactions have left out.", float64(m.Compactions.RecordsDropped))
	s.counter("records_expired_total", "Records that were purged because they had expired.", float64(m.Compactions.RecordsExpired))
	s.counter("stall_seconds_total", "Time that commits waited for flushes and compactions.", m.Health.StallTime.Seconds())
}

func (s *sender) tree(m *lightning.Metrics) {
	for i, l := range m.Levels {
		level := strconv.Itoa(i)
		s.gauge("level_files", "Tables of a level.", float64(l.Files), "level", level)
		s.gauge("level_size_bytes", "Size of the tables of a level.", float64(l.SizeBytes), "level", level)
		s.gauge("level_records", "Records of a level, with versions and tombstones.", float64(l.Records), "level", level)
		s.gauge("level_tombstones", "Tombstones of a level.", float64(l.Tombstones), "level", level)
	}
	s.gauge("blob_files", "Tables of values that are kept apart.", float64(m.Blobs.Files))
	s.gauge("blob_size_bytes", "Size of the tables of values that are kept apart.", float64(m.Blobs.SizeBytes))
	s.gauge("blob_live_bytes", "Bytes of values in them to which records refer, before compression.", float64(m.Blobs.LiveBytes))
	s.gauge("blob_raw_bytes", "Bytes of all values in them, before compression.", float64(m.Blobs.RawBytes))
	s.gauge("open_files", "Tables whose file is open.", float64(m.Files.Open))
	s.gauge("open_files_limit", "Tables whose file may be open.", float64(m.Files.Max))
}

func (s *sender) memory(m *lightning.Metrics) {
	s.gauge("memory_budget_bytes", "The memory budget.", float64(m.Memory.BudgetBytes))
	for owner, n := range m.Memory.OwnerBytes {
		s.gauge("memory_bytes", "Memory outside of Go's heap, by its owner.", float64(n), "owner", owner)
	}
	s.gauge("memtable_bytes", "Memory of data that is not in files yet.", float64(m.Memory.MemtableBytes))
	s.gauge("memtables_waiting", "Full memtables whose flush is due or running.", float64(m.Memory.MemtablesWaiting))
	if n := m.Memory.HugePageBytes; n >= 0 {
		s.gauge("process_huge_page_bytes", "Memory of the process in huge pages.", float64(n))
	}
	s.gauge("cache_capacity_bytes", "Size that the cache of blocks may reach.", float64(m.Cache.CapacityBytes))
	s.gauge("cache_used_bytes", "Size of the cache of blocks.", float64(m.Cache.UsedBytes))
	s.counter("cache_misses_total", "Blocks that were not in the cache.", float64(m.Cache.Misses))
	s.counter("cache_evictions_total", "Blocks that made room for others.", float64(m.Cache.Evictions))
}

func (s *sender) log(m *lightning.Metrics) {
	s.counter("log_written_bytes_total", "Bytes that were written to the log.", float64(m.Log.WrittenBytes))
	s.gauge("log_files", "Segments of the log.", float64(m.Log.Files))
	s.gauge("log_archive_size_bytes", "Size of what is kept for the change feed.", float64(m.LogArchive.SizeBytes))
	s.gauge("feeds", "Loops over changes that are running.", float64(m.LogArchive.Feeds))
	s.gauge("archived_seq", "Sequence number of the newest write that DB.Archive has stored; 0: it is not under way.", float64(m.LogArchive.ArchivedSeq))
	s.gauge("visible_seq", "Sequence number of the newest write that readers see.", float64(m.VisibleSeq))
	s.gauge("durable_seq", "Sequence number up to which all is on stable storage.", float64(m.DurableSeq))
}

func (s *sender) health(m *lightning.Metrics) {
	h := &m.Health
	s.gauge("writable", "Whether writes are accepted.", truth(h.WriteErr == nil))
	s.gauge("background_failing", "Whether the last flush, compaction or log segment has failed.", truth(h.BackgroundErr != nil))
	s.gauge("reserve_failing", "Whether the space for a full disk is not there.", truth(h.ReserveErr != nil))
	s.counter("scrubs_total", "Scrubs that came to their end.", float64(m.Scrub.Runs))
	s.gauge("scrub_damaged_places", "Damaged places that the last scrub has found.", float64(m.Scrub.Damage))
	if m.Scrub.Runs > 0 {
		s.gauge("scrub_end_timestamp_seconds", "When the last scrub ended.", float64(m.Scrub.Ended.UnixNano())*nanosecond)
	}
	s.gauge("quarantined_files", "Damaged files that compactions leave alone.", float64(h.QuarantinedFiles))
	s.gauge("unreadable_files", "Tables whose file could not be opened.", float64(h.UnreadableFiles))
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
