import {
  ActionIcon, Badge, Box, Button, Group, Menu, Modal, NumberInput, Popover, Select, SegmentedControl, SimpleGrid, Skeleton, Slider, Stack, Switch,
  Text, TextInput, Tooltip, UnstyledButton, useComputedColorScheme,
} from "@mantine/core";
import { useInViewport } from "@mantine/hooks";
import { IconAdjustments, IconChevronDown, IconChevronRight, IconMaximize, IconPin, IconPinnedFilled, IconSearch, IconX, IconZoomReset } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useMemo, useState } from "react";
import { ask, useMetrics, ws } from "../api";
import type { RunState, Series } from "../api/contract";
import type { Live } from "../data/live";
import { useLiveVersion } from "../data/live";
import { internal, number } from "../format";
import { useSpeech, type Translate } from "../i18n";
import { Empty, Failed } from "../parts/status";
import type { Pen } from "./colour";
import { ChartFrame } from "./frame";
import { useInk } from "./ink";
import { Lines, type Line, type Range } from "./lines";
import { linesSvg, linesTwin } from "./lines-export";
import { along, byPrefix, grouped, join, pointsOf, type Points, type Spread, type XAxis } from "./series";
import type { ChartSettings } from "./settings";
import { smooth, type Smoothing } from "./smooth";

/** A run whose metrics are drawn. */
export interface DrawnRun {
  id: string;
  label: string;
  pen: Pen;
  state: RunState;
  started: string | null;
}

/** Runs that are drawn as one curve with a band. */
export interface DrawnGroup {
  id: string;
  label: string;
  pen: Pen;
  runs: string[];
}

interface Props {
  runs: DrawnRun[];
  /** If given, curves are of groups, not of runs. */
  groups?: DrawnGroup[] | undefined;
  live: Live;
  settings: ChartSettings;
  change: (change: Partial<ChartSettings>) => void;
  focus?: string | undefined;
  onFocus?: (id: string | undefined) => void;
  /** Only metrics that this lets through. */
  only?: (key: string) => boolean;
}

const mostSeries = 2000;

/** Every metric of some runs, a chart each, by the beginning of their names. */
export function MetricCharts({ runs, groups, live, settings, change, focus, onFocus, only }: Props) {
  const { t } = useSpeech();
  const ids = useMemo(() => runs.map((r) => r.id), [runs]);
  const metrics = useMetrics(ids);
  const version = useLiveVersion(live);
  const [ranges, setRanges] = useState<Record<string, Range | undefined>>({});
  const [closed, setClosed] = useState<Record<string, boolean>>({ system: true });

  const keys = useMemo(() => {
    const all = new Set((metrics.data ?? []).map((m) => m.key));
    for (const id of ids) for (const k of live.keys(id)) all.add(k);
    return [...all].filter((k) => !only || only(k));
    // Live points bring metrics that nobody has heard of yet.
  }, [metrics.data, ids, live, only, version]);
  // What clients keep for themselves is found by who asks for it.
  const seen = settings.find.startsWith("_") ? keys : keys.filter((k) => !internal(k));
  const found = seen.filter((k) => k.toLowerCase().includes(settings.find.toLowerCase()));
  const pinned = settings.pinned.filter((k) => found.includes(k));
  const sections = byPrefix(found.filter((k) => !pinned.includes(k)));
  // What was set for steps means nothing for seconds.
  useEffect(() => setRanges({}), [settings.x, settings.logX]);

  if (runs.length === 0) return <Empty title={t("lines.noRuns")}>{t("lines.noRuns.text")}</Empty>;
  if (metrics.isError) return <Failed error={metrics.error} retry={() => void metrics.refetch()} />;

  const panel = (key: string) => (
    <Panel
      key={key}
      metric={key}
      runs={runs}
      groups={groups}
      live={live}
      settings={settings}
      range={ranges[settings.sync ? "*" : key]}
      setRange={(r) => setRanges((old) => ({ ...old, [settings.sync ? "*" : key]: r }))}
      pinned={pinned.includes(key)}
      togglePin={() => change({ pinned: pinned.includes(key) ? settings.pinned.filter((k) => k !== key) : [...settings.pinned, key] })}
      focus={focus}
      onFocus={onFocus}
    />
  );
  return (
    <Stack gap="sm">
      <ChartBar settings={settings} change={change} metrics={keys} grouped={groups !== undefined} />
      {metrics.isPending ? (
        <Panels>
          {[0, 1, 2, 3].map((i) => (
            <Skeleton key={i} h={250} />
          ))}
        </Panels>
      ) : seen.length === 0 && settings.find === "" ? (
        <Empty title={t("lines.noMetrics")}>{t("lines.noMetrics.text")}</Empty>
      ) : found.length === 0 ? (
        <Empty title={t("lines.noneFound")}>
          <Button variant="default" size="xs" onClick={() => change({ find: "" })}>
            {t("lines.showAll")}
          </Button>
        </Empty>
      ) : null}
      {pinned.length > 0 && (
        <Section title={t("lines.pinned")} n={pinned.length} open toggle={undefined}>
          {pinned.map(panel)}
        </Section>
      )}
      {sections.map(({ prefix, keys }) => {
        const open = settings.find !== "" || sections.length === 1 || !(closed[prefix] ?? false);
        return (
          <Section key={prefix} title={sectionTitle(prefix, t)} n={keys.length} open={open} toggle={sections.length === 1 ? undefined : () => setClosed((old) => ({ ...old, [prefix]: open }))}>
            {open && keys.map(panel)}
          </Section>
        );
      })}
    </Stack>
  );
}

