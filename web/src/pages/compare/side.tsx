import { Alert, Box, Group, Stack, Switch, Table, Text, Title } from "@mantine/core";
import { Fragment } from "react";
import { bytes, duration, number, real, shown } from "../../format";
import { useInk } from "../../charts/ink";
import { useSpeech, type Key } from "../../i18n";
import { Breakable } from "../../parts/breakable";
import { A } from "../../parts/link";
import { Failed, Loading, StateBadge } from "../../parts/status";
import { useQueryTexts } from "../../query";
import { resultText } from "../../score";
import { commandLine, visible } from "../run/text";
import { usePartName } from "../run/overview";
import css from "./compare.module.css";
import { useComparison, type PairedTest } from "./data";
import { best, better, withIntervals, withRows, type Shown } from "./judge";

const sections = ["summary", "params", "metrics", "inputs", "outputs", "code", "environment", "run"];

/** A table of the runs, one column each; by default only what differs. */
export function SideBySide({ project, ids }: { project: string; ids: string[] }) {
  const { t } = useSpeech();
  const ink = useInk();
  const [query, change] = useQueryTexts();
  const comparison = useComparison(ids);
  const all = query.all === "1";
  if (comparison.isPending) return <Loading />;
  if (comparison.isError) return <Failed error={comparison.error} retry={() => void comparison.refetch()} />;
  const { runs } = comparison.data;
  const summary = comparison.data.sections.find((s) => s.name === "summary")?.rows ?? [];
  const parts = comparison.data.sections
    .map((s) => {
      const rows: Shown[] = s.name === "summary" ? withIntervals(s.rows) : s.name === "metrics" ? withRows(s.rows, summary) : s.rows;
      if (s.name === "summary") rows.sort((a, b) => Number(better(b.key) !== undefined) - Number(better(a.key) !== undefined));
      return { name: s.name, rows, differing: rows.filter((r) => !r.same) };
    })
    .sort((a, b) => sections.indexOf(a.name) - sections.indexOf(b.name));
  const hidden = parts.reduce((n, p) => n + p.rows.length - p.differing.length, 0);
  const seen = parts.map((p) => ({ ...p, rows: all ? p.rows : p.differing })).filter((p) => p.rows.length > 0);
  const anyBest = seen.some((p) => ["summary", "metrics"].includes(p.name) && p.rows.some((r) => best(r).length > 0));
  return (
    <Stack gap="xl">
      <Box>
        <Group justify="space-between" mb="xs">
          <Text size="sm" c="dimmed">
            {all ? t("compare.all") : t("compare.hidden", { n: hidden })}
          </Text>
          <Switch size="sm" label={t("compare.differing")} checked={!all} onChange={(e) => change({ all: e.currentTarget.checked ? undefined : "1" })} />
        </Group>
        <Box className={css.scroll} tabIndex={0} role="region" aria-label={t("compare.tab.side")}>
          <table className={css.table} aria-label={t("compare.tab.side")}>
            <thead>
              <tr>
                <td className={css.key} />
                {runs.map((r, i) => (
                  <th key={r.id} scope="col">
                    <Group gap={6} wrap="nowrap" align="baseline" justify="flex-end">
                      <span aria-hidden style={{ color: ink.line(i) }}>
                        ●
                      </span>
                      <A to="/p/$project/runs/$run" params={{ project, run: r.id }} search={{}} size="sm" fw={600}>
                        {r.name || r.id}
                      </A>
                    </Group>
                    <Group gap={6} mt={2} justify="flex-end">
                      <StateBadge state={r.state} />
                      {i === 0 && (
                        <Text size="xs" c="dimmed" fw={400}>
                          {t("compare.first")}
                        </Text>
                      )}
                    </Group>
                    <Text size="xs" c="dimmed" fw={400}>
                      {r.id}
                    </Text>
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {seen.map((p) => (
                <Fragment key={p.name}>
                  <tr className={css.section}>
                    <th className={css.key} scope="rowgroup">
                      {t(`compare.section.${p.name}` as Key)}
                    </th>
                    {runs.map((r) => (
                      <th key={r.id} aria-hidden />
                    ))}
                  </tr>
                  {p.rows.map((row) => (
                    <OneRow key={row.key} row={row} section={p.name} mark={all && !row.same} />
                  ))}
                </Fragment>
              ))}
            </tbody>
          </table>
        </Box>
        {seen.length === 0 && (
          <Alert mt="sm" color="teal">
            {t("compare.noDifference")}
          </Alert>
        )}
        {anyBest && (
          <Text size="xs" c="dimmed" mt="xs">
            {t("compare.bestHow")}
          </Text>
        )}
      </Box>
      {(comparison.data.tests ?? []).length > 0 && <Tests tests={comparison.data.tests!} names={new Map(runs.map((r) => [r.id, r.name || r.id]))} />}
    </Stack>
  );
}

function OneRow({ row, section, mark }: { row: Shown; section: string; mark: boolean }) {
  const { t, language } = useSpeech();
  const judged = section === "summary" || section === "metrics";
  const top = judged ? best(row) : [];
  return (
    <tr className={mark ? css.differs : undefined}>
      <th scope="row" className={css.key}>
        <Breakable>{visible(row.key)}</Breakable>
      </th>
      {row.values.map((v, i) => {
        const isNumber = typeof v === "number";
        const low = row.low?.[i] ?? null;
        const high = row.high?.[i] ?? null;
        const text = isNumber && (low !== null || row.n) ? resultText({ key: row.key, value: v, low, high, n: row.n?.[i] ?? null }, language, t) : written(section, row.key, v, language);
        const d = row.differences[i];
        const difference = d === null || d === undefined ? NaN : real(d);
        return (
          <td key={i}>
            {v === null || v === undefined ? (
              <span className={css.missing}>–</span>
            ) : (
              <span className={top.includes(i) ? css.best : undefined}>
                {top.includes(i) && (
                  <span role="img" aria-label={t("compare.best")} title={t("compare.best")}>
                    ★{" "}
                  </span>
                )}
                {text}
              </span>
            )}
            {i > 0 && difference !== 0 && !Number.isNaN(difference) && judged && (
              <Text size="xs" c="dimmed">
                {difference > 0 ? "+" : "−"}
                {number(Math.abs(difference), language, 3)}
              </Text>
            )}
          </td>
        );
      })}
    </tr>
  );
}

// With its unit, where the name tells it.
function written(section: string, key: string, v: unknown, language: string): string {
  if (typeof v === "number" && section === "run" && key === "duration") return duration(v, language);
  if (typeof v === "number" && section === "environment" && key.endsWith("_bytes")) return bytes(v, language);
  if (key === "command") return visible(commandLine(v));
  return visible(shown(v, language)).replace(/^sha256:([0-9a-f]{12})[0-9a-f]{52}$/, "$1");
}

/** Which differences the rows can bear out. */
function Tests({ tests, names }: { tests: PairedTest[]; names: Map<string, string> }) {
  const { t, language } = useSpeech();
  const partName = usePartName();
  return (
    <Box component="section">
      <Title order={2} mb={4}>
        {t("compare.tests")}
      </Title>
      <Text size="sm" c="dimmed" mb="xs" maw={760}>
        {t("compare.tests.how")}
        {tests.length > 3 && " " + t("compare.tests.many", { n: tests.length })}
      </Text>
      <Table.ScrollContainer minWidth={640} type="native" tabIndex={0}>
        <Table aria-label={t("compare.tests")}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("compare.tests.pair")}</Table.Th>
              <Table.Th>{t("run.evaluation.rows")}</Table.Th>
              <Table.Th ta="right">{t("compare.tests.onlyA")}</Table.Th>
              <Table.Th ta="right">{t("compare.tests.onlyB")}</Table.Th>
              <Table.Th ta="right">p</Table.Th>
              <Table.Th>{t("compare.tests.verdict")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {tests.map((x) => {
              const [a, b] = [names.get(x.a) ?? x.a, names.get(x.b) ?? x.b];
              return (
                <Table.Tr key={`${x.part} ${x.a} ${x.b}`}>
                  <Table.Td>{t("compare.tests.of", { a, b })}</Table.Td>
                  <Table.Td>
                    {partName(x.part)} · {number(x.n, language)}
                  </Table.Td>
                  <Table.Td ta="right">{number(x.only_a, language)}</Table.Td>
                  <Table.Td ta="right">{number(x.only_b, language)}</Table.Td>
                  <Table.Td ta="right">{number(x.p, language, 2)}</Table.Td>
                  <Table.Td fw={x.tied ? 400 : 600}>
                    {x.tied
                      ? x.only_a + x.only_b < 6
                        ? t("compare.tests.few", { n: x.only_a + x.only_b })
                        : t("compare.tests.tied")
                      : t("compare.tests.better", { name: x.only_a > x.only_b ? a : b })}
                  </Table.Td>
                </Table.Tr>
              );
            })}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Box>
  );
}
