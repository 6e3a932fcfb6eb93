package sweep

import (
	"math"
	"slices"

	"github.com/solera-ml/solera"
	"github.com/solera-ml/solera/numeric"
)

// An Observation is what a trial tells a suggester: where it was, and what came
// of it. Lower is better.
type Observation struct {
	Params solera.Fields
	Value  float64
	// Pending says that the trial is still under way, so that Value means
	// nothing yet. Suggestions keep away from where somebody is looking already.
	Pending bool
}

const (
	candidates = 1000 // random points among which the most promising is chosen
	maxSamples = 100  // observations that a model is fitted to: its cost grows with their cube
	nugget     = 1e-7 // added to the diagonal: values of equal points may differ a little
)

// Bayes returns params for a trial by Bayesian optimization (Jones, Schonlau and
// Welch 1998): a Gaussian process with a Matérn kernel is fitted to what was
// observed, in the unit cube into which the parameters' distributions map the
// space, and the candidate with the highest expected improvement is chosen.
// With fewer than two values observed it draws at random.
func (s Space) Bayes(stream *numeric.Stream, observed []Observation) solera.Fields {
	searched := s.searched()
	var x, pending [][]float64
	var y []float64
	for _, o := range observed {
		at, ok := searched.cube(o.Params)
		switch {
		case !ok: // an adopted run that lacks a parameter says nothing of the space
		case o.Pending:
			pending = append(pending, at)
		case !math.IsNaN(o.Value) && !math.IsInf(o.Value, 0):
			x, y = append(x, at), append(y, o.Value)
		}
	}
	if len(x) < 2 || len(searched) == 0 {
		return s.Random(stream)
	}
	x, y = thin(stream, x, y)
	gp := fit(x, standardize(y))
	if gp.stretched() {
		// The values do not depend on the parameters in a way that the kernel can
		// follow, so its mean and variance say nothing: look around.
		return s.Random(stream)
	}
	// Trials under way are taken to return what the model expects of them
	// (the "kriging believer" of Ginsbourger, Le Riche and Carraro 2010).
	best := slices.Min(gp.y)
	if n := maxSamples - 5; len(pending) > n {
		pending = pending[:n]
	}
	if len(pending) > 0 {
		y := slices.Clone(gp.y)
		for _, at := range pending {
			mean, _ := gp.predict(at)
			y = append(y, mean)
		}
		gp = fitWith(append(slices.Clone(x), pending...), y, gp.length)
	}
	var chosen solera.Fields
	most := math.Inf(-1)
	for range candidates {
		params := s.Random(stream)
		// The model is asked where the observation will be noted, which for whole
		// numbers and categories is not where the random number was.
		at, _ := searched.cube(params)
		mean, sd := gp.predict(at)
		if gain := expectedImprovement(mean, sd, best); gain > most {
			chosen, most = params, gain
		}
	}
	return chosen
}

// cube returns where params are in the unit cube of the space, and whether
// they have a value of every parameter.
func (s Space) cube(params solera.Fields) ([]float64, bool) {
	at := make([]float64, len(s))
	for i, p := range s {
		v, ok := p.lookup(params)
		if !ok {
			return nil, false
		}
		if at[i], ok = p.CDF(v); !ok {
			return nil, false
		}
	}
	return at, true
}

// thin keeps maxSamples observations: the best quarter of that number, and of
// the rest a random choice.
func thin(stream *numeric.Stream, x [][]float64, y []float64) ([][]float64, []float64) {
	if len(x) <= maxSamples {
		return x, y
	}
	order := make([]int, len(y))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case y[a] < y[b]:
			return -1
		case y[a] > y[b]:
			return 1
		}
		return 0
	})
	const best = maxSamples / 4
	kept := slices.Clone(order[:best])
	for _, k := range stream.Perm(len(order) - best)[:maxSamples-best] {
		kept = append(kept, order[best+k])
	}
	slices.Sort(kept)
	keptX, keptY := make([][]float64, len(kept)), make([]float64, len(kept))
	for i, k := range kept {
		keptX[i], keptY[i] = x[k], y[k]
	}
	return keptX, keptY
}

// standardize returns y with mean 0 and standard deviation 1; equal values
// become zeros.
func standardize(y []float64) []float64 {
	mean, variance := 0.0, 0.0
	for _, v := range y {
		mean += v / float64(len(y))
	}
	for _, v := range y {
		d := v - mean
		variance += float64(d*d) / float64(len(y))
	}
	sd := math.Sqrt(variance) + 1e-6
	z := make([]float64, len(y))
	for i, v := range y {
		z[i] = (v - mean) / sd
	}
	return z
}

