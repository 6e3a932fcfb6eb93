// How numbers, times and sizes are written, in one place. All functions are
// pure; the language comes in.

export type Shown = number | string | boolean | null | undefined;

/** A number with the digits that a person can use: 4 significant, no noise. */
export function number(x: number, language: string, digits = 4): string {
  if (Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  if (Number.isInteger(x) && Math.abs(x) < 1e15) return new Intl.NumberFormat(language).format(x);
  const size = Math.abs(x);
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return Number(x.toPrecision(digits)).toExponential().replace("-", "−").replace("e−", "e−");
  return new Intl.NumberFormat(language, { maximumSignificantDigits: digits }).format(x);
}

/** A share as a percentage: 0.9444 is 94.4 %. */
export function percent(x: number, language: string): string {
  return new Intl.NumberFormat(language, { style: "percent", maximumFractionDigits: 1 }).format(x);
}

/** Bytes in binary units. */
export function bytes(n: number, language: string): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (n >= 1024 && unit < units.length - 1) {
    n /= 1024;
    unit++;
  }
  const digits = unit === 0 || n >= 100 ? 0 : 1;
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits }).format(n) + " " + units[unit];
}

/** Seconds as 0.21 s, 48 s, 3 min 12 s, 2 h 5 min. */
export function duration(seconds: number, language: string): string {
  if (seconds < 10) return new Intl.NumberFormat(language, { maximumSignificantDigits: 2 }).format(seconds) + " s";
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

/** A moment as date and time of the reader's own zone. */
export function moment(time: string | null | undefined, language: string): string {
  if (!time) return "";
  return new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "medium" }).format(new Date(time));
}

/** Any free value as text for a cell. */
export function shown(v: unknown, language: string): string {
  switch (typeof v) {
    case "number":
      return number(v, language);
    case "string":
      return v;
    case "boolean":
      return v ? "true" : "false";
    case "undefined":
      return "";
    default:
      return v === null ? "" : JSON.stringify(v);
  }
}

/** How long ago a moment was, in words: just now, 3 minutes ago, or the date when it is long past. */
export function ago(time: string, now: number, t: (key: "time.now" | "time.minutes" | "time.hours" | "time.days", values?: { n: number }) => string): string {
  const seconds = Math.max(0, (now - Date.parse(time)) / 1000);
  if (seconds < 60) return t("time.now");
  if (seconds < 3600) return t("time.minutes", { n: Math.floor(seconds / 60) });
  if (seconds < 86400) return t("time.hours", { n: Math.floor(seconds / 3600) });
  return t("time.days", { n: Math.floor(seconds / 86400) });
}

/** Whether a client keeps something for itself: its name, without what it is of, begins with _. */
export function internal(name: string): boolean {
  return /^(summary\.|params\.)?_/.test(name);
}

/** A number of the API, in which JSON's lacks are null and texts. */
export function real(x: number | null | string | undefined): number {
  if (typeof x === "number") return x;
  return x === "Infinity" ? Infinity : x === "-Infinity" ? -Infinity : NaN;
}
