// What a run recorded other than numbers: pure reading of descriptions that
// come from strangers, so that nothing here trusts their shape.

import { real } from "../../format";

export type Kind = "image" | "histogram" | "table" | "text" | "file" | "value";

/** How values of a kind, as the API names it, are shown. */
export function kindOf(api: string): Kind {
  switch (api) {
    case "image-file":
    case "images":
    case "images/separated":
      return "image";
    case "histogram":
      return "histogram";
    case "table-file":
      return "table";
    case "text":
      return "text";
    case "":
    case "list":
    case "object":
    case "flag":
    case "nothing":
      return "value";
  }
  return "file";
}

type Dict = Record<string, unknown>;
export const isDict = (v: unknown): v is Dict => typeof v === "object" && v !== null && !Array.isArray(v);
const text = (v: unknown): string => (typeof v === "string" ? v : "");
const list = (v: unknown): unknown[] => (Array.isArray(v) ? v : []);

export interface Picture {
  path: string;
  caption: string;
  width: number | undefined;
  height: number | undefined;
}

const size = (v: unknown): number | undefined => (typeof v === "number" && Number.isFinite(v) && v > 0 ? v : undefined);

/** The pictures of one value: a single one, or a list that was logged together. */
export function picturesOf(value: unknown): Picture[] {
  if (!isDict(value)) return [];
  const width = size(value.width);
  const height = size(value.height);
  const captions = list(value.captions);
  const one = (path: unknown, caption: unknown): Picture => ({ path: text(path), caption: text(caption), width, height });
  const all = Array.isArray(value.filenames) ? value.filenames.map((p, i) => one(p, captions[i])) : [one(value.path, value.caption)];
  return all.filter((p) => p.path !== "");
}

/** The files that a value names, whatever they are. */
export function filesOf(value: unknown): string[] {
  if (!isDict(value)) return [];
  const all = [value.path, ...list(value.filenames)].map(text);
  for (const inner of Object.values(value)) if (isDict(inner) && typeof inner.path === "string") all.push(inner.path);
  return [...new Set(all.filter((p) => p !== ""))];
}

export interface Bar {
  from: number;
  to: number;
  n: number;
}

/** The bars of a histogram; undefined if it is none. */
export function barsOf(value: unknown): Bar[] | undefined {
  if (!isDict(value)) return undefined;
  const counts = list(value.values).map((v) => real(v as number | string | null));
  let edges = list(value.bins).map((v) => real(v as number | string | null));
  const packed = value.packedBins;
  if (edges.length === 0 && isDict(packed)) {
    const [min, step, n] = [packed.min, packed.size, packed.count];
    if (typeof min !== "number" || typeof step !== "number" || n !== counts.length) return undefined;
    edges = Array.from({ length: n + 1 }, (_, i) => min + i * step);
  }
  if (counts.length === 0 || counts.length > 10_000 || edges.length !== counts.length + 1) return undefined;
  if (!edges.every(Number.isFinite) || !counts.every((c) => Number.isFinite(c) && c >= 0)) return undefined;
  return counts.map((n, i) => ({ from: edges[i]!, to: edges[i + 1]!, n }));
}

export interface Sheet {
  columns: string[];
  rows: unknown[][];
}

/** A table file as clients write it; undefined if it is none. */
export function sheetOf(content: unknown): Sheet | undefined {
  if (!isDict(content) || !Array.isArray(content.columns) || !Array.isArray(content.data)) return undefined;
  const columns = content.columns.map(String);
  return { columns, rows: content.data.filter(Array.isArray).map((r: unknown[]) => columns.map((_, i) => r[i])) };
}

export interface Alarm {
  title: string;
  text: string;
  level: "info" | "warn" | "error";
}

export function alarmOf(value: unknown): Alarm {
  const of = isDict(value) ? value : { text: typeof value === "string" ? value : JSON.stringify(value) };
  const level = text(of.level).toLowerCase();
  return { title: text(of.title), text: text(of.text), level: level.startsWith("err") ? "error" : level.startsWith("warn") ? "warn" : "info" };
}

/** Items by step: of a step that was logged twice, all of them. */
export function byStep<T extends { step: number }>(items: readonly T[]): { step: number; items: T[] }[] {
  const found = new Map<number, T[]>();
  for (const i of items) found.set(i.step, [...(found.get(i.step) ?? []), i]);
  return [...found].map(([step, items]) => ({ step, items })).sort((a, b) => a.step - b.step);
}
