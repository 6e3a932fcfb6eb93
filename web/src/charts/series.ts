// From what the server sends to what a chart draws: live points joined, x
// chosen, lines put together in groups.

import type { LivePoint, Series } from "../api/contract";
import { real } from "../format";

/** A series as numbers, in the order of steps. */
export interface Points {
  steps: Float64Array;
  values: Float64Array;
  /** Seconds since 1970. */
  times: Float64Array;
}

export function pointsOf(s: Pick<Series, "steps" | "values" | "times">): Points {
  // A loop, and no Float64Array.from with a function: that takes ten times as
  // long, and a page of charts has a million points.
  const values = new Float64Array(s.values.length);
  for (let i = 0; i < values.length; i++) {
    const v = s.values[i]!;
    values[i] = typeof v === "number" ? v : real(v);
  }
  return { steps: new Float64Array(s.steps), values, times: new Float64Array(s.times) };
}

/**
 * What was read and what came since, as one series in the order of steps. A
 * point that is in both is there once: reading and listening overlap, so that
 * nothing falls between them.
 */
export function join(read: Points, live: readonly LivePoint[]): Points {
  if (live.length === 0) return read;
  const fresh = live
    .map((p) => ({ step: p.step, value: real(p.value), time: p.time }))
    .sort((a, b) => a.step - b.step || a.time - b.time);
  const size = read.steps.length + fresh.length;
  const out: Points = { steps: new Float64Array(size), values: new Float64Array(size), times: new Float64Array(size) };
  let n = 0;
  const put = (step: number, value: number, time: number) => {
    for (let k = n - 1; k >= 0 && out.steps[k] === step; k--) {
      if (Object.is(out.values[k], value) && Math.abs(out.times[k]! - time) < 1e-3) return;
    }
    out.steps[n] = step;
    out.values[n] = value;
    out.times[n] = time;
    n++;
  };
  let i = 0;
  for (const p of fresh) {
    while (i < read.steps.length && read.steps[i]! <= p.step) {
      put(read.steps[i]!, read.values[i]!, read.times[i]!);
      i++;
    }
    put(p.step, p.value, p.time);
  }
  for (; i < read.steps.length; i++) put(read.steps[i]!, read.values[i]!, read.times[i]!);
  return { steps: out.steps.slice(0, n), values: out.values.slice(0, n), times: out.times.slice(0, n) };
}

/** What the x of a chart is; a metric by its name. */
export type XAxis = "step" | "relative" | "wall" | `metric:${string}`;

export interface XY {
  xs: Float64Array;
  ys: Float64Array;
}

/**
 * Places the points of a series along x. Relative time counts from the start
 * of the run, or from the first point where that is unknown. Another metric is
 * read between its own points, since both may be thinned; where it goes back,
 * points are put in ascending order. What has no x is left out.
 */
export function along(p: Points, x: XAxis, started: number | undefined, other?: Points): XY {
  if (x === "step") return { xs: p.steps, ys: p.values };
  let xs: Float64Array;
  if (x === "wall") xs = p.times;
  else if (x === "relative") {
    const zero = started ?? p.times[0] ?? 0;
    xs = p.times.map((t) => Math.max(0, t - zero));
  } else {
    xs = p.steps.map((s) => (other ? between(other.steps, other.values, s) : NaN));
  }
  let ascending = true;
  for (let i = 0; i < xs.length && ascending; i++) ascending = Number.isFinite(xs[i]!) && (i === 0 || xs[i]! >= xs[i - 1]!);
  if (ascending) return { xs, ys: p.values };
  const order = [...xs.keys()].filter((i) => Number.isFinite(xs[i]!)).sort((a, b) => xs[a]! - xs[b]! || a - b);
  return { xs: Float64Array.from(order, (i) => xs[i]!), ys: Float64Array.from(order, (i) => p.values[i]!) };
}

/** The value of a broken line at x; NaN outside of it. */
export function between(xs: ArrayLike<number>, ys: ArrayLike<number>, x: number): number {
  const n = xs.length;
  if (n === 0 || x < xs[0]! || x > xs[n - 1]!) return NaN;
  let low = 0;
  let high = n - 1;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (xs[mid]! < x) low = mid + 1;
    else high = mid;
  }
  if (xs[low] === x || low === 0) return ys[low]!;
  const share = (x - xs[low - 1]!) / (xs[low]! - xs[low - 1]!);
  return ys[low - 1]! + share * (ys[low]! - ys[low - 1]!);
}

