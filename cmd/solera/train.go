package main

import (
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
)

func (a *app) trainCommand() *cobra.Command {
	return a.stageCommand(pipeline.Train, "Train and evaluate every experiment")
}
