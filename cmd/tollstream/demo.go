package main

import (
	"github.com/spf13/cobra"

	"github.com/tollstream/tollstream/cmd/tollstream/demo"
)

func (a *app) demoCommand() *cobra.Command {
	var printCatalog bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Load the demo catalogue into a running server and play usage into it",
		Long: "Load the price book of three companies into a running server, unless it is there already, fill in some weeks of the\n" +
			"past, and send usage as time passes until it is stopped. Started again it goes on where the server's records end. It needs\n" +
			"an admin key. `tollstream run --demo` does the same inside the server.",
		Example: "  TOLLSTREAM_API_KEY=ts_… tollstream demo\n  tollstream demo --print-catalog > catalog.yaml",
		Args:    arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if printCatalog {
				return a.print(string(demo.Catalog))
			}
			if _, err := a.settings.client(); err != nil {
				return err
			}
			return demo.Play(cmd.Context(), demo.Settings{Addr: a.settings.HTTPAddr, Key: a.settings.APIKey, Out: a.stdout}, a.lines)
		},
	}
	cmd.Flags().BoolVar(&printCatalog, "print-catalog", false, "print the demo's catalogue and end")
	return cmd
}
