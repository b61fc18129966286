package main

import (
	"github.com/spf13/cobra"

	"github.com/seonchak/seonchak/tools/load/report"
)

// reportCommand writes a document of what other commands measured.
func reportCommand() *cobra.Command {
	var from, to string
	command := &cobra.Command{
		Use: "report", Short: "write what a folder of measurements came to", Args: cobra.NoArgs,
		Long: "Writes load-report.md and its charts from the files that scripts/report.sh leaves. What is not there it names.",
		RunE: func(*cobra.Command, []string) error {
			m, err := report.Read(from)
			if err != nil {
				return err
			}
			return m.Write(to)
		},
	}
	command.Flags().StringVar(&from, "from", "bin/report", "`folder` of the measurements")
	command.Flags().StringVar(&to, "to", "docs", "`folder` of the document")
	return command
}
