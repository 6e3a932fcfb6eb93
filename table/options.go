package table

// Options say how a source is read. The zero value detects everything.
type Options struct {
	Format        string          // "csv", "jsonl" or "parquet"; "" = by the name's extension, else by content
	Delimiter     rune            // CSV: ',', ';', tab or '|'; 0 = detect
	Types         map[string]Kind // kinds that are not to be inferred, by column name
	Ignore        []string        // columns that are not read
	MissingValues []string        // texts that mean "no value"; nil = DefaultMissing()
	MaxRecord     int             // longest record in bytes; 0 = 64 MiB
	MaxColumns    int             // 0 = 20,000
	Workers       int             // goroutines that parse; 0 = GOMAXPROCS. The result does not depend on it
}

// DefaultMissing returns the texts that mean "no value" unless Options say
// otherwise. Blanks around a text do not count; case does ("none" is a level).
func DefaultMissing() []string {
	return []string{"", "NA", "N/A", "n/a", "#N/A", "<NA>", "null", "NULL", "NaN", "nan", "None", "?", "-"}
}
