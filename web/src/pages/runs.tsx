import { Badge, Button, Center, CloseButton, Group, Modal, Select, SegmentedControl, Skeleton, Stack, TagsInput, Text, Title, VisuallyHidden, useComputedColorScheme } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconArrowsDiff, IconColumns, IconPlayerPlay, IconTag, IconTrash } from "@tabler/icons-react";
import { useParams } from "@tanstack/react-router";
import { useCallback, useMemo, useRef, useState, type KeyboardEvent, type PointerEvent } from "react";
import { useChangeRun, useColumns, useGroups, useRemoveRuns, useRights } from "../api";
import type { RunRow } from "../api/contract";
import { pen, Places } from "../charts/colour";
import { MetricCharts, type DrawnGroup, type DrawnRun } from "../charts/metrics";
import { readSettings, writeSettings, type ChartSettings } from "../charts/settings";
import { useEvents } from "../data/live";
import { number } from "../format";
import { useSpeech } from "../i18n";
import { Command } from "../parts/copy";
import { LinkButton } from "../parts/link";
import { usePageTitle } from "../parts/page";
import { Empty, Failed } from "../parts/status";
import { useQueryTexts } from "../query";
import { besides, distinct, usualColumns } from "./runs/cells";
import { ColumnsPanel } from "./runs/columns";
import { chunks, useRows, useSomeRuns } from "./runs/data";
import { faultText, Filter } from "./runs/filter";
import { groupId, groupLabel, GroupTable } from "./runs/groups";
import css from "./runs/runs.module.css";
import { isShown, readTable, tops, writeTable, type TableState } from "./runs/state";
import { RunTable } from "./runs/table";
import { Views } from "./runs/views";

const mostDrawn = 200;
const none: ReadonlySet<string> = new Set();

/** The runs of a project: a table, and the charts of what is chosen in it. */
export function Runs() {
  const { project } = useParams({ from: "/p/$project" });
  // Each project begins afresh: chosen runs, pens and places in the table.
  return <Page key={project} project={project} />;
}

