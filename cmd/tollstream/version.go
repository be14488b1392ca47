package main

import (
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// version is set when a release is built: -ldflags "-X main.version=1.2.3".
var version string

// Version says which program this is.
type Version struct {
	Version  string `json:"version"`
	Revision string `json:"revision,omitempty"` // of the source
	Modified bool   `json:"modified,omitempty"` // the source had changes that were not committed
	Go       string `json:"go"`
}

func programVersion() Version {
	v := Version{Version: version}
	info, ok := debug.ReadBuildInfo()
	if ok {
		v.Go = info.GoVersion
		if v.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				v.Revision = s.Value
			case "vcs.modified":
				v.Modified = s.Value == "true"
			}
		}
	}
	if v.Version == "" {
		v.Version = "dev"
	}
	return v
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of this program", Args: arguments(),
		Example: "  tollstream version\n  tollstream version --output json",
		RunE: func(*cobra.Command, []string) error {
			v := programVersion()
			if a.output == outputJSON {
				return a.printJSON(v)
			}
			text := "tollstream " + v.Version
			if v.Revision != "" {
				text += " (" + v.Revision + ")"
			}
			return a.print(fmt.Sprintf("%s %s\n", text, v.Go))
		},
	}
}
