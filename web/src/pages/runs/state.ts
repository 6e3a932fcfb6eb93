// What the page of runs shows, as texts of the address.

import { readList, writeList } from "../../charts/settings";
import type { Query } from "../../query";

export interface TableState {
  where: string;
  /** Fields; with - before it, falling. */
  sort: string[];
  /** Shown columns in order; undefined: those that suit the project. */
  columns: string[] | undefined;
  group: string[];
  /** How many of the first runs the charts show. */
  top: number;
  /** Runs, or groups, whose eye is not as it would be by `top`. */
  hidden: string[];
  shown: string[];
  /** Columns that stay at the left. */
  left: string[];
  view: string;
}

export const tops = [5, 10, 25, 50, 100, 200] as const;
const usualTop = 10;
const mostGroups = 3;

export function readTable(q: Query): TableState {
  const top = Number(q.top);
  return {
    where: q.where ?? "",
    sort: readList(q.sort),
    columns: q.cols === undefined || q.cols === "" ? undefined : readList(q.cols),
    group: readList(q.group).slice(0, mostGroups),
    top: (tops as readonly number[]).includes(top) ? top : usualTop,
    hidden: readList(q.hide),
    shown: readList(q.show),
    left: readList(q.left),
    view: q.view ?? "",
  };
}

export function writeTable(old: TableState, change: Partial<TableState>): Query {
  const s = { ...old, ...change };
  return {
    where: s.where,
    sort: writeList(s.sort),
    cols: s.columns ? writeList(s.columns) : "",
    group: writeList(s.group),
    top: s.top === usualTop ? "" : String(s.top),
    hide: writeList(s.hidden),
    show: writeList(s.shown),
    left: writeList(s.left),
    view: s.view,
  };
}

/** Whether the eye of a thing is open: the first ones, but for what somebody chose. */
export function isShown(s: Pick<TableState, "hidden" | "shown" | "top">, id: string, index: number): boolean {
  return index < s.top ? !s.hidden.includes(id) : s.shown.includes(id);
}

/** The change that opens or shuts an eye. */
export function toggleShown(s: TableState, id: string, index: number): Partial<TableState> {
  const flip = (list: string[]) => (list.includes(id) ? list.filter((x) => x !== id) : [...list, id]);
  return index < s.top ? { hidden: flip(s.hidden) } : { shown: flip(s.shown) };
}

/** The next sorting when a head is pressed: rising or falling as suits, the other way, none. With `add` others stay. */
export function nextSort(sort: string[], field: string, falling: boolean, add: boolean): string[] {
  const i = sort.findIndex((s) => s === field || s === "-" + field);
  const first = falling ? "-" + field : field;
  const second = falling ? field : "-" + field;
  if (i < 0) return add ? [...sort, first] : [first];
  const now = sort[i]!;
  const next = now === first ? [second] : [];
  return add ? [...sort.slice(0, i), ...next, ...sort.slice(i + 1)] : next;
}

export function sortedBy(sort: string[], field: string): "up" | "down" | undefined {
  return sort.includes(field) ? "up" : sort.includes("-" + field) ? "down" : undefined;
}
