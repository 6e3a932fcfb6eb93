import { Box, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useMemo, useRef, useState, type PointerEvent } from "react";
import { number } from "../format";
import { useSpeech } from "../i18n";
import { useInk, ramp } from "./ink";
import { chosen, nearestRun, type Axis } from "./axes";
import { bounds } from "./scale";
import { clip, word } from "./scatter";
import type { Value } from "./stats";

interface Props {
  list: Axis[];
  runs: { id: string; label: string; values: Record<string, Value> }[];
  colourBy?: string | undefined;
  onBrush: (axis: number, brush: [number, number] | undefined) => void;
  onOpen?: (id: string) => void;
}

const height = 360;
const top = 44;
const bottom = 22;
const tones = 24;

/**
 * A line for each run across all axes. Lines of one tone are one path, so that
 * thousands of runs are drawn with two dozen elements.
 */
export function Parallel({ list, runs, colourBy, onBrush, onOpen }: Props) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const { ref, width: seen } = useElementSize();
  const width = Math.max(seen || 720, list.length * 96);
  const host = useRef<SVGSVGElement>(null);
  const [drag, setDrag] = useState<{ axis: number; from: number }>();
  const [near, setNear] = useState<{ run: number; x: number; y: number }>();
  const h = height - top - bottom;
  const pad = 56;
  const x = (i: number) => (list.length === 1 ? width / 2 : pad + (i / (list.length - 1)) * (width - 2 * pad));
  // Names keep off the ends, as in the scatter.
  const inner = (a: Axis, p: number) => (a.scale.kind === "text" ? 0.04 + p * 0.92 : p);
  const y = (a: Axis, p: number) => top + (1 - inner(a, p)) * h;
  const take = useMemo(() => chosen(list, runs.length), [list, runs.length]);
  const kept = take.filter(Boolean).length;

  const drawn = useMemo(() => {
    const line = (i: number) => {
      let d = "";
      let open = false;
      list.forEach((a, k) => {
        const p = a.places[i]!;
        if (!Number.isFinite(p)) {
          open = false;
          return;
        }
        d += `${open ? "L" : "M"}${x(k).toFixed(1)},${y(a, p).toFixed(1)}`;
        open = true;
      });
      return d;
    };
    const range = colourBy ? bounds(runs.map((r) => (typeof r.values[colourBy] === "number" ? r.values[colourBy] : NaN))) : undefined;
    const paths = new Map<number, string>();
    let rest = "";
    runs.forEach((r, i) => {
      if (!take[i]) {
        rest += line(i);
        return;
      }
      const v = colourBy ? r.values[colourBy] : undefined;
      const tone = range && typeof v === "number" && Number.isFinite(v) ? (range[0] === range[1] ? tones - 1 : Math.round(((v - range[0]) / (range[1] - range[0])) * (tones - 1))) : -1;
      paths.set(tone, (paths.get(tone) ?? "") + line(i));
    });
    return { rest, paths: [...paths].sort(([a], [b]) => a - b), line, range };
    // x and y follow from width and the list.
  }, [list, runs, take, colourBy, width]);

  const inSvg = (e: PointerEvent) => {
    const box = host.current!.getBoundingClientRect();
    const scale = width / (box.width || width);
    return { px: (e.clientX - box.left) * scale, py: (e.clientY - box.top) * scale };
  };
  const placeAt = (a: Axis, py: number) => {
    const raw = Math.min(1, Math.max(0, 1 - (py - top) / h));
    return a.scale.kind === "text" ? Math.min(1, Math.max(0, (raw - 0.04) / 0.92)) : raw;
  };
  const move = (e: PointerEvent) => {
    const { px, py } = inSvg(e);
    if (drag) {
      onBrush(drag.axis, [drag.from, placeAt(list[drag.axis]!, py)]);
      return;
    }
    let k = list.length - 2;
    while (k > 0 && x(k) > px) k--;
    const [a, b] = [list[k], list[k + 1]];
    if (!a || !b) return;
    const share = Math.min(1, Math.max(0, (px - x(k)) / (x(k + 1) - x(k))));
    const run = nearestRun(a, b, share, 1 - (py - top) / h, 0.03, take);
    setNear(run === undefined ? undefined : { run, x: px, y: py });
  };
  const end = () => {
    if (drag) {
      const b = list[drag.axis]?.brush;
      // A click without a drag shows all again.
      if (!b || Math.abs(b[0] - b[1]) < 0.01) onBrush(drag.axis, undefined);
    }
    setDrag(undefined);
  };
  const tip = near && runs[near.run];
  return (
    <Box ref={ref} pos="relative" style={{ overflowX: "auto" }} tabIndex={0} role="group" aria-label={t("compare.parallel.label", { n: runs.length, axes: list.length })}>
      <svg
        ref={host}
        data-chart="parallel"
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        style={{ display: "block", touchAction: "pan-x", userSelect: "none" }}
        role="img"
        aria-label={t("compare.parallel.label", { n: runs.length, axes: list.length })}
        onPointerMove={move}
        onPointerUp={end}
        onPointerLeave={() => setNear(undefined)}
        onClick={() => {
          if (near && !drag) onOpen?.(runs[near.run]!.id);
        }}
      >
        <path d={drawn.rest} fill="none" stroke={ink.grid} strokeWidth={1} />
        {drawn.paths.map(([tone, d]) => (
          <path key={tone} d={d} fill="none" stroke={tone < 0 ? ink.right : ramp(tone / (tones - 1), ink.dark)} strokeWidth={kept > 300 ? 0.8 : kept > 60 ? 1.2 : 2} strokeOpacity={kept > 300 ? 0.5 : 0.8} />
        ))}
        {near && <path data-screen="1" d={drawn.line(near.run)} fill="none" stroke={ink.text} strokeWidth={3} />}
        {list.map((a, k) => {
          const marks = a.scale.kind === "text" ? thin(a.scale.names, 12).map((n) => ({ text: n, at: place01(a, n) })) : a.scale.ticks(6).map((v) => ({ text: number(v, language), at: place01(a, v) }));
          const brush = a.brush && [Math.min(...a.brush), Math.max(...a.brush)];
          return (
            <g key={a.field}>
              <text x={x(k)} y={16} textAnchor="middle" fontSize={12} fontWeight={600} fill={ink.text}>
                <title>{a.field}</title>
                {clip(shortField(a.field), 16)}
              </text>
              <text x={x(k)} y={31} textAnchor="middle" fontSize={10} fill={ink.dim}>
                {[a.log && a.canLog ? "log" : "", a.flip ? "↓" : ""].filter(Boolean).join(" ")}
              </text>
              <line x1={x(k)} x2={x(k)} y1={top} y2={top + h} stroke={ink.dim} strokeWidth={1.2} />
              {marks.map((m) => (
                <g key={m.text}>
                  <line x1={x(k) - 4} x2={x(k)} y1={y(a, m.at)} y2={y(a, m.at)} stroke={ink.dim} />
                  <text x={x(k) - 7} y={y(a, m.at) + 4} textAnchor="end" fontSize={10.5} fill={ink.text} stroke={ink.ground} strokeWidth={3} paintOrder="stroke">
                    {clip(m.text, 10)}
                  </text>
                </g>
              ))}
              {brush && <rect x={x(k) - 7} width={14} y={y(a, brush[1]!)} height={Math.max(2, y(a, brush[0]!) - y(a, brush[1]!))} fill={ink.accent} fillOpacity={0.35} stroke={ink.accent} />}
              <rect
                data-screen="1"
                x={x(k) - 14}
                width={28}
                y={top - 6}
                height={h + 12}
                fill="transparent"
                cursor="ns-resize"
                style={{ touchAction: "none" }}
                onPointerDown={(e) => {
                  host.current?.setPointerCapture(e.pointerId);
                  const from = placeAt(a, inSvg(e).py);
                  setDrag({ axis: k, from });
                  onBrush(k, [from, from]);
                }}
              />
            </g>
          );
        })}
      </svg>
      {tip && (
        <Box
          pos="absolute"
          p={6}
          bg="var(--mantine-color-body)"
          bd="1px solid var(--mantine-color-default-border)"
          style={{ pointerEvents: "none", borderRadius: 4, top: Math.min(near.y, height - 120), ...(near.x > width / 2 ? { right: Math.max(0, width - near.x + 12) } : { left: near.x + 12 }), zIndex: 3 }}
        >
          <Text size="xs" fw={600}>
            {tip.label}
          </Text>
          {list.map((a) => (
            <Text size="xs" key={a.field}>
              {shortField(a.field)}: <b>{word(tip.values[a.field], language)}</b>
            </Text>
          ))}
        </Box>
      )}
      {colourBy && drawn.range && (
        <svg width={260} height={30} viewBox="0 0 260 30" role="img" aria-label={t("compare.colourBy", { field: colourBy })} style={{ display: "block", margin: "4px auto 0" }}>
          {Array.from({ length: tones }, (_, i) => (
            <rect key={i} x={50 + (i * 160) / tones} y={0} width={160 / tones + 0.5} height={10} fill={ramp(i / (tones - 1), ink.dark)} />
          ))}
          <text x={46} y={10} textAnchor="end" fontSize={11} fill={ink.dim}>
            {number(drawn.range[0], language)}
          </text>
          <text x={214} y={10} fontSize={11} fill={ink.dim}>
            {number(drawn.range[1], language)}
          </text>
          <text x={130} y={24} textAnchor="middle" fontSize={11} fill={ink.dim}>
            {shortField(colourBy)}
          </text>
        </svg>
      )}
    </Box>
  );
}

function place01(a: Axis, v: Value): number {
  const p = v === null ? NaN : a.scale.kind === "text" ? a.scale.at(String(v)) : a.scale.at(v as number);
  return a.flip ? 1 - p : p;
}

function thin<T>(list: T[], most: number): T[] {
  if (list.length <= most) return list;
  const every = Math.ceil(list.length / most);
  return list.filter((_, i) => i % every === 0);
}

/** A field as people call it: "params.optimizer" is optimizer. */
export function shortField(field: string): string {
  return field.replace(/^(params|summary)\./, "");
}
