package nn

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// The kinds of schedule.
const (
	ScheduleConstant       = "constant"
	ScheduleLinear         = "linear"
	ScheduleStep           = "step"
	ScheduleMultistep      = "multistep"
	ScheduleExponential    = "exponential"
	ScheduleCosine         = "cosine"
	ScheduleCosineRestarts = "cosine_restarts"
	ScheduleOneCycle       = "one_cycle"
	SchedulePolynomial     = "polynomial"
	SchedulePlateau        = "reduce_on_plateau"
)

// A Schedule says how the learning rate changes from epoch to epoch. The zero
// value keeps it constant. Names and formulas are those of
// torch.optim.lr_scheduler; every kind changes the rate once per epoch, also
// one_cycle, and lengths count epochs. Fields that the kind does not read are
// ignored. Where a field says "0 means", the zero value stands for that; the
// others are taken as they are: begin with [DefaultSchedule] to have torch's
// defaults everywhere.
type Schedule struct {
	Kind string `json:"kind,omitempty"` // "" means constant

	StepSize   int     `json:"step_size,omitempty"`  // step: epochs between two drops, 0 means 30
	Milestones []int   `json:"milestones,omitempty"` // multistep: epochs after which the rate drops, ascending
	Gamma      float64 `json:"gamma,omitempty"`      // step, multistep (0 means 0.1), exponential (0 means 0.95): factor of a drop

	// Total is the length of linear, cosine, one_cycle and polynomial. 0 means
	// all epochs of the training that follow the warm-up.
	Total       int     `json:"total,omitempty"`
	StartFactor float64 `json:"start_factor,omitempty"` // linear: first rate / learning rate, 0 means 1/3
	EndFactor   float64 `json:"end_factor,omitempty"`   // linear: last rate / learning rate, 0 means 1
	Power       float64 `json:"power,omitempty"`        // polynomial: 0 means 1

	MinLR        float64 `json:"min_lr,omitempty"`        // cosine, cosine_restarts, reduce_on_plateau: lowest rate
	Period       int     `json:"period,omitempty"`        // cosine_restarts: epochs to the first restart, 0 means 10
	PeriodFactor int     `json:"period_factor,omitempty"` // cosine_restarts: growth of the period, 0 means 1

	MaxLR          float64 `json:"max_lr,omitempty"`           // one_cycle: highest rate, 0 means the learning rate
	PctStart       float64 `json:"pct_start,omitempty"`        // one_cycle: share of the epochs spent rising, 0 means 0.3
	DivFactor      float64 `json:"div_factor,omitempty"`       // one_cycle: highest rate / first rate, 0 means 25
	FinalDivFactor float64 `json:"final_div_factor,omitempty"` // one_cycle: first rate / last rate, 0 means 10,000
	StraightLines  bool    `json:"straight_lines,omitempty"`   // one_cycle: torch's anneal_strategy="linear" in place of cosines
	ThreePhase     bool    `json:"three_phase,omitempty"`      // one_cycle: fall as long as it rose, then sink to the last rate

	Mode              string  `json:"mode,omitempty"`               // reduce_on_plateau: "min" (or "") where less is better, "max"
	Factor            float64 `json:"factor,omitempty"`             // reduce_on_plateau: factor of a drop, 0 means 0.1
	Patience          int     `json:"patience,omitempty"`           // reduce_on_plateau: bad epochs that are forgiven; the next one drops
	Threshold         float64 `json:"threshold,omitempty"`          // reduce_on_plateau: what counts as better, a share of the best
	AbsoluteThreshold bool    `json:"absolute_threshold,omitempty"` // reduce_on_plateau: Threshold is a difference (threshold_mode="abs")
	Cooldown          int     `json:"cooldown,omitempty"`           // reduce_on_plateau: epochs after a drop in which none is bad

	// Warmup is the number of first epochs in which the rate rises in a straight
	// line from WarmupFactor of its full value (0 means 0.1); the schedule begins
	// after them. one_cycle has its own and refuses it.
	Warmup       int     `json:"warmup,omitempty"`
	WarmupFactor float64 `json:"warmup_factor,omitempty"`
}

// DefaultSchedule returns the schedule of that kind with all of torch's
// defaults written out; where torch has none, ours (step_size 30, period 10,
// exponential's gamma 0.95).
func DefaultSchedule(kind string) Schedule {
	s := Schedule{Kind: kind}
	if kind == SchedulePlateau {
		s.Patience, s.Threshold, s.Mode = 10, 1e-4, "min"
	}
	return s.withDefaults()
}

