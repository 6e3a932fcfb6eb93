import { useElementSize } from "@mantine/hooks";
import { number } from "../format";
import { useSpeech } from "../i18n";
import type { Twin } from "./export";
import { useInk } from "./ink";

/** How many values lie between from and to. */
export interface HistogramBar {
  from: number;
  to: number;
  n: number;
}

export function histogramTwin(bars: HistogramBar[], columns: [string, string, string]): Twin {
  return { columns, rows: bars.map((b) => [b.from, b.to, b.n]) };
}

const height = 220;
const left = 48;
const right = 12;
const top = 10;
const bottom = 26;

/** A histogram of one step. The scale of counts is given, so that it stays while the step moves. */
export function Histogram({ bars, label, most, low, high }: { bars: HistogramBar[]; label: string; most: number; low: number; high: number }) {
  const { language } = useSpeech();
  const ink = useInk();
  const { ref, width: seen } = useElementSize();
  const width = Math.max(240, Math.min(720, seen || 480));
  const span = high > low ? high - low : 1;
  const x = (v: number) => left + ((v - low) / span) * (width - left - right);
  const y = (n: number) => top + (1 - n / Math.max(1, most)) * (height - top - bottom);
  const base = y(0);
  // Half a value is none; densities may be halved.
  const levels = [...new Set([0, Number.isInteger(most) ? Math.round(most / 2) : most / 2, most])];
  return (
    <div ref={ref}>
      <svg data-chart="histogram" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={label} style={{ display: "block", maxWidth: "100%" }}>
        {levels.map((n) => (
          <g key={n}>
            <line x1={left} x2={width - right} y1={y(n)} y2={y(n)} stroke={ink.grid} />
            <text x={left - 6} y={y(n) + 4} textAnchor="end" fontSize={11} fill={ink.dim}>
              {number(n, language, 3)}
            </text>
          </g>
        ))}
        {[0, 0.5, 1].map((m) => (
          <text key={m} x={x(low + m * span)} y={base + 16} textAnchor={m === 0 ? "start" : m === 1 ? "end" : "middle"} fontSize={11} fill={ink.dim}>
            {number(low + m * span, language, 3)}
          </text>
        ))}
        {bars.map((b, i) =>
          b.n > 0 ? (
            <rect key={i} x={x(b.from)} y={Math.min(y(b.n), base - 1)} width={Math.max(1, x(b.to) - x(b.from) - (bars.length < 100 ? 1 : 0))} height={Math.max(1, base - y(b.n))} fill={ink.right}>
              <title>{`${number(b.from, language, 3)} – ${number(b.to, language, 3)}: ${number(b.n, language)}`}</title>
            </rect>
          ) : null,
        )}
      </svg>
    </div>
  );
}