function sectionTitle(prefix: string, t: Translate): string {
  return prefix === "" ? t("lines.others") : prefix === "system" ? t("lines.system") : prefix;
}

function Panels({ children }: { children: React.ReactNode }) {
  return (
    <SimpleGrid type="container" cols={{ base: 1, "620px": 2, "1150px": 3, "1700px": 4 }} spacing="sm">
      {children}
    </SimpleGrid>
  );
}

function Section({ title, n, open, toggle, children }: { title: string; n: number; open: boolean; toggle: (() => void) | undefined; children: React.ReactNode }) {
  const { language } = useSpeech();
  const head = (
    <Group gap={6}>
      {toggle && (open ? <IconChevronDown size={16} aria-hidden /> : <IconChevronRight size={16} aria-hidden />)}
      <Text component="h2" fw={600} size="sm" m={0}>
        {title}
      </Text>
      <Badge size="sm" variant="light" color="gray" c="dimmed">
        {number(n, language)}
      </Badge>
    </Group>
  );
  return (
    <section>
      {toggle ? (
        <UnstyledButton onClick={toggle} aria-expanded={open} py={4}>
          {head}
        </UnstyledButton>
      ) : (
        <Box py={4}>{head}</Box>
      )}
      {open && (
        <Box mt={4}>
          <Panels>{children}</Panels>
        </Box>
      )}
    </section>
  );
}

const usual: Record<Smoothing["kind"], Smoothing> = {
  none: { kind: "none" },
  ema: { kind: "ema", weight: 0.6 },
  mean: { kind: "mean", window: 9 },
  gaussian: { kind: "gaussian", sigma: 2 },
};

