package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/lightningdb/lightning"
)

func newPutCommand() *cobra.Command {
	var keys keyFlags
	var file string
	var ttl time.Duration
	var when condition
	durability := newDurability(lightning.DurabilitySync)
	cmd := &cobra.Command{
		Use:   "put DIR KEY [VALUE | - | --file FILE]",
		Short: "Set the value of a key",
		Long: `Put sets the value of a key. The value is an argument, or with - the whole of
standard input, or with --file the whole of a file; values of megabytes are not read
into memory. With --ttl the key expires after that time. With --if-absent a key that
has a value keeps it, and with --if-value one that has another value than this, or none;
the exit code is 1 then. A directory that does not exist or is empty becomes a new
database. Before a key or value that begins with a dash write --, after all flags.`,
		Example: `  lightning put my.db greeting 'hello, world'
  lightning put my.db photo --file photo.jpg
  date | lightning put my.db now -
  lightning put my.db token 5f3a --ttl 1h30m
  lightning put my.db leader "$HOSTNAME" --if-absent
  lightning put my.db state done --if-value running
  lightning put my.db -- temperature -5`,
		Args: arguments(2, "DIR", "KEY", "VALUE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keys.decode(args[1])
			if err != nil {
				return err
			}
			value, close, err := putValue(cmd, args[2:], file)
			if err != nil {
				return err
			}
			defer close()
			if _, err := value.Peek(1); err != nil && err != io.EOF { // before there is a database
				return err
			}
			expires := cmd.Flags().Changed("ttl")
			if expires && ttl <= 0 {
				return usagef("--ttl is %v: it must be positive", ttl)
			}
			if err := when.check(cmd.Flags().Changed("if-value"), expires); err != nil {
				return err
			}
			opts := lightning.Options{Durability: durability.value}
			return createStore(cmd.Context(), cmd.OutOrStdout(), args[0], keys.keyspace, opts,
				func(_ *lightning.DB, target store) error {
					var err error
					switch {
					case when.absent || when.given:
						err = when.put(target, key, value, keys.show(key))
					case expires:
						_, err = target.PutReaderWithTTL(cmd.Context(), key, value, ttl)
					default:
						_, err = target.PutReader(cmd.Context(), key, value)
					}
					if errors.Is(err, errInterrupted) {
						return errInterrupted
					}
					return err
				})
		},
	}
	keys.register(cmd)
	cmd.Flags().StringVar(&file, "file", "", "read the value from this file")
	cmd.Flags().DurationVar(&ttl, "ttl", 0, "how long the key lives (default for ever)")
	cmd.Flags().StringVar(&when.value, "if-value", "", "leave a key that does not have this value as it is")
	cmd.Flags().BoolVar(&when.absent, "if-absent", false, "leave a key that has a value as it is")
	cmd.Flags().Var(durability, "durability", "what the write must survive before put returns")
	return cmd
}

// condition is what the value of a key must be before it is put.
type condition struct {
	absent, given bool
	value         string // if given
}

// check says why a condition cannot be. given says that there is a value for it.
func (c *condition) check(given, expires bool) error {
	c.given = given
	switch {
	case c.absent && c.given:
		return usagef("give either --if-absent or --if-value, not both")
	case c.absent && expires:
		return usagef("give either --if-absent or --ttl, not both")
	case c.given && expires:
		return usagef("give either --if-value or --ttl, not both")
	}
	return nil
}

// put puts the value of a key that meets the condition.
func (c *condition) put(target store, key []byte, value io.Reader, shown string) error {
	whole, err := io.ReadAll(value)
	if err != nil {
		return err
	}
	if c.given {
		swapped, err := target.CompareAndSwap(key, []byte(c.value), whole)
		if err == nil && !swapped {
			err = errOtherValue(shown)
		}
		return err
	}
	put, err := target.PutIfAbsent(key, whole)
	if err == nil && !put {
		return plainError{fmt.Sprintf("key %s has a value already", shown), errHasValue}
	}
	return err
}

// putValue finds the value to put: rest is what follows the key. close is called when it was read.
func putValue(cmd *cobra.Command, rest []string, file string) (value *bufio.Reader, close func(), err error) {
	fromFile := cmd.Flags().Changed("file")
	nothing := func() {}
	switch {
	case fromFile && len(rest) > 0:
		return nil, nil, usagef("give either VALUE or --file, not both")
	case fromFile && file == "":
		return nil, nil, usagef("--file is empty")
	case fromFile:
		input, err := openInput(cmd.Context(), file)
		if err != nil {
			return nil, nil, err
		}
		return bufio.NewReader(&interruptibleReader{ctx: cmd.Context(), input: input}), func() { _ = input.Close() }, nil // only read from
	case len(rest) == 0:
		return nil, nil, usagef("missing argument VALUE (or - for standard input, or --file)")
	case rest[0] == "-":
		return bufio.NewReader(cmd.InOrStdin()), nothing, nil
	}
	return bufio.NewReader(strings.NewReader(rest[0])), nothing, nil
}
