package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/lightningdb/lightning"
	"github.com/lightningdb/lightning/cmd/lightning/internal/console"
	"github.com/lightningdb/lightning/internal/torture"
)

// The exit codes, which scripts may rely on. Code 1 is an answer that nobody
// hoped for: a key that is not there, or is and was not to be, a round of torture that failed, or a
// check that found damage.
const (
	exitOK           = 0
	exitNotFound     = 1
	exitRoundsFailed = 1
	exitDamaged      = 1 // found by a check
	exitUsage        = 2
	exitError        = 3
	exitInterrupted  = 130 // where the signal is not known
)

// usageError is a mistake in how the program was called.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// run executes one command line and returns its exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return execute(ctx, newRootCommand(torture.Suites()), args, stdin, stdout, stderr)
}

func execute(
	ctx context.Context, root *cobra.Command, args []string, stdin io.Reader, stdout, stderr io.Writer,
) int {
	started := false
	for _, command := range append(root.Commands(), grandchildren(root)...) {
		action := command.RunE
		command.RunE = func(cmd *cobra.Command, args []string) error {
			started = true
			if keyspace := cmd.Flags().Lookup("keyspace"); keyspace != nil && keyspace.Changed && keyspace.Value.String() == "" {
				return usagef("--keyspace is empty; the default keyspace is that of no --keyspace")
			}
			if err := checkFormat(cmd); err != nil {
				return err
			}
			return action(cmd, args)
		}
	}
	root.SetArgs(args)
	root.SetIn(&interruptibleReader{ctx: ctx, input: stdin})
	root.SetOut(newOutput(ctx, stdout))
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		// What fails before a command starts is the command line itself.
		err = usageError{err.Error()}
	}
	return report(stderr, cmd, err)
}

// grandchildren are the commands below those of the root.
func grandchildren(root *cobra.Command) []*cobra.Command {
	var found []*cobra.Command
	for _, command := range root.Commands() {
		found = append(found, command.Commands()...)
	}
	return found
}

// report prints err as one line and turns it into an exit code. Only damage to
// a database, of which all is told, may take more lines.
func report(stderr io.Writer, cmd *cobra.Command, err error) int {
	if err == nil || isClosedPipe(err) {
		return exitOK
	}
	if damage := lightning.Corruptions(err); len(damage) > 1 {
		reportDamage(stderr, cmd, damage)
		return exitError
	}
	text := strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", "; ")
	var usage usageError
	var option *lightning.OptionError
	if errors.As(err, &usage) || errors.As(err, &option) {
		fmt.Fprintf(stderr, "%s: %s (see '%s --help')\n", cmd.CommandPath(), text, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(stderr, "%s: %s\n", cmd.CommandPath(), text)
	switch {
	case errors.Is(err, lightning.ErrNotFound), errors.Is(err, errHasValue):
		return exitNotFound
	case errors.Is(err, errRoundsFailed):
		return exitRoundsFailed
	case errors.Is(err, errDamaged):
		return exitDamaged
	case errors.Is(err, errInterrupted):
		return interruptedCode(cmd.Context())
	}
	return exitError
}

// interruptedCode is the exit code after what has ended ctx.
func interruptedCode(ctx context.Context) int {
	var cause signalled
	if errors.As(context.Cause(ctx), &cause) {
		return cause.exitCode()
	}
	return exitInterrupted
}

// shownDamage is how many pieces of damage are told one by one.
const shownDamage = 20

func reportDamage(stderr io.Writer, cmd *cobra.Command, damage []*lightning.CorruptionError) {
	fmt.Fprintf(stderr, "%s: the database is damaged in %d places:\n", cmd.CommandPath(), len(damage))
	for _, piece := range damage[:min(len(damage), shownDamage)] {
		fmt.Fprintf(stderr, "  %v\n", piece)
	}
	if more := len(damage) - shownDamage; more > 0 {
		fmt.Fprintf(stderr, "  and %d more\n", more)
	}
}

// isClosedPipe reports whether whoever read our output has gone, as in
// "lightning scan my.db | head". That is no failure.
func isClosedPipe(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, errPipeClosing)
}

func newRootCommand(suites []torture.Suite) *cobra.Command {
	root := &cobra.Command{
		Use:   "lightning",
		Short: "Work with Lightning DB databases",
		Long: `lightning works with Lightning DB databases: ordered key-value stores that
live in a directory. New here? Run 'lightning tour'.

Exit codes: 0 success, 1 not found (or a round of torture failed, or a check found
damage), 2 wrong usage, 3 any other error, 130 interrupted, 143 terminated.`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
				return usagef("unknown command %q, did you mean %q?", args[0], similar[0])
			}
			return usagef("unknown command %q", args[0])
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetFlagErrorFunc(flagError)
	wrapHelp(root)
	root.AddCommand(
		newTourCommand(),
		newTourWriterCommand(),
		newImportCommand(),
		newGetCommand(),
		newPutCommand(),
		newDelCommand(),
		newIncrCommand(),
		newTouchCommand(),
		newScanCommand(),
		newDumpCommand(),
		newChangesCommand(),
		newStatsCommand(),
		newCompactCommand(),
		newCheckpointCommand(),
		newCheckCommand(),
		newRepairCommand(),
		newBackupCommand(),
		newArchiveCommand(),
		newRestoreCommand(),
		newBackupsCommand(),
		newBenchCommand(),
		newTortureCommand(suites),
		newVersionCommand(),
	)
	return root
}

// wrapHelp lays out the help of all commands for the width of the terminal.
func wrapHelp(root *cobra.Command) {
	help := root.HelpFunc()
	root.SetHelpFunc(func(cmd *cobra.Command, args []string) {
		out := cmd.OutOrStdout()
		var page strings.Builder
		cmd.SetOut(&page)
		help(cmd, args)
		cmd.SetOut(out)
		// As without us, help that nobody reads is no failure.
		_, _ = io.WriteString(out, console.Wrap(page.String(), console.Width(out)))
	})
}

// flagError words what is wrong with a flag.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	var number *strconv.NumError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &invalid) && errors.As(err, &number):
		reason := "must be a whole number"
		if errors.Is(number, strconv.ErrRange) {
			reason = "is out of range"
		}
		return usageError{strings.TrimSuffix(err.Error(), number.Error()) + reason}
	case errors.As(err, &invalid) && invalid.GetFlag().Value.Type() == "duration":
		return usageError{strings.TrimSuffix(err.Error(), invalid.Unwrap().Error()) + "must be a time such as 3s or 500ms"}
	case errors.As(err, &unknown) && strings.Contains(cmd.Use, "KEY"):
		return usagef("%v; write -- before a key or value that begins with a dash", err)
	}
	return err
}

// arguments makes a check that a command gets the named arguments, the first
// needed of which must be there.
func arguments(needed int, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < needed {
			return usagef("missing argument %s", names[len(args)])
		}
		for i, name := range names[:min(len(args), len(names))] {
			if args[i] == "" && (name == "DIR" || name == "FILE") {
				return usagef("argument %s is empty", name)
			}
		}
		if len(args) > len(names) {
			return usagef("unexpected argument %q", args[len(names)])
		}
		return nil
	}
}
