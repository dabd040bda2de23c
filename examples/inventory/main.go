// Command inventory keeps the stock of a warehouse: items with a unique SKU, moves of their stock, what
// is to be ordered, and a search by the beginning of the name, page by page.
//
// What it shows of Lightning DB: package table with a unique index, changes of two tables
// in one transaction, and cursors that stay good while others write.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/table"
)

const usage = `Inventory keeps the stock of a warehouse.

    go run ./examples/inventory add TEA-1 'Green tea' 40 --reorder 20
    go run ./examples/inventory move TEA-1 -25 'order 1042'
    go run ./examples/inventory list                     # or: list gr
    go run ./examples/inventory list --cursor CURSOR     # the next page
    go run ./examples/inventory low                      # what is to be ordered
    go run ./examples/inventory history TEA-1

Flags, behind the command:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "inventory:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	dir     string
	reorder int
	rows    int
	cursor  string
}

// parse splits a command line into its words and its flags, which may stand among each other. A
// number is a word, also with a minus before it.
func parse(args []string, out io.Writer) (words []string, o options, err error) {
	flags := flag.NewFlagSet("inventory", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.dir, "db", "inventory.db", "the `directory` of the database")
	flags.IntVar(&o.reorder, "reorder", 0, "with add: the `stock` below which it is to be ordered")
	flags.IntVar(&o.rows, "rows", 20, "how many rows a page has")
	flags.StringVar(&o.cursor, "cursor", "", "begin behind the page that has printed this `cursor`")
	for len(args) > 0 {
		if _, err := strconv.Atoi(args[0]); err == nil || !strings.HasPrefix(args[0], "-") {
			words, args = append(words, args[0]), args[1:]
			continue
		}
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				fmt.Fprint(out, usage)
				flags.SetOutput(out)
				flags.PrintDefaults()
			}
			return nil, o, err
		}
		args = flags.Args()
	}
	if o.rows < 1 {
		return nil, o, fmt.Errorf("--rows must be at least 1, not %d", o.rows)
	}
	return words, o, nil
}

// command is what can be done. Its arguments are at least min and at most max.
type command struct {
	form     string
	min, max int
	do       func(w *Warehouse, args []string, o options, out io.Writer) error
}

func commands() map[string]command {
	return map[string]command{
		"add":     {"add SKU NAME STOCK [--reorder STOCK]", 3, 3, add},
		"move":    {"move SKU CHANGE [REASON]", 2, 3, move},
		"list":    {"list [BEGINNING OF A NAME]", 0, 1, list},
		"low":     {"low", 0, 0, low},
		"history": {"history SKU", 1, 1, history},
	}
}

// run does one command.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	words, o, err := parse(args, out)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("a command is missing: add, move, list, low or history; --help says more")
	}
	c, ok := commands()[words[0]]
	if !ok {
		return fmt.Errorf("there is no command %q: add, move, list, low or history", words[0])
	}
	if n := len(words) - 1; n < c.min || n > c.max {
		return fmt.Errorf("it is: %s", c.form)
	}
	db, err := lightning.Open(o.dir, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	w, err := OpenWarehouse(ctx, db)
	if err != nil {
		return err
	}
	return c.do(w, words[1:], o, out)
}

func add(w *Warehouse, args []string, o options, out io.Writer) error {
	stock, err := strconv.Atoi(args[2])
	if err != nil {
		return fmt.Errorf("the stock must be a number, not %q", args[2])
	}
	item, err := w.Add(Item{SKU: args[0], Name: args[1], Stock: stock, Reorder: o.reorder})
	if errors.Is(err, table.ErrDuplicate) {
		return fmt.Errorf("there is an item %s already", args[0])
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d of %s\n", item.Stock, item.SKU)
	return err
}

func move(w *Warehouse, args []string, _ options, out io.Writer) error {
	change, err := strconv.Atoi(args[1])
	if err != nil {
		return fmt.Errorf("the change must be a number, not %q", args[1])
	}
	item, err := w.Move(args[0], change, strings.Join(args[2:], ""))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "%d of %s\n", item.Stock, item.SKU)
	return err
}

func list(w *Warehouse, args []string, o options, out io.Writer) error {
	page, err := w.Search(strings.Join(args, ""), o.cursor, o.rows)
	if err != nil {
		return err
	}
	return printItems(out, page)
}

func low(w *Warehouse, _ []string, o options, out io.Writer) error {
	page, err := w.Low(o.cursor, o.rows)
	if err != nil {
		return err
	}
	return printItems(out, page)
}

func printItems(out io.Writer, page *table.Page[Item]) error {
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SKU\tNAME\tSTOCK\tTO ORDER")
	for _, item := range page.Rows {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\n", item.SKU, item.Name, item.Stock, item.missing())
	}
	return errors.Join(t.Flush(), printNext(out, page.Next))
}

func history(w *Warehouse, args []string, o options, out io.Writer) error {
	page, err := w.History(args[0], o.cursor, o.rows)
	if err != nil {
		return err
	}
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHEN\tCHANGE\tLEFT\tREASON")
	for _, m := range page.Rows {
		fmt.Fprintf(t, "%s\t%+d\t%d\t%s\n", m.At.Format("2006-01-02 15:04:05"), m.Change, m.Left, m.Reason)
	}
	return errors.Join(t.Flush(), printNext(out, page.Next))
}

// printNext says how the next page is asked for, if there is one.
func printNext(out io.Writer, cursor string) error {
	if cursor == "" {
		return nil
	}
	_, err := fmt.Fprintf(out, "more: --cursor %s\n", cursor)
	return err
}
