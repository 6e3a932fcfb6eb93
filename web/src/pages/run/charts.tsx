import { IconCpu } from "@tabler/icons-react";
import { useCallback, useMemo } from "react";
import type { RunDetail } from "../../api";
import { pen } from "../../charts/colour";
import { useInk } from "../../charts/ink";
import { MetricCharts, type DrawnRun } from "../../charts/metrics";
import { readSettings, writeSettings, type ChartSettings } from "../../charts/settings";
import { useEvents } from "../../data/live";
import { useSpeech } from "../../i18n";
import { Empty } from "../../parts/status";
import { useQueryTexts, type Query } from "../../query";

/** How charts are shown, kept in the address. */
export function useChartSettings(): [ChartSettings, (change: Partial<ChartSettings>) => void, Query] {
  const [query, put] = useQueryTexts();
  const settings = useMemo(() => readSettings(query), [query]);
  const change = useCallback((c: Partial<ChartSettings>) => put(writeSettings(settings, c)), [put, settings]);
  return [settings, change, query];
}

const ofSystem = (key: string) => key.startsWith("system/");
const ofModel = (key: string) => !ofSystem(key);

/** The metrics of the run while they come: of the model, or of the machine. */
export function RunCharts({ run, part }: { run: RunDetail; part: "model" | "system" }) {
  const { t } = useSpeech();
  const { dark } = useInk();
  const live = useEvents(run.project, useMemo(() => [run.id], [run.id]));
  const [settings, change] = useChartSettings();
  const { id, name, state, started } = run;
  const drawn = useMemo<DrawnRun[]>(() => [{ id, label: name || id, pen: pen(0, dark), state, started }], [id, name, state, started, dark]);
  if (part === "system" && !(run.metrics ?? []).some(ofSystem)) {
    return <Empty title={t("run.charts.system.none")} icon={<IconCpu size={36} aria-hidden />} />;
  }
  return <MetricCharts runs={drawn} live={live} settings={settings} change={change} only={part === "system" ? ofSystem : ofModel} />;
}
