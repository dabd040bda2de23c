package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand() *cobra.Command {
	var format *choice[outputFormat]
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			v := versionResult{buildVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
			if format.value == formatJSON {
				return printJSON(cmd.OutOrStdout(), v)
			}
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "lightning %s (%s, %s)\n", v.Version, v.Go, v.System)
			return err
		},
	}
	format = addFormat(cmd, formatTable, formatJSON)
	return cmd
}

// versionResult is what version prints, in the form of its JSON.
type versionResult struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	System  string `json:"system"`
}

// buildVersion is the module version, or for a build from a work tree the
// commit it was built from, as far as the build recorded them.
func buildVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	revision, modified := "", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision" && len(setting.Value) >= 12:
			revision = "-" + setting.Value[:12]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			modified = "-modified"
		}
	}
	return "devel" + revision + modified
}
