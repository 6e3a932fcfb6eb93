import { Group, Text } from "@mantine/core";
import { useMemo, useState } from "react";
import type { RunDetail } from "../../api";
import { useQueries, type UseQueryResult } from "@tanstack/react-query";
import { ask, ws } from "../../api";
import { pen } from "../../charts/colour";
import { useInk } from "../../charts/ink";
import { MetricCharts, type DrawnRun } from "../../charts/metrics";
import { useEvents } from "../../data/live";
import { useSpeech } from "../../i18n";
import { A } from "../../parts/link";
import { Empty, Failed, Loading } from "../../parts/status";
import { useChartSettings } from "../run/charts";

// One function for all renderings, so that the list stays the same while the runs do.
function together(all: UseQueryResult<RunDetail>[]) {
  return { pending: all.some((r) => r.isPending), error: all.find((r) => r.isError)?.error, runs: all.flatMap((r) => r.data ?? []) };
}

/** The metrics that at least two of the runs have, drawn over each other. */
export function CompareCharts({ project, ids }: { project: string; ids: string[] }) {
  const { t } = useSpeech();
  const { dark } = useInk();
  const live = useEvents(project, ids);
  const [settings, change] = useChartSettings();
  const [focus, setFocus] = useState<string>();
  const found = useQueries({
    queries: ids.map((id) => ({ queryKey: ["run", id], queryFn: ({ signal }: { signal: AbortSignal }) => ask<RunDetail>("GET", ws(["runs", id]), undefined, signal) })),
    combine: together,
  });
  const common = useMemo(() => {
    const count = new Map<string, number>();
    for (const r of found.runs) for (const k of r.metrics ?? []) count.set(k, (count.get(k) ?? 0) + 1);
    return new Set([...count].filter(([, n]) => n > 1).map(([k]) => k));
  }, [found.runs]);
  const drawn = useMemo<DrawnRun[]>(() => found.runs.map((r, i) => ({ id: r.id, label: r.name || r.id, pen: pen(i, dark), state: r.state, started: r.started })), [found.runs, dark]);
  if (found.error) return <Failed error={found.error} />;
  if (found.pending) return <Loading />;
  if (common.size === 0) return <Empty title={t("compare.charts.none")} />;
  return (
    <>
      <Group gap="md" mb="sm">
        {drawn.map((r) => (
          <Group key={r.id} gap={6} onMouseEnter={() => setFocus(r.id)} onMouseLeave={() => setFocus(undefined)}>
            <svg width={22} height={6} aria-hidden>
              <line x1={0} x2={22} y1={3} y2={3} stroke={r.pen.colour} strokeWidth={3} strokeDasharray={r.pen.dash.join(" ") || undefined} />
            </svg>
            <Text size="sm" component="span">
              <A to="/p/$project/runs/$run" params={{ project, run: r.id }} search={{}} size="sm">
                {r.label}
              </A>
            </Text>
          </Group>
        ))}
      </Group>
      <MetricCharts runs={drawn} live={live} settings={settings} change={change} focus={focus} onFocus={setFocus} only={(k) => common.has(k)} />
    </>
  );
}
