import { ActionIcon, Alert, Box, Button, Checkbox, Group, MultiSelect, Paper, RangeSlider, SegmentedControl, Select, SimpleGrid, Stack, Table, Text } from "@mantine/core";
import { IconChartDots3, IconX } from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { axes, chosen, telling, wantsLog, type AxisChoice } from "../../charts/axes";
import { ChartFrame } from "../../charts/frame";
import { ImportanceBars, ImportanceWords, importanceTwin } from "../../charts/importance";
import { Parallel, shortField } from "../../charts/parallel";
import { Scatter, word } from "../../charts/scatter";
import { importance } from "../../charts/stats";
import { useSpeech } from "../../i18n";
import { A } from "../../parts/link";
import { Empty, Failed, Loading } from "../../parts/status";
import { useQueryTexts } from "../../query";
import { explored, useProjectRuns, type Explored } from "./data";
import { metricFields } from "./judge";

const most = 1000;

/** What many runs say together: lines across all settings, any two fields against each other, what matters. */
export function Explore({ project, ids }: { project: string; ids: string[] }) {
  const { t } = useSpeech();
  const [query, change] = useQueryTexts();
  // Two or three runs say nothing together, so all of the project are looked at unless more were chosen.
  const scope = query.of === "chosen" || (query.of === undefined && ids.length >= 4) ? "chosen" : "all";
  const where = scope === "chosen" && ids.length > 0 ? `id in (${ids.map((i) => "'" + i.replaceAll("'", "''") + "'").join(", ")})` : (query.where ?? "");
  const page = useProjectRuns(project, where, most);
  const [stage, setStage] = useState<string | null>(null);
  const everything = useMemo(() => explored(page.data?.runs ?? []), [page.data]);
  const stages = useMemo(() => {
    const counted = new Map<string, number>();
    for (const r of everything) if (typeof r.values.stage === "string") counted.set(r.values.stage, (counted.get(r.values.stage) ?? 0) + 1);
    return counted;
  }, [everything]);
  // Stages have nothing in common; that which has results comes first.
  const usual = [...stages.keys()].sort((a, b) => results(everything, b) - results(everything, a) || stages.get(b)! - stages.get(a)!)[0];
  const shownStage = stage ?? usual ?? "";
  const runs = useMemo(() => (stages.size > 1 && shownStage !== "*" ? everything.filter((r) => r.values.stage === shownStage) : everything), [everything, stages, shownStage]);

  if (page.isPending) return <Loading />;
  if (page.isError) return <Failed error={page.error} retry={() => void page.refetch()} />;
  return (
    <Stack gap="xl">
      <Group gap="md" align="flex-end">
        {ids.length > 0 && (
          <SegmentedControl
            size="xs"
            aria-label={t("compare.of")}
            value={scope}
            onChange={(v) => change({ of: v })}
            data={[
              { value: "chosen", label: t("compare.of.chosen", { n: ids.length }) },
              { value: "all", label: t("compare.of.all") },
            ]}
          />
        )}
        {stages.size > 1 && (
          <Select size="xs" w={200} label={t("run.stage")} value={shownStage} onChange={setStage} allowDeselect={false} data={[...[...stages].map(([s, n]) => ({ value: s, label: `${s} (${n})` })), { value: "*", label: t("compare.everyStage") }]} />
        )}
        <Text size="sm" c="dimmed" pb={4}>
          {page.data.total > most && scope === "all" ? t("compare.newest", { n: most, total: page.data.total }) : t("compare.runsShown", { n: runs.length })}
        </Text>
      </Group>
      {runs.length < 2 ? (
        <Empty title={t("compare.explore.few")} icon={<IconChartDots3 size={36} aria-hidden />}>
          {t("compare.explore.fewText")}
        </Empty>
      ) : (
        <Charts key={shownStage + scope} project={project} runs={runs} />
      )}
    </Stack>
  );
}

function results(runs: Explored[], stage: string): number {
  return runs.filter((r) => r.values.stage === stage && Object.keys(r.values).some((k) => k.startsWith("summary."))).length > 0 ? metricFields(fieldsOf(runs.filter((r) => r.values.stage === stage))).length : 0;
}

function fieldsOf(runs: Explored[]): string[] {
  const all = new Set<string>();
  for (const r of runs) for (const k of Object.keys(r.values)) all.add(k);
  return [...all].sort();
}

function mostVaried(fields: string[], runs: Explored[]): string | undefined {
  const distinct = (f: string) => new Set(runs.map((r) => r.values[f] ?? null)).size;
  return [...fields].sort((a, b) => distinct(b) - distinct(a))[0];
}

