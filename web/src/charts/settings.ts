// How charts are shown, as texts of the address.

import type { Query } from "../query";
import type { Spread, XAxis } from "./series";
import type { Smoothing } from "./smooth";

export interface ChartSettings {
  x: XAxis;
  smoothing: Smoothing;
  logX: boolean;
  logY: boolean;
  /** All charts show the same stretch. */
  sync: boolean;
  spread: Spread;
  /** Only metrics with this in their name. */
  find: string;
  pinned: string[];
}

const within = (text: string | undefined, low: number, high: number, otherwise: number) => {
  const v = Number(text);
  return text !== undefined && text !== "" && Number.isFinite(v) ? Math.min(high, Math.max(low, v)) : otherwise;
};

export function readSmoothing(text: string | undefined): Smoothing {
  const [kind, amount] = (text ?? "").split(":");
  switch (kind) {
    case "ema":
      return { kind: "ema", weight: within(amount, 0, 0.999, 0.6) };
    case "mean":
      return { kind: "mean", window: Math.round(within(amount, 1, 999, 9)) };
    case "gauss":
      return { kind: "gaussian", sigma: within(amount, 0.1, 200, 2) };
  }
  return { kind: "none" };
}

export function writeSmoothing(s: Smoothing): string {
  switch (s.kind) {
    case "none":
      return "";
    case "ema":
      return `ema:${s.weight}`;
    case "mean":
      return `mean:${s.window}`;
    case "gaussian":
      return `gauss:${s.sigma}`;
  }
}

/** Names in one text; a comma within a name is doubled by a backslash. */
export function writeList(names: readonly string[]): string {
  return names.map((n) => n.replace(/[\\,]/g, (c) => "\\" + c)).join(",");
}

export function readList(text: string | undefined): string[] {
  if (!text) return [];
  const out: string[] = [];
  let one = "";
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\" && i + 1 < text.length) one += text[++i];
    else if (text[i] === ",") {
      out.push(one);
      one = "";
    } else one += text[i];
  }
  out.push(one);
  return out.filter((n) => n !== "");
}

export function readSettings(q: Query): ChartSettings {
  const x = q.x ?? "";
  return {
    x: x === "relative" || x === "wall" || x.startsWith("metric:") ? (x as XAxis) : "step",
    smoothing: readSmoothing(q.smooth),
    logX: q.log === "x" || q.log === "xy",
    logY: q.log === "y" || q.log === "xy",
    sync: q.sync === "on",
    spread: q.band === "sd" || q.band === "ci" ? q.band : "range",
    find: q.find ?? "",
    pinned: readList(q.pin),
  };
}

/** The part of the address that says a change; what is usual is not said. */
export function writeSettings(old: ChartSettings, change: Partial<ChartSettings>): Query {
  const s = { ...old, ...change };
  return {
    x: s.x === "step" ? "" : s.x,
    smooth: writeSmoothing(s.smoothing),
    log: (s.logX ? "x" : "") + (s.logY ? "y" : ""),
    sync: s.sync ? "on" : "",
    band: s.spread === "range" ? "" : s.spread,
    find: s.find,
    pin: writeList(s.pinned),
  };
}
