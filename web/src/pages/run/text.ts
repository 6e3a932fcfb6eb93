// Texts that programs wrote, made safe to look at.

/**
 * The text with everything that would not show, or would change how the rest
 * shows, made visible: control characters in the way of terminals (an escape
 * is ^[), signs that turn the direction of writing as their numbers.
 */
export function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/g, (c) => {
    const code = c.charCodeAt(0);
    if (code < 0x20) return "^" + String.fromCharCode(0x40 + code);
    if (code === 0x7f) return "^?";
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

export type DiffKind = "file" | "hunk" | "added" | "removed" | "same" | "note";

export interface DiffLine {
  kind: DiffKind;
  text: string;
}

/** The lines of a patch, each with what it is. */
export function diffLines(patch: string): DiffLine[] {
  const out: DiffLine[] = [];
  let within = false; // a hunk, where --- and +++ are lines like others
  let left = 0;
  let right = 0;
  for (const text of patch.replace(/\r?\n$/, "").split(/\r?\n/)) {
    const hunk = /^@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@/.exec(text);
    if (hunk) {
      within = true;
      left = Number(hunk[1] ?? 1);
      right = Number(hunk[2] ?? 1);
      out.push({ kind: "hunk", text });
    } else if (within && left + right > 0 && /^[-+ ]|^$/.test(text)) {
      const kind = text.startsWith("+") ? "added" : text.startsWith("-") ? "removed" : "same";
      if (kind !== "added") left--;
      if (kind !== "removed") right--;
      out.push({ kind, text });
    } else if (text.startsWith("\\")) {
      out.push({ kind: "note", text });
    } else {
      within = false;
      out.push({ kind: /^(diff |--- |\+\+\+ )/.test(text) ? "file" : "note", text });
    }
  }
  return out;
}

/** Where a search hits: indices of lines whose text holds it, in either case. */
export function hits(lines: { text: string }[], search: string): number[] {
  const want = search.toLowerCase();
  if (want === "") return [];
  const out: number[] = [];
  for (let i = 0; i < lines.length; i++) if (lines[i]!.text.toLowerCase().includes(want)) out.push(i);
  return out;
}

/** A text cut where the search hits, so that hits can be marked: every odd piece is one. */
export function pieces(text: string, search: string): string[] {
  if (search === "") return [text];
  const out: string[] = [];
  const low = text.toLowerCase();
  const want = search.toLowerCase();
  // Some letters change length in lower case; then nothing is marked.
  if (low.length !== text.length) return [text];
  let at = 0;
  for (let i = low.indexOf(want); i >= 0; i = low.indexOf(want, at)) {
    out.push(text.slice(at, i), text.slice(i, i + want.length));
    at = i + want.length;
  }
  out.push(text.slice(at));
  return out;
}

/** A command as one would type it. */
export function commandLine(words: unknown): string {
  if (typeof words === "string") return words;
  if (!Array.isArray(words)) return "";
  return words.map((w) => (/^[\w@%+=:,./-]+$/.test(String(w)) ? String(w) : "'" + String(w).replaceAll("'", "'\\''") + "'")).join(" ");
}
