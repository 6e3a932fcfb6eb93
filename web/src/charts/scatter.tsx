import { Box, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { number } from "../format";
import { useSpeech } from "../i18n";
import { useInk, ramp } from "./ink";
import { bandScale, bounds, numberScale, type Scale } from "./scale";
import type { Value } from "./stats";

export interface Dot {
  id: string;
  label: string;
  x: Value;
  y: Value;
  colour?: Value;
}

/** The axis that fits the values: numbers if all are, else names. */
export function axisOf(values: Value[], log: boolean, air = 0.04): Scale {
  const there = values.filter((v) => v !== null);
  if (there.every((v) => typeof v === "number")) return numberScale(there, { log, air });
  return bandScale(there.map((v) => String(v)));
}

export function place(scale: Scale, v: Value): number {
  if (v === null) return NaN;
  return scale.kind === "text" ? scale.at(String(v)) : typeof v === "number" ? scale.at(v) : NaN;
}

interface Props {
  dots: Dot[];
  x: string;
  y: string;
  logX?: boolean;
  logY?: boolean;
  onOpen?: (id: string) => void;
}

const left = 68;
const bottom = 46;
const top = 10;
const right = 14;
const height = 340;

/** A dot for each run, by any two of its fields. */
export function Scatter({ dots, x, y, logX = false, logY = false, onOpen }: Props) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const { ref, width: seen } = useElementSize();
  const width = Math.max(280, seen || 560);
  const [near, setNear] = useState<string>();
  const { sx, sy, tone } = useMemo(() => {
    const range = bounds(dots.map((d) => (typeof d.colour === "number" ? d.colour : NaN)));
    return {
      sx: axisOf(dots.map((d) => d.x), logX),
      sy: axisOf(dots.map((d) => d.y), logY),
      tone: (v: Value | undefined) => (range && typeof v === "number" ? ramp(range[0] === range[1] ? 0.5 : (v - range[0]) / (range[1] - range[0]), ink.dark) : ink.right),
    };
  }, [dots, logX, logY, ink.dark, ink.right]);
  const w = width - left - right;
  const h = height - top - bottom;
  const inset = (s: Scale, v: number) => (s.kind === "text" ? 0.06 + v * 0.88 : v);
  const px = (v: Value) => left + inset(sx, place(sx, v)) * w;
  const py = (v: Value) => top + (1 - inset(sy, place(sy, v))) * h;
  const marks = (s: Scale, about: number) =>
    s.kind === "text" ? s.names.map((n) => ({ text: n, at: inset(s, s.at(n)) })) : s.ticks(about).map((v) => ({ text: number(v, language), at: s.at(v) }));
  const drawn = dots.filter((d) => Number.isFinite(px(d.x)) && Number.isFinite(py(d.y)));
  const tip = drawn.find((d) => d.id === near);
  const missing = dots.length - drawn.length;
  const most = Math.floor(w / 64);
  const xMarks = marks(sx, Math.max(2, Math.floor(w / 90)));
  return (
    <Box ref={ref} pos="relative">
      <svg data-chart="scatter" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="group" aria-label={t("compare.scatter.label", { x, y, n: drawn.length })} style={{ display: "block", maxWidth: "100%" }}>
        {xMarks.map((m, i) => (
          <g key={m.text}>
            <line x1={left + m.at * w} x2={left + m.at * w} y1={top} y2={top + h} stroke={ink.grid} />
            {(xMarks.length <= most || i % Math.ceil(xMarks.length / most) === 0) && (
              <text x={left + m.at * w} y={top + h + 16} textAnchor="middle" fontSize={11} fill={ink.dim}>
                {clip(m.text, 14)}
              </text>
            )}
          </g>
        ))}
        {marks(sy, 6).map((m) => (
          <g key={m.text}>
            <line x1={left} x2={left + w} y1={top + (1 - m.at) * h} y2={top + (1 - m.at) * h} stroke={ink.grid} />
            <text x={left - 6} y={top + (1 - m.at) * h + 4} textAnchor="end" fontSize={11} fill={ink.dim}>
              {clip(m.text, 9)}
            </text>
          </g>
        ))}
        <text x={left + w / 2} y={height - 8} textAnchor="middle" fontSize={12} fill={ink.text}>
          {x}
        </text>
        <text x={12} y={top + h / 2} textAnchor="middle" fontSize={12} fill={ink.text} transform={`rotate(-90 12 ${top + h / 2})`}>
          {y}
        </text>
        {drawn.map((d) => (
          <circle
            key={d.id}
            cx={px(d.x)}
            cy={py(d.y)}
            r={near === d.id ? 7 : 5}
            fill={tone(d.colour)}
            fillOpacity={0.65}
            stroke={near === d.id ? ink.text : ink.ground}
            strokeWidth={near === d.id ? 2 : 1}
            role="button"
            tabIndex={0}
            cursor="pointer"
            aria-label={`${d.label}: ${x} ${word(d.x, language)}, ${y} ${word(d.y, language)}`}
            onMouseEnter={() => setNear(d.id)}
            onMouseLeave={() => setNear(undefined)}
            onFocus={() => setNear(d.id)}
            onBlur={() => setNear(undefined)}
            onClick={() => onOpen?.(d.id)}
            onKeyDown={(e) => {
              if (e.key === "Enter" || e.key === " ") {
                e.preventDefault();
                onOpen?.(d.id);
              }
            }}
          />
        ))}
      </svg>
      {tip && (
        <Box
          pos="absolute"
          p={6}
          bg="var(--mantine-color-body)"
          bd="1px solid var(--mantine-color-default-border)"
          style={{
            pointerEvents: "none",
            borderRadius: 4,
            maxWidth: 240,
            top: Math.max(0, py(tip.y) - 60),
            ...(px(tip.x) > width / 2 ? { right: width - px(tip.x) + 10 } : { left: px(tip.x) + 10 }),
          }}
        >
          <Text size="xs" fw={600} truncate>
            {tip.label}
          </Text>
          <Text size="xs">
            {x}: <b>{word(tip.x, language)}</b>
          </Text>
          <Text size="xs">
            {y}: <b>{word(tip.y, language)}</b>
          </Text>
        </Box>
      )}
      {missing > 0 && (
        <Text size="xs" c="dimmed">
          {t("compare.missing", { n: missing })}
        </Text>
      )}
    </Box>
  );
}

export function word(v: Value | undefined, language: string): string {
  return v === null || v === undefined ? "–" : typeof v === "number" ? number(v, language) : v;
}

export const clip = (s: string, most: number) => (s.length > most ? s.slice(0, Math.max(1, most - 1)) + "…" : s);
