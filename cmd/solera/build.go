package main

import (
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
)

func (a *app) buildCommand() *cobra.Command {
	return a.stageCommand(pipeline.Build, "Build the network with its initial weights")
}
