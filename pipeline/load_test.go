package pipeline

import (
	"strings"
	"testing"
)

func TestCountsOfClassesAreOneShortLine(t *testing.T) {
	for _, tt := range []struct {
		classes []string
		want    string
	}{
		{[]string{"a", "b"}, "a 1, b 1"},
		{[]string{"a\nb", strings.Repeat("x", 100_000)}, "a b 1, " + strings.Repeat("x", 31) + "… 1"},
		{strings.Split("a b c d e f g h i j k l", " "), "a 1, b 1, c 1, d 1, e 1, f 1, g 1, h 1, i 1, j 1, and 2 more"},
	} {
		counts := make([]int, len(tt.classes))
		for i := range counts {
			counts[i] = 1
		}
		if got := countsOf(tt.classes, counts); got != tt.want {
			t.Errorf("got %.200s, want %s", got, tt.want)
		}
	}
}
