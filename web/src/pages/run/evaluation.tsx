import { Alert, Anchor, Box, Button, Group, SegmentedControl, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { IconTargetArrow } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { ApiError, type Num, type RunDetail } from "../../api";
import { ConfusionMatrix, confusionTwin, type Share } from "../../charts/confusion";
import { ChartFrame } from "../../charts/frame";
import { useInk } from "../../charts/ink";
import { Reliability, reliabilityTwin } from "../../charts/reliability";
import { wilson } from "../../charts/wilson";
import { number, real, shown } from "../../format";
import { useSpeech, type Key } from "../../i18n";
import { Empty, Failed, Loading } from "../../parts/status";
import { useQueryTexts } from "../../query";
import { intervalText, resultText, sharePercent } from "../../score";
import { useEvaluation, useRows, type EvaluatedRow, type PartScores, type RowsAsked } from "./data";
import { Section, usePartName } from "./overview";
import css from "./run.module.css";
import { visible } from "./text";

/** How good the model of this run is, on rows that it did not learn from. */
export function RunEvaluation({ run }: { run: RunDetail }) {
  const { t } = useSpeech();
  const partName = usePartName();
  const [query, change] = useQueryTexts();
  const evaluation = useEvaluation(run.id, run.model !== "");
  const [by, setBy] = useState<Share>("counts");
  const rowsAt = useRef<HTMLDivElement>(null);

  if (evaluation.isPending) return <Loading />;
  if (evaluation.isError && evaluation.error instanceof ApiError && evaluation.error.status === 404) {
    return (
      <Empty title={t("run.evaluation.none")} icon={<IconTargetArrow size={36} aria-hidden />}>
        {t("run.evaluation.noneText")}
      </Empty>
    );
  }
  if (evaluation.isError) return <Failed error={evaluation.error} retry={() => void evaluation.refetch()} />;
  const { classes, parts } = evaluation.data;
  const names = ["val", "test", ...Object.keys(parts).sort()].filter((p, i, all) => p in parts && all.indexOf(p) === i);
  const part = query.part !== undefined && query.part in parts ? query.part : names.includes("test") ? "test" : names[0];
  const scores = part === undefined ? undefined : parts[part];
  if (part === undefined || scores === undefined) {
    return (
      <Empty title={t("run.evaluation.none")} icon={<IconTargetArrow size={36} aria-hidden />}>
        {t("run.evaluation.noneText")}
      </Empty>
    );
  }
  const cell = query.true !== undefined && query.predicted !== undefined ? { truth: query.true, predicted: query.predicted } : undefined;
  return (
    <Stack gap="xl">
      {(evaluation.data.warnings ?? []).map((w) => (
        <Alert key={w} color="orange" p="xs">
          {visible(w)}
        </Alert>
      ))}
      {names.length > 1 && (
        <SegmentedControl
          aria-label={t("run.evaluation.rows")}
          value={part}
          onChange={(p) => change({ part: p, true: undefined, predicted: undefined, row: undefined })}
          data={names.map((p) => ({ value: p, label: `${partName(p)} · ${t("run.rows.count", { n: parts[p]!.rows })}` }))}
          style={{ alignSelf: "flex-start" }}
        />
      )}
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing={48} verticalSpacing="xl">
        <Stack gap="xl" miw={0}>
        <ChartFrame
          order={2}
          title={t("run.confusion")}
          note={t("run.confusion.note")}
          twin={confusionTwin(scores.confusion, classes, { truth: t("run.true"), sum: t("run.sum") })}
          controls={
            <SegmentedControl
              size="xs"
              aria-label={t("run.by")}
              value={by}
              onChange={(v) => setBy(v as Share)}
              data={[
                { value: "counts", label: t("run.by.counts") },
                { value: "rows", label: t("run.by.rows") },
                { value: "columns", label: t("run.by.columns") },
              ]}
            />
          }
        >
          <ConfusionMatrix
            counts={scores.confusion}
            classes={classes}
            by={by}
            chosen={cell}
            onChoose={(truth, predicted) => {
              const same = cell?.truth === truth && cell.predicted === predicted;
              change({ part, true: same ? undefined : truth, predicted: same ? undefined : predicted, row: undefined });
              if (!same) rowsAt.current?.scrollIntoView({ block: "nearest" });
            }}
          />
        </ChartFrame>
        <ChartFrame
          order={2}
          title={t("run.reliability")}
          note={t("run.reliability.note")}
          twin={reliabilityTwin(scores.reliability ?? [], [t("run.bin.from"), t("run.bin.to"), t("run.n"), t("run.bin.confidence"), t("run.bin.accuracy"), t("run.bin.low"), t("run.bin.high")])}
        >
          {(scores.reliability ?? []).some((b) => b.n > 0) ? <Reliability bins={scores.reliability ?? []} /> : <Text c="dimmed">{t("run.reliability.none")}</Text>}
        </ChartFrame>
        </Stack>
        <Stack gap="xl" miw={0}>
          <Scores scores={scores} />
          <Classes scores={scores} />
        </Stack>
      </SimpleGrid>
      <div ref={rowsAt}>
        <Rows
          key={part + (cell ? JSON.stringify(cell) : "")}
          run={run.id}
          asked={{ part, ...(cell ? { true: cell.truth, predicted: cell.predicted } : {}), order: "hardest" }}
          classes={classes}
          cell={cell}
          onAll={() => change({ true: undefined, predicted: undefined, row: undefined })}
        />
      </div>
    </Stack>
  );
}

const named = new Set(["accuracy", "balanced_accuracy", "brier", "loss", "macro_f1", "mcc", "roc_auc"]);

function Scores({ scores }: { scores: PartScores }) {
  const { t, language } = useSpeech();
  const metricName = (key: string) => (named.has(key) ? t(`run.metric.${key}` as Key) : key);
  const names = Object.keys(scores.scores).sort((a, b) => Number(b === "accuracy") - Number(a === "accuracy") || a.localeCompare(b));
  return (
    <Section title={t("run.evaluation.scores")}>
      <Table verticalSpacing={6} aria-label={t("run.evaluation.scores")}>
        <Table.Tbody>
          {names.map((key) => {
            const s = scores.scores[key]!;
            return (
              <Table.Tr key={key}>
                <Table.Th scope="row" fw={400} title={key}>
                  {metricName(key)}
                </Table.Th>
                <Table.Td ta="right">{resultText({ key, value: s.value, low: s.low, high: s.high, n: s.n }, language, t)}</Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
      <Text size="xs" c="dimmed" mt={4}>
        {t("run.results.interval")}
      </Text>
    </Section>
  );
}

function Classes({ scores }: { scores: PartScores }) {
  const { t, language } = useSpeech();
  const rows = scores.per_class ?? [];
  // A share of few rows comes with its interval: 6 of 6 is no certainty.
  const share = (x: Num, n: number) => {
    const v = real(x);
    if (n === 0 || Number.isNaN(v)) return "–";
    const [low, high] = wilson(Math.round(v * n), n);
    return (
      <>
        {sharePercent(v, n, language)} %{" "}
        <Text span size="xs" c="dimmed">
          {intervalText(low, high, true, n, language)}
        </Text>
      </>
    );
  };
  const called = (name: string) => {
    const i = rows.findIndex((r) => r.class === name);
    return scores.confusion.reduce((sum, r) => sum + (r[i] ?? 0), 0);
  };
  return (
    <Section title={t("run.classes")}>
      <Table.ScrollContainer minWidth={420} type="native" tabIndex={0}>
        <Table verticalSpacing={6} aria-label={t("run.classes")}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("run.class")}</Table.Th>
              <Table.Th ta="right" title={t("run.precision.how")}>
                {t("run.precision")}
              </Table.Th>
              <Table.Th ta="right" title={t("run.recall.how")}>
                {t("run.recall")}
              </Table.Th>
              <Table.Th ta="right" title={t("run.f1.how")}>
                {t("run.f1")}
              </Table.Th>
              <Table.Th ta="right">{t("run.n")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((c) => (
              <Table.Tr key={c.class}>
                <Table.Th scope="row" fw={400}>
                  {visible(c.class)}
                </Table.Th>
                <Table.Td ta="right">{share(c.precision, called(c.class))}</Table.Td>
                <Table.Td ta="right">{share(c.recall, c.n)}</Table.Td>
                <Table.Td ta="right">{c.n === 0 || Number.isNaN(real(c.f1)) ? "–" : number(real(c.f1), language, 3)}</Table.Td>
                <Table.Td ta="right">{number(c.n, language)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
      <Text size="xs" c="dimmed" mt={4}>
        {t("run.precision")}: {t("run.precision.how")}. {t("run.recall")}: {t("run.recall.how")}. {t("run.f1")}: {t("run.f1.how")}.
      </Text>
    </Section>
  );
}

const few = 10;
const step = 50;

function Rows({ run, asked, classes, cell, onAll }: { run: string; asked: RowsAsked; classes: string[]; cell: { truth: string; predicted: string } | undefined; onAll: () => void }) {
  const { t } = useSpeech();
  const [limit, setLimit] = useState(cell ? step : few);
  const rows = useRows(run, { ...asked, limit });
  const [query, change] = useQueryTexts();
  const aim = useRef<HTMLTableRowElement>(null);
  const there = rows.data !== undefined;
  useEffect(() => {
    aim.current?.scrollIntoView({ block: "center" });
  }, [there]);
  const list = rows.data?.rows ?? [];
  return (
    <Section
      title={cell ? t("run.rows.cell", { truth: cell.truth, predicted: cell.predicted }) : t("run.rows.hardest")}
      action={
        cell && (
          <Button variant="subtle" size="compact-sm" onClick={onAll}>
            {t("run.rows.all")}
          </Button>
        )
      }
    >
      {!cell && (
        <Text size="sm" c="dimmed" mb="xs">
          {t("run.rows.hardestNote")}
        </Text>
      )}
      {rows.isPending ? (
        <Loading />
      ) : rows.isError ? (
        <Failed error={rows.error} retry={() => void rows.refetch()} />
      ) : list.length === 0 ? (
        <Text c="dimmed">{t("run.rows.none")}</Text>
      ) : (
        <>
          <Box className={css.scroll} tabIndex={0} role="region" aria-label={t("run.rows.table")}>
            <Table verticalSpacing={6} fz="sm" style={{ whiteSpace: "nowrap" }} aria-label={t("run.rows.table")}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th ta="right" title={t("run.rows.numberHint")}>
                    {t("run.rows.number")}
                  </Table.Th>
                  <Table.Th>{t("run.true")}</Table.Th>
                  <Table.Th>{t("run.predicted")}</Table.Th>
                  <Table.Th ta="right">{t("run.rows.loss")}</Table.Th>
                  <Table.Th>{t("run.rows.probabilities")}</Table.Th>
                  {rows.data.columns.map((c) => (
                    <Table.Th key={c} ta="right">
                      {visible(c)}
                    </Table.Th>
                  ))}
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {list.map((r) => (
                  <OneRow key={r.number} row={r} classes={classes} chosen={query.row === String(r.number)} aim={aim} onChoose={() => change({ row: String(r.number) })} />
                ))}
              </Table.Tbody>
            </Table>
          </Box>
          <Group mt="xs" justify="space-between">
            <Text size="xs" c="dimmed">
              {t("run.rows.values")} · {t("run.rows.numberHint")} · {t("run.console.hits", { at: list.length, n: rows.data.total })}
            </Text>
            {list.length < rows.data.total && (
              <Button variant="default" size="xs" loading={rows.isFetching} onClick={() => setLimit(Math.min(1000, limit + step))}>
                {t("run.rows.more")}
              </Button>
            )}
          </Group>
        </>
      )}
    </Section>
  );
}

function OneRow({ row, classes, chosen, aim, onChoose }: { row: EvaluatedRow; classes: string[]; chosen: boolean; aim: React.RefObject<HTMLTableRowElement | null>; onChoose: () => void }) {
  const { language } = useSpeech();
  const ink = useInk();
  const wrong = row.true !== row.predicted;
  // Only the classes that the model took into account, the likeliest first.
  const likely = row.probabilities
    .map((p, i) => ({ p: real(p), name: classes[i] ?? String(i) }))
    .sort((a, b) => b.p - a.p)
    .slice(0, 3);
  return (
    <Table.Tr className={chosen ? css.chosen : undefined} ref={chosen ? aim : undefined} id={`row-${row.number}`}>
      <Table.Td ta="right">
        <Anchor component="button" type="button" size="sm" onClick={onChoose} aria-current={chosen || undefined}>
          {number(row.number, language)}
        </Anchor>
      </Table.Td>
      <Table.Td>{visible(row.true)}</Table.Td>
      <Table.Td fw={wrong ? 700 : 400} c={wrong ? ink.wrong : undefined}>
        {wrong ? "✗ " : "✓ "}
        {visible(row.predicted)}
      </Table.Td>
      <Table.Td ta="right">{row.loss === null ? "–" : number(real(row.loss), language, 3)}</Table.Td>
      <Table.Td miw={240}>
        {likely.map(({ p, name }) => (
          <div key={name} className={css.probability}>
            <span>{visible(name)}</span>
            <div className={css.bar} aria-hidden>
              <div style={{ width: `${p * 100}%`, background: name === row.true ? ink.right : name === row.predicted ? ink.wrong : ink.dim }} />
            </div>
            <span style={{ textAlign: "right" }}>{number(p, language, 3)}</span>
          </div>
        ))}
      </Table.Td>
      {row.values.map((v, i) => (
        <Table.Td key={i} ta="right">
          {visible(shown(v, language)) || "–"}
        </Table.Td>
      ))}
    </Table.Tr>
  );
}