export type Spread = "range" | "sd" | "ci";

export interface Grouped extends XY {
  low: Float64Array;
  high: Float64Array;
  /** How many lines are behind each x. */
  n: Uint32Array;
}

/**
 * The mean of several lines with a band: lowest to highest, one standard
 * deviation, or the 95 % interval of the mean (Student). The grid is that of
 * the line with the most points, at most `most` places; each line counts where
 * it is, read between its points.
 */
export function grouped(lines: XY[], spread: Spread, most = 1000): Grouped {
  const all = lines.filter((l) => l.xs.length > 0);
  const grid = gridOf(all, most);
  const n = grid.length;
  const out: Grouped = { xs: grid, ys: new Float64Array(n), low: new Float64Array(n), high: new Float64Array(n), n: new Uint32Array(n) };
  for (let i = 0; i < n; i++) {
    // Welford's way: one pass, no cancellation.
    let count = 0;
    let mean = 0;
    let squares = 0;
    let low = Infinity;
    let high = -Infinity;
    for (const l of all) {
      const v = between(l.xs, l.ys, grid[i]!);
      if (!Number.isFinite(v)) continue;
      count++;
      const d = v - mean;
      mean += d / count;
      squares += d * (v - mean);
      if (v < low) low = v;
      if (v > high) high = v;
    }
    out.n[i] = count;
    out.ys[i] = count > 0 ? mean : NaN;
    const sd = count > 1 ? Math.sqrt(squares / (count - 1)) : NaN;
    const half = spread === "sd" ? sd : spread === "ci" ? (student95(count - 1) * sd) / Math.sqrt(count) : NaN;
    out.low[i] = spread === "range" ? (count > 0 ? low : NaN) : mean - half;
    out.high[i] = spread === "range" ? (count > 0 ? high : NaN) : mean + half;
  }
  return out;
}

function gridOf(lines: XY[], most: number): Float64Array {
  const seen = new Set<number>();
  for (const l of lines) for (const x of l.xs) if (Number.isFinite(x)) seen.add(x);
  const sorted = Float64Array.from(seen).sort();
  if (sorted.length <= most) return sorted;
  return Float64Array.from({ length: most }, (_, i) => sorted[Math.round((i * (sorted.length - 1)) / (most - 1))]!);
}

// The 97.5 % points of Student's t, as printed in every table of them.
const t975 = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131, 2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042];

/** How many standard errors hold 95 % with so many degrees of freedom. */
export function student95(degrees: number): number {
  if (degrees < 1) return NaN;
  if (degrees <= t975.length) return t975[degrees - 1]!;
  // The first terms of the expansion around the normal point, good to 0.0002.
  const z = 1.959964;
  return z + (z ** 3 + z) / (4 * degrees) + (5 * z ** 5 + 16 * z ** 3 + 3 * z) / (96 * degrees ** 2);
}

/** The part of a metric's name that groups it: train/loss is in train. */
export function prefixOf(key: string): string {
  const slash = key.indexOf("/");
  return slash > 0 ? key.slice(0, slash) : "";
}

/** Metrics by prefix, what is learnt first, the machine last; within one by name. */
export function byPrefix(keys: Iterable<string>): { prefix: string; keys: string[] }[] {
  const found = new Map<string, string[]>();
  for (const key of keys) {
    const prefix = prefixOf(key);
    const list = found.get(prefix);
    if (list) list.push(key);
    else found.set(prefix, [key]);
  }
  const first = ["val", "test", "train"];
  const rank = (p: string) => (first.includes(p) ? first.indexOf(p) : p === "system" ? 99 : p === "" ? 50 : 10);
  return [...found]
    .map(([prefix, list]) => ({ prefix, keys: list.sort((a, b) => a.localeCompare(b, "en", { numeric: true })) }))
    .sort((a, b) => rank(a.prefix) - rank(b.prefix) || a.prefix.localeCompare(b.prefix, "en"));
}
