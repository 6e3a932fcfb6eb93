// Package dataset holds the tables that ship with the product. Their files are
// those of the packages they come from, byte for byte; it adds names and
// nothing else.
package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"embed"
	"fmt"
	"io"
	"math"
	"path"
	"slices"
	"strings"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

//go:embed data
var files embed.FS

// A Sample is one table with its origin.
type Sample struct {
	Name        string // "wine", as in sample:wine
	Title       string
	Source      string // where the values come from
	Licence     string // its short name
	LicenceText string
	Target      string // the column that is usually predicted
	Table       *table.Table
}

// about is what is known of a sample besides its values.
type about struct {
	name, title, source string
	licence, licenceOf  string
	file                string
	target              string
	// Files of scikit-learn have no names: their first line has the counts,
	// and the last field of each row is the index of a class.
	features []string
	classes  []string
}

const (
	bsd = "BSD-3-Clause, scikit-learn"
	cc0 = "CC0-1.0"
)

func samples() []about {
	return []about{
		{
			name: "wine", title: "Wine recognition: 13 chemical measurements of wines of three cultivars",
			source:  "UCI Machine Learning Repository, Wine (Forina et al., PARVUS; 1991), as in scikit-learn 1.2.1",
			licence: bsd, licenceOf: "scikit-learn", file: "wine_data.csv", target: "class",
			features: []string{
				"alcohol", "malic_acid", "ash", "alcalinity_of_ash", "magnesium", "total_phenols", "flavanoids",
				"nonflavanoid_phenols", "proanthocyanins", "color_intensity", "hue", "od280/od315_of_diluted_wines", "proline",
			},
			classes: []string{"class_0", "class_1", "class_2"},
		},
		{
			name: "iris", title: "Iris: 4 measurements of flowers of three species",
			source:  "Fisher (1936), The use of multiple measurements in taxonomic problems, as in scikit-learn 1.2.1",
			licence: bsd, licenceOf: "scikit-learn", file: "iris.csv", target: "species",
			features: []string{"sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)"},
			classes:  []string{"setosa", "versicolor", "virginica"},
		},
		{
			name: "breast_cancer", title: "Breast cancer Wisconsin: 30 shape features of cell nuclei, malignant or benign",
			source:  "UCI Machine Learning Repository, Breast Cancer Wisconsin (Diagnostic) (Wolberg, Street, Mangasarian; 1995), as in scikit-learn 1.2.1",
			licence: bsd, licenceOf: "scikit-learn", file: "breast_cancer.csv", target: "diagnosis",
			features: nucleusFeatures(),
			classes:  []string{"malignant", "benign"},
		},
		{
			name: "digits", title: "Handwritten digits: 8 × 8 grey values from 0 to 16",
			source:  "UCI Machine Learning Repository, Optical Recognition of Handwritten Digits, test set (Alpaydin, Kaynak; 1998), as in scikit-learn 1.2.1",
			licence: bsd, licenceOf: "scikit-learn", file: "digits.csv.gz", target: "digit",
			features: pixelFeatures(),
		},
		{
			name: "penguins", title: "Palmer penguins: size, sex and island of three species, with missing values",
			source:  "Horst, Hill, Gorman (2020), palmerpenguins 0.1.1, doi:10.5281/zenodo.3960218",
			licence: cc0, licenceOf: "palmerpenguins", file: "penguins.csv", target: "species",
		},
	}
}

// nucleusFeatures names the mean, the standard error and the worst of ten measurements.
func nucleusFeatures() []string {
	measured := []string{"radius", "texture", "perimeter", "area", "smoothness", "compactness", "concavity", "concave points", "symmetry", "fractal dimension"}
	var names []string
	for _, m := range measured {
		names = append(names, "mean "+m)
	}
	for _, m := range measured {
		names = append(names, m+" error")
	}
	for _, m := range measured {
		names = append(names, "worst "+m)
	}
	return names
}

func pixelFeatures() []string {
	var names []string
	for row := range 8 {
		for col := range 8 {
			names = append(names, fmt.Sprintf("pixel_%d_%d", row, col))
		}
	}
	return names
}

// Names returns the names of the samples, the simplest first.
func Names() []string {
	var names []string
	for _, a := range samples() {
		names = append(names, a.name)
	}
	return names
}

// Get returns a sample with a table of its own. An unknown name is solera.ErrNotFound.
func Get(name string) (Sample, error) {
	i := slices.IndexFunc(samples(), func(a about) bool { return a.name == name })
	if i < 0 {
		return Sample{}, &solera.InputError{
			Op: "load sample:" + name, Msg: "no sample has this name",
			Hint: "the samples are " + strings.Join(Names(), ", "), Err: solera.ErrNotFound,
		}
	}
	a := samples()[i]
	t, err := a.read()
	if err != nil {
		return Sample{}, fmt.Errorf("load sample:%s: %w", name, err)
	}
	licence, err := files.ReadFile("data/LICENSE." + a.licenceOf)
	if err != nil {
		return Sample{}, fmt.Errorf("load sample:%s: %w", name, err)
	}
	return Sample{Name: a.name, Title: a.title, Source: a.source, Licence: a.licence, LicenceText: string(licence), Target: a.target, Table: t}, nil
}

func (a about) read() (*table.Table, error) {
	data, err := files.ReadFile("data/" + a.file)
	if err != nil {
		return nil, err
	}
	if path.Ext(a.file) == ".gz" {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return nil, err
		}
		if data, err = io.ReadAll(z); err != nil {
			return nil, err
		}
	}
	if a.features != nil {
		if a.classes != nil { // the line with the counts
			data = data[bytes.IndexByte(data, '\n')+1:]
		}
		header := strings.Join(append(slices.Clone(a.features), a.target), ",") + "\n"
		data = append([]byte(header), data...)
	}
	t, err := table.ReadCSV(context.Background(), a.file, bytes.NewReader(data), table.Options{Delimiter: ','})
	if err != nil {
		return nil, err
	}
	if a.classes != nil {
		a.nameClasses(t.Column(a.target))
	}
	return t, nil
}

// nameClasses makes a category of a column of class indexes.
func (a about) nameClasses(c *table.Column) {
	levels := slices.Sorted(slices.Values(a.classes))
	codes := make([]int32, len(c.Numbers))
	for i, v := range c.Numbers {
		codes[i] = -1
		if !math.IsNaN(v) {
			codes[i] = int32(slices.Index(levels, a.classes[int(v)]))
		}
	}
	*c = table.Column{Name: c.Name, Kind: table.Category, Codes: codes, Levels: levels}
}