func (s Schedule) withDefaults() Schedule {
	s.Kind = cmp.Or(s.Kind, ScheduleConstant)
	switch s.Kind {
	case ScheduleLinear:
		s.StartFactor = cmp.Or(s.StartFactor, 1.0/3)
		s.EndFactor = cmp.Or(s.EndFactor, 1)
	case ScheduleStep:
		s.StepSize = cmp.Or(s.StepSize, 30)
		s.Gamma = cmp.Or(s.Gamma, 0.1)
	case ScheduleMultistep:
		s.Gamma = cmp.Or(s.Gamma, 0.1)
	case ScheduleExponential:
		s.Gamma = cmp.Or(s.Gamma, 0.95)
	case ScheduleCosineRestarts:
		s.Period = cmp.Or(s.Period, 10)
		s.PeriodFactor = cmp.Or(s.PeriodFactor, 1)
	case ScheduleOneCycle:
		s.PctStart = cmp.Or(s.PctStart, 0.3)
		s.DivFactor = cmp.Or(s.DivFactor, 25)
		s.FinalDivFactor = cmp.Or(s.FinalDivFactor, 1e4)
	case SchedulePolynomial:
		s.Power = cmp.Or(s.Power, 1)
	case SchedulePlateau:
		s.Factor = cmp.Or(s.Factor, 0.1)
		s.Mode = cmp.Or(s.Mode, "min")
	}
	if s.Warmup > 0 {
		s.WarmupFactor = cmp.Or(s.WarmupFactor, 0.1)
	}
	return s
}

// Check returns an error that names the field at fault, for a training of so
// many epochs at that learning rate.
func (s Schedule) Check(rate float64, epochs int) error {
	bad := func(format string, a ...any) error {
		return &solera.InputError{Op: "learning rate schedule " + cmp.Or(s.Kind, ScheduleConstant), Msg: fmt.Sprintf(format, a...)}
	}
	if err := checkRate(rate); err != nil {
		return err
	}
	if epochs < 1 {
		return bad("%d epochs, want at least 1", epochs)
	}
	s = s.withDefaults()
	kinds := []string{
		ScheduleConstant, ScheduleLinear, ScheduleStep, ScheduleMultistep, ScheduleExponential, ScheduleCosine,
		ScheduleCosineRestarts, ScheduleOneCycle, SchedulePolynomial, SchedulePlateau,
	}
	if !slices.Contains(kinds, s.Kind) {
		return bad("no such kind, want one of %v", kinds)
	}
	positive := func(v float64) bool { return v > 0 && v <= 1e30 }
	switch s.Kind {
	case ScheduleLinear:
		if !(s.StartFactor > 0 && s.StartFactor <= 1) || !(s.EndFactor > 0 && s.EndFactor <= 1) {
			return bad("factors from %v to %v, want above 0 and at most 1", s.StartFactor, s.EndFactor)
		}
	case ScheduleStep, ScheduleMultistep, ScheduleExponential:
		if !(s.Gamma > 0 && s.Gamma <= 1) {
			return bad("gamma %v, want above 0 and at most 1", s.Gamma)
		}
		if s.Kind == ScheduleStep && s.StepSize < 1 {
			return bad("step_size %d, want at least 1", s.StepSize)
		}
		if s.Kind == ScheduleMultistep && len(s.Milestones) == 0 {
			return bad("no milestones, want some such as [30, 60]")
		}
		for i, m := range s.Milestones {
			if m < 1 || i > 0 && m <= s.Milestones[i-1] {
				return bad("milestones %v, want ascending epochs from 1", s.Milestones)
			}
		}
	case ScheduleCosineRestarts:
		if s.Period < 1 || s.PeriodFactor < 1 {
			return bad("period %d growing by %d, want both at least 1", s.Period, s.PeriodFactor)
		}
	case ScheduleOneCycle:
		switch {
		case s.Warmup != 0:
			return bad("warmup of %d epochs, but one_cycle begins with its own: leave warmup out and set pct_start", s.Warmup)
		case !(s.PctStart > 0 && s.PctStart < 1) || s.ThreePhase && s.PctStart > 0.5:
			return bad("pct_start %v, want between 0 and 1 (three phases: at most 0.5)", s.PctStart)
		case !(s.DivFactor >= 1 && s.DivFactor <= 1e30) || !(s.FinalDivFactor >= 1 && s.FinalDivFactor <= 1e30):
			return bad("div_factor %v and final_div_factor %v, want at least 1", s.DivFactor, s.FinalDivFactor)
		case s.MaxLR != 0 && !positive(s.MaxLR):
			return bad("max_lr %v, want above 0", s.MaxLR)
		}
	case SchedulePolynomial:
		if !(s.Power > 0 && s.Power <= 1000) {
			return bad("power %v, want above 0", s.Power)
		}
	case SchedulePlateau:
		switch {
		case !(s.Factor > 0 && s.Factor < 1):
			return bad("factor %v, want between 0 and 1", s.Factor)
		case s.Patience < 0 || s.Cooldown < 0:
			return bad("patience %d and cooldown %d, want 0 or more", s.Patience, s.Cooldown)
		case !(s.Threshold >= 0 && s.Threshold <= 1e30) || !s.AbsoluteThreshold && s.Threshold >= 1:
			return bad("threshold %v, want 0 or more, and below 1 where it is a share", s.Threshold)
		case s.Mode != "min" && s.Mode != "max":
			return bad("mode %q, want min or max", s.Mode)
		}
	}
	switch s.Kind {
	case ScheduleCosine, ScheduleCosineRestarts, SchedulePlateau:
		if !(s.MinLR >= 0 && s.MinLR <= rate) {
			return bad("min_lr %v, want from 0 to the learning rate %v", s.MinLR, rate)
		}
	}
	if s.Total < 0 {
		return bad("total of %d epochs, want 0 (all) or more", s.Total)
	}
	if s.Warmup < 0 || s.Warmup >= epochs {
		return bad("warmup of %d epochs in a training of %d: want 0 or more, and fewer than all", s.Warmup, epochs)
	}
	if s.Warmup > 0 && !(s.WarmupFactor > 0 && s.WarmupFactor <= 1) {
		return bad("warmup_factor %v, want above 0 and at most 1", s.WarmupFactor)
	}
	return nil
}