function isNumeric(field: string, runs: Explored[]): boolean {
  return runs.some((r) => typeof r.values[field] === "number") && runs.every((r) => r.values[field] === null || r.values[field] === undefined || typeof r.values[field] === "number");
}

function Charts({ project, runs }: { project: string; runs: Explored[] }) {
  const { t } = useSpeech();
  const fields = useMemo(() => fieldsOf(runs), [runs]);
  const speaking = useMemo(() => telling(fields, runs).filter((f) => !/_(low|high)$/.test(f)), [fields, runs]);
  const metrics = useMemo(() => metricFields(speaking.filter((f) => isNumeric(f, runs))), [speaking, runs]);
  if (speaking.length < 2) {
    return (
      <Empty title={t("compare.explore.same")} icon={<IconChartDots3 size={36} aria-hidden />}>
        {t("compare.explore.sameText")}
      </Empty>
    );
  }
  return (
    <>
      <ParallelPart project={project} runs={runs} fields={speaking} metrics={metrics} />
      <SimpleGrid cols={{ base: 1, lg: 2 }} spacing="xl" verticalSpacing="xl">
        <ScatterPart project={project} runs={runs} fields={speaking} metrics={metrics} />
        <ImportancePart runs={runs} metrics={metrics} />
      </SimpleGrid>
    </>
  );
}

// An axis in the address: its field, with ~l for logarithmic, ~f for flipped.
function readAxes(text: string | undefined, fields: string[]): AxisChoice[] | undefined {
  if (text === undefined) return undefined;
  const list = text
    .split(",")
    .map((part) => {
      const [field = "", ...marks] = part.split("~");
      return { field, log: marks.includes("l"), flip: marks.includes("f") };
    })
    .filter((a) => fields.includes(a.field));
  return list.length > 0 ? list : undefined;
}

function writeAxes(list: AxisChoice[]): string {
  return list.map((a) => a.field + (a.log ? "~l" : "") + (a.flip ? "~f" : "")).join(",");
}