function ChartBar({ settings, change, metrics, grouped }: { settings: ChartSettings; change: Props["change"]; metrics: string[]; grouped: boolean }) {
  const { t } = useSpeech();
  const [find, setFind] = useState(settings.find);
  useEffect(() => setFind(settings.find), [settings.find]);
  useEffect(() => {
    if (find === settings.find) return;
    const timer = setTimeout(() => change({ find }), 250);
    return () => clearTimeout(timer);
  }, [find, settings.find, change]);
  const s = settings.smoothing;
  const epoch = metrics.includes("epoch");
  return (
    <Group gap="xs" wrap="wrap">
      <TextInput
        size="xs"
        w={170}
        leftSection={<IconSearch size={14} />}
        placeholder={t("lines.find")}
        aria-label={t("lines.find")}
        value={find}
        onChange={(e) => setFind(e.currentTarget.value)}
        rightSection={
          find !== "" && (
            <ActionIcon size="xs" variant="subtle" color="gray" aria-label={t("lines.showAll")} onClick={() => setFind("")}>
              <IconX size={12} />
            </ActionIcon>
          )
        }
      />
      <Select
        size="xs"
        w={175}
        aria-label={t("lines.x")}
        leftSection={<Text size="xs" c="dimmed">x</Text>}
        allowDeselect={false}
        searchable={metrics.length > 12}
        value={settings.x}
        onChange={(x) => x && change({ x: x as XAxis })}
        data={[
          { group: t("lines.x"), items: [
            { value: "step", label: t("lines.x.step") },
            ...(epoch ? [{ value: "metric:epoch", label: t("lines.x.epoch") }] : []),
            { value: "relative", label: t("lines.x.relative") },
            { value: "wall", label: t("lines.x.wall") },
          ] },
          { group: t("lines.x.metric"), items: metrics.filter((m) => m !== "epoch").map((m) => ({ value: "metric:" + m, label: m })) },
        ]}
        comboboxProps={{ width: 220, position: "bottom-start" }}
      />
      <Popover position="bottom-start" shadow="md" withinPortal trapFocus>
        <Popover.Target>
          <Button size="xs" variant="default" leftSection={<IconAdjustments size={14} />}>
            {s.kind === "none" ? t("lines.smoothing") : `${t(`lines.smooth.${s.kind}`)} ${s.kind === "ema" ? s.weight : s.kind === "mean" ? s.window : s.sigma}`}
          </Button>
        </Popover.Target>
        <Popover.Dropdown>
          <Stack gap="xs" w={280}>
            <SegmentedControl
              size="xs"
              fullWidth
              aria-label={t("lines.smoothing")}
              value={s.kind}
              onChange={(kind) => change({ smoothing: usual[kind as Smoothing["kind"]] })}
              data={(["none", "ema", "mean", "gaussian"] as const).map((k) => ({ value: k, label: t(`lines.smooth.${k}`) }))}
            />
            <Text size="xs" c="dimmed">
              {t(`lines.smooth.${s.kind}.text`)}
            </Text>
            {s.kind === "ema" && (
              <Slider min={0} max={0.99} step={0.01} value={s.weight} onChange={(weight) => change({ smoothing: { kind: "ema", weight } })} thumbLabel={t("lines.smoothing")} label={(v) => v.toFixed(2)} />
            )}
            {s.kind === "mean" && (
              <NumberInput size="xs" min={1} max={999} step={2} value={s.window} onChange={(v) => typeof v === "number" && change({ smoothing: { kind: "mean", window: v } })} label={t("lines.smooth.window")} />
            )}
            {s.kind === "gaussian" && (
              <Slider min={0.5} max={50} step={0.5} value={s.sigma} onChange={(sigma) => change({ smoothing: { kind: "gaussian", sigma } })} thumbLabel={t("lines.smoothing")} />
            )}
          </Stack>
        </Popover.Dropdown>
      </Popover>
      {grouped && (
        <Select
          size="xs"
          w={150}
          aria-label={t("lines.band")}
          allowDeselect={false}
          value={settings.spread}
          onChange={(v) => v && change({ spread: v as Spread })}
          data={(["range", "sd", "ci"] as const).map((v) => ({ value: v, label: t(`lines.band.${v}`) }))}
        />
      )}
      <Menu closeOnItemClick={false} shadow="md">
        <Menu.Target>
          <Button size="xs" variant="default">
            {t("lines.axes")}
            {(settings.logX || settings.logY) && <Text span size="xs" c="dimmed" ml={4}>log {[settings.logX && "x", settings.logY && "y"].filter(Boolean).join(" ")}</Text>}
          </Button>
        </Menu.Target>
        <Menu.Dropdown p="xs">
          <Stack gap="xs">
            <Switch size="xs" label={t("lines.logY")} checked={settings.logY} onChange={(e) => change({ logY: e.currentTarget.checked })} />
            <Switch size="xs" label={t("lines.logX")} checked={settings.logX} onChange={(e) => change({ logX: e.currentTarget.checked })} />
            <Switch size="xs" label={t("lines.sync")} checked={settings.sync} onChange={(e) => change({ sync: e.currentTarget.checked })} />
          </Stack>
        </Menu.Dropdown>
      </Menu>
    </Group>
  );
}

