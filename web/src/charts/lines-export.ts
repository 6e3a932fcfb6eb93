// The chart of lines on paper: as SVG, and as a table.

import { number } from "../format";
import type { Translate } from "../i18n";
import { axis, at, surround, SvgPath, trace } from "./draw";
import type { Twin } from "./export";
import type { Ink } from "./ink";
import { viewOf, type Line, type Range } from "./lines";
import { numberScale } from "./scale";

const escape = (s: string) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]!);

interface Drawing {
  lines: Line[];
  title: string;
  xName: string;
  logX: boolean;
  logY: boolean;
  range: Range | undefined;
  formatX: (x: number) => string;
  language: string;
  ink: Ink;
  width?: number;
  height?: number;
}

/** The drawing with title, axes and a legend, on its own. */
export function linesSvg({ lines, title, xName, logX, logY, range, formatX, language, ink, width = 800, height = 420 }: Drawing): string {
  const view = viewOf(lines, logX, logY, range);
  const legend = lines.slice(0, 60);
  const perRow = Math.max(1, Math.floor((width - 32) / 190));
  const rows = Math.ceil(legend.length / perRow);
  const box = { left: 68, right: width - 16, top: 40, bottom: height - 44 };
  const whole = height + rows * 18 + 8;
  const x = axis(view.x[0], view.x[1], box.left, box.right, logX);
  const y = axis(view.y[0], view.y[1], box.bottom, box.top, logY);
  const ticksX = numberScale(view.x, { log: logX }).ticks(7);
  const ticksY = numberScale(view.y, { log: logY }).ticks(6);
  const text = (px: number, py: number, s: string, more = "") => `<text x="${px.toFixed(1)}" y="${py.toFixed(1)}" fill="${ink.dim}" font-size="11" ${more}>${escape(s)}</text>`;
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${whole}" viewBox="0 0 ${width} ${whole}" font-family="system-ui, sans-serif">`,
    `<rect width="100%" height="100%" fill="${ink.ground}"/>`,
    `<text x="16" y="24" fill="${ink.text}" font-size="15" font-weight="600">${escape(title)}</text>`,
    `<clipPath id="box"><rect x="${box.left}" y="${box.top}" width="${box.right - box.left}" height="${box.bottom - box.top}"/></clipPath>`,
  ];
  for (const v of ticksY) {
    const p = at(y, v);
    if (p < box.top - 1 || p > box.bottom + 1) continue;
    out.push(`<line x1="${box.left}" x2="${box.right}" y1="${p.toFixed(1)}" y2="${p.toFixed(1)}" stroke="${ink.grid}"/>`, text(box.left - 8, p + 4, number(v, language, 5), 'text-anchor="end"'));
  }
  for (const v of ticksX) {
    const p = at(x, v);
    if (p < box.left - 1 || p > box.right + 1) continue;
    out.push(`<line x1="${p.toFixed(1)}" x2="${p.toFixed(1)}" y1="${box.bottom}" y2="${box.bottom + 4}" stroke="${ink.grid}"/>`, text(p, box.bottom + 17, formatX(v), 'text-anchor="middle"'));
  }
  out.push(text((box.left + box.right) / 2, box.bottom + 34, xName, 'text-anchor="middle"'), '<g clip-path="url(#box)" fill="none" stroke-linejoin="round">');
  for (const l of lines) {
    if (l.band) {
      const p = new SvgPath();
      surround(p, l.xs, l.band.low, l.band.high, x, y);
      out.push(`<path d="${String(p)}" fill="${l.pen.colour}" fill-opacity="0.16"/>`);
    }
    if (l.raw) {
      const p = new SvgPath();
      trace(p, l.xs, l.raw, x, y);
      out.push(`<path d="${String(p)}" stroke="${l.pen.colour}" stroke-opacity="0.25"/>`);
    }
    const p = new SvgPath();
    trace(p, l.xs, l.ys, x, y);
    out.push(`<path d="${String(p)}" stroke="${l.pen.colour}" stroke-width="1.5"${dash(l.pen.dash)}/>`);
  }
  out.push("</g>");
  legend.forEach((l, i) => {
    const px = 16 + (i % perRow) * 190;
    const py = height + Math.floor(i / perRow) * 18;
    out.push(
      `<line x1="${px}" x2="${px + 18}" y1="${py}" y2="${py}" stroke="${l.pen.colour}" stroke-width="2.5"${dash(l.pen.dash)}/>`,
      text(px + 24, py + 4, l.label.length > 26 ? l.label.slice(0, 25) + "…" : l.label),
    );
  });
  out.push("</svg>");
  return out.join("\n");
}

const dash = (d: number[]) => (d.length > 0 ? ` stroke-dasharray="${d.join(" ")}"` : "");

/** A row for each x, a column for each line; where a line has no point, nothing. */
export function linesTwin(lines: Line[], xName: string, t: Translate): Twin {
  const columns = [xName];
  const cells: { l: Line; get: (i: number) => number }[] = [];
  for (const l of lines) {
    columns.push(l.label);
    cells.push({ l, get: (i) => l.ys[i]! });
    if (l.raw) {
      const raw = l.raw;
      columns.push(t("lines.raw", { label: l.label }));
      cells.push({ l, get: (i) => raw[i]! });
    }
    if (l.band) {
      const { low, high } = l.band;
      columns.push(t("lines.low", { label: l.label }), t("lines.high", { label: l.label }));
      cells.push({ l, get: (i) => low[i]! }, { l, get: (i) => high[i]! });
    }
  }
  const rows = new Map<number, (number | undefined)[]>();
  cells.forEach(({ l, get }, c) => {
    for (let i = 0; i < l.xs.length; i++) {
      const x = l.xs[i]!;
      let row = rows.get(x);
      if (!row) rows.set(x, (row = new Array<number | undefined>(cells.length)));
      row[c] = get(i);
    }
  });
  return { columns, rows: [...rows].sort((a, b) => a[0] - b[0]).map(([x, row]) => [x, ...row]) };
}
