package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/foreign"
	"github.com/lightningdb/lightning/cmd/lightning/internal/records"
)

// importFlags say where records come from and how they are loaded.
type importFlags struct {
	keyspace   string
	format     *choice[records.Format]
	key, value []string
	expires    string
	join       string
	header     bool
	skipBad    bool
	batchSize  int
	bulk       bool
	durability *choice[lightning.Durability]
	memory     byteSize
	output     choice[outputFormat]
	from       choice[string]
}

const importText = `Import loads records from a file, or with - from standard input: tab-separated
values, comma-separated values, or JSON lines, plain or compressed with gzip. A
directory that does not exist or is empty becomes a new database.

--key and --value choose columns: by number from 1, or by the names in the first
line, or for JSON lines by the names of members. Several key columns are joined
with --join, several value columns with a tab; the value * is the whole line.
Without them the key is column 1 or member "key", the value column 2 or member
"value". For JSON lines a member NAME may also stand as NAME_hex in hexadecimal.
--expires chooses the column with the time at which a record expires, such as
2026-01-02T15:04:05Z, or never; where it is empty the time to live of the keyspace
counts. Without --key and --value it is "expires_at" for JSON lines. Blank lines
are skipped.

What 'lightning dump' has printed is known by its first line. It is loaded with all
its keyspaces, which are made; those that exist must have the same options.

A malformed line ends the import with its number; what was loaded before it is
kept, and said. With --skip-bad such lines are counted and passed over; a quote
in CSV that is never closed still ends the import, as do a file whose lines end with
carriage returns alone and whatever is wrong with a dump. An interrupt (ctrl-C) ends
it the same way. When import returns, all it says it
loaded is on stable storage, whatever --durability is.

With --bulk records go straight to the tables of the database, which is more than twice as fast
for many of them where they come in the order of their keys. Of each keyspace all is loaded or
nothing: what ends the import ends the load, and nothing is kept of the keyspace at hand.

With --from FILE is the database of another engine, which nobody has open: the file of
bbolt, or the directory of badger, leveldb or pebble. Buckets become keyspaces, those
inside of others under both names, as outer/inner; times of expiry are kept. Keyspaces
must be empty; each is loaded as with --bulk, and read back and compared at the end.
What an engine has and Lightning DB has no place for is an error.`

func newImportCommand() *cobra.Command {
	flags := importFlags{
		format: &choice[records.Format]{
			names: []string{"tsv", "csv", "jsonl"},
			all:   []records.Format{records.TSV, records.CSV, records.JSONL},
		},
		durability: newDurability(lightning.DurabilityAsync),
		memory:     256 << 20,
		from:       choice[string]{names: foreign.Names(), all: foreign.Names()},
	}
	cmd := &cobra.Command{
		Use:   "import DIR {FILE | -}",
		Short: "Load records from TSV, CSV or JSON lines",
		Long:  importText,
		Example: `  lightning import my.db words.tsv
  lightning import my.db cities.csv.gz --key country,name --value population
  lightning import my.db events.jsonl --key id --value '*'
  lightning import my.db sorted.tsv.gz --bulk
  lightning import my.db old/bolt.db --from bbolt
  lightning scan old.db --prefix user/ --json | lightning import new.db - -f jsonl
  lightning dump old.db | lightning import new.db - --format jsonl`,
		Args: arguments(2, "DIR", "FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if flags.from.value != "" {
				return flags.runForeign(cmd, args[0], args[1])
			}
			return flags.run(cmd, args[0], args[1])
		},
	}
	cmd.Flags().StringVarP(&flags.keyspace, "keyspace", "k", "",
		"load into this keyspace instead of the default one")
	cmd.Flags().VarP(flags.format, "format", "f", "form of the input; told by the file name if not given")
	cmd.Flags().Lookup("format").DefValue = "" // it has none: the file name tells
	cmd.Flags().StringSliceVar(&flags.key, "key", nil, "key columns")
	cmd.Flags().StringSliceVar(&flags.value, "value", nil, "value columns, or * for the whole line")
	cmd.Flags().StringVar(&flags.expires, "expires", "", "column with the time at which a record expires")
	cmd.Flags().StringVar(&flags.join, "join", "/", "what goes between several key columns")
	cmd.Flags().BoolVar(&flags.header, "header", false,
		"the first line names the columns (implied by a name in --key or --value)")
	cmd.Flags().BoolVar(&flags.skipBad, "skip-bad", false, "count malformed lines and go on")
	cmd.Flags().IntVar(&flags.batchSize, "batch", 1000, "records in one atomic batch")
	cmd.Flags().BoolVar(&flags.bulk, "bulk", false, "write tables instead of batches: all or nothing")
	cmd.Flags().Var(flags.durability, "durability", "what each batch must survive before the next one")
	cmd.Flags().Var(&flags.memory, "memory", "memory budget")
	cmd.Flags().Var(&flags.from, "from", "the engine whose database FILE is")
	addJSON(cmd, &flags.output)
	cmd.Flags().Lookup("json").Usage = "print the result as JSON"
	return cmd
}