function Page({ project }: { project: string }) {
  const { t, language } = useSpeech();
  usePageTitle(t("app.runs"), project);
  const dark = useComputedColorScheme("light") === "dark";
  const phone = useMediaQuery("(max-width: 48em)", false, { getInitialValueInEffect: false });
  const [query, setQuery] = useQueryTexts();
  const state = useMemo(() => readTable(query), [query]);
  const settings = useMemo(() => readSettings(query), [query]);
  const latest = useRef({ state, settings });
  latest.current = { state, settings };
  const change = useCallback((c: Partial<TableState>) => setQuery(writeTable(latest.current.state, c), c.where !== undefined || c.group !== undefined), [setQuery]);
  const changeCharts = useCallback((c: Partial<ChartSettings>) => setQuery(writeSettings(latest.current.settings, c)), [setQuery]);

  const columnsQuery = useColumns(project);
  const all = useMemo(() => columnsQuery.data ?? [], [columnsQuery.data]);
  const known = useMemo(() => new Map(all.map((c) => [c.name, c])), [all]);
  const columns = useMemo(() => state.columns ?? usualColumns(all), [state.columns, all]);
  // A score brings its interval and its rows along.
  const parts = useMemo(() => {
    const names = new Set(known.keys());
    return chunks(columns).map((part) => [...new Set(part.flatMap((c) => {
      const b = besides(c, names);
      return b ? [c, b.low, b.high, ...(b.rows ? [b.rows] : [])] : [c];
    }))]);
  }, [columns, known]);
  const [view, setView] = useState({ pages: [0], needed: [0] });
  const onView = useCallback((pages: number[], first: number, last: number) => {
    const needed = new Set([0]);
    for (let i = Math.floor(first / 100); i <= Math.floor(last / 100); i++) needed.add(i);
    setView((old) => {
      const next = { pages, needed: [...needed] };
      return JSON.stringify(old) === JSON.stringify(next) ? old : next;
    });
  }, []);
  const pages = useMemo(() => [...new Set([...Array.from({ length: Math.ceil(state.top / 100) }, (_, i) => i), ...view.pages])].sort((a, b) => a - b), [view.pages, state.top]);
  const needed = view.needed.filter((n) => n < parts.length);
  const rows = useRows({ project, where: state.where, sort: state.sort, columns: parts, needed, pages });
  const grouping = state.group.length > 0;

  // The runs that the charts show.
  const seen: RunRow[] = [];
  for (let i = 0; i < Math.min(state.top, rows.total ?? 0); i++) {
    const r = rows.at(i);
    if (r && isShown(state, r.id, i)) seen.push(r);
  }
  const firstIds = new Set(Array.from({ length: Math.min(state.top, rows.total ?? 0) }, (_, i) => rows.at(i)?.id));
  const some = useSomeRuns(project, grouping ? [] : state.shown.filter((id) => !firstIds.has(id)));
  const metricColumns = useMemo(() => columns.filter((c) => c.startsWith("summary.") && known.get(c)?.kind === "number").slice(0, 20), [columns, known]);
  const groups = useGroups({ project, where: state.where, by: state.group, metrics: metricColumns, limit: 200 });
  const [lit, setLit] = useState<string>();
  const places = useRef(new Places());

  const shownGroups = (groups.data ?? []).filter((g, i) => grouping && isShown(state, groupId(g.by, state.group), i));
  const groupRuns = shownGroups.flatMap((g) => g.ids).slice(0, mostDrawn);
  const visible = grouping ? [] : [...seen, ...(some.data?.runs ?? []).filter((r) => state.shown.includes(r.id) && !firstIds.has(r.id))].slice(0, mostDrawn);
  const drawnNames = grouping ? shownGroups.map((g) => groupId(g.by, state.group)) : visible.map((r) => r.id);
  places.current.keep(drawnNames);
  const penOf = (id: string) => (drawnNames.includes(id) ? pen(places.current.of(id), dark) : undefined);

  const stamp = JSON.stringify([drawnNames, dark, visible.map((r) => [r.name, r.state, r.started]), groupRuns]);
  const drawn = useMemo(() => {
    const labels = distinct(visible);
    const runs: DrawnRun[] = grouping
      ? groupRuns.map((id) => ({ id, label: id, pen: pen(0, dark), state: "finished", started: null }))
      : visible.map((r) => ({ id: r.id, label: labels.get(r.id) ?? r.id, pen: pen(places.current.of(r.id), dark), state: r.state, started: r.started }));
    const of: DrawnGroup[] | undefined = grouping
      ? shownGroups.map((g) => {
          const id = groupId(g.by, state.group);
          return { id, label: groupLabel(g.by, state.group, language), pen: pen(places.current.of(id), dark), runs: g.ids.filter((r) => groupRuns.includes(r)) };
        })
      : undefined;
    return { runs, of };
    // The stamp holds all that matters of the others, which are new each time.
  }, [stamp, language]);
  const live = useEvents(project, useMemo(() => visible.filter((r) => r.state === "running" || r.state === "pending").map((r) => r.id), [stamp]));

  const [chosen, choose] = useState<ReadonlySet<string>>(none);
  const [panel, setPanel] = useState(false);
  const [pane, setPane] = usePane(query.pane, (pane) => setQuery({ pane }), phone);
  const [split, setSplit] = useSplit();
  const filterFault = faultText(rows.error) ?? faultText(groups.error);

  const charts = (
    <section className={css.right} aria-label={t("runs.charts")}>
      <MetricCharts runs={drawn.runs} groups={drawn.of} live={live} settings={settings} change={changeCharts} focus={lit} onFocus={setLit} />
    </section>
  );
  const empty = rows.total === 0 && state.where === "" && !rows.pending;
  if (rows.error && filterFault === undefined && rows.total === undefined) return <Failed error={rows.error} retry={rows.refetch} />;
  if (empty) {
    return (
      <Center mih="70dvh">
        <Empty title={t("runs.none")} icon={<IconPlayerPlay size={40} aria-hidden />}>
          <Stack gap="sm">
            <span>{t("runs.none.text")}</span>
            <Command>solera run</Command>
          </Stack>
        </Empty>
      </Center>
    );
  }
  const table = (
    <section className={css.left} style={pane === "both" ? { width: `${split}%`, flex: "none" } : { flex: 1, minHeight: 0 }} aria-label={t("runs.table")}>
      <div className={css.bar}>
        <Filter where={state.where} columns={all} error={rows.error ?? groups.error} onChange={(where) => change({ where })} />
        <Group gap={8}>
          <Views project={project} query={query} go={(q) => setQuery({ ...Object.fromEntries(Object.keys(query).map((k) => [k, ""])), ...q }, true)} />
          <Button size="xs" variant="default" leftSection={<IconColumns size={14} />} onClick={() => setPanel(true)}>
            {t("runs.columns")}
          </Button>
          {!phone && <PaneChoice pane={pane} setPane={setPane} phone={phone} />}
        </Group>
        {grouping && (
          <Group gap={6} w="100%">
            <Text size="xs" c="dimmed">
              {t("runs.groupedBy")}
            </Text>
            {state.group.map((g) => (
              <Badge key={g} variant="light" tt="none" rightSection={<CloseButton size={16} aria-label={t("runs.ungroupBy", { name: g })} onClick={() => change({ group: state.group.filter((x) => x !== g), hidden: [], shown: [] })} />}>
                {g}
              </Badge>
            ))}
          </Group>
        )}
      </div>
      {grouping ? (
        groups.isPending && !filterFault ? (
          <Stack p="sm" gap="xs">{[0, 1, 2, 3].map((i) => <Skeleton key={i} h={26} />)}</Stack>
        ) : (
          <GroupTable groups={groups.data ?? []} metrics={metricColumns} known={known} state={state} penOf={penOf} change={change} lit={lit} onLit={setLit} />
        )
      ) : rows.pending ? (
        <Stack p="sm" gap="xs" role="status" aria-label={t("load.loading")} flex={1}>{[0, 1, 2, 3, 4, 5].map((i) => <Skeleton key={i} h={26} />)}</Stack>
      ) : filterFault !== undefined && rows.total === undefined ? (
        <Empty title={t("runs.fault")}>{t("runs.fault.text")}</Empty>
      ) : rows.total === 0 ? (
        <Empty title={t("runs.noneFound")}>
          <Button variant="default" size="xs" onClick={() => change({ where: "" })}>
            {t("runs.where.clear")}
          </Button>
        </Empty>
      ) : (
        <RunTable project={project} state={state} columns={columns} known={known} rows={rows} change={change} onView={onView} penOf={penOf} chosen={chosen} choose={choose} lit={lit} onLit={setLit} />
      )}
      <div className={css.actions}>
        <Text size="xs" c="dimmed" role="status">
          {grouping ? t("runs.groupCount", { n: groups.data?.length ?? 0 }) : rows.total !== undefined && t("runs.count", { n: rows.total })}
        </Text>
        {columnsQuery.isPending && (
          <Text size="xs" c="dimmed">
            {t("runs.columns.loading")}
          </Text>
        )}
        {chosen.size > 0 && <Actions project={project} chosen={chosen} clear={() => choose(none)} rows={rows} />}
        <Group gap={6} ml="auto" wrap="nowrap">
          <Text size="xs" c="dimmed" id="runs-top">
            {t("runs.top")}
          </Text>
          <Select size="xs" w={72} aria-labelledby="runs-top" allowDeselect={false} value={String(state.top)} onChange={(v) => v && change({ top: Number(v) })} data={tops.map((n) => ({ value: String(n), label: number(n, language) }))} comboboxProps={{ position: "top-end" }} />
        </Group>
      </div>
    </section>
  );
  return (
    <div className={css.page}>
      <VisuallyHidden>
        <Title order={1}>{`${t("app.runs")} – ${project}`}</Title>
      </VisuallyHidden>
      {phone && (
        <Group p={8} pb={0}>
          <PaneChoice pane={pane} setPane={setPane} phone />
        </Group>
      )}
      {pane !== "charts" && table}
      {pane === "both" && <Splitter split={split} setSplit={setSplit} label={t("runs.split")} />}
      {pane === "charts" && !phone && (
        <div className={css.right}>
          <Group justify="flex-end" mb="xs">
            <PaneChoice pane={pane} setPane={setPane} phone={false} />
          </Group>
          <MetricCharts runs={drawn.runs} groups={drawn.of} live={live} settings={settings} change={changeCharts} focus={lit} onFocus={setLit} />
        </div>
      )}
      {(pane === "both" || (pane === "charts" && phone)) && charts}
      <ColumnsPanel
        opened={panel}
        onClose={() => setPanel(false)}
        columns={all}
        shown={columns}
        left={state.left}
        usual={state.columns === undefined}
        change={(cols, left) => change({ columns: cols, ...(left ? { left } : {}) })}
      />
    </div>
  );
}

