// Command standin serves the Redis or the Kafka protocol from a Go process, for a machine where no real
// server can be had. It is for trying things: what it shows about durability and speed is worth nothing.
//
//	standin redis --addr 127.0.0.1:6379
//	standin kafka --addr 127.0.0.1:9092 --data DIR
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"syscall"
)

const usage = "usage: standin redis --addr 127.0.0.1:PORT | standin kafka --addr 127.0.0.1:PORT --data DIR"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "standin:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends. It says on log which address it serves, once it does.
func run(ctx context.Context, args []string, log io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("standin "+args[0], flag.ContinueOnError)
	flags.SetOutput(log)
	addr := flags.String("addr", "127.0.0.1:0", "address to serve, loopback only; port 0 takes a free one")
	data := flags.String("data", "", "kafka: folder that outlives the process; empty keeps everything in memory")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected %q; %s", flags.Arg(0), usage)
	}
	if err := loopback(*addr); err != nil {
		return err
	}

	serving := func(address string) {
		_, _ = fmt.Fprintf(log, "standin: WARNING: not a real %s server; for trying things only\n", args[0])
		_, _ = fmt.Fprintf(log, "standin: serving %s on %s\n", args[0], address)
	}
	switch args[0] {
	case "redis":
		return serveRedis(ctx, *addr, serving)
	case "kafka":
		return serveKafka(ctx, *addr, *data, serving)
	default:
		return fmt.Errorf("unknown store %q; %s", args[0], usage)
	}
}

// loopback refuses every other address: the stand-ins know no passwords.
func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--addr %s: not a loopback address", addr)
	}
	return nil
}
