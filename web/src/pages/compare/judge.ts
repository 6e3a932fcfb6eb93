// What is better: only where the name says so for certain.
import { internal } from "../../format";
import { wilson } from "../../charts/wilson";
import { isShare } from "../../score";
import type { ComparedRow } from "./data";

export type Better = "high" | "low" | undefined;

/** Whether more or less of a metric is better, by the last word of its name. */
export function better(key: string): Better {
  const words = key.toLowerCase().split(/[./_\-\s]+/);
  if (words.some((w) => ["low", "high", "rows", "n", "epoch", "epochs", "rate", "lr"].includes(w))) return undefined;
  if (words.some((w) => ["loss", "error", "errors", "rmse", "mse", "mae", "brier", "perplexity", "ece", "logloss", "nll"].includes(w))) return "low";
  if (words.some((w) => ["accuracy", "acc", "f1", "auc", "precision", "recall", "mcc", "kappa", "r2", "map"].includes(w))) return "high";
  return undefined;
}

/** The indices of the best runs of a row: all that share the best value; none if all do, or if it is not known what is better. */
export function best(row: { key: string; values: unknown[] }): number[] {
  const way = better(row.key);
  if (!way) return [];
  const numbers = row.values.map((v) => (typeof v === "number" && Number.isFinite(v) ? v : NaN));
  const there = numbers.filter((v) => !Number.isNaN(v));
  if (there.length < 2) return [];
  const top = way === "high" ? Math.max(...there) : Math.min(...there);
  const out = numbers.flatMap((v, i) => (v === top ? [i] : []));
  return out.length === there.length ? [] : out;
}

export interface Shown extends ComparedRow {
  low?: (number | null)[];
  high?: (number | null)[];
  n?: (number | null)[];
}

const finite = (v: unknown): number | null => (typeof v === "number" && Number.isFinite(v) ? v : null);

/** Puts the ends of intervals, and the rows that a share rests on, to the value that they belong to. */
export function withIntervals(rows: ComparedRow[]): Shown[] {
  const byKey = new Map(rows.map((r) => [r.key, r]));
  return rows
    .filter((r) => {
      const base = r.key.replace(/_(low|high)$/, "");
      return base === r.key || !byKey.has(base);
    })
    .map((r) => {
      const low = byKey.get(r.key + "_low");
      const high = byKey.get(r.key + "_high");
      const n = isShare(r.key) ? byKey.get(r.key.replace(/[^.]*$/, "rows")) : undefined;
      return {
        ...r,
        // A run whose interval differs is not the same, though the value be.
        same: r.same && (low?.same ?? true) && (high?.same ?? true),
        ...(low && high ? { low: low.values.map(finite), high: high.values.map(finite) } : {}),
        ...(n ? { n: n.values.map(finite) } : {}),
      };
    });
}

/** Puts to the last value of a share, such as val/accuracy, the rows that it rests on, which the results tell. */
export function withRows(metrics: ComparedRow[], summary: ComparedRow[]): Shown[] {
  const byKey = new Map(summary.map((r) => [r.key, r]));
  return metrics.map((r) => {
    const rows = isShare(r.key) ? byKey.get(r.key.replace(/\/[^/]*$/, ".rows")) : undefined;
    if (!rows || rows.key === r.key) return r;
    const n = rows.values.map(finite);
    const ends = r.values.map((v, i) => (typeof v === "number" && v >= 0 && v <= 1 && n[i] ? wilson(Math.round(v * n[i]), n[i]) : null));
    return { ...r, n, low: ends.map((e) => e?.[0] ?? null), high: ends.map((e) => e?.[1] ?? null) };
  });
}

/** The number fields that tell how good runs are, those that people look for first in front. */
export function metricFields(fields: string[]): string[] {
  const weight = (f: string) => {
    const order = ["summary.val.accuracy", "summary.val.loss", "summary.test.accuracy", "summary.test.loss"];
    const i = order.indexOf(f);
    return i >= 0 ? i : f.includes("val") ? 10 : f.includes("test") ? 20 : better(f) ? 30 : 40;
  };
  return fields.filter((f) => f.startsWith("summary.") && !internal(f) && !/_(low|high)$|\.rows$/.test(f)).sort((a, b) => weight(a) - weight(b) || a.localeCompare(b));
}