// checkRate refuses learning rates that cannot train.
func checkRate(rate float64) error {
	if rate > 0 && rate <= math.MaxFloat32 {
		return nil
	}
	return &solera.InputError{Op: "learning rate", Msg: fmt.Sprintf("%v is not a learning rate", rate), Hint: "want a number above 0, such as 0.001 for adam or 0.01 for sgd"}
}

// A Scheduler walks through a schedule, epoch by epoch.
type Scheduler struct {
	s     Schedule
	base  float64 // the rate that the schedule varies
	total int     // length of the kinds that have one
	at    schedulerState
}

// schedulerState is what changes from epoch to epoch.
type schedulerState struct {
	Epoch    int      `json:"epoch"` // finished epochs
	Rate     float64  `json:"rate"`
	Best     *float64 `json:"best"` // best metric so far, null before the first
	Bad      int      `json:"bad"`  // epochs since, beyond the cooldown
	Cooldown int      `json:"cooldown"`
}

// Start returns the scheduler for a training of so many epochs at that rate.
func (s Schedule) Start(rate float64, epochs int) (*Scheduler, error) {
	if err := s.Check(rate, epochs); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	r := &Scheduler{s: s, base: rate, total: s.Total}
	if r.total == 0 {
		r.total = epochs - s.Warmup
	}
	if s.Kind == ScheduleOneCycle {
		r.base = cmp.Or(s.MaxLR, rate)
	}
	r.at.Rate = r.planned(0)
	return r, nil
}

// Rate returns the learning rate of the current epoch.
func (r *Scheduler) Rate() float64 { return r.at.Rate }

// Next ends the epoch. The metric, by habit the validation loss, matters to
// reduce_on_plateau only, where NaN counts as worse than anything.
func (r *Scheduler) Next(metric float64) {
	r.at.Epoch++
	if r.s.Kind != SchedulePlateau || r.at.Epoch <= r.s.Warmup {
		r.at.Rate = r.planned(r.at.Epoch)
		return
	}
	// The steps of ReduceLROnPlateau, in its order.
	if r.better(metric) {
		r.at.Best, r.at.Bad = &metric, 0
	} else {
		r.at.Bad++
	}
	if r.at.Cooldown > 0 {
		r.at.Cooldown--
		r.at.Bad = 0
	}
	if r.at.Bad > r.s.Patience {
		rate := math.Max(float64(r.at.Rate*r.s.Factor), r.s.MinLR)
		if r.at.Rate-rate > 1e-8 { // torch's eps: smaller changes are not made
			r.at.Rate = rate
		}
		r.at.Cooldown, r.at.Bad = r.s.Cooldown, 0
	}
}

