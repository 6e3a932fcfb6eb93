// What the runs of a list say about how a param and a metric go together. All
// of it is computed from the runs at hand, and small numbers are said to be
// small.

/** A value of one run: number, text, or nothing. */
export type Value = number | string | null;

/** What JSON holds as such a value: lists and true/false become text, NaN nothing. */
export function valueOf(v: unknown): Value {
  if (v === null || v === undefined || v === "") return null;
  if (typeof v === "number") return Number.isNaN(v) ? null : v;
  if (v === "Infinity") return Infinity;
  if (v === "-Infinity") return -Infinity;
  return typeof v === "string" ? v : typeof v === "boolean" ? String(v) : JSON.stringify(v);
}

/** Ranks from 1, equal values share the mean of theirs. */
export function ranks(values: number[]): number[] {
  const order = values.map((_, i) => i).sort((a, b) => values[a]! - values[b]!);
  const out = new Array<number>(values.length);
  for (let i = 0; i < order.length; ) {
    let j = i;
    while (j + 1 < order.length && values[order[j + 1]!] === values[order[i]!]) j++;
    for (let k = i; k <= j; k++) out[order[k]!] = (i + j) / 2 + 1;
    i = j + 1;
  }
  return out;
}

/** Pearson's correlation; NaN where one side does not vary. */
export function correlation(a: number[], b: number[]): number {
  const n = a.length;
  const mean = (x: number[]) => x.reduce((s, v) => s + v, 0) / n;
  const [ma, mb] = [mean(a), mean(b)];
  let [ab, aa, bb] = [0, 0, 0];
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i]! - ma, b[i]! - mb];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return aa === 0 || bb === 0 ? NaN : Math.max(-1, Math.min(1, ab / Math.sqrt(aa * bb)));
}

export interface Rank {
  value: number;
  low: number | null; // 95 % interval (Fisher's z with Bonett and Wright's width, 2000)
  high: number | null;
}

/** Spearman's rank correlation with its interval, which needs five runs. */
export function spearman(a: number[], b: number[]): Rank {
  const value = correlation(ranks(a), ranks(b));
  const n = a.length;
  if (Number.isNaN(value) || n < 5 || Math.abs(value) > 1 - 1e-12) return { value, low: null, high: null };
  const z = Math.atanh(value);
  const half = 1.959963984540054 * Math.sqrt((1 + (value * value) / 2) / (n - 3));
  return { value, low: Math.tanh(z - half), high: Math.tanh(z + half) };
}

/**
 * The share of a metric's variance that lies between groups of runs, less what
 * chance alone would put there (epsilon squared, Kelley 1935). 0 to 1; null
 * when the groups leave nothing to judge by.
 */
export function between(groups: number[][]): number | null {
  const filled = groups.filter((g) => g.length > 0);
  const n = filled.reduce((s, g) => s + g.length, 0);
  const k = filled.length;
  if (k < 2 || n - k < 2) return null;
  const all = filled.flat();
  const mean = all.reduce((s, v) => s + v, 0) / n;
  const total = all.reduce((s, v) => s + (v - mean) ** 2, 0);
  if (total === 0) return null;
  const within = filled.reduce((s, g) => {
    const m = g.reduce((x, v) => x + v, 0) / g.length;
    return s + g.reduce((x, v) => x + (v - m) ** 2, 0);
  }, 0);
  return Math.max(0, 1 - ((n - 1) / (n - k)) * (within / total));
}

/** Cuts runs into groups of like params: names as they are, many numbers into four equal parts. */
export function groupsOf(param: Value[], metric: number[]): number[][] {
  const groups = new Map<Value, number[]>();
  const distinct = new Set(param);
  const numbers = [...distinct].every((v) => typeof v === "number");
  if (numbers && distinct.size > 6) {
    const r = ranks(param as number[]);
    r.forEach((rank, i) => {
      const part = Math.min(3, Math.floor(((rank - 0.5) / r.length) * 4));
      groups.set(part, [...(groups.get(part) ?? []), metric[i]!]);
    });
  } else {
    param.forEach((v, i) => groups.set(v, [...(groups.get(v) ?? []), metric[i]!]));
  }
  return [...groups.values()];
}

export interface Importance {
  param: string;
  n: number; // runs that have both
  values: number; // different values of the param
  share: number | null; // of the metric's variance, see between
  rank: Rank | null; // of params that are numbers
}

/** Fewer runs than this say nothing about a param. */
export const fewest = 5;

/** How much each param goes together with the metric, the strongest first. Params that do not vary are left out. */
export function importance(runs: { params: Record<string, Value>; metric: Value }[]): Importance[] {
  const judged = runs.filter((r): r is { params: Record<string, Value>; metric: number } => typeof r.metric === "number" && Number.isFinite(r.metric));
  const names = new Set(judged.flatMap((r) => Object.keys(r.params)));
  const out: Importance[] = [];
  for (const param of names) {
    const have = judged.filter((r) => r.params[param] !== null && r.params[param] !== undefined);
    const values = have.map((r) => r.params[param]!);
    const metric = have.map((r) => r.metric);
    const distinct = new Set(values).size;
    if (distinct < 2) continue;
    const enough = have.length >= fewest;
    const finite = values.every((v) => typeof v === "number" && Number.isFinite(v));
    const groups = groupsOf(values, metric);
    // A text that differs from run to run is a name, not a setting.
    if (!finite && enough && groups.length > have.length / 2) continue;
    const share = enough ? between(groups) : null;
    out.push({ param, n: have.length, values: distinct, share, rank: enough && finite ? spearman(values as number[], metric) : null });
  }
  const weight = (i: Importance) => i.share ?? (i.rank && !Number.isNaN(i.rank.value) ? i.rank.value ** 2 : -1);
  return out.sort((a, b) => weight(b) - weight(a) || a.param.localeCompare(b.param));
}