interface PanelProps {
  metric: string;
  runs: DrawnRun[];
  groups: DrawnGroup[] | undefined;
  live: Live;
  settings: ChartSettings;
  range: Range | undefined;
  setRange: (range: Range | undefined) => void;
  pinned: boolean;
  togglePin: () => void;
  focus: string | undefined;
  onFocus: ((id: string | undefined) => void) | undefined;
}

function Panel(props: PanelProps) {
  const { metric, range, setRange, pinned, togglePin } = props;
  const { t } = useSpeech();
  const { ref, inViewport } = useInViewport<HTMLDivElement>();
  // Drawn when first seen, and from then on.
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (inViewport) setSeen(true);
  }, [inViewport]);
  const [full, setFull] = useState(false);
  const controls = (
    <>
      {range && (
        <Tooltip label={t("lines.reset")}>
          <ActionIcon variant="subtle" color="gray" aria-label={t("lines.reset")} onClick={() => setRange(undefined)}>
            <IconZoomReset size={18} />
          </ActionIcon>
        </Tooltip>
      )}
      <ActionIcon variant="subtle" color="gray" aria-pressed={pinned} aria-label={t("lines.pin", { metric })} title={t(pinned ? "lines.unpin.short" : "lines.pin.short")} onClick={togglePin}>
        {pinned ? <IconPinnedFilled size={18} /> : <IconPin size={18} />}
      </ActionIcon>
      {!full && (
        <ActionIcon variant="subtle" color="gray" aria-label={t("lines.full", { metric })} title={t("lines.full.short")} onClick={() => setFull(true)}>
          <IconMaximize size={18} />
        </ActionIcon>
      )}
    </>
  );
  return (
    <Box ref={ref} mih={268} p="xs" bd="1px solid var(--mantine-color-default-border)" style={{ borderRadius: "var(--mantine-radius-sm)" }}>
      {seen ? <Chart {...props} controls={controls} height={220} active={inViewport || full} /> : <Skeleton h={248} animate={false} />}
      {full && (
        <Modal opened fullScreen onClose={() => setFull(false)} aria-label={metric} closeButtonProps={{ "aria-label": t("close") }}>
          <Chart {...props} controls={controls} height={Math.max(260, window.innerHeight - 170)} active />
        </Modal>
      )}
    </Box>
  );
}

const pixelsAsked = 700;
/** So many live points of a series are kept beside what was read. */
const mostHeard = 4_000;

/** The steps that a stretch of x may hold. */
function stepsWithin(points: { points: Points; xs: Float64Array }[], range: Range): { from: number; to: number } | undefined {
  let from = Infinity;
  let to = -Infinity;
  for (const { points: p, xs } of points) {
    for (let i = 0; i < xs.length; i++) {
      if (xs[i]! < range.from || xs[i]! > range.to) continue;
      from = Math.min(from, p.steps[Math.max(0, i - 1)]!);
      to = Math.max(to, p.steps[Math.min(xs.length - 1, i + 1)]!);
    }
  }
  return from <= to ? { from, to } : undefined;
}

