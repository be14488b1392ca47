// Command tollstream rates and bills usage. One binary: `run` serves, `migrate` prepares the stores, every other subcommand
// talks to a running server over its HTTP API.
//
// This is the only package that reads configuration and the environment, and that wires adapters together; one file per
// subcommand. Invariants: every setting is an environment variable and a flag of the same name, the flag wins; exit code 0
// means success and nothing else does; what a command found goes to stdout, what went wrong to stderr, with what to do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes. Anything that is not a success is not 0.
const (
	exitOK          = 0
	exitFailed      = 1   // it did not work, or it found what it looks for: a difference, bad rows
	exitUsage       = 2   // the command line or a setting is wrong; nothing was done
	exitInterrupted = 130 // stopped by a signal before it was done
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		stopOnSignal(signals, cancel, os.Stderr, os.Exit)
	}()
	code := execute(ctx, &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}, os.Args[1:])
	cancel()
	os.Exit(code)
}

// stopOnSignal asks for an orderly stop at the first signal and ends the process at the second.
func stopOnSignal(signals <-chan os.Signal, cancel context.CancelFunc, stderr io.Writer, exit func(int)) {
	s := <-signals
	fmt.Fprintf(stderr, "tollstream: %s: finishing what is under way; once more to stop at once\n", s)
	cancel()
	<-signals
	fmt.Fprintln(stderr, "tollstream: stopped at once")
	exit(exitInterrupted)
}

// execute runs one command line and gives its exit code.
func execute(ctx context.Context, a *app, args []string) int {
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	cmd, err := root.ExecuteContextC(ctx)
	var wrong *usageError
	var silent *silentError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &wrong):
		fmt.Fprintf(a.stderr, "tollstream: %v\nSee `%s --help` for an example.\n", err, cmd.CommandPath())
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintln(a.stderr, "tollstream: interrupted")
		return exitInterrupted
	case errors.As(err, &silent):
		return exitFailed
	default:
		fmt.Fprintf(a.stderr, "tollstream: %v\n", err)
		return exitFailed
	}
}

// usageError is a command line or a setting that cannot be.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func wrongUsage(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// silentError ends a command with exit code 1 whose output has said everything.
type silentError struct{ what string }

func (e *silentError) Error() string { return e.what }
