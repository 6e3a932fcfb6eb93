package main

import (
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
)

func (a *app) loadCommand() *cobra.Command {
	return a.stageCommand(pipeline.Load, "Read the table, split its rows, commit the raw data set")
}