function Chart({ metric, runs, groups, live, settings, range, setRange, focus, onFocus, controls, height, active }: PanelProps & { controls: React.ReactNode; height: number; active: boolean }) {
  const { t, language } = useSpeech();
  const ink = useInk();
  const dark = useComputedColorScheme("light") === "dark";
  const liveVersion = useLiveVersion(live);
  const other = settings.x.startsWith("metric:") ? settings.x.slice(7) : undefined;
  const ids = useMemo(() => runs.map((r) => r.id), [runs]);

  const asked = useMemo(() => ids.slice(0, mostSeries / (other === undefined ? 1 : 2)).flatMap((run) => (other === undefined || other === metric ? [{ run, key: metric }] : [{ run, key: metric }, { run, key: other }])), [ids, metric, other]);
  const whole = useQuery({
    queryKey: ["series", asked],
    queryFn: ({ signal }) => ask<Series[]>("POST", ws(["series"]), { series: asked, pixels: pixelsAsked }, signal),
    staleTime: 60_000,
    // Comparing a million points with the old ones takes longer than drawing.
    structuralSharing: false,
    // A run that writes for hours is read again now and then: thinned as the
    // rest, and what was heard until then need not be kept.
    refetchInterval: () => (ids.some((id) => live.of(id, metric).length > mostHeard) ? 5_000 : false),
    enabled: active && asked.length > 0,
    placeholderData: keepPreviousData,
  });
  const read = useMemo(() => collect(whole.data), [whole.data]);
  useEffect(() => {
    for (const s of whole.data ?? []) if (live.of(s.run, s.key).length > mostHeard) live.forget(s.run, s.key, s.times.at(-1) ?? 0);
  }, [whole.data, live]);
  const started = useMemo(() => new Map(runs.map((r) => [r.id, r.started ? Date.parse(r.started) / 1000 : undefined])), [runs]);

  // Zoomed in, the exact points of the stretch are asked for.
  const steps = useMemo(() => {
    if (!range || (whole.data ?? []).every((s) => s.whole)) return undefined;
    const placed = ids.flatMap((id) => {
      const p = read.get(id)?.get(metric);
      return p ? [{ points: p, xs: along(p, settings.x, started.get(id), other === undefined ? undefined : read.get(id)?.get(other)).xs }] : [];
    });
    if (settings.x === "step") return { from: Math.floor(range.from), to: Math.ceil(range.to) };
    return other === undefined ? stepsWithin(placed, range) : undefined;
  }, [range, whole.data, read, ids, metric, other, settings.x, started]);
  const exact = useQuery({
    queryKey: ["series", asked, steps],
    queryFn: ({ signal }) => ask<Series[]>("POST", ws(["series"]), { series: asked, pixels: pixelsAsked, ...steps }, signal),
    staleTime: 60_000,
    structuralSharing: false,
    enabled: active && steps !== undefined,
    placeholderData: (old: Series[] | undefined, query) => (query && JSON.stringify(query.queryKey[1]) === JSON.stringify(asked) ? old : undefined),
  });
  const close = useMemo(() => (steps ? collect(exact.data) : undefined), [steps, exact.data]);

  const lines = useMemo(() => {
    const points = (id: string, key: string) => {
      const far = read.get(id)?.get(key);
      const near = close?.get(id)?.get(key);
      const base = near && far ? splice(far, near) : (near ?? far);
      const fresh = live.of(id, key);
      return base ? join(base, fresh) : fresh.length > 0 ? join(nothing, fresh) : undefined;
    };
    const xy = (id: string) => {
      const p = points(id, metric);
      return p && along(p, settings.x, started.get(id), other === undefined ? undefined : points(id, other));
    };
    const out: Line[] = [];
    if (groups) {
      for (const g of groups) {
        const parts = g.runs.flatMap((id) => xy(id) ?? []).map((l) => ({ xs: l.xs, ys: smooth(l.xs, l.ys, settings.smoothing) }));
        if (parts.every((l) => l.xs.length === 0)) continue;
        const { xs, ys, low, high } = grouped(parts, settings.spread);
        out.push({ id: g.id, label: g.label, pen: g.pen, xs, ys, band: { low, high } });
      }
      return out;
    }
    for (const r of runs) {
      const l = xy(r.id);
      if (!l || l.xs.length === 0) continue;
      const plain = settings.smoothing.kind === "none";
      out.push({ id: r.id, label: r.label, pen: r.pen, xs: l.xs, ys: plain ? l.ys : smooth(l.xs, l.ys, settings.smoothing), raw: plain ? undefined : l.ys });
    }
    return out;
    // Pens change with the theme.
  }, [read, close, live, liveVersion, runs, groups, metric, other, settings.x, settings.smoothing, settings.spread, started, dark]);

  const xName = settings.x === "step" || settings.x === "relative" || settings.x === "wall" ? t(`lines.x.${settings.x}`) : settings.x.slice(7);
  const formatX = useCallback((x: number) => writeX(x, settings.x, language), [settings.x, language]);
  const tellX = useCallback((x: number) => `${xName} ${settings.x === "wall" ? new Intl.DateTimeFormat(language, { dateStyle: "short", timeStyle: "medium" }).format(x * 1000) : writeX(x, settings.x, language)}`, [xName, settings.x, language]);

  return (
    <ChartFrame
      title={metric}
      controls={controls}
      twin={() => linesTwin(lines, xName, t)}
      svg={() => linesSvg({ lines, title: metric, xName, logX: settings.logX, logY: settings.logY, range, formatX, language, ink })}
    >
      {whole.isError ? (
        <Failed error={whole.error} retry={() => void whole.refetch()} />
      ) : whole.isPending && lines.length === 0 ? (
        <Skeleton h={height} />
      ) : lines.length === 0 ? (
        <Box h={height}>
          <Text size="sm" c="dimmed" ta="center" pt={height / 2 - 20}>
            {other === undefined ? t("chart.none") : t("lines.noX", { metric: other })}
          </Text>
        </Box>
      ) : (
        <Lines
          lines={lines}
          label={t("lines.label", { metric, n: lines.length, x: xName })}
          height={height}
          logX={settings.logX && settings.x !== "wall"}
          logY={settings.logY}
          range={range}
          onRange={setRange}
          formatX={formatX}
          tellX={tellX}
          focus={focus}
          {...(onFocus ? { onFocus } : {})}
        />
      )}
    </ChartFrame>
  );
}

