// Which columns suit a project, and how a cell is written.

import type { Column, RunRow, Value } from "../../api/contract";
import { ago, duration, internal, moment, number, shown } from "../../format";
import type { Language, Translate } from "../../i18n";

export interface ShownColumn {
  name: string;
  /** Without params. and summary. where that says enough. */
  title: string;
  numeric: boolean;
  width: number;
}

const fixed: Record<string, { width: number; numeric?: boolean }> = {
  state: { width: 96 },
  created: { width: 128 },
  started: { width: 128 },
  finished: { width: 128 },
  duration: { width: 96, numeric: true },
  tags: { width: 160 },
  stage: { width: 104 },
  experiment: { width: 120 },
  group: { width: 120 },
  host: { width: 120 },
  notes: { width: 200 },
  error: { width: 220 },
  id: { width: 190 },
};

/** Columns that stand beside a score and are shown within it. */
export function besides(name: string, known: ReadonlySet<string>): { low: string; high: string; rows: string | undefined } | undefined {
  if (!known.has(name + "_low") || !known.has(name + "_high")) return undefined;
  const rows = name.slice(0, name.lastIndexOf(".") + 1) + "rows";
  return { low: name + "_low", high: name + "_high", rows: known.has(rows) ? rows : undefined };
}

export function titleOf(name: string): string {
  return name.replace(/^(summary|params|environment)\./, "");
}

export function shownColumn(name: string, columns: ReadonlyMap<string, Column>): ShownColumn {
  const f = fixed[name];
  if (f) return { name, title: name, numeric: f.numeric ?? false, width: f.width };
  const kind = columns.get(name)?.kind;
  const title = titleOf(name);
  const numeric = kind === "number";
  const score = besides(name, new Set(columns.keys())) !== undefined;
  return { name, title, numeric, width: Math.min(260, Math.max(score ? 208 : 92, title.length * 7.4 + 46)) };
}

/** The columns of a table that nobody has arranged: how it went first, then what was chosen. */
export function usualColumns(columns: Column[]): string[] {
  const names = new Set(columns.map((c) => c.name));
  const hidden = (n: string) => /(_low|_high)$/.test(n) || /(^|\.)rows$/.test(n) || n.startsWith("summary.system") || internal(n);
  const score = (c: Column) => {
    const n = c.name;
    const part = /\b(val|valid|validation)\b/.test(n) ? 0 : /\btest\b/.test(n) ? 1 : /\btrain\b/.test(n) ? 3 : 2;
    const kind = /accuracy|auc|\br2\b/.test(n) ? 0 : /loss|error|rmse|mae/.test(n) ? 1 : 2;
    return kind * 4 + part;
  };
  const summary = columns
    .filter((c) => c.name.startsWith("summary.") && c.kind === "number" && !hidden(c.name))
    .map((c, i) => ({ c, i }))
    .sort((a, b) => score(a.c) - score(b.c) || b.c.runs - a.c.runs || a.i - b.i)
    .slice(0, 4)
    .map(({ c }) => c.name);
  const wanted = ["optimizer", "learning_rate", "lr", "batch_size", "epochs", "seed"].map((n) => "params." + n).filter((n) => names.has(n));
  const others = columns.filter((c) => c.name.startsWith("params.") && !wanted.includes(c.name) && !internal(c.name)).sort((a, b) => b.runs - a.runs).map((c) => c.name);
  return ["state", ...summary, "created", "duration", ...[...wanted, ...others].slice(0, 5)];
}

/** What a run has in a column. */
export function valueOf(row: RunRow, column: string): Value | undefined {
  switch (column) {
    case "id":
    case "name":
    case "project":
    case "stage":
    case "experiment":
    case "group":
    case "state":
    case "host":
    case "error":
    case "created":
    case "started":
    case "finished":
    case "duration":
      return row[column];
    case "tags":
      return row.tags;
  }
  return row.values[column];
}

/** A value as text; moments as how long ago. */
export function cellText(column: string, value: Value | undefined, language: Language, t: Translate, now: number): string {
  if (value === undefined || value === null || value === "") return "";
  switch (column) {
    case "state":
      return typeof value === "string" ? t(`state.${value}` as "state.running") : "";
    case "created":
    case "started":
    case "finished":
      return typeof value === "string" ? ago(value, now, t) : "";
    case "duration":
      return typeof value === "number" ? duration(value, language) : "";
    case "tags":
      return Array.isArray(value) ? value.join(", ") : String(value);
  }
  return shown(value, language);
}

/** The whole value, for who looks closer. */
export function fullText(column: string, value: Value | undefined, language: Language): string {
  if (["created", "started", "finished"].includes(column) && typeof value === "string") return moment(value, language);
  return typeof value === "number" ? String(value) : shown(value, language);
}

/** An interval beside a value: 0.82–1. */
export function intervalText(low: Value | undefined, high: Value | undefined, language: Language): string {
  if (typeof low !== "number" || typeof high !== "number") return "";
  return `${number(low, language, 3)}–${number(high, language, 3)}`;
}

/** The name of a run that people know it by. */
export function labelOf(row: { id: string; name: string; experiment?: string }): string {
  return row.name || row.experiment || row.id;
}

/** Names that are told apart: where two are alike, the end of the ID is added. */
export function distinct(rows: { id: string; name: string; experiment?: string }[]): Map<string, string> {
  const count = new Map<string, number>();
  for (const r of rows) count.set(labelOf(r), (count.get(labelOf(r)) ?? 0) + 1);
  return new Map(rows.map((r) => [r.id, count.get(labelOf(r)) === 1 ? labelOf(r) : `${labelOf(r)} ${r.id.slice(-6)}`]));
}
