// Package exact computes elementary functions to hundreds of bits with math/big,
// slowly. It makes the tables of package numeric and judges its results in tests;
// nothing else needs it.
package exact

import (
	"math/big"
	"sync"
)

// Prec is the working precision in bits. It leaves 1,400 bits for what cancels:
// the reduction of 2^1023 by π, and 1-erf(27) which is 2^-1050.
const Prec = 2600

// New returns x at the working precision.
func New(x float64) *big.Float { return new(big.Float).SetPrec(Prec).SetFloat64(x) }

func zero() *big.Float               { return new(big.Float).SetPrec(Prec) }
func add(x, y *big.Float) *big.Float { return zero().Add(x, y) }
func sub(x, y *big.Float) *big.Float { return zero().Sub(x, y) }
func mul(x, y *big.Float) *big.Float { return zero().Mul(x, y) }
func quo(x, y *big.Float) *big.Float { return zero().Quo(x, y) }
func scale(x *big.Float, e int) *big.Float {
	return zero().SetMantExp(x, e)
}

// negligible says whether term no longer changes sum.
func negligible(term, sum *big.Float) bool {
	return term.Sign() == 0 || (sum.Sign() != 0 && term.MantExp(nil) < sum.MantExp(nil)-Prec)
}

// Ln2 returns log 2 = Σ 1/(n·2^n). The caller must not change it.
func Ln2() *big.Float { return ln2() }

// Pi returns π. The caller must not change it.
func Pi() *big.Float { return pi() }

var ln2 = sync.OnceValue(func() *big.Float {
	sum := zero()
	for n := 1; ; n++ {
		t := scale(quo(New(1), New(float64(n))), -n)
		if negligible(t, sum) {
			return sum
		}
		sum = add(sum, t)
	}
})

// Machin's formula, 16·atan(1/5) - 4·atan(1/239).
var pi = sync.OnceValue(func() *big.Float {
	atanInv := func(n float64) *big.Float {
		p, sum := quo(New(1), New(n)), zero()
		n2 := New(n * n)
		for k := 0; ; k++ {
			t := quo(p, New(float64(2*k+1)))
			if negligible(t, sum) {
				return sum
			}
			if k%2 == 1 {
				t.Neg(t)
			}
			sum = add(sum, t)
			p = quo(p, n2)
		}
	}
	return sub(mul(New(16), atanInv(5)), mul(New(4), atanInv(239)))
})

// Exp returns e^x for |x| < 2^20.
func Exp(x *big.Float) *big.Float {
	if x.Sign() < 0 {
		return quo(New(1), Exp(zero().Neg(x))) // 1 + (e^x - 1) would cancel
	}
	return add(New(1), Expm1(x))
}

// Expm1 returns e^x - 1: the series at x/2^40, then y -> y(y+2) 40 times.
func Expm1(x *big.Float) *big.Float {
	if x.Sign() == 0 {
		return zero()
	}
	const halvings = 40
	r := scale(x, -halvings)
	sum, t := zero().Set(r), zero().Set(r)
	for n := 2; ; n++ {
		t = quo(mul(t, r), New(float64(n)))
		if negligible(t, sum) {
			break
		}
		sum = add(sum, t)
	}
	for i := 0; i < halvings; i++ {
		sum = mul(sum, add(sum, New(2)))
	}
	return sum
}

// Log returns the natural logarithm of x > 0 by log m = 2 atanh((m-1)/(m+1)).
func Log(x *big.Float) *big.Float {
	m := zero()
	e := x.MantExp(m) // m in [0.5, 1)
	if m.Cmp(New(0.75)) < 0 {
		m, e = scale(m, 1), e-1
	}
	z := quo(sub(m, New(1)), add(m, New(1)))
	z2 := mul(z, z)
	sum, p := zero(), zero().Set(z)
	for k := 1; ; k += 2 {
		t := quo(p, New(float64(k)))
		if negligible(t, sum) {
			break
		}
		sum = add(sum, t)
		p = mul(p, z2)
	}
	return add(scale(sum, 1), mul(New(float64(e)), Ln2()))
}

// SinCos returns sin x and cos x.
func SinCos(x *big.Float) (sin, cos *big.Float) {
	half := scale(Pi(), -1)
	k, _ := add(quo(x, half), New(0.5)).Int(nil)
	if add(quo(x, half), New(0.5)).Sign() < 0 {
		k.Sub(k, big.NewInt(1))
	}
	r := sub(x, mul(zero().SetInt(k), half))
	r2 := mul(r, r)
	series := func(t *big.Float, n int) *big.Float {
		sum := zero().Set(t)
		for t.Sign() != 0 {
			t = quo(mul(t, r2), New(float64(n*(n+1))))
			t.Neg(t)
			if negligible(t, sum) {
				break
			}
			sum = add(sum, t)
			n += 2
		}
		return sum
	}
	s, c := series(r, 2), series(New(1), 1)
	switch new(big.Int).And(k, big.NewInt(3)).Int64() {
	case 1:
		return c, s.Neg(s)
	case 2:
		return s.Neg(s), c.Neg(c)
	case 3:
		return c.Neg(c), s
	}
	return s, c
}

// Erf returns erf x = 2/√π e^(-x²) Σ 2^n x^(2n+1)/(2n+1)!!, a sum without cancellation.
func Erf(x *big.Float) *big.Float {
	x2 := mul(x, x)
	t, sum := zero().Set(x), zero().Set(x)
	for n := 1; t.Sign() != 0; n++ {
		t = quo(mul(t, scale(x2, 1)), New(float64(2*n+1)))
		if negligible(t, sum) {
			break
		}
		sum = add(sum, t)
	}
	f := quo(New(2), zero().Sqrt(Pi()))
	return mul(mul(f, sum), Exp(x2.Neg(x2)))
}

// Erfc returns 1 - erf x, right to more than 1,000 bits up to x = 28.
func Erfc(x *big.Float) *big.Float { return sub(New(1), Erf(x)) }
