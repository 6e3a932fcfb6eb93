// What can come next in a condition on runs: the grammar of `solera runs
// --where`, as far as completion needs it. Whether a condition is right, the
// server says.

import type { Column } from "../../api/contract";

export interface Token {
  kind: "word" | "field" | "text" | "number" | "sign";
  /** As written, quotes and all. */
  raw: string;
  start: number;
  end: number;
  /** A text or a quoted field without its end. */
  open: boolean;
}

const wordLetter = /[\p{L}\p{N}._/:@-]/u;

export function tokens(text: string): Token[] {
  const out: Token[] = [];
  let i = 0;
  while (i < text.length) {
    const c = text[i]!;
    const start = i;
    if (/\s/.test(c)) {
      i++;
      continue;
    }
    if (c === '"' || c === "'") {
      i++;
      let open = true;
      while (i < text.length) {
        if (text[i] === c) {
          if (text[i + 1] === c) {
            i += 2;
            continue;
          }
          open = false;
          i++;
          break;
        }
        i++;
      }
      out.push({ kind: "text", raw: text.slice(start, i), start, end: i, open });
      continue;
    }
    if (wordLetter.test(c) || c === "`" || c === "+") {
      let open = false;
      while (i < text.length) {
        if (text[i] === "`") {
          const close = text.indexOf("`", i + 1);
          if (close < 0) {
            open = true;
            i = text.length;
          } else i = close + 1;
        } else if (wordLetter.test(text[i]!) || text[i] === "+") i++;
        else break;
      }
      const raw = text.slice(start, i);
      const isNumber = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(raw);
      out.push({ kind: isNumber ? "number" : raw.includes("`") ? "field" : "word", raw, start, end: i, open });
      continue;
    }
    i++;
    if (/[<>!=]/.test(c) && (text[i] === "=" || (c === "<" && text[i] === ">"))) i++;
    out.push({ kind: "sign", raw: text.slice(start, i), start, end: i, open: false });
  }
  return out;
}

export type Wanted =
  | { what: "field" }
  | { what: "operator"; field: string }
  | { what: "value"; field: string; list: boolean; like: boolean }
  | { what: "and" };

/** What may stand after these tokens. */
export function wanted(before: Token[]): Wanted {
  let state: Wanted = { what: "field" };
  let between = 0;
  for (const t of before) {
    const word = t.kind === "word" ? t.raw.toLowerCase() : t.kind === "sign" ? t.raw : "";
    switch (state.what) {
      case "field":
        if (word === "not" || word === "(") break;
        if (t.kind === "word" || t.kind === "field") state = { what: "operator", field: plain(t.raw) };
        break;
      case "operator": {
        const field: string = state.field;
        if (word === "not" || word === "is") break;
        if (word === "null") state = { what: "and" };
        else if (word === "in" || word === "(") state = { what: "value", field, list: true, like: false };
        else if (word === "between") {
          between = 2;
          state = { what: "value", field, list: false, like: false };
        } else if (word === "like") state = { what: "value", field, list: false, like: true };
        else if (t.kind === "sign") state = { what: "value", field, list: false, like: false };
        break;
      }
      case "value":
        if (state.list) {
          if (word === ")") state = { what: "and" };
        } else if (between > 0) {
          if (word === "and") break;
          between--;
          if (between === 0) state = { what: "and" };
        } else state = { what: "and" };
        break;
      case "and":
        if (word === "and" || word === "or") state = { what: "field" };
        break;
    }
  }
  return state;
}

function plain(raw: string): string {
  return raw.replaceAll("`", "");
}

/** A field as the grammar takes it: in backquotes where it must be. */
export function quoteField(name: string): string {
  return [...name].every((c) => wordLetter.test(c)) && !/^[+-]?\d/.test(name) && !reserved.has(name.toLowerCase()) ? name : "`" + name + "`";
}

const reserved = new Set(["and", "or", "not", "in", "like", "is", "null", "between", "true", "false", "inf", "infinity", "nan"]);

export function quoteText(text: string): string {
  return '"' + text.replaceAll('"', '""') + '"';
}

export interface Proposal {
  /** What is shown. */
  text: string;
  /** What takes the place of from–to. */
  insert: string;
  kind: "field" | "operator" | "value" | "word";
  /** What is known of it, such as the kind of a column. */
  note?: string;
}

export interface Completion {
  from: number;
  to: number;
  proposals: Proposal[];
}

/** Columns that every run has, with what they may hold. */
export const fixedColumns: Column[] = [
  { name: "name", kind: "text", runs: 0, some: [] },
  { name: "state", kind: "text", runs: 0, some: ["running", "finished", "failed", "killed", "crashed", "pending"] },
  { name: "tags", kind: "text", runs: 0, some: [] },
  { name: "created", kind: "text", runs: 0, some: ["-1h", "-24h", "-7d", "-30d"] },
  { name: "started", kind: "text", runs: 0, some: ["-1h", "-24h", "-7d", "-30d"] },
  { name: "finished", kind: "text", runs: 0, some: ["-1h", "-24h", "-7d", "-30d"] },
  { name: "duration", kind: "number", runs: 0, some: [] },
  { name: "stage", kind: "text", runs: 0, some: [] },
  { name: "experiment", kind: "text", runs: 0, some: [] },
  { name: "group", kind: "text", runs: 0, some: [] },
  { name: "host", kind: "text", runs: 0, some: [] },
  { name: "notes", kind: "text", runs: 0, some: [] },
  { name: "error", kind: "text", runs: 0, some: [] },
  { name: "id", kind: "text", runs: 0, some: [] },
];

