import { Box, Text, useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useEffect, useMemo, useRef, useState } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "../format";
import { useSpeech } from "../i18n";
import type { Pen } from "./colour";

/** One line of a chart: ascending xs and a y for each (NaN is a gap). */
export interface Line {
  id: string;
  label: string;
  pen: Pen;
  xs: ArrayLike<number>;
  ys: ArrayLike<number>;
  /** The line before smoothing, drawn pale behind. */
  raw?: ArrayLike<number> | undefined;
  /** Lowest and highest at each x, as a band. */
  band?: { low: ArrayLike<number>; high: ArrayLike<number> } | undefined;
}

export interface Range {
  from: number;
  to: number;
}

interface Props {
  lines: Line[];
  label: string;
  height?: number;
  logX?: boolean;
  logY?: boolean;
  /** How an x is written on the axis and in the tip. */
  formatX?: (x: number) => string;
  range?: Range | undefined;
  /** A stretch was chosen with the mouse; undefined: show all again. */
  onRange?: (range: Range | undefined) => void;
  /** The line under the pointer, to light it up elsewhere too. */
  onFocus?: (id: string | undefined) => void;
  focus?: string | undefined;
}

interface Near {
  id: string;
  label: string;
  pen: Pen;
  x: number;
  y: number;
}

/** Index of the x nearest to x in ascending xs. */
export function nearest(xs: ArrayLike<number>, x: number): number {
  let low = 0;
  let high = xs.length - 1;
  while (high - low > 1) {
    const mid = (low + high) >> 1;
    if (xs[mid]! < x) low = mid;
    else high = mid;
  }
  return Math.abs(xs[low]! - x) <= Math.abs(xs[high]! - x) ? low : high;
}

/** The lowest and highest finite value, of positive ones only for a logarithmic axis. */
export function extent(arrays: Iterable<ArrayLike<number>>, log: boolean): [number, number] | undefined {
  let low = Infinity;
  let high = -Infinity;
  for (const a of arrays) {
    for (let i = 0; i < a.length; i++) {
      const v = a[i]!;
      if (!Number.isFinite(v) || (log && v <= 0)) continue;
      if (v < low) low = v;
      if (v > high) high = v;
    }
  }
  return low <= high ? [low, high] : undefined;
}

function pad([low, high]: [number, number], log: boolean): [number, number] {
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.05, high * 1.05];
  const space = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * 0.05;
  return [low - space, high + space];
}

/**
 * Lines over a common x. Each line has xs of its own: thinned lines keep the
 * points that matter to them, and bringing 200 of them onto one grid would cost
 * more than drawing. So uPlot gives axes, zoom and cursor, and the lines are
 * drawn into its canvas here.
 */
export function Lines(props: Props) {
  const { lines, label, height = 260, logX = false, logY = false, range, focus } = props;
  const { language } = useSpeech();
  const dark = useComputedColorScheme("light") === "dark";
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(props);
  latest.current = props;
  const [near, setNear] = useState<{ at: Near[]; left: number } | null>(null);

  const xExtent = useMemo(() => extent(lines.map((l) => l.xs), logX), [lines, logX]);
  const yExtent = useMemo(() => {
    const within = lines.flatMap((l) => (l.band ? [l.ys, l.band.low, l.band.high] : [l.ys]));
    if (!range) return extent(within, logY);
    return extent(
      lines.map((l) => {
        const inside: number[] = [];
        for (let i = 0; i < l.xs.length; i++) if (l.xs[i]! >= range.from && l.xs[i]! <= range.to) inside.push(l.ys[i]!);
        return inside;
      }),
      logY,
    );
  }, [lines, logY, range]);

  useEffect(() => {
    if (!host.current || width === 0) return;
    const ink = dark ? "#c9c9c9" : "#555";
    const grid = { stroke: dark ? "#3a3a3a" : "#e6e6e6", width: 1 };
    const x = latest.current.formatX ?? ((v: number) => number(v, language, 6));
    const options: uPlot.Options = {
      width,
      height,
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
      scales: {
        x: { time: false, distr: logX ? 3 : 1, range: () => visibleX() },
        y: { distr: logY ? 3 : 1, range: () => visibleY() },
      },
      axes: [
        { stroke: ink, grid, ticks: grid, values: (_, vs) => vs.map((v) => (v === null ? "" : x(v))) },
        { stroke: ink, grid, ticks: grid, size: 64, values: (_, vs) => vs.map((v) => (v === null ? "" : number(v, language))) },
      ],
      series: [{}, { show: false }],
      hooks: {
        draw: [(u) => draw(u, latest.current)],
        setCursor: [(u) => setNear(under(u, latest.current))],
        setSelect: [
          (u) => {
            if (u.select.width < 4) return;
            const from = u.posToVal(u.select.left, "x");
            const to = u.posToVal(u.select.left + u.select.width, "x");
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            latest.current.onRange?.({ from, to });
          },
        ],
      },
    };
    const visibleX = (): [number, number] => {
      const p = latest.current;
      if (p.range) return [p.range.from, p.range.to];
      const e = extents.current.x ?? [p.logX ? 1 : 0, p.logX ? 10 : 1];
      return e[0] === e[1] ? pad(e, p.logX ?? false) : e;
    };
    const visibleY = (): [number, number] => pad(extents.current.y ?? [latest.current.logY ? 0.1 : 0, 1], latest.current.logY ?? false);
    const u = new uPlot(options, [[0, 1], [null, null]], host.current);
    plot.current = u;
    const out = () => setNear(null);
    const all = () => latest.current.onRange?.(undefined);
    u.over.addEventListener("mouseleave", out);
    u.over.addEventListener("dblclick", all);
    return () => {
      u.over.removeEventListener("mouseleave", out);
      u.over.removeEventListener("dblclick", all);
      u.destroy();
      plot.current = null;
    };
    // The plot is made anew when its frame changes; new data only redraws.
  }, [width, height, dark, logX, logY, language]);

  const extents = useRef<{ x: [number, number] | undefined; y: [number, number] | undefined }>({ x: undefined, y: undefined });
  extents.current = { x: xExtent, y: yExtent };

  useEffect(() => {
    const u = plot.current;
    if (!u) return;
    // Data of two points makes uPlot ask for the ranges again.
    u.setData([xExtent ?? [0, 1], [null, null]], true);
  }, [lines, range, focus, xExtent, yExtent, width, height, dark, logX, logY, language]);

  return (
    <Box ref={ref} pos="relative" role="img" aria-label={label} mih={height}>
      <div ref={host} />
      {near && near.at.length > 0 && <Tip near={near} width={width} {...(props.formatX ? { formatX: props.formatX } : {})} />}
    </Box>
  );
}

