package dataset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

// The digests are those of the files in Debian's python3-sklearn 1.2.1+dfsg-1
// and r-cran-palmerpenguins 0.1.1-1.
func TestFilesAreThoseOfThePackages(t *testing.T) {
	for file, want := range map[string]string{
		"wine_data.csv":     "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede",
		"iris.csv":          "f13ffa8fdd56fd8e6c8d16d4081a3fbd3114bcd0aae4256c43205169cd9d1449",
		"breast_cancer.csv": "fed3eb72d0575ef6192293f5093c6e801b1476b577d0386bf4455504522172ed",
		"digits.csv.gz":     "46abec6b12486ad9e51943373abcf22bbea1b5a51a1619b361570d8893f1464a",
		"penguins.csv":      "f204db2c753b0937caac3cb35258562c14f073e4bbc76be24b4c51ce22767a93",
	} {
		b, err := files.ReadFile("data/" + file)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(b)); got != want {
			t.Errorf("%s: %s, want %s", file, got, want)
		}
	}
}

func TestSamplesHaveTheShapesOfThePackages(t *testing.T) {
	for _, tt := range []struct {
		name           string
		rows, features int
		missing        int
		counts         map[string]int
		first, last    string // rows, target included
	}{
		{
			"wine", 178, 13, 0,
			map[string]int{"class_0": 59, "class_1": 71, "class_2": 48},
			"14.23 1.71 2.43 15.6 127 2.8 3.06 0.28 2.29 5.64 1.04 3.92 1065 class_0", "14.13 4.1 2.74 24.5 96 2.05 0.76 0.56 1.35 9.2 0.61 1.6 560 class_2",
		},
		{"iris", 150, 4, 0, map[string]int{"setosa": 50, "versicolor": 50, "virginica": 50}, "5.1 3.5 1.4 0.2 setosa", "5.9 3 5.1 1.8 virginica"},
		{"breast_cancer", 569, 30, 0, map[string]int{"malignant": 212, "benign": 357}, "17.99 10.38", "0.07039 benign"},
		{"digits", 1797, 64, 0, map[string]int{"0": 178, "1": 182, "2": 177, "3": 183, "4": 181, "5": 182, "6": 181, "7": 179, "8": 174, "9": 180}, "0 0 5 13 9 1", "12 1 0 8"},
		{"penguins", 344, 7, 19, map[string]int{"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}, "Adelie Torgersen 39.1 18.7 181 3750 male 2007", "Chinstrap Dream 50.2 18.7 198 3775 female 2009"},
	} {
		s, err := Get(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		if s.Table.Len() != tt.rows || len(s.Table.Columns) != tt.features+1 {
			t.Errorf("%s: %d rows, %d columns", tt.name, s.Table.Len(), len(s.Table.Columns))
		}
		if err := s.Table.Check(); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		counts := map[string]int{}
		target := s.Table.Column(s.Target)
		for i := range target.Len() {
			counts[target.Text(i)]++
		}
		if fmt.Sprint(counts) != fmt.Sprint(tt.counts) {
			t.Errorf("%s: classes %v, want %v", tt.name, counts, tt.counts)
		}
		missing := 0
		for _, c := range s.Table.Columns {
			missing += c.MissingCount()
		}
		if missing != tt.missing {
			t.Errorf("%s: %d missing values, want %d", tt.name, missing, tt.missing)
		}
		if got := row(s.Table, 0); !strings.HasPrefix(got, tt.first) {
			t.Errorf("%s: first row %s", tt.name, got)
		}
		if got := row(s.Table, tt.rows-1); !strings.HasSuffix(got, tt.last) {
			t.Errorf("%s: last row %s", tt.name, got)
		}
		if s.Title == "" || s.Source == "" || s.Licence == "" || len(s.LicenceText) < 500 {
			t.Errorf("%s: its origin is not told: %+v", tt.name, s)
		}
	}
}

func row(t *table.Table, i int) string {
	var v []string
	for _, c := range t.Columns {
		v = append(v, c.Text(i))
	}
	return strings.Join(v, " ")
}

func TestUnknownSamplesSayWhichThereAre(t *testing.T) {
	_, err := Get("vine")
	if !errors.Is(err, solera.ErrNotFound) || !strings.Contains(err.Error(), "the samples are wine, iris, breast_cancer, digits, penguins") {
		t.Errorf("got %v", err)
	}
}

func TestEachCallGivesATableOfItsOwn(t *testing.T) {
	a, _ := Get("iris")
	a.Table.Columns[0].Numbers[0] = -1
	if b, _ := Get("iris"); b.Table.Columns[0].Numbers[0] == -1 {
		t.Error("two callers share values")
	}
}
