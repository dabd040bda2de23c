package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
)

func newStatsCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "stats DIR",
		Short: "Print what a database consists of",
		Long: `Stats prints the keyspaces of a database and the tables on each level of its
tree, and what of its log is not in tables yet. A record here is a version of a
key: replaced and deleted ones count until a compaction drops them. To count the
live keys, use 'lightning scan DIR --count'.

It reads the manifest and the log, and looks whether the files of the tables are there
and have the right sizes. What is in the tables it does not read, and so sees no damage
there: 'lightning check DIR' reads all of it.`,
		Args: arguments(1, "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return readStore(args[0], "", func(db *lightning.DB, _ store) error {
				stats, err := collectStats(args[0], db)
				if err != nil {
					return err
				}
				if format.value == formatJSON {
					return printJSON(cmd.OutOrStdout(), stats)
				}
				return stats.print(cmd.OutOrStdout())
			})
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// databaseStats is what stats prints, in the form of its JSON.
type databaseStats struct {
	Keyspaces        []string     `json:"keyspaces"` // beside the default one
	NewestWrite      uint64       `json:"newest_write"`
	DiskBytes        int64        `json:"disk_bytes"` // all files
	TableBytes       uint64       `json:"table_bytes"`
	ReserveBytes     int64        `json:"reserve_bytes"` // held for a full disk
	ArchiveBytes     int64        `json:"archive_bytes"` // of the log, for 'lightning changes'
	Levels           []levelStats `json:"levels"`        // those with tables
	BlobTables       int          `json:"blob_tables"`   // that hold values apart from their keys
	BlobBytes        uint64       `json:"blob_bytes"`
	BlobLiveShare    float64      `json:"blob_live_share"` // of what they hold; the rest is garbage
	LogFiles         int64        `json:"log_files"`
	LogTornBytes     int64        `json:"log_torn_bytes"`
	UnflushedBytes   int64        `json:"unflushed_bytes"` // read from the log into memory
	DebtBytes        uint64       `json:"compaction_debt_bytes"`
	QuarantinedFiles int          `json:"quarantined_files"`
	Vectors          string       `json:"vectors"`       // of the processor, in use here
	UnreadTables     int          `json:"unread_tables"` // whose contents were not looked at
	IOUring          bool         `json:"io_uring"`      // it is used on this machine
	NoIOUring        string       `json:"no_io_uring,omitempty"`
}

type levelStats struct {
	Level      int    `json:"level"`
	Tables     int    `json:"tables"`
	SizeBytes  uint64 `json:"size_bytes"`
	Records    uint64 `json:"records"`
	Tombstones uint64 `json:"tombstones"`
}

func collectStats(dir string, db *lightning.DB) (*databaseStats, error) {
	m := db.Metrics()
	stats := &databaseStats{
		Keyspaces:        append([]string{}, db.Keyspaces()...),
		NewestWrite:      m.VisibleSeq,
		TableBytes:       m.DiskBytes(),
		ReserveBytes:     m.Health.ReserveBytes,
		ArchiveBytes:     m.LogArchive.SizeBytes, // of large transactions, if the archive has some
		Levels:           []levelStats{},
		BlobTables:       m.Blobs.Files,
		BlobBytes:        m.Blobs.SizeBytes,
		LogFiles:         m.Log.Files,
		LogTornBytes:     m.Log.TornBytes,
		UnflushedBytes:   m.Memory.MemtableBytes,
		DebtBytes:        m.Compactions.DebtBytes,
		QuarantinedFiles: m.Health.QuarantinedFiles,
		Vectors:          m.Vectors,
		IOUring:          m.Reads.NoIOUring == "",
		NoIOUring:        m.Reads.NoIOUring,
	}
	if raw := m.Blobs.RawBytes; raw > 0 {
		stats.BlobLiveShare = float64(m.Blobs.LiveBytes) / float64(raw)
	}
	stats.UnreadTables = m.Blobs.Files
	for i, level := range m.Levels {
		if level.Files > 0 {
			stats.Levels = append(stats.Levels,
				levelStats{i, level.Files, level.SizeBytes, level.Records, level.Tombstones})
			stats.UnreadTables += level.Files
		}
	}
	entries, err := os.ReadDir(dir)
	for _, size := range archivedSegments(entries) {
		stats.ArchiveBytes += size
	}
	if err == nil {
		stats.DiskBytes, err = dirBytes(dir)
	}
	return stats, err
}

