package nn

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/solera-ml/solera"
)

type torchSchedule struct {
	Args struct {
		StepSize       int     `json:"step_size"`
		Milestones     []int   `json:"milestones"`
		Gamma          float64 `json:"gamma"`
		TMax           int     `json:"T_max"`
		EtaMin         float64 `json:"eta_min"`
		T0             int     `json:"T_0"`
		TMult          int     `json:"T_mult"`
		StartFactor    float64 `json:"start_factor"`
		TotalIters     int     `json:"total_iters"`
		MaxLR          float64 `json:"max_lr"`
		TotalSteps     int     `json:"total_steps"`
		AnnealStrategy string  `json:"anneal_strategy"`
		PctStart       float64 `json:"pct_start"`
		ThreePhase     bool    `json:"three_phase"`
		Power          float64 `json:"power"`
		Factor         float64 `json:"factor"`
		Patience       int     `json:"patience"`
		Cooldown       int     `json:"cooldown"`
		Threshold      float64 `json:"threshold"`
		ThresholdMode  string  `json:"threshold_mode"`
		MinLR          float64 `json:"min_lr"`
		Mode           string  `json:"mode"`
	} `json:"args"`
	Metrics []float64 `json:"metrics"`
	LR      []float64 `json:"lr"`
}

// torchSchedules reads what PyTorch 1.13.1 computed, with the equal Schedule.
func torchSchedules(t *testing.T) (names []string, want []torchSchedule, ours []Schedule) {
	t.Helper()
	raw, err := os.ReadFile("testdata/lr_schedules.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Schedules map[string]json.RawMessage }
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{
		"ReduceLROnPlateau": SchedulePlateau, "StepLR": ScheduleStep, "MultiStepLR": ScheduleMultistep,
		"ExponentialLR": ScheduleExponential, "CosineAnnealingLR": ScheduleCosine, "CosineAnnealingWarmRestarts": ScheduleCosineRestarts,
		"LinearLR": ScheduleLinear, "OneCycleLR": ScheduleOneCycle, "PolynomialLR": SchedulePolynomial, "warmup5_then_cosine35": "warmup",
	}
	for name, raw := range file.Schedules {
		var list []torchSchedule
		if raw[0] == '{' {
			raw = slices.Concat([]byte("["), raw, []byte("]"))
		}
		if err := json.Unmarshal(raw, &list); err != nil {
			t.Fatal(err)
		}
		for _, c := range list {
			a := c.Args
			s := Schedule{
				Kind: kinds[name], StepSize: a.StepSize, Milestones: a.Milestones, Gamma: a.Gamma, Total: max(a.TMax, a.TotalIters, a.TotalSteps),
				StartFactor: a.StartFactor, Power: a.Power, MinLR: max(a.EtaMin, a.MinLR), Period: a.T0, PeriodFactor: a.TMult, MaxLR: a.MaxLR,
				PctStart: a.PctStart, StraightLines: a.AnnealStrategy == "linear", ThreePhase: a.ThreePhase, Mode: a.Mode, Factor: a.Factor,
				Patience: a.Patience, Cooldown: a.Cooldown, Threshold: 1e-4, AbsoluteThreshold: a.ThresholdMode == "abs",
			}
			if a.Threshold != 0 {
				s.Threshold = a.Threshold
			}
			if s.Kind == "warmup" {
				s = Schedule{Kind: ScheduleCosine, Warmup: 5, WarmupFactor: 0.1}
			}
			names, want, ours = append(names, name), append(want, c), append(ours, s)
		}
	}
	if len(names) < 17 {
		t.Fatalf("%d schedules in testdata", len(names))
	}
	return names, want, ours
}

func TestSchedulesAgreeWithPyTorch(t *testing.T) {
	names, want, ours := torchSchedules(t)
	for i, s := range ours {
		r, err := s.Start(0.1, 40)
		if err != nil {
			t.Fatal(err)
		}
		for epoch, lr := range want[i].LR {
			if d := math.Abs(r.Rate() - lr); d > 1e-12*lr+1e-16 {
				t.Errorf("%s %+v: rate %v after epoch %d, want %v", names[i], want[i].Args, r.Rate(), epoch, lr)
				break
			}
			metric := 0.0
			if epoch < len(want[i].Metrics) {
				metric = want[i].Metrics[epoch]
			}
			r.Next(metric)
		}
	}
}

func TestSchedulesContinueFromTheirStateAtEveryEpoch(t *testing.T) {
	names, want, ours := torchSchedules(t)
	for i, s := range ours {
		run := func(stop int) []float64 {
			r, err := s.Start(0.1, 40)
			if err != nil {
				t.Fatal(err)
			}
			var rates []float64
			for epoch := range 40 {
				if epoch == stop {
					state, err := r.State()
					if err != nil {
						t.Fatal(err)
					}
					if r, err = s.Start(0.1, 40); err != nil {
						t.Fatal(err)
					}
					if err := r.Restore(state); err != nil {
						t.Fatal(err)
					}
				}
				rates = append(rates, r.Rate())
				r.Next(append(want[i].Metrics, make([]float64, 40)...)[epoch])
			}
			return rates
		}
		whole := run(-1)
		for stop := range 40 {
			if !slices.Equal(run(stop), whole) {
				t.Errorf("%s: stopping at epoch %d changes the rates", names[i], stop)
			}
		}
	}
}

func TestTheZeroScheduleIsConstant(t *testing.T) {
	r, err := Schedule{}.Start(0.1, 3)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if r.Rate() != 0.1 {
			t.Errorf("rate %v", r.Rate())
		}
		r.Next(math.NaN())
	}
}

