// Smoothing of one line. All three keep the length, pass over what is no
// number (NaN stays NaN where it was), and leave a constant as it is.

export type Smoothing =
  | { kind: "none" }
  | { kind: "ema"; weight: number } // 0 ≤ weight < 1; 0 leaves the line as it is
  | { kind: "mean"; window: number } // points, centred
  | { kind: "gaussian"; sigma: number }; // points

export function smooth(xs: ArrayLike<number>, ys: ArrayLike<number>, how: Smoothing): Float64Array {
  switch (how.kind) {
    case "none":
      return Float64Array.from(ys);
    case "ema":
      return timeWeightedEma(xs, ys, how.weight);
    case "mean":
      return runningMean(ys, how.window);
    case "gaussian":
      return gaussian(ys, how.sigma);
  }
}

// An exponential moving average that knows how far points are apart: a weight
// w is the memory over one typical distance, so thinned and unthinned lines
// look alike. The weights of what was seen so far are normalised (as Adam
// corrects its bias), so the line does not begin at zero.
function timeWeightedEma(xs: ArrayLike<number>, ys: ArrayLike<number>, weight: number): Float64Array {
  const out = new Float64Array(ys.length);
  const n = ys.length;
  if (n === 0) return out;
  const typical = n > 1 ? (xs[n - 1]! - xs[0]!) / (n - 1) || 1 : 1;
  let sum = 0;
  let total = 0;
  let last = xs[0]!;
  for (let i = 0; i < n; i++) {
    const y = ys[i]!;
    if (!Number.isFinite(y)) {
      out[i] = y;
      continue;
    }
    const keep = Math.pow(weight, Math.max(0, xs[i]! - last) / typical);
    last = xs[i]!;
    sum = sum * keep + y * (1 - weight);
    total = total * keep + (1 - weight);
    out[i] = total > 0 ? sum / total : y;
  }
  return out;
}

function runningMean(ys: ArrayLike<number>, window: number): Float64Array {
  const out = new Float64Array(ys.length);
  const half = Math.max(0, Math.floor(window / 2));
  // Prefix sums over what is finite: O(n) for every window.
  const sums = new Float64Array(ys.length + 1);
  const counts = new Float64Array(ys.length + 1);
  for (let i = 0; i < ys.length; i++) {
    const ok = Number.isFinite(ys[i]!);
    sums[i + 1] = sums[i]! + (ok ? ys[i]! : 0);
    counts[i + 1] = counts[i]! + (ok ? 1 : 0);
  }
  for (let i = 0; i < ys.length; i++) {
    const from = Math.max(0, i - half);
    const to = Math.min(ys.length, i + half + 1);
    out[i] = Number.isFinite(ys[i]!) ? (sums[to]! - sums[from]!) / (counts[to]! - counts[from]!) : ys[i]!;
  }
  return out;
}

function gaussian(ys: ArrayLike<number>, sigma: number): Float64Array {
  const out = new Float64Array(ys.length);
  if (sigma <= 0) return Float64Array.from(ys);
  const reach = Math.min(ys.length, Math.ceil(3 * sigma));
  const kernel = Float64Array.from({ length: reach + 1 }, (_, k) => Math.exp((-k * k) / (2 * sigma * sigma)));
  for (let i = 0; i < ys.length; i++) {
    if (!Number.isFinite(ys[i]!)) {
      out[i] = ys[i]!;
      continue;
    }
    let sum = 0;
    let total = 0;
    for (let k = -reach; k <= reach; k++) {
      const y = ys[i + k];
      if (y === undefined || !Number.isFinite(y)) continue;
      const w = kernel[Math.abs(k)]!;
      sum += w * y;
      total += w;
    }
    out[i] = sum / total;
  }
  return out;
}