func (f *importFlags) run(cmd *cobra.Command, dir, name string) error {
	input, sizeBytes, err := f.open(cmd, name)
	if err != nil {
		return err
	}
	defer input.Close() // only read from
	opts, err := f.recordOptions(cmd.Flags().Changed("format"), name)
	if err != nil {
		return err
	}
	if f.batchSize < 1 {
		return usagef("--batch must be at least 1")
	}
	if f.bulk && (cmd.Flags().Changed("batch") || cmd.Flags().Changed("durability")) {
		return usagef("--bulk writes no batches: --batch and --durability are not for it")
	}
	progress := newImportProgress(cmd.ErrOrStderr(), sizeBytes)
	reader, err := records.NewReader(progress.count(input), opts)
	if err != nil {
		return f.headerError(name, err)
	}
	if name == "-" && reader.IsEmpty() {
		return errors.New("standard input is empty: whatever should have written to it has not; nothing was imported")
	}
	if reader.IsDump() {
		if err := refuseChoices(cmd); err != nil {
			return err
		}
	}
	dbOpts := lightning.Options{Durability: f.durability.value, MemoryBudget: int64(f.memory)}
	notes := cmd.OutOrStdout()
	if f.output.value == formatJSON {
		notes = cmd.ErrOrStderr()
	}
	return createStore(cmd.Context(), notes, dir, f.keyspace, dbOpts, func(db *lightning.DB, target store) error {
		load := importer{
			name: inputName(name), reader: reader, skipBad: f.skipBad, progress: progress,
			queue: newChunkQueue(f.batchSize), db: db,
		}
		if err := load.into(target, f.bulk); err != nil {
			return err
		}
		defer load.sink.giveUp()
		progress.begin()
		defer progress.finish()
		err := load.run(cmd.Context())
		// What was committed before an interruption is made durable, too.
		if syncErr := db.SyncLog(context.Background()); syncErr != nil {
			return errors.Join(err, syncErr)
		}
		progress.finish()
		if err != nil {
			return fmt.Errorf("%w; %s", err, load.keptText())
		}
		result := load.result(time.Since(progress.start))
		if f.output.value == formatJSON {
			return printJSON(cmd.OutOrStdout(), result)
		}
		return result.print(cmd.OutOrStdout())
	})
}

// refuseChoices refuses flags that choose what a dump says itself.
func refuseChoices(cmd *cobra.Command) error {
	for _, name := range []string{"keyspace", "key", "value", "expires", "join", "skip-bad"} {
		if cmd.Flags().Changed(name) {
			return usagef("the input is a dump, which is loaded as it is: --%s is not for it", name)
		}
	}
	return nil
}

// headerError words an error from before the first record.
func (f *importFlags) headerError(name string, err error) error {
	var column *records.ColumnError
	switch {
	case errors.Is(err, errInterrupted):
		return err
	case errors.As(err, &column):
		return usagef("%s: %v", inputName(name), err)
	}
	return fmt.Errorf("%s: %w", inputName(name), err)
}

// recordOptions completes the flags by what the file name tells.
func (f *importFlags) recordOptions(formatGiven bool, name string) (records.Options, error) {
	opts := records.Options{
		Format: f.format.value, Key: f.key, Value: f.value, Expires: f.expires, KeyJoin: f.join,
		Header: f.header, Packed: isPacked(name),
	}
	if !formatGiven {
		var ok bool
		if opts.Format, ok = formatOf(name); !ok {
			return opts, usagef("cannot tell the format of %s by its name, give --format", inputName(name))
		}
	}
	keyDefault, valueDefault := "1", "2"
	if opts.Format == records.JSONL {
		keyDefault, valueDefault = "key", "value"
		if f.header {
			return opts, usagef("JSON lines have no --header")
		}
		if len(opts.Key)+len(opts.Value) == 0 && opts.Expires == "" {
			opts.Expires = records.ExpiryMember // what scan prints
		}
	}
	if len(opts.Key) == 0 {
		opts.Key = []string{keyDefault}
	}
	if len(opts.Value) == 0 {
		opts.Value = []string{valueDefault}
	}
	return opts, nil
}

const packedExt = ".gz"

// isPacked tells by the name of a file whether it has to be compressed.
func isPacked(name string) bool { return strings.HasSuffix(strings.ToLower(name), packedExt) }

// formatOf tells a format by the extension of a file name, with or without
// ".gz" behind it.
func formatOf(name string) (records.Format, bool) {
	switch filepath.Ext(strings.TrimSuffix(strings.ToLower(name), packedExt)) {
	case ".tsv", ".tab":
		return records.TSV, true
	case ".csv":
		return records.CSV, true
	case ".jsonl", ".ndjson":
		return records.JSONL, true
	}
	return 0, false
}

// open opens a file, or standard input for "-". The size is -1 where it is unknown.
func (f *importFlags) open(cmd *cobra.Command, name string) (io.ReadCloser, int64, error) {
	if name == "-" {
		return io.NopCloser(cmd.InOrStdin()), -1, nil
	}
	file, err := openInput(cmd.Context(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, fmt.Errorf("%s does not exist", name)
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	if info.IsDir() {
		file.Close()
		return nil, 0, fmt.Errorf("%s is a directory", name)
	}
	if !info.Mode().IsRegular() {
		pipe := &interruptibleReader{ctx: cmd.Context(), input: file}
		return struct {
			io.Reader
			io.Closer
		}{pipe, file}, -1, nil
	}
	return file, info.Size(), nil
}

func inputName(name string) string {
	if name == "-" {
		return "standard input"
	}
	return name
}
