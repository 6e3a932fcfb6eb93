// What the chart of lines does that needs no screen: places, paths, extents.

/** One line of a chart: ascending xs and a y for each (NaN is a gap). */
export interface LineData {
  xs: ArrayLike<number>;
  ys: ArrayLike<number>;
}

/** Where a stroke goes. Path2D is one; a text for SVG is another. */
export interface Stroke {
  moveTo(x: number, y: number): void;
  lineTo(x: number, y: number): void;
}

/** A path as SVG writes it, with a tenth of a pixel. */
export class SvgPath implements Stroke {
  private readonly parts: string[] = [];

  moveTo(x: number, y: number): void {
    this.parts.push(`M${x.toFixed(1)} ${y.toFixed(1)}`);
  }

  lineTo(x: number, y: number): void {
    this.parts.push(`L${x.toFixed(1)} ${y.toFixed(1)}`);
  }

  close(): void {
    this.parts.push("Z");
  }

  toString(): string {
    return this.parts.join("");
  }
}

/** An axis as numbers: value v stands at place + (f(v) - from) × scale. */
export interface Axis {
  log: boolean;
  from: number;
  scale: number;
  place: number;
}

/** The axis that puts low at start and high at end. */
export function axis(low: number, high: number, start: number, end: number, log: boolean): Axis {
  const a = log ? Math.log(low) : low;
  const b = log ? Math.log(high) : high;
  return { log, from: a, scale: (end - start) / (b - a || 1), place: start };
}

export function at(a: Axis, v: number): number {
  return a.place + ((a.log ? Math.log(v) : v) - a.from) * a.scale;
}

/**
 * Strokes a line. Where several points fall into one column of pixels, first,
 * lowest, highest and last of them stand for all: what is drawn is the same
 * and no more than four points a pixel.
 */
export function trace(p: Stroke, xs: ArrayLike<number>, ys: ArrayLike<number>, x: Axis, y: Axis): void {
  const n = xs.length;
  // All in locals, and no closure over them: this loop runs a million times
  // for one chart of many runs.
  const { log: logX, from: fromX, scale: scaleX, place: placeX } = x;
  const { log: logY, from: fromY, scale: scaleY, place: placeY } = y;
  const thick = n > 2 * Math.abs((at(x, xs[n - 1] ?? 0) - at(x, xs[0] ?? 0)) || 0);
  let open = false; // there is a line to go on with
  let column = NaN; // of pixels, whose points are being gathered; NaN is none
  let first = 0;
  let low = 0;
  let high = 0;
  let last = 0;
  let px = 0;
  let lowFirst = true;
  for (let i = 0; i < n; i++) {
    const v = ys[i]!;
    const vx = xs[i]!;
    // A difference that is no number tells NaN and both infinities at once.
    if (v - v !== 0 || vx - vx !== 0 || (logY && v <= 0) || (logX && vx <= 0)) {
      if (column === column) put(p, open, px, first, low, high, last, lowFirst);
      column = NaN;
      open = false;
      continue;
    }
    const cx = placeX + ((logX ? Math.log(vx) : vx) - fromX) * scaleX;
    const cy = placeY + ((logY ? Math.log(v) : v) - fromY) * scaleY;
    if (!thick) {
      if (open) p.lineTo(cx, cy);
      else p.moveTo(cx, cy);
      open = true;
      continue;
    }
    const c = Math.floor(cx);
    if (c !== column) {
      if (column === column) {
        put(p, open, px, first, low, high, last, lowFirst);
        open = true;
      }
      column = c;
      px = cx;
      first = low = high = last = cy;
      lowFirst = true;
      continue;
    }
    if (cy < low) {
      low = cy;
      lowFirst = false;
    } else if (cy > high) {
      high = cy;
      lowFirst = true;
    }
    last = cy;
  }
  if (column === column) put(p, open, px, first, low, high, last, lowFirst);
}

// One column of pixels: where the line comes in, its two ends, where it goes on.
function put(p: Stroke, open: boolean, px: number, first: number, low: number, high: number, last: number, lowFirst: boolean): void {
  if (open) p.lineTo(px, first);
  else p.moveTo(px, first);
  if (low === high) return;
  const [a, b] = lowFirst ? [low, high] : [high, low];
  if (a !== first) p.lineTo(px, a);
  if (b !== last) p.lineTo(px, b);
  p.lineTo(px, last);
}

/** Walks round a band: along the top, and back along the bottom. */
export function surround(p: Stroke & { close?(): void; closePath?(): void }, xs: ArrayLike<number>, low: ArrayLike<number>, high: ArrayLike<number>, x: Axis, y: Axis): void {
  const fits = (i: number) => Number.isFinite(low[i]!) && Number.isFinite(high[i]!) && Number.isFinite(xs[i]!) && (!y.log || low[i]! > 0) && (!x.log || xs[i]! > 0);
  let i = 0;
  while (i < xs.length) {
    if (!fits(i)) {
      i++;
      continue;
    }
    const from = i;
    while (i < xs.length && fits(i)) i++;
    p.moveTo(at(x, xs[from]!), at(y, high[from]!));
    for (let k = from + 1; k < i; k++) p.lineTo(at(x, xs[k]!), at(y, high[k]!));
    for (let k = i - 1; k >= from; k--) p.lineTo(at(x, xs[k]!), at(y, low[k]!));
    if (p.close) p.close();
    else p.closePath?.();
  }
}

/** Index of the x nearest to x in ascending xs; -1 where there is none. */
export function nearest(xs: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = xs.length - 1;
  if (high < 0) return -1;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if (xs[mid]! < x) low = mid;
    else high = mid;
  }
  return Math.abs(xs[low]! - x) <= Math.abs(xs[high]! - x) ? low : high;
}

/** The first index whose x is at least x. */
export function lowerBound(xs: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const mid = (low + high) >> 1;
    if (xs[mid]! < x) low = mid + 1;
    else high = mid;
  }
  return low;
}

/** The lowest and highest finite value, of positive ones only for a logarithmic axis; within a stretch of x if one is given. */
export function extent(lines: Iterable<LineData>, log: boolean, within?: { from: number; to: number }): [number, number] | undefined {
  let low = Infinity;
  let high = -Infinity;
  for (const { xs, ys } of lines) {
    // One point more at both ends: the line runs on to it.
    const start = within ? Math.max(0, lowerBound(xs, within.from) - 1) : 0;
    const end = within ? Math.min(xs.length, lowerBound(xs, within.to) + 1) : xs.length;
    for (let i = start; i < end; i++) {
      const v = ys[i]!;
      if (!Number.isFinite(v) || (log && v <= 0)) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
  }
  return low <= high ? [low, high] : undefined;
}

/** Lowest and highest x of all lines: they ascend, so the ends say it. */
export function extentX(lines: Iterable<LineData>, log: boolean): [number, number] | undefined {
  let low = Infinity;
  let high = -Infinity;
  for (const { xs } of lines) {
    let i = 0;
    while (i < xs.length && (!Number.isFinite(xs[i]!) || (log && xs[i]! <= 0))) i++;
    let k = xs.length - 1;
    while (k >= i && !Number.isFinite(xs[k]!)) k--;
    if (i > k) continue;
    low = Math.min(low, xs[i]!);
    high = Math.max(high, xs[k]!);
  }
  return low <= high ? [low, high] : undefined;
}

/** A range with a little air, never empty. */
export function pad([low, high]: [number, number], log: boolean): [number, number] {
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.05, high * 1.05];
  const space = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.05;
  return [low - space, high + space];
}
