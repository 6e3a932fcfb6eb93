import { Box, Text, useComputedColorScheme } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useCallback, useEffect, useId, useMemo, useRef, useState, type KeyboardEvent } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { number } from "../format";
import { useSpeech } from "../i18n";
import type { Pen } from "./colour";
import { axis, at as placeOf, extent, extentX, nearest, pad, surround, trace } from "./draw";
import css from "./lines.module.css";
import { numberScale, ticks } from "./scale";

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
  /** What the tip says of an x, such as "step 12". */
  tellX?: (x: number) => string;
  range?: Range | undefined;
  /** A stretch was chosen; undefined: show all again. */
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

interface Reading {
  x: number;
  left: number;
  at: Near[];
  /** The line that the pointer is closest to. */
  closest: string | undefined;
}

/** What is shown of each axis. */
export function viewOf(lines: Line[], logX: boolean, logY: boolean, range: Range | undefined): { x: [number, number]; y: [number, number] } {
  const bands = lines.flatMap((l) => (l.band ? [{ xs: l.xs, ys: l.band.low }, { xs: l.xs, ys: l.band.high }] : []));
  const x = range ? ([range.from, range.to] as [number, number]) : (extentX(lines, logX) ?? [logX ? 1 : 0, logX ? 10 : 1]);
  const y = pad(extent([...lines, ...bands], logY, range) ?? [logY ? 0.1 : 0, 1], logY);
  return { x: x[0] === x[1] ? pad(x, logX) : x, y };
}

/**
 * Lines over a common x. Each line has xs of its own: thinned lines keep the
 * points that matter to them, and bringing 200 of them onto one grid would cost
 * more than drawing. So uPlot gives axes, zoom and cursor, and the lines are
 * drawn into its canvas here.
 */