// expectedImprovement returns how much lower than best a normal variable is
// expected to be, counting nothing where it is higher (Jones et al. 1998,
// equation 15).
func expectedImprovement(mean, sd, best float64) float64 {
	gain := best - mean
	z := gain / (sd + 1e-6)
	density := numeric.Exp(-float64(z*z)/2) / math.Sqrt(2*math.Pi)
	return float64(gain*numeric.NormalCDF(z)) + float64(sd*density)
}

// A process is a Gaussian process with mean 0 and a Matérn kernel of order 3/2
// with one length scale (Rasmussen and Williams 2006, algorithm 2.1 and equation
// 4.17).
type process struct {
	x      [][]float64
	y      []float64
	length float64
	factor [][]float64 // lower Cholesky factor of the kernel's matrix
	alpha  []float64   // the matrix's inverse times y
	proof  float64     // logarithm of the marginal likelihood
}

// Bounds of the logarithm of the length scale, those of scikit-learn.
const lowLength, highLength = -11.512925464970229, 11.512925464970229 // ln 1e-5, ln 1e5

// fit returns the process whose length scale makes the observations most
// likely: the best of a scan, refined by golden section (Kiefer 1953).
func fit(x [][]float64, y []float64) process {
	at := func(theta float64) process { return fitWith(x, y, numeric.Exp(theta)) }
	const scans = 31
	step := (highLength - lowLength) / (scans - 1)
	best, theta := at(lowLength), lowLength
	for i := 1; i < scans; i++ {
		t := lowLength + float64(float64(i)*step)
		if gp := at(t); gp.proof > best.proof {
			best, theta = gp, t
		}
	}
	const golden = 0.6180339887498949
	low, high := max(theta-step, lowLength), min(theta+step, highLength)
	a, b := high-float64(golden*(high-low)), low+float64(golden*(high-low))
	pa, pb := at(a), at(b)
	for range 24 {
		if pa.proof > pb.proof {
			high, b, pb = b, a, pa
			a = high - float64(golden*(high-low))
			pa = at(a)
		} else {
			low, a, pa = a, b, pb
			b = low + float64(golden*(high-low))
			pb = at(b)
		}
	}
	for _, gp := range []process{pa, pb} {
		if gp.proof > best.proof {
			best = gp
		}
	}
	return best
}

// stretched reports whether the length scale ran to one of its bounds.
func (g process) stretched() bool {
	theta := numeric.Log(g.length)
	return theta < lowLength+1e-3 || theta > highLength-1e-3
}

// fitWith returns the process with a given length scale. Its proof is -Inf
// where the matrix is not positive definite.
func fitWith(x [][]float64, y []float64, length float64) process {
	g := process{x: x, y: y, length: length, proof: math.Inf(-1)}
	n := len(x)
	g.factor = make([][]float64, n)
	for i := range n {
		row := make([]float64, i+1)
		g.factor[i] = row
		for j := range i + 1 {
			v := matern(x[i], x[j], length)
			if i == j {
				v += nugget
			}
			for k := range j {
				v -= float64(row[k] * g.factor[j][k])
			}
			if j < i {
				row[j] = v / g.factor[j][j]
			} else if row[j] = math.Sqrt(v); !(v > 0) {
				return g
			}
		}
	}
	z := g.forward(y)
	g.alpha = slices.Clone(z)
	for i := n - 1; i >= 0; i-- {
		for k := i + 1; k < n; k++ {
			g.alpha[i] -= float64(g.factor[k][i] * g.alpha[k])
		}
		g.alpha[i] /= g.factor[i][i]
	}
	g.proof = -float64(n) / 2 * numeric.Log(2*math.Pi)
	for i := range n {
		g.proof -= float64(z[i]*z[i])/2 + numeric.Log(g.factor[i][i])
	}
	return g
}

// forward solves factor·z = b.
func (g process) forward(b []float64) []float64 {
	z := make([]float64, len(b))
	for i := range b {
		v := b[i]
		for k := range i {
			v -= float64(g.factor[i][k] * z[k])
		}
		z[i] = v / g.factor[i][i]
	}
	return z
}

// predict returns the mean and the standard deviation at a point.
func (g process) predict(at []float64) (mean, sd float64) {
	k := make([]float64, len(g.x))
	for i, x := range g.x {
		k[i] = matern(x, at, g.length)
		mean += float64(k[i] * g.alpha[i])
	}
	variance := 1.0
	for _, v := range g.forward(k) {
		variance -= float64(v * v)
	}
	return mean, math.Sqrt(max(variance, 0))
}

func matern(a, b []float64, length float64) float64 {
	sum := 0.0
	for i := range a {
		d := (a[i] - b[i]) / length
		sum += float64(d * d)
	}
	r := math.Sqrt(3 * sum)
	return float64((1 + r) * numeric.Exp(-r))
}
