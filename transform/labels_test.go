package transform

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/table"
)

func TestClassesAreInTheirNaturalOrder(t *testing.T) {
	tests := []struct {
		name string
		c    *table.Column
		want []string
		y    []int32
	}{
		{"text in byte order", texts("y", "b", "a", "B", "a"), []string{"B", "a", "b"}, []int32{2, 1, 0, 1}},
		{"numbers in numeric order", numbers("y", 10, 9, -1, 10), []string{"-1", "9", "10"}, []int32{2, 1, 0, 2}},
		{"numbers as text in numeric order", texts("y", "10", "9", "1"), []string{"1", "9", "10"}, []int32{2, 1, 0}},
		{"booleans", &table.Column{Name: "y", Kind: table.Boolean, Numbers: []float64{1, 0}}, []string{"false", "true"}, []int32{1, 0}},
		{"booleans in the file's words", &table.Column{Name: "y", Kind: table.Boolean, Numbers: []float64{1, 0}, Levels: []string{"no", "yes"}}, []string{"no", "yes"}, []int32{1, 0}},
		{"large numbers without exponent", numbers("y", 1e15, 0), []string{"0", "1000000000000000"}, []int32{1, 0}},
		{"zero has one sign", numbers("y", math.Copysign(0, -1), 0, 1), []string{"0", "1"}, []int32{0, 0, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := FitLabels(of(tt.c), "y", nil)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(l.Classes, tt.want) || l.Check() != nil {
				t.Errorf("classes %q, want %q", l.Classes, tt.want)
			}
			y, err := l.Encode(of(tt.c), nil)
			if err != nil || !slices.Equal(y, tt.y) {
				t.Errorf("encoded as %v (%v), want %v", y, err, tt.y)
			}
		})
	}
}

func TestLabelsReadAsAnotherKindAreTheSame(t *testing.T) {
	l, err := FitLabels(of(texts("y", "1", "2", "x")), "y", []int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	if y, err := l.Encode(of(numbers("y", 2, 1)), nil); err != nil || !slices.Equal(y, []int32{1, 0}) {
		t.Errorf("numbers encode as %v (%v)", y, err)
	}
}

func TestWrongTargetsAreRefused(t *testing.T) {
	many := make([]float64, MaxClasses+1)
	for i := range many {
		many[i] = float64(i)
	}
	words := make([]string, MaxClasses+1)
	for i := range words {
		words[i] = fmt.Sprint("class ", i)
	}
	tests := []struct {
		name string
		c    *table.Column
		want string
	}{
		{"absent", numbers("yy", 1, 2), "did you mean yy?"},
		{"constant text", texts("y", "a", "a"), `the target is constant: all 2 rows are "a"`},
		{"constant number", numbers("y", 3, 3), "the target is constant"},
		{"a missing number", numbers("y", 1, nan, nan), "2 rows have no label, first row 11: fill in the labels"},
		{"a missing text", texts("y", "a", "", "b"), "1 rows have no label, first row 11"},
		{"fractions", numbers("y", 1, 2.5), "row 11: 2.5 is not a whole number"},
		{"infinite", numbers("y", 1, math.Inf(1)), "not a whole number"},
		{"dates", &table.Column{Name: "y", Kind: table.Date, Numbers: []float64{1, 2}}, "a date is no class"},
		{"too many numbers", numbers("y", many...), "more than 1000 classes"},
		{"too many words", texts("y", words...), "more than 1000 classes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := FitLabels(of(tt.c), "y", nil)
			refused(t, err, tt.want, `column "y"`)
		})
	}
	_, err := FitLabels(of(texts("y", "a", "b")), "y", []int{})
	refused(t, err, "no rows")
}

func TestClassesOutsideOfTheTrainingRowsAreRefused(t *testing.T) {
	for name, c := range map[string]*table.Column{"text": texts("y", "1", "2", "3", "3"), "numbers": numbers("y", 1, 2, 3, 3)} {
		l, err := FitLabels(of(c), "y", []int{0, 1})
		if err != nil {
			t.Fatal(err)
		}
		_, err = l.Encode(of(c), nil)
		refused(t, err, `row 12: class "3" is not among the 2 classes of the training rows (2 of 4 rows)`, "stratify")
		if y, err := l.Encode(of(c), []int{1, 0, 1}); err != nil || !slices.Equal(y, []int32{1, 0, 1}) {
			t.Errorf("%s: known rows encode as %v (%v)", name, y, err)
		}
	}
}

func TestLabelsOutOfShapeAreRefused(t *testing.T) {
	for _, l := range []Labels{{}, {Classes: []string{"a"}}, {Classes: []string{"a", "a"}}, {Classes: make([]string, MaxClasses+1)}} {
		if err := l.Check(); !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%d classes: got %v", len(l.Classes), err)
		}
	}
}