func TestWarmupBeforePlateauDoesNotCountItsEpochs(t *testing.T) {
	s := DefaultSchedule(SchedulePlateau)
	s.Warmup, s.WarmupFactor, s.Patience, s.Factor = 4, 0.5, 1, 0.5
	r, err := s.Start(0.8, 20)
	if err != nil {
		t.Fatal(err)
	}
	var got []float64
	for range 9 {
		got = append(got, r.Rate())
		r.Next(1)
	}
	// 4 epochs of rise; epoch 5 sets the best, 6 is forgiven, 7 is not.
	want := []float64{0.4, 0.5, 0.6, 0.7, 0.8, 0.8, 0.8, 0.4, 0.4}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-15 {
			t.Fatalf("rates %v, want %v", got, want)
		}
	}
}

func TestEveryKindOfScheduleCanBeUsedWithItsDefaultsForAnyLength(t *testing.T) {
	for _, kind := range []string{
		"", ScheduleConstant, ScheduleLinear, ScheduleStep, ScheduleExponential, ScheduleCosine, ScheduleCosineRestarts,
		ScheduleOneCycle, SchedulePolynomial, SchedulePlateau,
	} {
		for _, epochs := range []int{1, 2, 3, 4, 7, 100} {
			r, err := DefaultSchedule(kind).Start(0.01, epochs)
			if err != nil {
				t.Fatal(err)
			}
			for range epochs + 2 {
				if !(r.Rate() >= 0 && r.Rate() <= 0.0100001) {
					t.Errorf("%s over %d epochs: rate %v", kind, epochs, r.Rate())
				}
				r.Next(1)
			}
		}
	}
}

