import { useInk, mix, textOn } from "./ink";
import { number, percent } from "../format";
import { useSpeech } from "../i18n";
import type { Twin } from "./export";

/** What a cell of the matrix says: rows, or a share of its row or column. */
export type Share = "counts" | "rows" | "columns";

/** Each cell's share between 0 and 1: of all rows in the biggest cell, of its row, of its column. */
export function shares(counts: number[][], by: Share): number[][] {
  const size = counts.length;
  const row = counts.map((r) => r.reduce((a, b) => a + b, 0));
  const column = Array.from({ length: size }, (_, p) => counts.reduce((sum, r) => sum + (r[p] ?? 0), 0));
  const most = Math.max(1, ...counts.flat());
  return counts.map((r, t) => r.map((n, p) => n / ((by === "counts" ? most : by === "rows" ? row[t]! : column[p]!) || 1)));
}

/** The matrix as a table, with sums. */
export function confusionTwin(counts: number[][], classes: string[], words: { truth: string; sum: string }): Twin {
  const sum = (ns: number[]) => ns.reduce((a, b) => a + b, 0);
  return {
    columns: [words.truth, ...classes, words.sum],
    rows: [
      ...counts.map((r, i) => [classes[i] ?? String(i), ...r, sum(r)]),
      [words.sum, ...classes.map((_, p) => sum(counts.map((r) => r[p] ?? 0))), sum(counts.flat())],
    ],
  };
}

interface Props {
  counts: number[][];
  classes: string[];
  by: Share;
  chosen?: { truth: string; predicted: string } | undefined;
  onChoose?: (truth: string, predicted: string) => void;
}

const clip = (s: string, most: number) => (s.length > most ? s.slice(0, most - 1) + "…" : s);

/** Rows by true class (down) and predicted class (across). Each cell is a button. */
export function ConfusionMatrix({ counts, classes, by, chosen, onChoose }: Props) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const n = classes.length;
  const longest = Math.min(18, Math.max(4, ...classes.map((c) => c.length)));
  const cell = n <= 4 ? 108 : n <= 8 ? 64 : 44;
  const high = n <= 4 ? 68 : cell * 0.75;
  const left = longest * 7.2 + 34;
  const top = 48;
  const width = left + n * cell + 8;
  const height = top + n * high + 8;
  const part = shares(counts, by);
  const size = n <= 8 ? 15 : 12;
  return (
    <div style={{ overflowX: "auto" }}>
      <svg
        data-chart="confusion"
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        style={{ maxWidth: n <= 8 ? "100%" : undefined, height: n <= 8 ? "auto" : undefined, display: "block" }}
        role="group"
        aria-label={t("run.confusion")}
      >
        <text x={left + (n * cell) / 2} y={14} textAnchor="middle" fontSize={12} fill={ink.dim}>
          {t("run.predicted")}
        </text>
        <text x={12} y={top + (n * high) / 2} textAnchor="middle" fontSize={12} fill={ink.dim} transform={`rotate(-90 12 ${top + (n * high) / 2})`}>
          {t("run.true")}
        </text>
        {classes.map((c, i) => (
          <g key={c}>
            <text x={left + i * cell + cell / 2} y={top - 10} textAnchor="middle" fontSize={12} fill={ink.text}>
              <title>{c}</title>
              {clip(c, Math.floor(cell / 7))}
            </text>
            <text x={left - 8} y={top + i * high + high / 2 + 4} textAnchor="end" fontSize={12} fill={ink.text}>
              <title>{c}</title>
              {clip(c, 18)}
            </text>
          </g>
        ))}
        {counts.map((row, truth) =>
          row.map((count, predicted) => {
            const share = part[truth]![predicted]!;
            const ground = count === 0 ? mix(ink.ground, ink.text, 0.03) : mix(ink.ground, truth === predicted ? ink.right : ink.wrong, 0.12 + 0.88 * share);
            const isChosen = chosen?.truth === classes[truth] && chosen?.predicted === classes[predicted];
            const text = by === "counts" ? number(count, language) : count === 0 && share === 0 ? "0" : percent(share, language);
            const choose = () => onChoose?.(classes[truth]!, classes[predicted]!);
            const x = left + predicted * cell;
            const y = top + truth * high;
            return (
              <g
                key={`${truth} ${predicted}`}
                role="button"
                tabIndex={0}
                aria-pressed={isChosen}
                aria-label={t("run.cell", { n: count, truth: classes[truth]!, predicted: classes[predicted]! })}
                cursor="pointer"
                onClick={choose}
                onKeyDown={(e) => {
                  if (e.key !== "Enter" && e.key !== " ") return;
                  e.preventDefault();
                  choose();
                }}
              >
                <rect x={x + 1.5} y={y + 1.5} width={cell - 3} height={high - 3} rx={4} fill={ground} stroke={isChosen ? ink.text : "none"} strokeWidth={2.5} />
                <text x={x + cell / 2} y={y + high / 2 + size * 0.36} textAnchor="middle" fontSize={size} fontWeight={count > 0 ? 600 : 400} fill={count === 0 ? ink.dim : textOn(ground)}>
                  {text}
                </text>
              </g>
            );
          }),
        )}
      </svg>
    </div>
  );
}
