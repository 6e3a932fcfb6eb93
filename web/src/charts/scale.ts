// Axes: from values to places and back, and where the marks stand.

export type Scale = LinearScale | BandScale;

export interface LinearScale {
  kind: "number";
  log: boolean;
  domain: [number, number];
  /** Place of a value between 0 and 1; NaN where it has none. */
  at: (v: number) => number;
  /** Value at a place between 0 and 1. */
  value: (place: number) => number;
  ticks: (about: number) => number[];
}

export interface BandScale {
  kind: "text";
  names: string[];
  at: (name: string) => number;
}

/** Lowest and highest finite value, only positive ones for a logarithmic axis. */
export function bounds(values: Iterable<number>, log = false): [number, number] | undefined {
  let low = Infinity;
  let high = -Infinity;
  for (const v of values) {
    if (!Number.isFinite(v) || (log && v <= 0)) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  return low <= high ? [low, high] : undefined;
}

/** Round steps of 1, 2 or 5 that are about so many within the range. */
export function ticks(low: number, high: number, about: number): number[] {
  if (!(high > low) || about < 1) return [low];
  const rough = (high - low) / about;
  const size = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * size).find((s) => s >= rough * 0.999)!;
  const out: number[] = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; i++) {
    // No 0.30000000000000004 and no −0.
    out.push(Number((i * step).toPrecision(12)) + 0);
  }
  return out;
}

function logTicks(low: number, high: number, about: number): number[] {
  const from = Math.floor(Math.log10(low) + 1e-9);
  const to = Math.ceil(Math.log10(high) - 1e-9);
  const decades = to - from;
  const within = (v: number) => v >= low * (1 - 1e-9) && v <= high * (1 + 1e-9);
  const all: number[] = [];
  const every = Math.max(1, Math.ceil(decades / about));
  for (let e = from; e <= to; e += every) {
    for (const m of decades <= about / 2 ? [1, 2, 5] : [1]) all.push(Number((m * 10 ** e).toPrecision(12)));
  }
  const shown = all.filter(within);
  return shown.length >= 2 ? shown : [low, high];
}

/** A numeric axis over the values, with a little air at both ends. */
export function numberScale(values: Iterable<number>, { log = false, air = 0 }: { log?: boolean; air?: number } = {}): LinearScale {
  let [low, high] = bounds(values, log) ?? (log ? [1, 10] : [0, 1]);
  if (low === high) [low, high] = log ? [low / 2, high * 2] : [low - (Math.abs(low) * 0.1 || 0.5), high + (Math.abs(high) * 0.1 || 0.5)];
  else if (air > 0) {
    if (log) {
      const f = (high / low) ** air;
      [low, high] = [low / f, high * f];
    } else {
      const d = (high - low) * air;
      [low, high] = [low - d, high + d];
    }
  }
  const [a, b] = log ? [Math.log(low), Math.log(high)] : [low, high];
  return {
    kind: "number",
    log,
    domain: [low, high],
    at: (v) => (!Number.isFinite(v) || (log && v <= 0) ? NaN : ((log ? Math.log(v) : v) - a) / (b - a)),
    value: (place) => (log ? Math.exp(a + place * (b - a)) : a + place * (b - a)),
    ticks: (about) => (log ? logTicks(low, high, about) : ticks(low, high, about)),
  };
}

/** An axis of names, evenly spaced, in natural order. */
export function bandScale(names: Iterable<string>): BandScale {
  const sorted = [...new Set(names)].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const place = new Map(sorted.map((name, i) => [name, sorted.length === 1 ? 0.5 : i / (sorted.length - 1)]));
  return { kind: "text", names: sorted, at: (name) => place.get(name) ?? NaN };
}
