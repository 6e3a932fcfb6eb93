package main

import (
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
)

func (a *app) preprocessCommand() *cobra.Command {
	return a.stageCommand(pipeline.Preprocess, "Fit the transforms on the training rows, commit the transformed data set")
}