// print lays the figures out for people.
func (s *databaseStats) print(w io.Writer) error {
	style, width := console.StyleFor(w), console.LineWidth(w)
	var page strings.Builder
	fact := func(name, format string, args ...any) {
		text := style.Dim(console.Left(name, 12)) + " "
		page.WriteString(text + strings.TrimLeft(console.Fill(console.Left("", 13)+fmt.Sprintf(format, args...), 13, width), " ") + "\n")
	}
	fact("keyspaces", "%s", strings.Join(append([]string{"(default)"}, s.Keyspaces...), ", "))
	fact("on disk", "%s, of it %s in tables", console.Bytes(s.DiskBytes), console.Bytes(int64(s.TableBytes)))
	if s.BlobTables > 0 {
		fact("", "of it %s in %s of large values, %.0f %% of them in use",
			console.Bytes(int64(s.BlobBytes)), console.CountOf(int64(s.BlobTables), "table"), 100*s.BlobLiveShare)
	}
	if s.ReserveBytes > 0 {
		fact("", "%s held for a full disk", console.Bytes(s.ReserveBytes))
	}
	if s.ArchiveBytes > 0 {
		fact("", "%s in the log archive: what was written, deleted data too, for 'lightning changes'",
			console.Bytes(s.ArchiveBytes))
	}
	fact("newest write", "%s", console.Count(int64(s.NewestWrite)))
	if s.LogFiles == 0 {
		fact("log", "empty")
	} else {
		fact("log", "%s", console.CountOf(s.LogFiles, "file"))
	}
	if s.LogTornBytes > 0 {
		fact("", "%s of an unfinished write dropped after a crash", console.Bytes(s.LogTornBytes))
	}
	if s.UnflushedBytes > 0 {
		fact("", "%s not in tables yet", console.Bytes(s.UnflushedBytes))
	}
	if s.DebtBytes > 0 {
		fact("to compact", "%s", console.Bytes(int64(s.DebtBytes)))
	}
	if s.QuarantinedFiles > 0 {
		fact("damaged", "%s", style.Bad(fmt.Sprintf("%d tables", s.QuarantinedFiles)))
	}
	if s.Vectors != "" {
		fact("processor", "searches use %s", s.Vectors)
	}
	if s.UnreadTables > 0 {
		fact("not read", "what is in the %s: 'lightning check DIR' reads all of it",
			console.CountOf(int64(s.UnreadTables), "table"))
	}
	if s.IOUring {
		fact("io_uring", "used, where many blocks are read at once")
	} else {
		fact("io_uring", "not used here: %s", s.NoIOUring)
	}
	if len(s.Levels) > 0 {
		s.printLevels(&page, style, width)
	}
	_, err := io.WriteString(w, page.String())
	return err
}

func (s *databaseStats) printLevels(page *strings.Builder, style console.Style, width int) {
	table := console.Table{
		{Title: "level", Width: 6, Left: true}, {Title: "tables", Width: 8}, {Title: "size", Width: 12},
		{Title: "records", Width: 16}, {Title: "tombstones", Width: 14},
	}
	row := func(name string, l levelStats) string {
		return table.Row(width, name, console.Count(int64(l.Tables)), console.Bytes(int64(l.SizeBytes)),
			console.Count(int64(l.Records)), console.Count(int64(l.Tombstones)))
	}
	page.WriteString("\n")
	if head := table.Head(width); head != "" {
		fmt.Fprintln(page, style.Bold(head))
	}
	total := levelStats{}
	for _, level := range s.Levels {
		fmt.Fprintln(page, row(fmt.Sprint(level.Level), level))
		total.Tables += level.Tables
		total.SizeBytes += level.SizeBytes
		total.Records += level.Records
		total.Tombstones += level.Tombstones
	}
	if len(s.Levels) > 1 {
		fmt.Fprintln(page, style.Dim(row("total", total)))
	}
}
