import { Stack, Text } from "@mantine/core";
import { number, percent } from "../format";
import { useSpeech } from "../i18n";
import type { Twin } from "./export";
import { useInk } from "./ink";
import { shortField } from "./parallel";
import type { Importance } from "./stats";

export function importanceTwin(list: Importance[], columns: [string, string, string, string, string, string]): Twin {
  return { columns, rows: list.map((i) => [i.param, i.n, i.share, i.rank?.value ?? null, i.rank?.low ?? null, i.rank?.high ?? null]) };
}

const row = 30;

/** A bar for each param: how much of the metric's spread goes with it; beside it, which way. */
export function ImportanceBars({ list }: { list: Importance[] }) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const label = 170;
  const bars = 150;
  const marks = 150;
  const gap = 56;
  const width = label + bars + gap + marks + 66;
  const height = 34 + list.length * row;
  const bx = label;
  const cx = (v: number) => label + bars + gap + ((v + 1) / 2) * marks;
  return (
    <div style={{ overflowX: "auto" }} tabIndex={0} role="group" aria-label={t("compare.importance")}>
      <svg data-chart="importance" viewBox={`0 0 ${width} ${height}`} width={width} height={height} role="img" aria-label={t("compare.importance.label", { n: list.length })} style={{ display: "block" }}>
        <text x={bx} y={14} fontSize={11} fill={ink.dim}>
          {t("compare.importance.share")}
        </text>
        <text x={cx(0)} y={14} fontSize={11} textAnchor="middle" fill={ink.dim}>
          {t("compare.importance.rank")}
        </text>
        {[-1, 0, 1].map((v) => (
          <line key={v} x1={cx(v)} x2={cx(v)} y1={22} y2={height - 4} stroke={ink.grid} />
        ))}
        {list.map((i, k) => {
          const y = 24 + k * row;
          const mid = y + row / 2;
          return (
            <g key={i.param}>
              <text x={label - 8} y={mid + 4} textAnchor="end" fontSize={12} fill={ink.text}>
                <title>{i.param}</title>
                {shortField(i.param).length > 24 ? "…" + shortField(i.param).slice(-23) : shortField(i.param)}
              </text>
              <rect x={bx} y={y + 7} width={bars} height={row - 14} rx={2} fill={ink.grid} opacity={0.5} />
              {i.share !== null ? (
                <>
                  <rect x={bx} y={y + 7} width={Math.max(1, i.share * bars)} height={row - 14} rx={2} fill={ink.right} />
                  <text x={bx + bars + 6} y={mid + 4} fontSize={11} fill={ink.text}>
                    {percent(i.share, language)}
                  </text>
                </>
              ) : (
                <text x={bx + 6} y={mid + 4} fontSize={11} fill={ink.dim}>
                  {t("compare.importance.few", { n: i.n })}
                </text>
              )}
              {i.rank && !Number.isNaN(i.rank.value) && (
                <>
                  {i.rank.low !== null && i.rank.high !== null && <line x1={cx(i.rank.low)} x2={cx(i.rank.high)} y1={mid} y2={mid} stroke={i.rank.value < 0 ? ink.wrong : ink.right} strokeWidth={2} />}
                  <circle cx={cx(i.rank.value)} cy={mid} r={5} fill={i.rank.value < 0 ? ink.wrong : ink.right} />
                  <text x={cx(1) + 10} y={mid + 4} fontSize={11} fill={ink.text}>
                    {(i.rank.value > 0 ? "+" : i.rank.value < 0 ? "−" : "") + number(Math.abs(i.rank.value), language, 2)}
                  </text>
                </>
              )}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

/** How to read the bars, in words. */
export function ImportanceWords({ runs }: { runs: number }) {
  const { t } = useSpeech();
  return (
    <Stack gap={4} maw={720}>
      <Text size="sm">{t("compare.importance.how")}</Text>
      <Text size="sm">{t("compare.importance.rankHow")}</Text>
      <Text size="sm" fw={runs < 20 ? 600 : 400}>
        {t(runs < 20 ? "compare.importance.caution" : "compare.importance.mixed", { n: runs })}
      </Text>
    </Stack>
  );
}
