package main

import (
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/cmd/tollstream/server"
)

// roles are the parts of the server that a process can take.
var roles = []string{"api", "collector", "rater", "sink", "invoicer"}

func (a *app) runCommand() *cobra.Command {
	var demo bool
	cmd := &cobra.Command{
		Use:   "run [ROLE...]",
		Short: "Serve: take usage in, rate it, show it",
		Long: "Serve in the roles " + strings.Join(roles, ", ") + "; none named means all of them.\n\n" +
			"Stores without a URL are embedded in the data directory: nothing needs to be installed. The first start prints an\n" +
			"admin key once. SIGTERM finishes what is under way and checkpoints; a second one stops at once. After a kill -9 the\n" +
			"next start goes on where the log stands.",
		Example: "  tollstream run --demo\n" +
			"  TOLLSTREAM_KAFKA=k1:9092,k2:9092 TOLLSTREAM_POSTGRES=postgres://… TOLLSTREAM_REDIS=redis://… tollstream run rater sink",
		ValidArgs: roles,
		Args: func(_ *cobra.Command, args []string) error {
			for i, role := range args {
				switch {
				case !slices.Contains(roles, role):
					return wrongUsage("%q is not a role: the roles are %s", role, strings.Join(roles, ", "))
				case slices.Contains(args[:i], role):
					return wrongUsage("role %s is named twice", role)
				}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if demo && len(args) > 0 && !slices.Contains(args, "api") {
				return wrongUsage("--demo sends its usage to this process: name the role api too, or run `tollstream demo` beside it")
			}
			if err := a.settings.Validate(); err != nil {
				return err
			}
			if len(args) == 0 {
				args = slices.Clone(roles)
			}
			if err := server.Memory(a.getenv); err != nil {
				a.lines.Warn("memory is not limited", "error", err)
			}
			return runServer(cmd.Context(), a.settings, a.lines, args, demo)
		},
	}
	a.settings.serverFlags(cmd.Flags())
	cmd.Flags().BoolVar(&demo, "demo", false, "load a small price book of three companies and play usage into it")
	return cmd
}

func (a *app) migrateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "migrate", Short: "Bring every store to this version's schema",
		Long:    "Bring every store to this version's schema. `run` does it too; do it by itself before many processes start at once.",
		Example: "  tollstream migrate --postgres postgres://tollstream:…@db/tollstream --clickhouse clickhouse://ch:9000/tollstream",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.settings.Validate(); err != nil {
				return err
			}
			return migrateAll(cmd.Context(), a.settings, a.lines)
		},
	}
	a.settings.serverFlags(cmd.Flags())
	return cmd
}
