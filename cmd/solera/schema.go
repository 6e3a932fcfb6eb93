package main

import (
	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/pipeline"
)

func (a *app) schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Write the JSON Schema of solera.yaml, for editors",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.stdout.Write(pipeline.Schema())
			return err
		},
	}
}