const nothing: Points = { steps: new Float64Array(), values: new Float64Array(), times: new Float64Array() };

function collect(all: Series[] | undefined): Map<string, Map<string, Points>> {
  const out = new Map<string, Map<string, Points>>();
  for (const s of all ?? []) {
    let of = out.get(s.run);
    if (!of) out.set(s.run, (of = new Map<string, Points>()));
    of.set(s.key, pointsOf(s));
  }
  return out;
}

/** Thinned points outside of a stretch, exact ones within. */
export function splice(far: Points, near: Points): Points {
  const n = near.steps.length;
  if (n === 0) return far;
  const [from, to] = [near.steps[0]!, near.steps[n - 1]!];
  let a = 0;
  while (a < far.steps.length && far.steps[a]! < from) a++;
  let b = a;
  while (b < far.steps.length && far.steps[b]! <= to) b++;
  const put = (k: keyof Points) => {
    const out = new Float64Array(a + n + far.steps.length - b);
    out.set(far[k].subarray(0, a));
    out.set(near[k], a);
    out.set(far[k].subarray(b), a + n);
    return out;
  };
  return { steps: put("steps"), values: put("values"), times: put("times") };
}

/** An x on the axis. */
export function writeX(x: number, kind: XAxis, language: string): string {
  if (kind === "wall") return new Intl.DateTimeFormat(language, { hour: "2-digit", minute: "2-digit", second: "2-digit" }).format(x * 1000);
  if (kind === "relative") return clock(x, language);
  return number(x, language, 6);
}

function clock(seconds: number, language: string): string {
  if (Math.abs(seconds) < 60) return number(seconds, language, 3) + " s";
  const s = Math.round(seconds);
  const two = (v: number) => String(v).padStart(2, "0");
  return s < 3600 ? `${Math.floor(s / 60)}:${two(s % 60)}` : `${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
}