type Pane = "both" | "table" | "charts";

function usePane(text: string | undefined, set: (pane: string) => void, phone: boolean): [Pane, (pane: Pane) => void] {
  const pane: Pane = text === "table" || text === "charts" ? text : phone ? "table" : "both";
  return [pane, (p) => set(p === "both" || (phone && p === "table") ? "" : p)];
}

function PaneChoice({ pane, setPane, phone }: { pane: Pane; setPane: (pane: Pane) => void; phone: boolean }) {
  const { t } = useSpeech();
  return (
    <SegmentedControl
      size="xs"
      fullWidth={phone}
      w={phone ? "100%" : undefined}
      aria-label={t("runs.pane")}
      value={pane}
      onChange={(v) => setPane(v as Pane)}
      data={[{ value: "table", label: t("runs.pane.table") }, ...(phone ? [] : [{ value: "both", label: t("runs.pane.both") }]), { value: "charts", label: t("runs.pane.charts") }]}
    />
  );
}

const splitStored = "solera.split";

function useSplit(): [number, (split: number) => void] {
  const [split, setSplit] = useState(() => {
    const stored = Number(localStorage.getItem(splitStored));
    return stored >= 20 && stored <= 80 ? stored : 50;
  });
  return [split, (s) => {
    const next = Math.min(80, Math.max(20, Math.round(s * 10) / 10));
    localStorage.setItem(splitStored, String(next));
    setSplit(next);
  }];
}

