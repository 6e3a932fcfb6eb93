// What a chart of parallel axes knows, apart from drawing it.
import { bounds, type Scale } from "./scale";
import { axisOf, place } from "./scatter";
import type { Value } from "./stats";

export interface AxisChoice {
  field: string;
  flip?: boolean;
  log?: boolean;
  /** The stretch of the axis that was chosen, as places from 0 to 1. */
  brush?: [number, number];
}

export interface Axis extends AxisChoice {
  scale: Scale;
  /** Place of each run, 0 below and 1 above; NaN where it lacks the field. */
  places: number[];
  canLog: boolean;
}

/** Where each run stands on each axis. A run that lacks a field has a gap there. */
export function axes(choices: AxisChoice[], runs: { values: Record<string, Value> }[]): Axis[] {
  return choices.map((c) => {
    const values = runs.map((r) => r.values[c.field] ?? null);
    const there = values.filter((v) => v !== null);
    const canLog = there.length > 0 && there.every((v) => typeof v === "number") && bounds(there as number[], true) !== undefined;
    const scale = axisOf(values, Boolean(c.log) && canLog, 0);
    return { ...c, scale, canLog, places: values.map((v) => (c.flip ? 1 - place(scale, v) : place(scale, v))) };
  });
}

/** The runs that are within every brush. */
export function chosen(list: Axis[], runs: number): boolean[] {
  return Array.from({ length: runs }, (_, i) =>
    list.every((a) => {
      if (!a.brush) return true;
      const p = a.places[i]!;
      return p >= Math.min(...a.brush) - 1e-9 && p <= Math.max(...a.brush) + 1e-9;
    }),
  );
}

/** The index of the run whose line is nearest to a point between two axes; undefined if none is within reach. */
export function nearestRun(left: Axis, right: Axis, share: number, place: number, reach: number, take: boolean[]): number | undefined {
  let best: number | undefined;
  let distance = reach;
  for (let i = 0; i < take.length; i++) {
    if (!take[i]) continue;
    const at = left.places[i]! + (right.places[i]! - left.places[i]!) * share;
    const d = Math.abs(at - place);
    if (d <= distance) [best, distance] = [i, d];
  }
  return best;
}

/** Whether values are better spread by their logarithms: all positive, the highest 30 times the lowest or more. */
export function wantsLog(values: Value[]): boolean {
  const there = values.filter((v) => v !== null);
  const range = bounds(there.map((v) => (typeof v === "number" ? v : NaN)));
  return range !== undefined && range[0] > 0 && range[1] / range[0] >= 30 && there.every((v) => typeof v === "number");
}

/** The fields that tell runs apart: different values, and not in a single run only. */
export function telling(fields: string[], runs: { values: Record<string, Value> }[]): string[] {
  return fields.filter((f) => {
    const seen = new Set<Value>();
    let n = 0;
    for (const r of runs) {
      const v = r.values[f];
      if (v === null || v === undefined) continue;
      seen.add(v);
      n++;
    }
    // A text that differs in every one of many runs is a name.
    const names = [...seen].some((v) => typeof v === "string") && seen.size > 12 && seen.size > n * 0.5;
    return n > 1 && seen.size > 1 && !names;
  });
}
