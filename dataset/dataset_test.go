package dataset_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/dataset"
	"github.com/solera-ml/solera/table"
)

func TestSamples(t *testing.T) {
	tests := []struct {
		name     string
		rows     int
		features int
		missing  int
		classes  map[string]int
	}{
		{"wine", 178, 13, 0, map[string]int{"class_0": 59, "class_1": 71, "class_2": 48}},
		{"iris", 150, 4, 0, map[string]int{"setosa": 50, "versicolor": 50, "virginica": 50}},
		{"breast_cancer", 569, 30, 0, map[string]int{"malignant": 212, "benign": 357}},
		{"digits", 1797, 64, 0, map[string]int{
			"0": 178, "1": 182, "2": 177, "3": 183, "4": 181, "5": 182, "6": 181, "7": 179, "8": 174, "9": 180,
		}},
		{"penguins", 344, 7, 19, map[string]int{"Adelie": 152, "Chinstrap": 68, "Gentoo": 124}},
	}
	var names []string
	for _, tt := range tests {
		names = append(names, tt.name)
		t.Run(tt.name, func(t *testing.T) {
			s, err := dataset.Get(tt.name)
			if err != nil {
				t.Fatal(err)
			}
			if s.Table.Len() != tt.rows || len(s.Table.Columns) != tt.features+1 {
				t.Errorf("got %d rows and %d columns, want %d and %d", s.Table.Len(), len(s.Table.Columns), tt.rows, tt.features+1)
			}
			if err := s.Table.Check(); err != nil {
				t.Error(err)
			}
			classes, missing := map[string]int{}, 0
			for i := range s.Table.Len() {
				classes[s.Table.Column(s.Target).Text(i)]++
			}
			for _, c := range s.Table.Columns {
				missing += c.MissingCount()
				if c.Name != s.Target && tt.name != "penguins" && c.Kind != table.Number {
					t.Errorf("column %s is a %s, want a number", c.Name, c.Kind)
				}
			}
			if diff := cmp.Diff(tt.classes, classes); diff != "" {
				t.Errorf("classes (-want +got):\n%s", diff)
			}
			if missing != tt.missing {
				t.Errorf("got %d missing values, want %d", missing, tt.missing)
			}
			if s.Title == "" || s.Source == "" || s.Licence == "" || len(s.LicenceText) < 1000 {
				t.Error("a sample needs a title, a source and its licence")
			}
		})
	}
	if got := dataset.Names(); !slices.Equal(got, names) {
		t.Errorf("got %v, want %v", got, names)
	}
}

// The digests are those of the files in the packages; breast_cancer.csv is
// compressed here and plain there.
func TestFilesAreThoseOfThePackages(t *testing.T) {
	want := map[string]string{
		"breast_cancer.csv.gz": "f77cd02db86b8f736d4aab442e9de4d817fa0d8ec52d185ea23518a223571e97",
		"digits.csv.gz":        "46abec6b12486ad9e51943373abcf22bbea1b5a51a1619b361570d8893f1464a",
		"iris.csv":             "f13ffa8fdd56fd8e6c8d16d4081a3fbd3114bcd0aae4256c43205169cd9d1449",
		"penguins.csv":         "f204db2c753b0937caac3cb35258562c14f073e4bbc76be24b4c51ce22767a93",
		"wine.csv":             "10e8a802908b34f86e5da8ce962f3c806694bc98450a18f61851af59f324bede",
	}
	for name, digest := range want {
		content, err := os.ReadFile(filepath.Join("files", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(content)); got != digest {
			t.Errorf("%s: got %s, want %s", name, got, digest)
		}
	}
}

func TestFirstAndLastValuesAreTheirs(t *testing.T) {
	tests := []struct {
		name  string
		row   int
		value []string // from the first column on
	}{
		{"wine", 0, []string{"14.23", "1.71", "2.43", "15.6", "127", "2.8", "3.06", "0.28", "2.29", "5.64", "1.04", "3.92", "1065", "class_0"}},
		{"iris", 0, []string{"5.1", "3.5", "1.4", "0.2", "setosa"}},
		{"breast_cancer", 0, []string{"17.99", "10.38", "122.8", "1001"}},
		{"digits", 0, []string{"0", "0", "5", "13", "9", "1"}},
		{"penguins", 343, []string{"Chinstrap", "Dream", "50.2", "18.7", "198", "3775", "female", "2009"}},
	}
	for _, tt := range tests {
		s, err := dataset.Get(tt.name)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.value {
			if got := s.Table.Columns[i].Text(tt.row); got != want {
				t.Errorf("%s: row %d, column %s: got %q, want %q", tt.name, tt.row, s.Table.Columns[i].Name, got, want)
			}
		}
	}
}

func TestUnknownSampleNamesTheOthers(t *testing.T) {
	_, err := dataset.Get("vine")
	if !errors.Is(err, solera.ErrNotFound) || !strings.Contains(err.Error(), "wine, iris") {
		t.Errorf("got %v", err)
	}
}

func TestTablesAreTheCallersOwn(t *testing.T) {
	a, _ := dataset.Get("wine")
	a.Table.Columns[0].Numbers[0] = -1
	b, _ := dataset.Get("wine")
	if got := b.Table.Columns[0].Numbers[0]; got != 14.23 {
		t.Errorf("got %v, want 14.23", got)
	}
}
