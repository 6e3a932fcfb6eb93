package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/provenance"
)

func (a *app) provenanceCommand() *cobra.Command {
	var output string
	var payload, force bool
	c := &cobra.Command{
		Use:   "provenance NAME[:REF]",
		Short: "Write the signed statement of where a version comes from",
		Long: `Write the DSSE envelope of a version as it is kept: an in-toto statement with
SLSA provenance, signed with ed25519, which other tools can check
(docs/provenance.md). --payload writes the statement without its envelope, byte
for byte as it was signed. Nothing is verified here: solera verify does.`,
		Example: "  solera provenance trained-wine-model-exp001 --output model.intoto.json\n  solera provenance wine-raw:v0 --payload",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usage("solera provenance takes one version, such as wine-raw:v0")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			w, err := a.openProject(c.Context())
			if err != nil {
				return err
			}
			defer w.close()
			v, content, err := w.Statement(c.Context(), args[0])
			if errors.Is(err, solera.ErrNotFound) && v.Artifact != "" {
				return &solera.InputError{Msg: v.Name() + " is not signed", Hint: "if you know where it comes from, sign it: " + a.self() + " verify --sign", Err: err}
			}
			if err != nil {
				return a.absent(err, args[0])
			}
			if payload {
				envelope, err := provenance.ParseEnvelope(content)
				if err != nil {
					return &solera.InputError{Op: "statement of " + v.Name(), Err: err}
				}
				content = envelope.Payload()
			}
			if output != "" {
				return writeFile(a.path(output), content, force)
			}
			return a.printf("%s\n", strings.TrimSuffix(string(content), "\n"))
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "write to a new `FILE`")
	c.Flags().BoolVar(&payload, "payload", false, "the statement without its envelope")
	c.Flags().BoolVar(&force, "force", false, "overwrite FILE")
	return c
}
