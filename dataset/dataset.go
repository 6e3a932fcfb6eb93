// Package dataset holds the tables that ship with the product, for a first
// run, for examples and for tests: wine, iris, breast_cancer, digits and
// penguins. It reads no file but its own.
//
// The values are those of the files in the packages named as their source,
// byte for byte; what those files lack (names of columns and of classes) is
// that of scikit-learn's load_ functions.
package dataset

import (
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// A Sample is a table that ships with the product.
type Sample struct {
	Name        string
	Title       string // one line
	Source      string // who measured it, and the package that the values are from
	Licence     string // short name, such as BSD-3-Clause
	LicenceText string // all of it, or its address where the licence allows that
	Target      string // the column to predict
	Table       *table.Table
}

//go:embed files/*.csv files/*.csv.gz files/BSD-3-Clause.txt files/CC0-1.0.txt
var files embed.FS

// entry is a sample with what its file does not say.
type entry struct {
	Sample
	file     string
	features []string // nil: the file's first line names the columns
	skip     bool     // the file's first line is neither names nor values
	classes  []string // names of the classes 0, 1, 2 …; nil: the file has them
}

// entries is a function since the lists in it could be changed.
func entries() []entry {
	const scikit = "scikit-learn 1.2.1"
	return []entry{
		{
			Sample: Sample{
				Name: "wine", Title: "Wines of three cultivars by their chemical analysis", Target: "class", Licence: "BSD-3-Clause",
				Source: "M. Forina et al., PARVUS, Genoa, 1991 (UCI Machine Learning Repository), as in " + scikit,
			},
			file: "wine.csv", skip: true, classes: []string{"class_0", "class_1", "class_2"},
			features: []string{
				"alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids", "nonflavanoid_phenols",
				"proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
			},
		},
		{
			Sample: Sample{
				Name: "iris", Title: "Irises of three species by their petals and sepals", Target: "species", Licence: "BSD-3-Clause",
				Source: "R. A. Fisher, 1936, measured by E. Anderson, as in " + scikit,
			},
			file: "iris.csv", skip: true, classes: []string{"setosa", "versicolor", "virginica"},
			features: []string{"sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"},
		},
		{
			Sample: Sample{
				Name: "breast_cancer", Title: "Breast tumours, malignant or benign, by the nuclei of their cells", Target: "diagnosis", Licence: "BSD-3-Clause",
				Source: "W. N. Street, W. H. Wolberg, O. L. Mangasarian, 1993 (UCI Machine Learning Repository), as in " + scikit,
			},
			file: "breast_cancer.csv.gz", skip: true, classes: []string{"malignant", "benign"}, features: nuclei(),
		},
		{
			Sample: Sample{
				Name: "digits", Title: "Handwritten digits of 8 × 8 pixels", Target: "digit", Licence: "BSD-3-Clause",
				Source: "E. Alpaydin, C. Kaynak, 1998 (UCI Machine Learning Repository, the test part), as in " + scikit,
			},
			file: "digits.csv.gz", features: pixels(),
		},
		{
			Sample: Sample{
				Name: "penguins", Title: "Penguins of three species near Palmer Station, Antarctica", Target: "species", Licence: "CC0-1.0",
				Source: "K. B. Gorman, T. D. Williams, W. R. Fraser, 2014, as in the R package palmerpenguins 0.1.0 by A. M. Horst et al.",
			},
			file: "penguins.csv",
		},
	}
}

// nuclei names the thirty features of breast_cancer: three statistics of ten
// measures.
func nuclei() []string {
	measures := []string{
		"radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry", "fractal dimension",
	}
	var names []string
	for _, form := range []string{"mean %s", "%s error", "worst %s"} {
		for _, m := range measures {
			names = append(names, fmt.Sprintf(form, m))
		}
	}
	return names
}

// pixels names the 64 features of digits: row, column.
func pixels() []string {
	var names []string
	for i := range 64 {
		names = append(names, fmt.Sprintf("pixel_%d_%d", i/8, i%8))
	}
	return names
}

// Names returns the names of the samples.
func Names() []string {
	var names []string
	for _, e := range entries() {
		names = append(names, e.Name)
	}
	return names
}

// Get returns a sample. Its table is the caller's own. An unknown name is
// solera.ErrNotFound.
func Get(name string) (Sample, error) {
	all := entries()
	i := slices.IndexFunc(all, func(e entry) bool { return e.Name == name })
	if i < 0 {
		return Sample{}, fmt.Errorf("sample %q: %w: the samples are %s", name, solera.ErrNotFound, strings.Join(Names(), ", "))
	}
	e := all[i]
	licence, err := files.ReadFile("files/" + e.Licence + ".txt")
	if err != nil {
		return Sample{}, err
	}
	e.LicenceText = string(licence)
	if e.Table, err = e.read(); err != nil {
		return Sample{}, fmt.Errorf("sample %s: %w", name, err)
	}
	return e.Sample, nil
}

func (e entry) read() (*table.Table, error) {
	f, err := files.Open("files/" + e.file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := plain(e.file, f)
	if err != nil {
		return nil, err
	}
	o := table.Options{Delimiter: ','}
	if e.features != nil {
		if e.skip {
			_, content, _ = strings.Cut(content, "\n")
		}
		header := strings.Join(append(slices.Clone(e.features), e.Target), ",") + "\n"
		content = header + content
	}
	t, err := table.ReadCSV(context.Background(), e.file, strings.NewReader(content), o)
	if err != nil || e.classes == nil {
		return t, err
	}
	return t, e.nameClasses(t)
}

// nameClasses turns the numbers of the target into the names of the classes.
func (e entry) nameClasses(t *table.Table) error {
	levels := slices.Sorted(slices.Values(e.classes))
	numbers := t.Column(e.Target)
	named := &table.Column{Name: e.Target, Kind: table.Category, Levels: levels, Codes: make([]int32, t.Len())}
	for i, class := range numbers.Numbers {
		if class < 0 || int(class) >= len(e.classes) {
			return fmt.Errorf("row %d: class %v: %w", i, class, solera.ErrCorrupt)
		}
		code, _ := slices.BinarySearch(levels, e.classes[int(class)])
		named.Codes[i] = int32(code)
	}
	*numbers = *named
	return nil
}

func plain(name string, r io.Reader) (string, error) {
	if strings.HasSuffix(name, ".gz") {
		z, err := gzip.NewReader(r)
		if err != nil {
			return "", err
		}
		r = z
	}
	b, err := io.ReadAll(r)
	return string(b), err
}
