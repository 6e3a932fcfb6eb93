import { Box, Text } from "@mantine/core";
import { useElementSize } from "@mantine/hooks";
import { useMemo, useState } from "react";
import { number } from "../format";
import { useSpeech } from "../i18n";
import { useInk } from "./ink";
import { numberScale } from "./scale";
import { clip } from "./scatter";

export interface ProgressDot {
  id: string;
  label: string;
  number: number;
  value: number;
  /** Of this one and all before it. */
  best: number;
}

interface Props {
  dots: ProgressDot[];
  metric: string;
  onOpen: (id: string) => void;
}

const left = 72;
const right = 16;
const top = 12;
const bottom = 44;
const height = 300;

/** What each trial of a search reached, in their order, and the best so far as a line. */
export function Progress({ dots, metric, onOpen }: Props) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const { ref, width: seen } = useElementSize();
  const width = Math.max(280, seen || 560);
  const [near, setNear] = useState<string>();
  const { sx, sy } = useMemo(
    () => ({ sx: numberScale([0.5, ...dots.map((d) => d.number), (dots.at(-1)?.number ?? 1) + 0.5], { log: false, air: 0 }), sy: numberScale(dots.map((d) => d.value), { log: false, air: 0.06 }) }),
    [dots],
  );
  const w = width - left - right;
  const h = height - top - bottom;
  const px = (v: number) => left + sx.at(v) * w;
  const py = (v: number) => top + (1 - sy.at(v)) * h;
  const line = dots.map((d, i) => (i === 0 ? `M${px(d.number)} ${py(d.best)}` : `H${px(d.number)}V${py(d.best)}`)).join("") + `H${width - right}`;
  const tip = dots.find((d) => d.id === near);
  return (
    <Box ref={ref} pos="relative">
      <svg data-chart="progress" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="group" aria-label={t("sweep.progress.label", { metric, n: dots.length })} style={{ display: "block", maxWidth: "100%" }}>
        {sx
          .ticks(Math.max(2, Math.floor(w / 90)))
          .filter((v) => Number.isInteger(v) && v > 0)
          .map((v) => (
            <text key={v} x={px(v)} y={top + h + 16} textAnchor="middle" fontSize={11} fill={ink.dim}>
              {number(v, language)}
            </text>
          ))}
        {sy.ticks(5).map((v) => (
          <g key={v}>
            <line x1={left} x2={left + w} y1={py(v)} y2={py(v)} stroke={ink.grid} />
            <text x={left - 6} y={py(v) + 4} textAnchor="end" fontSize={11} fill={ink.dim}>
              {number(v, language)}
            </text>
          </g>
        ))}
        <text x={left + w / 2} y={height - 8} textAnchor="middle" fontSize={12} fill={ink.text}>
          {t("sweep.trial")}
        </text>
        <text x={12} y={top + h / 2} textAnchor="middle" fontSize={12} fill={ink.text} transform={`rotate(-90 12 ${top + h / 2})`}>
          {clip(metric, 40)}
        </text>
        <path d={line} fill="none" stroke={ink.accent} strokeWidth={2.5} strokeLinejoin="round" />
        {dots.map((d) => (
          <circle
            key={d.id}
            cx={px(d.number)}
            cy={py(d.value)}
            r={near === d.id ? 7 : 5}
            fill={ink.right}
            fillOpacity={0.7}
            stroke={near === d.id ? ink.text : ink.ground}
            strokeWidth={near === d.id ? 2 : 1}
            role="button"
            tabIndex={0}
            cursor="pointer"
            aria-label={`${t("sweep.bestOf", { n: d.number })}: ${metric} ${number(d.value, language)}`}
            onMouseEnter={() => setNear(d.id)}
            onMouseLeave={() => setNear(undefined)}
            onFocus={() => setNear(d.id)}
            onBlur={() => setNear(undefined)}
            onClick={() => onOpen(d.id)}
            onKeyDown={(e) => {
              if (e.key === "Enter" || e.key === " ") {
                e.preventDefault();
                onOpen(d.id);
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
          style={{ pointerEvents: "none", borderRadius: 4, maxWidth: 260, top: Math.max(0, py(tip.value) - 64), ...(px(tip.number) > width / 2 ? { right: width - px(tip.number) + 10 } : { left: px(tip.number) + 10 }) }}
        >
          <Text size="xs" fw={600} truncate>
            {t("sweep.bestOf", { n: tip.number })} · {tip.label}
          </Text>
          <Text size="xs">
            {metric}: <b>{number(tip.value, language)}</b>
          </Text>
          <Text size="xs">
            {t("sweep.progress.best")}: <b>{number(tip.best, language)}</b>
          </Text>
        </Box>
      )}
    </Box>
  );
}