const most = 50;

/** What could be written at the cursor. */
export function complete(text: string, cursor: number, columns: Column[]): Completion {
  const all = tokens(text);
  // A token that the cursor touches at its end is being written.
  const current = all.find((t) => t.start < cursor && cursor <= t.end && t.kind !== "sign");
  const before = all.filter((t) => t.end <= cursor && t !== current);
  const want = wanted(before);
  const from = current?.start ?? cursor;
  const to = current?.end ?? cursor;
  const typed = current ? plain(text.slice(current.start, cursor)).replace(/^["']/, "").toLowerCase() : "";
  const known = new Map([...fixedColumns, ...columns].map((c) => [c.name, c]));
  const rest = text.slice(to);
  const space = rest.startsWith(" ") ? "" : " ";
  const fit = (list: Proposal[]) =>
    list
      .map((p) => ({ p, rank: rank(p.text.toLowerCase(), typed) }))
      .filter((r) => r.rank >= 0)
      .sort((a, b) => a.rank - b.rank)
      .slice(0, most)
      .map((r) => r.p);
  switch (want.what) {
    case "field":
      return {
        from, to,
        proposals: fit([...known.values()].map((c) => ({ text: c.name, insert: quoteField(c.name) + space, kind: "field", note: c.kind }))),
      };
    case "operator": {
      // A field that is still being written has no space after it: then the
      // cursor is in it, and current is set.
      const kind = known.get(want.field)?.kind ?? "mixed";
      const ops = kind === "number" ? [">", ">=", "<", "<=", "=", "!=", "between", "is null", "is not null"]
        : kind === "bool" ? ["=", "!=", "is null", "is not null"]
        : ["=", "!=", "in (", "like", "not like", ">", "<", "is null", "is not null"];
      return { from, to, proposals: fit(ops.map((o) => ({ text: o, insert: o.endsWith("(") ? o : o + space, kind: "operator" }))) };
    }
    case "value": {
      const column = known.get(want.field);
      const values: Proposal[] = column?.kind === "bool"
        ? ["true", "false"].map((v) => ({ text: v, insert: v + space, kind: "value" }))
        : (column?.some ?? []).map((v) => ({ text: v, insert: (want.like ? quoteText("%" + v + "%") : quoteText(v)) + (want.list ? "" : space), kind: "value" }));
      const list: Proposal[] = want.list && current === undefined && before.at(-1)?.raw !== "(" && before.at(-1)?.raw !== ","
        ? [{ text: ",", insert: ", ", kind: "word" }, { text: ")", insert: ")" + space, kind: "word" }]
        : [];
      return { from, to, proposals: [...fit(list.length > 0 ? [] : values), ...list] };
    }
    case "and":
      return { from, to, proposals: fit(["and", "or"].map((o) => ({ text: o, insert: o + space, kind: "word" }))) };
  }
}

// Beginnings first, then beginnings of a part (accuracy of summary.val.accuracy),
// then anywhere; -1 does not fit.
function rank(text: string, typed: string): number {
  if (typed === "") return 0;
  if (text === typed) return 1;
  if (text.startsWith(typed)) return 2;
  const i = text.indexOf(typed);
  if (i < 0) return -1;
  return /[./_-]/.test(text[i - 1] ?? "") ? 3 : 4;
}

/**
 * Where in the condition a fault is, from the words of the server: "… <-- here"
 * comes after what was read, and :LINE:COL: may come before.
 */
export function faultAt(message: string, text: string): { start: number; end: number } | undefined {
  const place = /line (\d+), column (\d+):/.exec(message) ?? /(?:^|\D)(\d+):(\d+):/.exec(message);
  const shown = /[a-z]: (…?)("?)(.*?)\s*<-- here/s.exec(message);
  let end: number | undefined;
  if (shown) {
    const seen = shown[3]!.replace(/\\"/g, '"').replace(/\\\\/g, "\\");
    const i = shown[1] ? text.indexOf(seen) : text.startsWith(seen) ? 0 : text.indexOf(seen);
    if (i >= 0) end = i + seen.length;
  }
  if (place) {
    const [line, column] = [Number(place[1]), Number(place[2])];
    const lines = text.split("\n");
    const start = Math.min(text.length, lines.slice(0, line - 1).reduce((n, l) => n + l.length + 1, 0) + [...(lines[line - 1] ?? "")].slice(0, column - 1).join("").length);
    return { start, end: end !== undefined && end > start ? end : Math.min(text.length, start + 1) };
  }
  if (end !== undefined) return { start: Math.max(0, tokens(text.slice(0, end)).at(-1)?.start ?? end), end };
  return undefined;
}
