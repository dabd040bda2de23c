// Command sessions is a session store over HTTP: users log in, their sessions end half an hour after
// they were last used, are listed, and can be ended from elsewhere.
//
// What it shows of Lightning DB: keys that expire and Touch, keys made of tuples, a durability for
// each commit, and an end that loses nothing.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/lightningdb/lightning"
)

const usage = `Sessions is a session store over HTTP.

    go run ./examples/sessions --db sessions.db
    curl -c jar -d user=ada localhost:8080/login
    curl -b jar localhost:8080/me
    curl -b jar localhost:8080/sessions
    curl -b jar -X POST localhost:8080/logout

It asks for no password, so it belongs behind something that does.

Flags:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "sessions:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	dir    string
	listen string
	idle   time.Duration
}

func parse(args []string, out io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("sessions", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.dir, "db", "sessions.db", "the `directory` of the database")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:8080", "the `address` to listen on")
	flags.DurationVar(&o.idle, "idle", 30*time.Minute, "how long a session lives that is not used")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, usage)
			flags.SetOutput(out)
			flags.PrintDefaults()
		}
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("there are no arguments but flags: %q", flags.Arg(0))
	case o.idle <= 0:
		return o, fmt.Errorf("--idle must be positive, not %v", o.idle)
	}
	return o, nil
}

// run serves until ctx ends. out gets what an operator wants to know.
func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	// What is not said otherwise goes to the operating system: that a session was used.
	db, err := lightning.Open(o.dir, &lightning.Options{Durability: lightning.DurabilityBuffered})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	store, err := OpenStore(ctx, db, o.idle)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(out, nil))
	log.Info("listening", "address", listener.Addr().String(), "db", o.dir)
	return serve(ctx, listener, &server{store: store, log: log})
}

// patience is how long requests may go on that are under way at the end.
const patience = 10 * time.Second

// serve serves until ctx ends, and then what is under way.
func serve(ctx context.Context, listener net.Listener, s *server) error {
	web := &http.Server{Handler: s.handler(), ReadHeaderTimeout: patience}
	ended := make(chan error, 1)
	go func() { ended <- web.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	s.log.Info("shutting down")
	limit, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := web.Shutdown(limit)
	if err != nil {
		err = errors.Join(fmt.Errorf("requests were cut off: %w", err), web.Close())
	}
	if serveErr := <-ended; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}