export function Lines(props: Props) {
  const { lines, label, height = 220, logX = false, logY = false, range, focus } = props;
  const { t, language } = useSpeech();
  const dark = useComputedColorScheme("light") === "dark";
  const { ref, width } = useElementSize();
  const host = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const [reading, setReading] = useState<Reading | null>(null);
  const [spoken, setSpoken] = useState("");
  const help = useId();
  const view = useMemo(() => viewOf(lines, logX, logY, range), [lines, logX, logY, range]);
  const latest = useRef({ ...props, view });
  latest.current = { ...props, view };
  const tell = useCallback((x: number) => (latest.current.tellX ?? latest.current.formatX ?? ((v: number) => number(v, language, 6)))(x), [language]);

  useEffect(() => {
    if (!host.current || width === 0) return;
    const ink = dark ? "#b8b8b8" : "#5c5c5c";
    const grid = { stroke: dark ? "#3a3a3a" : "#ececec", width: 1 };
    const font = "11px system-ui, sans-serif";
    const writeX = (v: number) => (latest.current.formatX ?? ((x: number) => number(x, language, 6)))(v);
    const options: uPlot.Options = {
      width,
      height,
      padding: [8, 22, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: true, y: false, setScale: false }, points: { show: false }, y: false },
      scales: {
        x: { time: false, distr: logX ? 3 : 1, range: () => latest.current.view.x },
        y: { distr: logY ? 3 : 1, range: () => latest.current.view.y },
      },
      axes: [
        { stroke: ink, grid: { show: false }, ticks: { ...grid, size: 4 }, font, size: 28, space: 50, ...(logX ? { splits: (_u: uPlot, _i: number, low: number, high: number) => marks(low, high, width / 80) } : {}), values: (_, vs) => vs.map((v) => (v === null ? "" : writeX(v))) },
        { stroke: ink, grid, ticks: { show: false }, font, size: 56, gap: 6, space: 32, ...(logY ? { splits: (_u: uPlot, _i: number, low: number, high: number) => marks(low, high, height / 40) } : {}), values: (_, vs) => vs.map((v) => (v === null ? "" : number(v, language, 5))) },
      ],
      series: [{}, { show: false }],
      hooks: {
        draw: [(u) => draw(u, latest.current)],
        setCursor: [
          (u) => {
            const r = under(u, latest.current.lines);
            setReading(r);
            latest.current.onFocus?.(r?.closest);
          },
        ],
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
    const u = new uPlot(options, [[0, 1], [null, null]], host.current);
    plot.current = u;
    const out = () => {
      setReading(null);
      latest.current.onFocus?.(undefined);
    };
    const all = () => latest.current.onRange?.(undefined);
    // uPlot hears the mouse alone. A finger moves the cursor; the page still
    // scrolls up and down under it.
    const touch = (e: PointerEvent) => {
      if (e.pointerType === "mouse") return;
      const box = u.over.getBoundingClientRect();
      u.setCursor({ left: e.clientX - box.left, top: e.clientY - box.top });
    };
    u.over.addEventListener("mouseleave", out);
    u.over.addEventListener("dblclick", all);
    u.over.addEventListener("pointerdown", touch);
    u.over.addEventListener("pointermove", touch);
    return () => {
      u.destroy();
      plot.current = null;
    };
    // The plot is made anew when its frame changes; new data only redraws.
  }, [width, height, dark, logX, logY, language]);

  useEffect(() => {
    plot.current?.setData([view.x, [null, null]], true);
  }, [view, focus, width, height, dark, logX, logY, language]);

  const leave = () => {
    setReading(null);
    setSpoken("");
    plot.current?.setCursor({ left: -10, top: -10 });
  };
  // With the keyboard one walks from point to point of one line, and from
  // line to line; what is there is said.
  const walk = (e: KeyboardEvent) => {
    const u = plot.current;
    if (!u || e.ctrlKey || e.metaKey || e.altKey || lines.length === 0) return;
    const chosen = lines.find((l) => l.id === (reading?.closest ?? focus)) ?? lines[0]!;
    const speak = (x: number, line: Line) => {
      const left = placeOf(axis(view.x[0], view.x[1], 0, u.over.clientWidth, logX), x);
      const at = readAt(lines, x);
      setReading({ x, left, at, closest: line.id });
      latest.current.onFocus?.(line.id);
      const mine = at.find((n) => n.id === line.id);
      const others = at.filter((n) => n.id !== line.id).slice(0, 4);
      setSpoken([tell(x), ...[...(mine ? [mine] : []), ...others].map((n) => `${n.label}: ${number(n.y, language)}`)].join("; "));
    };
    const i = reading ? nearest(chosen.xs, reading.x) : -1;
    const step = e.shiftKey ? 10 : 1;
    const last = chosen.xs.length - 1;
    const go = (k: number) => speak(chosen.xs[Math.max(0, Math.min(last, k))]!, chosen);
    switch (e.key) {
      case "ArrowRight":
        go(i + step);
        break;
      case "ArrowLeft":
        go(i < 0 ? last : i - step);
        break;
      case "Home":
        go(0);
        break;
      case "End":
        go(last);
        break;
      case "ArrowUp":
      case "ArrowDown": {
        const x = reading?.x ?? chosen.xs[0] ?? 0;
        const order = readAt(lines, x);
        const k = order.findIndex((n) => n.id === chosen.id);
        const next = order[Math.max(0, Math.min(order.length - 1, k + (e.key === "ArrowUp" ? -1 : 1)))];
        const line = lines.find((l) => l.id === next?.id);
        if (line) speak(x, line);
        break;
      }
      case "+":
      case "-": {
        const middle = reading?.x ?? (view.x[0] + view.x[1]) / 2;
        const half = ((view.x[1] - view.x[0]) / 2) * (e.key === "+" ? 0.5 : 2);
        const whole = extentX(lines, logX);
        const next = { from: middle - half, to: middle + half };
        props.onRange?.(whole && next.from <= whole[0] && next.to >= whole[1] ? undefined : next);
        break;
      }
      case "0":
        props.onRange?.(undefined);
        break;
      case "Escape":
        leave();
        return;
      default:
        return;
    }
    e.preventDefault();
    e.stopPropagation();
  };

  return (
    <Box ref={ref} className={css.chart} role="group" aria-roledescription={t("lines.chart")} aria-label={label} aria-describedby={help} tabIndex={0} mih={height} onKeyDown={walk} onBlur={leave}>
      <div ref={host} aria-hidden />
      <span id={help} hidden>
        {t("lines.help")}
      </span>
      <span className={css.spoken} aria-live="polite">
        {spoken}
      </span>
      {reading && reading.at.length > 0 && <Tip reading={reading} width={width} tell={tell} />}
      {reading && <Marker plot={plot.current} reading={reading} view={view} logX={logX} logY={logY} />}
    </Box>
  );
}

// The marks of a logarithmic axis; within one decade those of a plain one.
function marks(low: number, high: number, about: number): number[] {
  return high / low < 10 ? ticks(low, high, about) : numberScale([low, high], { log: true }).ticks(about);
}

const tipRows = 16;

function Tip({ reading, width, tell }: { reading: Reading; width: number; tell: (x: number) => string }) {
  const { t, language } = useSpeech();
  const { at, left, closest } = reading;
  const right = left > width / 2;
  // The rows around the closest line, when not all have room.
  const k = Math.max(0, at.findIndex((n) => n.id === closest));
  const from = at.length <= tipRows ? 0 : Math.max(0, Math.min(at.length - tipRows, k - tipRows / 2));
  return (
    <div className={css.tip} style={right ? { right: Math.max(0, width - left - 40) } : { left: left + 72 }} aria-hidden>
      <Text size="xs" c="dimmed" mb={2}>
        {tell(reading.x)}
      </Text>
      {from > 0 && (
        <Text size="xs" c="dimmed">
          {t("lines.above", { n: from })}
        </Text>
      )}
      {at.slice(from, from + tipRows).map((n) => (
        <div key={n.id} className={css.row} data-closest={n.id === closest || undefined}>
          <PenMark pen={n.pen} />
          <span className={css.name}>{n.label}</span>
          <span className={css.value}>{number(n.y, language)}</span>
        </div>
      ))}
      {at.length > from + tipRows && (
        <Text size="xs" c="dimmed">
          {t("lines.below", { n: at.length - from - tipRows })}
        </Text>
      )}
    </div>
  );
}

/** How a line is drawn: its colour and its dash. */
export function PenMark({ pen, width = 16 }: { pen: Pen; width?: number }) {
  return (
    <svg width={width} height={8} aria-hidden className={css.pen}>
      <line x1={0} x2={width} y1={4} y2={4} stroke={pen.colour} strokeWidth={2.5} strokeDasharray={pen.dash.map((d) => d / 1.6).join(" ")} />
    </svg>
  );
}

// A dot on the closest line.
function Marker({ plot, reading, view, logX, logY }: { plot: uPlot | null; reading: Reading; view: { x: [number, number]; y: [number, number] }; logX: boolean; logY: boolean }) {
  const n = reading.at.find((p) => p.id === reading.closest);
  if (!plot || !n || (logY && n.y <= 0)) return null;
  const over = plot.over;
  const left = over.offsetLeft + placeOf(axis(view.x[0], view.x[1], 0, over.clientWidth, logX), n.x);
  const top = over.offsetTop + placeOf(axis(view.y[0], view.y[1], over.clientHeight, 0, logY), n.y);
  if (!(left >= over.offsetLeft && left <= over.offsetLeft + over.clientWidth)) return null;
  return <div className={css.dot} style={{ left: left - 4, top: top - 4, background: n.pen.colour }} aria-hidden />;
}

// Of every line the point nearest to x, the highest first. A line that has
// nothing near, such as one that ended long before, is left out.
function readAt(lines: Line[], x: number): Near[] {
  const at: Near[] = [];
  for (const l of lines) {
    const i = nearest(l.xs, x);
    if (i < 0) continue;
    const n = l.xs.length;
    const gap = n > 1 ? (l.xs[n - 1]! - l.xs[0]!) / (n - 1) : Infinity;
    if (n > 1 && (x < l.xs[0]! - gap || x > l.xs[n - 1]! + gap)) continue;
    const y = l.ys[i]!;
    if (Number.isFinite(y)) at.push({ id: l.id, label: l.label, pen: l.pen, x: l.xs[i]!, y });
  }
  return at.sort((a, b) => b.y - a.y);
}

function under(u: uPlot, lines: Line[]): Reading | null {
  const left = u.cursor.left ?? -1;
  const top = u.cursor.top ?? -1;
  if (left < 0 || top < 0) return null;
  const x = u.posToVal(left, "x");
  const at = readAt(lines, x);
  if (at.length === 0) return null;
  let closest = at[0]!;
  let best = Infinity;
  for (const n of at) {
    const d = Math.abs(u.valToPos(n.y, "y") - top);
    if (d < best) [best, closest] = [d, n];
  }
  return { x: closest.x, left, at, closest: closest.id };
}

function draw(u: uPlot, { lines, focus, view, logX = false, logY = false }: Props & { view: { x: [number, number]; y: [number, number] } }): void {
  const c = u.ctx;
  const box = u.bbox;
  const x = axis(view.x[0], view.x[1], box.left, box.left + box.width, logX);
  const y = axis(view.y[0], view.y[1], box.top + box.height, box.top, logY);
  const ratio = window.devicePixelRatio || 1;
  const many = lines.length > 40;
  const lit = focus !== undefined && lines.some((l) => l.id === focus);
  c.save();
  c.beginPath();
  c.rect(box.left, box.top, box.width, box.height);
  c.clip();
  // Round joins cost most of the time of a thousand turns.
  c.lineJoin = many ? "bevel" : "round";
  const one = (l: Line) => {
    const pale = lit && focus !== l.id;
    c.strokeStyle = l.pen.colour;
    if (l.band) {
      const p = new Path2D();
      surround(p, l.xs, l.band.low, l.band.high, x, y);
      c.globalAlpha = pale ? 0.06 : 0.16;
      c.fillStyle = l.pen.colour;
      c.fill(p);
    }
    if (l.raw) {
      const p = new Path2D();
      trace(p, l.xs, l.raw, x, y);
      c.setLineDash([]);
      c.globalAlpha = pale ? 0.08 : 0.25;
      c.lineWidth = ratio;
      c.stroke(p);
    }
    const p = new Path2D();
    trace(p, l.xs, l.ys, x, y);
    // Dashes of very many points take long and tell nothing.
    c.setLineDash(l.xs.length > 4 * box.width ? [] : l.pen.dash.map((d) => d * ratio));
    c.globalAlpha = pale ? 0.2 : 1;
    c.lineWidth = (focus === l.id ? 2.5 : many ? 1 : 1.5) * ratio;
    c.stroke(p);
    if (l.xs.length === 1 && Number.isFinite(l.ys[0]!)) {
      c.fillStyle = l.pen.colour;
      c.beginPath();
      c.arc(placeOf(x, l.xs[0]!), placeOf(y, l.ys[0]!), 3 * ratio, 0, 2 * Math.PI);
      c.fill();
    }
  };
  for (const l of lines) if (l.id !== focus) one(l);
  for (const l of lines) if (l.id === focus) one(l);
  c.restore();
}
