// How results are written so that nobody reads more into them than their rows
// support: a share with its count and its 95 % interval, never a bare 100 %.
import { internal, number } from "./format";
import type { Translate } from "./i18n";

export interface Result {
  /** Name within its part, such as accuracy. */
  key: string;
  value: unknown;
  low: number | null;
  high: number | null;
  /** Rows that it rests on. */
  n: number | null;
}

export interface Part {
  /** Such as "val" or "test"; "" for what belongs to no part. */
  name: string;
  rows: number | null;
  results: Result[];
}

const shareNames = new Set(["accuracy", "precision", "recall", "top5_accuracy"]);

/** Whether a metric counts rows that are right. */
export function isShare(key: string): boolean {
  return shareNames.has(key.slice(key.lastIndexOf(".") + 1).replace(/^.*\//, ""));
}

const isObject = (v: unknown): v is Record<string, unknown> => typeof v === "object" && v !== null && !Array.isArray(v);
const finite = (v: unknown): number | null => (typeof v === "number" && Number.isFinite(v) ? v : null);

function resultsOf(fields: Record<string, unknown>): Result[] {
  const n = finite(fields.rows);
  const out: Result[] = [];
  for (const key of Object.keys(fields).sort()) {
    if (key === "rows" && n !== null) continue;
    const base = key.replace(/_(low|high)$/, "");
    // The ends of an interval are told with what they are of.
    if (base !== key && base in fields) continue;
    out.push({ key, value: fields[key], low: finite(fields[key + "_low"]), high: finite(fields[key + "_high"]), n });
  }
  // What counts comes first: accuracy, then the rest by name.
  return out.sort((a, b) => Number(isShare(b.key)) - Number(isShare(a.key)));
}

/** A summary in parts: the rows of test, of validation, and what is of the run as a whole. */
export function partsOf(summary: Record<string, unknown>): Part[] {
  const parts: Part[] = [];
  const rest: Record<string, unknown> = {};
  for (const [key, v] of Object.entries(summary)) {
    // Pictures and the like have a place of their own.
    if (internal(key) || (isObject(v) && typeof v._type === "string")) continue;
    if (isObject(v) && Object.values(v).some((x) => !isObject(x))) parts.push({ name: key, rows: finite(v.rows), results: resultsOf(v) });
    else if (isObject(v)) for (const [inner, x] of Object.entries(flat(v))) rest[key + "." + inner] = x;
    else rest[key] = v;
  }
  const order = ["test", "val", "train"];
  const place = (p: Part) => (order.includes(p.name) ? order.indexOf(p.name) : order.length);
  parts.sort((a, b) => place(a) - place(b) || a.name.localeCompare(b.name));
  if (Object.keys(rest).length > 0) parts.push({ name: "", rows: null, results: resultsOf(rest) });
  return parts;
}

/** Objects within objects as names with dots: {val: {loss: 1}} is "val.loss". Lists stay. */
export function flat(fields: Record<string, unknown>, prefix = "", depth = 0): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [key, v] of Object.entries(fields)) {
    if (isObject(v) && Object.keys(v).length > 0 && depth < 100) Object.assign(out, flat(v, prefix + key + ".", depth + 1));
    else out[prefix + key] = v;
  }
  return out;
}

/** A share in percent with the digits that n rows support; what is neither 0 nor 1 never reads so. */
export function sharePercent(v: number, n: number, language: string): string {
  const digits = n >= 10_000 ? 2 : n >= 1000 ? 1 : 0;
  const unit = 10 ** -digits;
  let x = v * 100;
  if (v > 0 && v < 1) x = Math.min(100 - unit, Math.max(unit, x));
  return new Intl.NumberFormat(language, { minimumFractionDigits: 0, maximumFractionDigits: digits }).format(x);
}

/** An interval: "82–100 %" of a share, "0.004–0.038" of anything else. */
export function intervalText(low: number, high: number, share: boolean, n: number, language: string): string {
  return share ? `${sharePercent(low, n, language)}–${sharePercent(high, n, language)}\u00a0%` : `${number(low, language, 3)}–${number(high, language, 3)}`;
}

/** A result with what it rests on: "18 of 18 right, 82–100 %". */
export function resultText(r: Result, language: string, t: Translate): string {
  if (typeof r.value !== "number") return r.value === null || r.value === undefined ? "–" : typeof r.value === "string" ? r.value : JSON.stringify(r.value);
  const share = isShare(r.key) && r.value >= 0 && r.value <= 1;
  const interval = r.low !== null && r.high !== null ? intervalText(r.low, r.high, share, r.n ?? 0, language) : "";
  if (share && r.n !== null && r.key.endsWith("accuracy")) {
    const counted = t("score.right", { right: Math.round(r.value * r.n), n: r.n });
    return interval ? `${counted}, ${interval}` : counted;
  }
  const value = share && r.n !== null ? sharePercent(r.value, r.n, language) + "\u00a0%" : number(r.value, language);
  return interval ? `${value}, ${interval}` : value;
}