function Splitter({ split, setSplit, label }: { split: number; setSplit: (split: number) => void; label: string }) {
  const move = (e: PointerEvent<HTMLDivElement>) => {
    const box = e.currentTarget.parentElement?.getBoundingClientRect();
    if (box && e.currentTarget.hasPointerCapture(e.pointerId)) setSplit(((e.clientX - box.left) / box.width) * 100);
  };
  const keys = (e: KeyboardEvent) => {
    if (e.key === "ArrowLeft") setSplit(split - 4);
    else if (e.key === "ArrowRight") setSplit(split + 4);
    else return;
    e.preventDefault();
  };
  return (
    <div
      className={css.split}
      role="separator"
      aria-orientation="vertical"
      aria-label={label}
      aria-valuemin={20}
      aria-valuemax={80}
      aria-valuenow={Math.round(split)}
      tabIndex={0}
      onPointerDown={(e) => e.currentTarget.setPointerCapture(e.pointerId)}
      onPointerMove={move}
      onKeyDown={keys}
      onDoubleClick={() => setSplit(50)}
    />
  );
}

// What can be done with the chosen runs.
function Actions({ project, chosen, clear, rows }: { project: string; chosen: ReadonlySet<string>; clear: () => void; rows: { total: number | undefined; at: (i: number) => RunRow | undefined } }) {
  const { t } = useSpeech();
  const { edit } = useRights();
  const changeRun = useChangeRun();
  const remove = useRemoveRuns();
  const [tagging, setTagging] = useState(false);
  const [removing, setRemoving] = useState(false);
  const [tags, setTags] = useState<string[]>([]);
  const ids = [...chosen];
  const add = async () => {
    const old = new Map<string, string[]>();
    for (let i = 0; i < (rows.total ?? 0); i++) {
      const r = rows.at(i);
      if (r && chosen.has(r.id)) old.set(r.id, r.tags ?? []);
    }
    for (const id of ids) await changeRun.mutateAsync({ id, change: { tags: [...new Set([...(old.get(id) ?? []), ...tags])] } });
    setTagging(false);
    setTags([]);
  };
  return (
    <Group gap={6}>
      <Text size="xs" fw={600}>
        {t("runs.chosen", { n: chosen.size })}
      </Text>
      <LinkButton size="compact-xs" variant="filled" leftSection={<IconArrowsDiff size={14} />} to="/p/$project/compare" params={{ project }} search={{ runs: ids.join(",") }} disabled={ids.length < 2}>
        {t("runs.compare")}
      </LinkButton>
      {edit && (
        <>
          <Button size="compact-xs" variant="default" leftSection={<IconTag size={14} />} onClick={() => setTagging(true)}>
            {t("runs.tag")}
          </Button>
          <Button size="compact-xs" variant="default" leftSection={<IconTrash size={14} />} onClick={() => setRemoving(true)}>
            {t("remove")}
          </Button>
        </>
      )}
      <CloseButton size="sm" aria-label={t("runs.unmark")} onClick={clear} />
      <Modal opened={tagging} onClose={() => setTagging(false)} title={t("runs.tag.title", { n: ids.length })} size="sm" closeButtonProps={{ "aria-label": t("close") }}>
        <TagsInput data-autofocus label={t("runs.field.tags")} description={t("runs.tag.text")} value={tags} onChange={setTags} error={changeRun.error?.message} />
        <Group justify="flex-end" mt="md">
          <Button disabled={tags.length === 0} loading={changeRun.isPending} onClick={() => void add().catch(() => undefined)}>
            {t("save")}
          </Button>
        </Group>
      </Modal>
      <Modal opened={removing} onClose={() => setRemoving(false)} title={t("runs.remove.title", { n: ids.length })} size="sm" closeButtonProps={{ "aria-label": t("close") }}>
        <Text size="sm">{t("runs.remove.text")}</Text>
        {remove.error && (
          <Text size="sm" c="red" role="alert" mt="xs">
            {remove.error.message}
          </Text>
        )}
        <Group justify="flex-end" mt="md">
          <Button variant="default" onClick={() => setRemoving(false)}>
            {t("cancel")}
          </Button>
          <Button color="red" loading={remove.isPending} onClick={() => remove.mutate({ ids }, { onSuccess: () => { setRemoving(false); clear(); } })}>
            {t("remove")}
          </Button>
        </Group>
      </Modal>
    </Group>
  );
}
