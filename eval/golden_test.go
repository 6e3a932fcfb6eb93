package eval

import (
	"encoding/json"
	"math"
	"os"
	"testing"
)

// golden holds what scikit-learn 1.2.1 computes for 60 rows of three classes.
type golden struct {
	Y          []int32                    `json:"y"`
	Proba      [][]float64                `json:"proba"`
	Pred       []int32                    `json:"pred"`
	Multiclass map[string]json.RawMessage `json:"multiclass"`
	Binary     map[string]json.RawMessage `json:"binary"`
	Edge       struct {
		All0 map[string]json.RawMessage `json:"all_one_class_pred"`
	} `json:"edge"`
	Regression map[string]json.RawMessage `json:"regression"`
}

func readGolden(t *testing.T) (g golden, o Outcomes) {
	t.Helper()
	b, err := os.ReadFile("testdata/metrics.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &g); err != nil {
		t.Fatal(err)
	}
	var p []float64
	for _, row := range g.Proba {
		p = append(p, row...)
	}
	if o, err = FromProbabilities(p, 3, g.Y); err != nil {
		t.Fatal(err)
	}
	return g, o
}

func decode[T any](t *testing.T, m map[string]json.RawMessage, key string) (v T) {
	t.Helper()
	if m[key] == nil {
		t.Fatalf("testdata has no %s", key)
	}
	if err := json.Unmarshal(m[key], &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func near(t *testing.T, name string, got, want float64) {
	t.Helper()
	if !(math.Abs(got-want) <= 1e-12*math.Max(1, math.Abs(want))) {
		t.Errorf("%s: got %.17g, want %.17g", name, got, want)
	}
}

func TestClassScoresAgreeWithScikitLearn(t *testing.T) {
	g, o := readGolden(t)
	c := o.Confusion()
	checked := map[string]bool{"confusion_matrix": true}
	for name, got := range map[string]float64{
		"accuracy": c.Accuracy(), "balanced_accuracy": c.BalancedAccuracy(), "f1_macro": c.MacroF1(), "f1_weighted": c.WeightedF1(),
		"f1_micro": c.MicroF1(), "precision_macro": c.MacroPrecision(), "recall_macro": c.MacroRecall(), "log_loss": o.LogLoss(),
		"roc_auc_ovr_macro": o.AUC(false), "roc_auc_ovr_weighted": o.AUC(true), "roc_auc_ovo_macro": o.PairwiseAUC(), "mcc": c.MCC(),
		"cohen_kappa": c.Kappa(false), "cohen_kappa_quadratic": c.Kappa(true), "ece_10": o.CalibrationError(10), "ece_15": o.CalibrationError(15),
		"top2_accuracy": o.TopK(2), "brier_multiclass": o.Brier(),
	} {
		near(t, name, got, decode[float64](t, g.Multiclass, name))
		checked[name] = true
	}
	for name, f := range map[string]func(int) float64{"precision": c.Precision, "recall": c.Recall, "f1": c.F1} {
		for class, want := range decode[[]float64](t, g.Multiclass, name) {
			near(t, name, f(class), want)
		}
		checked[name] = true
	}
	for name := range g.Multiclass {
		if !checked[name] {
			t.Errorf("%s is not checked", name)
		}
	}
	for y, row := range decode[[][]int](t, g.Multiclass, "confusion_matrix") {
		for p, want := range row {
			if c[y][p] != want {
				t.Errorf("confusion[%d][%d] is %d, want %d", y, p, c[y][p], want)
			}
		}
	}
	for i, want := range g.Pred {
		if o.Predicted[i] != want {
			t.Errorf("row %d predicted as %d, want %d", i, o.Predicted[i], want)
		}
	}
}

func TestBinaryScoresAgreeWithScikitLearn(t *testing.T) {
	g, o := readGolden(t)
	rows := o.Against(0)
	var y, hard []int32
	var p []float64
	for _, r := range rows {
		y, hard, p = append(y, b2i(r.Positive)), append(hard, b2i(r.Score >= 0.5)), append(p, 1-r.Score, r.Score)
	}
	two, err := FromProbabilities(p, 2, y)
	if err != nil {
		t.Fatal(err)
	}
	c := Confuse(y, hard, 2)
	near(t, "roc_auc", AUC(rows), decode[float64](t, g.Binary, "roc_auc"))
	near(t, "average_precision", AveragePrecision(rows), decode[float64](t, g.Binary, "average_precision"))
	near(t, "brier", BinaryBrier(rows), decode[float64](t, g.Binary, "brier"))
	near(t, "log_loss", two.LogLoss(), decode[float64](t, g.Binary, "log_loss"))
	near(t, "f1", c.F1(1), decode[float64](t, g.Binary, "f1"))
	near(t, "mcc", c.MCC(), decode[float64](t, g.Binary, "mcc"))
	fpr, tpr := ROC(rows)
	want := decode[[][]float64](t, g.Binary, "roc")
	if len(fpr) != len(want[0]) || len(tpr) != len(want[1]) {
		t.Fatalf("ROC has %d points, want %d", len(fpr), len(want[0]))
	}
	for i := range fpr {
		near(t, "false positive rate", fpr[i], want[0][i])
		near(t, "true positive rate", tpr[i], want[1][i])
	}
}

func b2i(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

func TestPredictingOneClassAgreesWithScikitLearn(t *testing.T) {
	g, _ := readGolden(t)
	c := Confuse(g.Y, make([]int32, len(g.Y)), 3)
	for name, got := range map[string]float64{
		"f1_macro": c.MacroF1(), "precision_macro": c.MacroPrecision(),
		"balanced_accuracy": c.BalancedAccuracy(), "mcc": c.MCC(), "kappa": c.Kappa(false),
	} {
		near(t, name, got, decode[float64](t, g.Edge.All0, name))
	}
}

func TestRegressionScoresAgreeWithScikitLearn(t *testing.T) {
	g, _ := readGolden(t)
	r := Regress(decode[[]float64](t, g.Regression, "y"), decode[[]float64](t, g.Regression, "pred"))
	for name, got := range map[string]float64{"mse": r.MSE, "rmse": r.RMSE, "mae": r.MAE, "r2": r.R2, "median_ae": r.MedianAE, "explained_variance": r.ExplainedVariance} {
		near(t, name, got, decode[float64](t, g.Regression, name))
	}
	if r := Regress(nil, nil); r.MSE == r.MSE || r.MedianAE == r.MedianAE {
		t.Errorf("without rows: %+v, want NaN", r)
	}
	if r := Regress([]float64{2, 2}, []float64{2, 2}); r.R2 != 1 {
		t.Errorf("a constant met exactly has R2 %v", r.R2)
	}
}