// better says whether the metric is better than the best one by more than the threshold.
func (r *Scheduler) better(metric float64) bool {
	if metric != metric {
		return false
	}
	if r.at.Best == nil {
		return true
	}
	best, margin := *r.at.Best, r.s.Threshold
	if !r.s.AbsoluteThreshold {
		// torch multiplies by 1±threshold, which turns round for negative metrics.
		margin = float64(best * r.s.Threshold)
	}
	if r.s.Mode == "max" {
		return metric > best+margin
	}
	return metric < best-margin
}

// planned returns the rate of an epoch, counted from 0, in closed form. For
// reduce_on_plateau it is right until the warm-up has ended.
func (r *Scheduler) planned(epoch int) float64 {
	s := &r.s
	if epoch < s.Warmup {
		done := float64(epoch) / float64(s.Warmup)
		return r.base * (s.WarmupFactor + float64((1-s.WarmupFactor)*done))
	}
	epoch -= s.Warmup
	part := float64(min(epoch, r.total)) / float64(r.total) // of the kinds with a length
	switch s.Kind {
	case ScheduleLinear:
		return r.base * (s.StartFactor + float64((s.EndFactor-s.StartFactor)*part))
	case ScheduleStep:
		return r.base * numeric.Pow(s.Gamma, float64(epoch/s.StepSize))
	case ScheduleMultistep:
		passed, _ := slices.BinarySearch(s.Milestones, epoch+1)
		return r.base * numeric.Pow(s.Gamma, float64(passed))
	case ScheduleExponential:
		return r.base * numeric.Pow(s.Gamma, float64(epoch))
	case ScheduleCosine:
		// Past its length torch's formula rises again, and so does this.
		return halfCosine(r.base, s.MinLR, float64(epoch)/float64(r.total))
	case ScheduleCosineRestarts:
		period := s.Period
		for epoch >= period {
			if s.PeriodFactor == 1 {
				epoch %= period
				break
			}
			epoch -= period
			period *= s.PeriodFactor
		}
		return halfCosine(r.base, s.MinLR, float64(epoch)/float64(period))
	case SchedulePolynomial:
		return r.base * numeric.Pow(1-part, s.Power)
	case ScheduleOneCycle:
		return r.oneCycle(epoch)
	}
	return r.base
}

// halfCosine goes from a to b as t goes from 0 to 1, level at both ends.
func halfCosine(a, b, t float64) float64 {
	return b + float64((a-b)/2*(1+numeric.Cos(math.Pi*t)))
}

// oneCycle follows torch.optim.lr_scheduler.OneCycleLR (Smith and Topin, 2018).
func (r *Scheduler) oneCycle(epoch int) float64 {
	s, n := &r.s, float64(r.total)
	first := r.base / s.DivFactor
	last := first / s.FinalDivFactor
	type phase struct{ end, from, to float64 }
	phases := []phase{{float64(s.PctStart*n) - 1, first, r.base}, {n - 1, r.base, last}}
	if s.ThreePhase {
		phases = []phase{phases[0], {float64(2*s.PctStart*n) - 2, r.base, first}, {n - 1, first, last}}
	}
	at, start := math.Min(float64(epoch), n-1), 0.0
	for i, p := range phases {
		if at <= p.end || i == len(phases)-1 {
			part := 1.0
			if p.end > start {
				part = (at - start) / (p.end - start)
			}
			if s.StraightLines {
				return p.from + float64((p.to-p.from)*part)
			}
			return halfCosine(p.from, p.to, part)
		}
		start = p.end
	}
	return last
}

// State returns the position in the schedule as JSON, exact to the bit.
func (r *Scheduler) State() ([]byte, error) { return json.Marshal(r.at) }

// Restore continues from a position that State gave.
func (r *Scheduler) Restore(state []byte) error {
	var at schedulerState
	if err := json.Unmarshal(state, &at); err != nil {
		return fmt.Errorf("restore the learning rate schedule: %w: %v", solera.ErrCorrupt, err)
	}
	if at.Epoch < 0 || at.Bad < 0 || at.Cooldown < 0 || !(at.Rate >= 0) {
		return fmt.Errorf("restore the learning rate schedule: %w: epoch %d, rate %v", solera.ErrCorrupt, at.Epoch, at.Rate)
	}
	r.at = at
	return nil
}
