import { Text } from "@mantine/core";
import { IconChartLine } from "@tabler/icons-react";
import type { RunDetail } from "../../api";
import { useSpeech } from "../../i18n";
import { Empty } from "../../parts/status";

/** The metrics of the run: of the model, or of the machine. */
export function RunCharts({ run, part }: { run: RunDetail; part: "model" | "system" }) {
  const { t } = useSpeech();
  const keys = (run.metrics ?? []).filter((k) => k.startsWith("system/") === (part === "system"));
  if (keys.length === 0) {
    return (
      <Empty title={t(part === "system" ? "run.charts.system.none" : "run.charts.none")} icon={<IconChartLine size={36} aria-hidden />}>
        {t("run.charts.noneText")}
      </Empty>
    );
  }
  return <Text>{keys.join(", ")}</Text>;
}
