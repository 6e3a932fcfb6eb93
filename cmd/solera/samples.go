package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera/dataset"
)

func (a *app) samplesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "samples",
		Short: "List the tables that ship with Solera, with source and licence",
		Args:  noArgs,
		RunE: func(*cobra.Command, []string) error {
			type sample struct {
				Name    string `json:"name"`
				Title   string `json:"title"`
				Rows    int    `json:"rows"`
				Columns int    `json:"columns"` // the target included
				Target  string `json:"target"`
				Source  string `json:"source"`
				Licence string `json:"licence"`
			}
			list := []sample{}
			for _, name := range dataset.Names() {
				s, err := dataset.Get(name)
				if err != nil {
					return err
				}
				list = append(list, sample{s.Name, s.Title, s.Table.Len(), len(s.Table.Columns), s.Target, s.Source, s.Licence})
			}
			if a.json {
				return a.printJSON(list)
			}
			var rows [][]string
			for _, s := range list {
				rows = append(rows, []string{s.Name, fmt.Sprintf("%d × %d", s.Rows, s.Columns), s.Title + "\n" + s.Source, s.Licence})
			}
			if err := a.printTable([]string{"NAME", "SIZE", "WHAT AND WHERE FROM", "LICENCE"}, rows); err != nil {
				return err
			}
			return a.printf("\nBegin with one: solera init %s\n", list[0].Name)
		},
	}
}