func TestSchedulesRefuseWhatCannotBe(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tt := range []struct {
		s      Schedule
		rate   float64
		epochs int
		want   string
	}{
		{Schedule{}, 0, 10, "not a learning rate"},
		{Schedule{}, -1, 10, "not a learning rate"},
		{Schedule{}, nan, 10, "not a learning rate"},
		{Schedule{}, inf, 10, "not a learning rate"},
		{Schedule{}, 0.1, 0, "0 epochs"},
		{Schedule{Kind: "cosin"}, 0.1, 10, "no such kind"},
		{Schedule{Kind: ScheduleStep, StepSize: -1}, 0.1, 10, "step_size"},
		{Schedule{Kind: ScheduleStep, Gamma: 1.5}, 0.1, 10, "gamma"},
		{Schedule{Kind: ScheduleExponential, Gamma: nan}, 0.1, 10, "gamma"},
		{Schedule{Kind: ScheduleMultistep}, 0.1, 10, "no milestones"},
		{Schedule{Kind: ScheduleMultistep, Milestones: []int{3, 3}}, 0.1, 10, "ascending"},
		{Schedule{Kind: ScheduleCosine, MinLR: 0.2}, 0.1, 10, "min_lr"},
		{Schedule{Kind: ScheduleCosine, MinLR: nan}, 0.1, 10, "min_lr"},
		{Schedule{Kind: ScheduleCosine, Total: -3}, 0.1, 10, "total"},
		{Schedule{Kind: ScheduleCosineRestarts, Period: -1}, 0.1, 10, "period"},
		{Schedule{Kind: ScheduleOneCycle, PctStart: 1}, 0.1, 10, "pct_start"},
		{Schedule{Kind: ScheduleOneCycle, PctStart: 0.6, ThreePhase: true}, 0.1, 10, "pct_start"},
		{Schedule{Kind: ScheduleOneCycle, Warmup: 1}, 0.1, 10, "its own"},
		{Schedule{Kind: ScheduleOneCycle, DivFactor: 0.5}, 0.1, 10, "div_factor"},
		{Schedule{Kind: ScheduleOneCycle, MaxLR: -1}, 0.1, 10, "max_lr"},
		{Schedule{Kind: SchedulePolynomial, Power: -1}, 0.1, 10, "power"},
		{Schedule{Kind: ScheduleLinear, StartFactor: 2}, 0.1, 10, "factors"},
		{Schedule{Kind: SchedulePlateau, Factor: 1}, 0.1, 10, "factor"},
		{Schedule{Kind: SchedulePlateau, Patience: -1}, 0.1, 10, "patience"},
		{Schedule{Kind: SchedulePlateau, Threshold: 1}, 0.1, 10, "threshold"},
		{Schedule{Kind: SchedulePlateau, Mode: "best"}, 0.1, 10, "mode"},
		{Schedule{Warmup: 10}, 0.1, 10, "warmup"},
		{Schedule{Warmup: 2, WarmupFactor: 2}, 0.1, 10, "warmup_factor"},
	} {
		_, err := tt.s.Start(tt.rate, tt.epochs)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !errors.Is(err, solera.ErrInvalid) {
			t.Errorf("%+v at %v: error %v, want one about %q", tt.s, tt.rate, err, tt.want)
		}
	}
	r, _ := Schedule{}.Start(0.1, 3)
	for _, state := range []string{"", "{", `{"epoch":-1,"rate":0.1}`, `{"epoch":1,"rate":-0.1}`, "[]"} {
		if err := r.Restore([]byte(state)); !errors.Is(err, solera.ErrCorrupt) {
			t.Errorf("state %q: error %v", state, err)
		}
	}
}

// Rates are part of what a training is made of, so their bits must not depend
// on the processor: this digest holds on all of them.
func TestRatesHaveTheSameBitsOnEveryProcessor(t *testing.T) {
	h := sha256.New()
	names, want, ours := torchSchedules(t)
	order := make([]int, len(names))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return strings.Compare(names[a], names[b]) })
	for _, i := range order {
		r, err := ours[i].Start(0.1, 40)
		if err != nil {
			t.Fatal(err)
		}
		for epoch := range 40 {
			fmt.Fprintf(h, "%016x\n", math.Float64bits(r.Rate()))
			r.Next(append(want[i].Metrics, make([]float64, 40)...)[epoch])
		}
	}
	if got, want := fmt.Sprintf("%x", h.Sum(nil)), "dfffbc146cf0e39dd6f3650ac95ec03fe698044d931f6fa75256ef92d3f2ac20"; got != want {
		t.Errorf("SHA-256 of the rates is %s, want %s", got, want)
	}
}