function Tip({ near, width, formatX }: { near: { at: Near[]; left: number }; width: number; formatX?: (x: number) => string }) {
  const { language } = useSpeech();
  const most = 12;
  const right = near.left > width / 2;
  return (
    <Box
      pos="absolute"
      top={8}
      p={6}
      bg="var(--mantine-color-body)"
      bd="1px solid var(--mantine-color-default-border)"
      style={{ pointerEvents: "none", zIndex: 5, borderRadius: 4, [right ? "right" : "left"]: right ? width - near.left + 16 : near.left + 76 }}
    >
      <Text size="xs" c="dimmed">
        {(formatX ?? ((x: number) => number(x, language, 6)))(near.at[0]!.x)}
      </Text>
      {near.at.slice(0, most).map((n) => (
        <Text key={n.id} size="xs" style={{ display: "flex", gap: 6, justifyContent: "space-between" }}>
          <span>
            <span aria-hidden style={{ color: n.pen.colour }}>
              ●{" "}
            </span>
            {n.label}
          </span>
          <b>{number(n.y, language)}</b>
        </Text>
      ))}
      {near.at.length > most && (
        <Text size="xs" c="dimmed">
          +{near.at.length - most}
        </Text>
      )}
    </Box>
  );
}

// What is under the pointer: of every line the point nearest to its x, the
// highest first.
function under(u: uPlot, { lines }: Props): { at: Near[]; left: number } | null {
  const left = u.cursor.left ?? -1;
  if (left < 0) return null;
  const x = u.posToVal(left, "x");
  const at: Near[] = [];
  for (const l of lines) {
    if (l.xs.length === 0) continue;
    const i = nearest(l.xs, x);
    const y = l.ys[i]!;
    if (Number.isFinite(y)) at.push({ id: l.id, label: l.label, pen: l.pen, x: l.xs[i]!, y });
  }
  at.sort((a, b) => b.y - a.y);
  return { at, left };
}

function draw(u: uPlot, { lines, focus }: Props): void {
  const c = u.ctx;
  const box = u.bbox;
  c.save();
  c.beginPath();
  c.rect(box.left, box.top, box.width, box.height);
  c.clip();
  c.lineJoin = "round";
  const ratio = window.devicePixelRatio || 1;
  for (const l of lines) {
    if (l.band) {
      c.globalAlpha = 0.15;
      c.fillStyle = l.pen.colour;
      c.fill(area(u, l.xs, l.band.low, l.band.high));
    }
    c.strokeStyle = l.pen.colour;
    c.setLineDash(l.pen.dash.map((d) => d * ratio));
    if (l.raw) {
      c.globalAlpha = 0.2;
      c.lineWidth = ratio;
      c.stroke(path(u, l.xs, l.raw));
    }
    c.globalAlpha = focus !== undefined && focus !== l.id ? 0.25 : 1;
    c.lineWidth = (focus === l.id ? 2.5 : 1.5) * ratio;
    c.stroke(path(u, l.xs, l.ys));
    if (l.xs.length === 1) dot(u, c, l.xs[0]!, l.ys[0]!, l.pen.colour, 3 * ratio);
  }
  c.restore();
}

function path(u: uPlot, xs: ArrayLike<number>, ys: ArrayLike<number>): Path2D {
  const p = new Path2D();
  let open = false;
  for (let i = 0; i < xs.length; i++) {
    const y = ys[i]!;
    if (!Number.isFinite(y)) {
      open = false;
      continue;
    }
    const px = u.valToPos(xs[i]!, "x", true);
    const py = u.valToPos(y, "y", true);
    if (open) p.lineTo(px, py);
    else p.moveTo(px, py);
    open = true;
  }
  return p;
}

function area(u: uPlot, xs: ArrayLike<number>, low: ArrayLike<number>, high: ArrayLike<number>): Path2D {
  const p = new Path2D();
  for (let i = 0; i < xs.length; i++) p.lineTo(u.valToPos(xs[i]!, "x", true), u.valToPos(high[i]!, "y", true));
  for (let i = xs.length - 1; i >= 0; i--) p.lineTo(u.valToPos(xs[i]!, "x", true), u.valToPos(low[i]!, "y", true));
  p.closePath();
  return p;
}

function dot(u: uPlot, c: CanvasRenderingContext2D, x: number, y: number, colour: string, size: number): void {
  if (!Number.isFinite(y)) return;
  c.fillStyle = colour;
  c.beginPath();
  c.arc(u.valToPos(x, "x", true), u.valToPos(y, "y", true), size, 0, 2 * Math.PI);
  c.fill();
}