/** Lines across all settings, with what can be chosen of them. */
export function ParallelPart({ project, runs, fields, metrics }: { project: string; runs: Explored[]; fields: string[]; metrics: string[] }) {
  const { t, language } = useSpeech();
  const [query, change] = useQueryTexts();
  const navigate = useNavigate();
  const usual = useMemo(() => {
    const params = fields.filter((f) => f.startsWith("params.")).slice(0, 6);
    const goal = metrics[0] ?? fields.find((f) => !params.includes(f));
    return [...params, ...(goal ? [goal] : [])].map<AxisChoice>((field) => ({ field, log: wantsLog(runs.map((r) => r.values[field] ?? null)) }));
  }, [fields, metrics, runs]);
  const choices = readAxes(query.axes, fields) ?? usual;
  const [brushes, setBrushes] = useState<Record<string, [number, number]>>({});
  const put = (list: AxisChoice[]) => change({ axes: writeAxes(list) });
  const colour = query.colour !== undefined && fields.includes(query.colour) ? query.colour : metrics[0];
  const list = useMemo(
    () => axes(choices.map((c) => ({ ...c, ...(brushes[c.field] ? { brush: brushes[c.field] } : {}) })), runs),
    // The choices are read from the address each time.
    [writeAxes(choices), brushes, runs],
  );
  const take = useMemo(() => chosen(list, runs.length), [list, runs.length]);
  const kept = runs.filter((_, i) => take[i]);
  const brushed = list.some((a) => a.brush);
  const brush = (field: string, b: [number, number] | undefined) =>
    setBrushes((old) => {
      const { [field]: _, ...rest } = old;
      return b ? { ...rest, [field]: b } : rest;
    });
  const open = (id: string) => void navigate({ to: "/p/$project/runs/$run", params: { project, run: id }, search: {} });
  return (
    <Box>
      <ChartFrame
        order={2}
        title={t("compare.parallel")}
        note={t("compare.parallel.note")}
        twin={{ columns: [t("compare.run"), ...list.map((a) => a.field)], rows: kept.map((r) => [r.label, ...list.map((a) => r.values[a.field])]) }}
      >
        <Parallel list={list} runs={runs} colourBy={colour} onBrush={(i, b) => brush(list[i]!.field, b)} onOpen={open} />
      </ChartFrame>
      <Group mt="sm" align="flex-end" gap="md">
        <MultiSelect
          size="xs"
          label={t("compare.axes")}
          data={fields.map((f) => ({ value: f, label: f }))}
          value={choices.map((c) => c.field)}
          onChange={(v) => put(v.map((field) => choices.find((c) => c.field === field) ?? { field }))}
          searchable
          hidePickedOptions
          maxValues={12}
          style={{ flex: "1 1 320px" }}
        />
        <Select size="xs" label={t("compare.colour")} w={220} searchable data={fields.filter((f) => isNumeric(f, runs))} value={colour ?? null} onChange={(v) => change({ colour: v ?? undefined })} allowDeselect={false} />
      </Group>
      <SimpleGrid cols={{ base: 1, xs: 2, md: 3, lg: 4 }} spacing="xs" mt="sm" role="group" aria-label={t("compare.axes")}>
        {list.map((a, i) => (
          <Paper key={a.field} withBorder p="xs">
            <Text size="xs" fw={600} truncate title={a.field}>
              {shortField(a.field)}
            </Text>
            <Group gap="sm" mt={4} mb="md">
              <Checkbox size="md" styles={{ label: { fontSize: "var(--mantine-font-size-xs)" } }} label={t("compare.flip")} aria-label={`${t("compare.flip")}: ${a.field}`} checked={Boolean(a.flip)} onChange={(e) => put(choices.map((c, k) => (k === i ? { ...c, flip: e.currentTarget.checked } : c)))} />
              <Checkbox
                size="md"
                styles={{ label: { fontSize: "var(--mantine-font-size-xs)" } }}
                label={t("chart.log")}
                aria-label={`${t("chart.log")}: ${a.field}`}
                disabled={!a.canLog}
                checked={Boolean(a.log) && a.canLog}
                onChange={(e) => put(choices.map((c, k) => (k === i ? { ...c, log: e.currentTarget.checked } : c)))}
              />
              {a.brush && (
                <ActionIcon size="sm" variant="subtle" color="gray" ml="auto" aria-label={t("compare.brush.clear", { field: shortField(a.field) })} title={t("compare.brush.clear", { field: shortField(a.field) })} onClick={() => brush(a.field, undefined)}>
                  <IconX size={14} />
                </ActionIcon>
              )}
            </Group>
            <RangeSlider
              size="xs"
              min={0}
              max={100}
              minRange={1}
              thumbSize={24}
              label={(v) => sliderText(a, v / 100, language)}
              value={a.brush ? [Math.round(Math.min(...a.brush) * 100), Math.round(Math.max(...a.brush) * 100)] : [0, 100]}
              onChange={([low, high]) => brush(a.field, low === 0 && high === 100 ? undefined : [low / 100, high / 100])}
              thumbFromLabel={t("compare.brush.from", { field: shortField(a.field) })}
              thumbToLabel={t("compare.brush.to", { field: shortField(a.field) })}
            />
          </Paper>
        ))}
      </SimpleGrid>
      {brushed && (
        <Group mt="sm" gap="sm" role="status">
          <Text size="sm">{t("compare.kept", { n: kept.length, total: runs.length })}</Text>
          <Button size="compact-xs" variant="default" disabled={kept.length < 2 || kept.length > 50} onClick={() => change({ runs: kept.map((r) => r.id).join(","), tab: "side" }, true)}>
            {t("compare.these")}
          </Button>
          <Button size="compact-xs" variant="subtle" onClick={() => setBrushes({})}>
            {t("compare.brush.all")}
          </Button>
        </Group>
      )}
      {brushed && kept.length > 0 && (
        <Table.ScrollContainer minWidth={480} type="native" tabIndex={0} mt="xs">
          <Table fz="sm" verticalSpacing={4} aria-label={t("compare.kept", { n: kept.length, total: runs.length })}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("compare.run")}</Table.Th>
                {list.map((a) => (
                  <Table.Th key={a.field} ta={a.scale.kind === "number" ? "right" : "left"}>
                    {shortField(a.field)}
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {kept.slice(0, 20).map((r) => (
                <Table.Tr key={r.id}>
                  <Table.Td>
                    <A to="/p/$project/runs/$run" params={{ project, run: r.id }} search={{}} size="sm">
                      {r.label}
                    </A>
                  </Table.Td>
                  {list.map((a) => (
                    <Table.Td key={a.field} ta={a.scale.kind === "number" ? "right" : "left"}>
                      {word(r.values[a.field], language)}
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
    </Box>
  );
}

function sliderText(a: ReturnType<typeof axes>[number], place: number, language: string): string {
  const p = a.flip ? 1 - place : place;
  if (a.scale.kind === "number") return word(a.scale.value(p), language);
  return a.scale.names[Math.round(p * (a.scale.names.length - 1))] ?? "";
}

function ScatterPart({ project, runs, fields, metrics }: { project: string; runs: Explored[]; fields: string[]; metrics: string[] }) {
  const { t } = useSpeech();
  const [query, change] = useQueryTexts();
  const navigate = useNavigate();
  const pick = (wanted: string | undefined, or: string | undefined) => (wanted !== undefined && fields.includes(wanted) ? wanted : (or ?? fields[0]!));
  const x = pick(query.sx, mostVaried(fields.filter((f) => f.startsWith("params.") && isNumeric(f, runs)), runs) ?? fields.find((f) => f.startsWith("params.")) ?? metrics[1]);
  const y = pick(query.sy, metrics[0]);
  const tone = query.tone !== undefined && fields.includes(query.tone) ? query.tone : undefined;
  const log = (axis: string, field: string) => (query.slog === undefined ? field.startsWith("params.") && wantsLog(runs.map((r) => r.values[field] ?? null)) : query.slog.includes(axis));
  const [logX, logY] = [log("x", x), log("y", y)];
  const setLog = (nx: boolean, ny: boolean) => change({ slog: (nx ? "x" : "") + (ny ? "y" : "") || "-" });
  const dots = useMemo(() => runs.map((r) => ({ id: r.id, label: r.label, x: r.values[x] ?? null, y: r.values[y] ?? null, ...(tone ? { colour: r.values[tone] ?? null } : {}) })), [runs, x, y, tone]);
  const data = fields.map((f) => ({ value: f, label: f }));
  return (
    <ChartFrame
      order={2}
      title={t("compare.scatter")}
      note={t("compare.scatter.note")}
      twin={{ columns: [t("compare.run"), x, y, ...(tone ? [tone] : [])], rows: dots.map((d) => [d.label, d.x, d.y, ...(tone ? [d.colour] : [])]) }}
    >
      <Group gap="xs" mb="xs" align="flex-end">
        <Select size="xs" searchable label={t("compare.x")} data={data} value={x} onChange={(v) => change({ sx: v ?? undefined })} allowDeselect={false} style={{ flex: "1 1 150px" }} />
        <Select size="xs" searchable label={t("compare.y")} data={data} value={y} onChange={(v) => change({ sy: v ?? undefined })} allowDeselect={false} style={{ flex: "1 1 150px" }} />
        <Select size="xs" searchable clearable label={t("compare.colour")} placeholder={t("compare.noColour")} data={fields.filter((f) => isNumeric(f, runs))} value={tone ?? null} onChange={(v) => change({ tone: v ?? undefined })} style={{ flex: "1 1 150px" }} />
      </Group>
      <Group gap="md" mb="xs">
        <Checkbox size="xs" label={t("compare.logX")} disabled={!isNumeric(x, runs)} checked={logX && isNumeric(x, runs)} onChange={(e) => setLog(e.currentTarget.checked, logY)} />
        <Checkbox size="xs" label={t("compare.logY")} disabled={!isNumeric(y, runs)} checked={logY && isNumeric(y, runs)} onChange={(e) => setLog(logX, e.currentTarget.checked)} />
      </Group>
      <Scatter dots={dots} x={shortField(x)} y={shortField(y)} logX={logX} logY={logY} onOpen={(id) => void navigate({ to: "/p/$project/runs/$run", params: { project, run: id }, search: {} })} />
    </ChartFrame>
  );
}

/** Which settings go with a metric. */
export function ImportancePart({ runs, metrics }: { runs: Explored[]; metrics: string[] }) {
  const { t } = useSpeech();
  const [query, change] = useQueryTexts();
  const metric = query.metric !== undefined && metrics.includes(query.metric) ? query.metric : metrics[0];
  const list = useMemo(() => {
    if (!metric) return [];
    return importance(
      runs.map((r) => ({
        params: Object.fromEntries(Object.entries(r.values).filter(([k]) => k.startsWith("params."))),
        metric: r.values[metric] ?? null,
      })),
    ).slice(0, 20);
  }, [runs, metric]);
  const judged = metric ? runs.filter((r) => typeof r.values[metric] === "number" && Number.isFinite(r.values[metric])).length : 0;
  return (
    <ChartFrame
      order={2}
      title={t("compare.importance")}
      note={<ImportanceWords runs={judged} />}
      twin={importanceTwin(list, [t("compare.param"), t("compare.runs"), t("compare.importance.share"), t("compare.importance.rank"), t("compare.importance.low"), t("compare.importance.high")])}
    >
      {metric === undefined ? (
        <Alert color="gray">{t("compare.importance.noMetric")}</Alert>
      ) : (
        <>
          <Select size="xs" w={260} mb="xs" searchable label={t("run.metric")} data={metrics} value={metric} onChange={(v) => change({ metric: v ?? undefined })} allowDeselect={false} />
          {list.length === 0 ? <Text c="dimmed">{t("compare.importance.none")}</Text> : <ImportanceBars list={list} />}
        </>
      )}
    </ChartFrame>
  );
}
