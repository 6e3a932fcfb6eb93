import { useElementSize } from "@mantine/hooks";
import { number, percent } from "../format";
import { useSpeech } from "../i18n";
import type { Twin } from "./export";
import { useInk } from "./ink";
import { wilson } from "./wilson";

/** Rows whose confidence is between from and to. */
export interface ReliabilityBin {
  from: number;
  to: number;
  confidence: number; // mean
  accuracy: number; // share that is right
  n: number;
}

export function reliabilityTwin(bins: ReliabilityBin[], columns: [string, string, string, string, string, string, string]): Twin {
  return {
    columns,
    rows: bins.map((b) => {
      const [low, high] = wilson(Math.round(b.accuracy * b.n), b.n);
      return b.n === 0 ? [b.from, b.to, 0, null, null, null, null] : [b.from, b.to, b.n, b.confidence, b.accuracy, low, high];
    }),
  };
}

const height = 320;
const left = 52;
const right = 12;
const top = 12;
const counts = 56; // height of the bars of counts
const bottom = 40;

/**
 * How often the model is right where it is so sure. Bars below count the rows:
 * a point of three rows says little, and its interval shows it.
 */
export function Reliability({ bins }: { bins: ReliabilityBin[] }) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const { ref, width: seen } = useElementSize();
  const width = Math.max(260, Math.min(560, seen || 420));
  const filled = bins.filter((b) => b.n > 0);
  const w = width - left - right;
  const h = height - top - bottom - counts - 10;
  const x = (v: number) => left + v * w;
  const y = (v: number) => top + (1 - v) * h;
  const most = Math.max(1, ...bins.map((b) => b.n));
  const base = height - bottom;
  const marks = [0, 0.25, 0.5, 0.75, 1];
  return (
    <div ref={ref}>
      <svg data-chart="reliability" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={t("run.reliability.label", { n: filled.length })}>
        {marks.map((m) => (
          <g key={m}>
            <line x1={x(0)} x2={x(1)} y1={y(m)} y2={y(m)} stroke={ink.grid} />
            <text x={left - 6} y={y(m) + 4} textAnchor="end" fontSize={11} fill={ink.dim}>
              {percent(m, language)}
            </text>
            <line x1={x(m)} x2={x(m)} y1={y(0)} y2={y(1)} stroke={ink.grid} />
            <text x={x(m)} y={base + 14} textAnchor={m === 1 ? "end" : "middle"} fontSize={11} fill={ink.dim}>
              {percent(m, language)}
            </text>
          </g>
        ))}
        <line x1={x(0)} y1={y(0)} x2={x(1)} y2={y(1)} stroke={ink.dim} strokeDasharray="5 4" />
        {bins.map((b) => {
          const bar = (b.n / most) * (counts - 14);
          return (
            <g key={b.from}>
              <rect x={x(b.from) + 1} y={base - bar} width={Math.max(1, (b.to - b.from) * w - 2)} height={bar} fill={ink.dim} opacity={0.45} />
              {b.n > 0 && (
                <text x={x((b.from + b.to) / 2)} y={base - bar - 3} textAnchor="middle" fontSize={10} fill={ink.dim}>
                  {number(b.n, language)}
                </text>
              )}
            </g>
          );
        })}
        {filled.length > 1 && <polyline points={filled.map((b) => `${x(b.confidence)},${y(b.accuracy)}`).join(" ")} fill="none" stroke={ink.right} strokeWidth={1.5} opacity={0.6} />}
        {filled.map((b) => {
          const [low, high] = wilson(Math.round(b.accuracy * b.n), b.n);
          return (
            <g key={b.from}>
              <line x1={x(b.confidence)} x2={x(b.confidence)} y1={y(low)} y2={y(high)} stroke={ink.right} strokeWidth={1.5} />
              <circle cx={x(b.confidence)} cy={y(b.accuracy)} r={4.5} fill={ink.right} stroke={ink.ground}>
                <title>{t("run.reliability.bin", { n: b.n, sure: percent(b.confidence, language), right: percent(b.accuracy, language) })}</title>
              </circle>
            </g>
          );
        })}
        <text x={x(0.5)} y={height - 6} textAnchor="middle" fontSize={12} fill={ink.dim}>
          {t("run.reliability.x")}
        </text>
        <text x={12} y={y(0.5)} textAnchor="middle" fontSize={12} fill={ink.dim} transform={`rotate(-90 12 ${y(0.5)})`}>
          {t("run.reliability.y")}
        </text>
      </svg>
    </div>
  );
}
