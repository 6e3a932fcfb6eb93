import { Box, MultiSelect, Tabs } from "@mantine/core";
import { IconArrowsDiff } from "@tabler/icons-react";
import { useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { moment } from "../format";
import { useSpeech } from "../i18n";
import { A } from "../parts/link";
import { PageHead, usePageTitle } from "../parts/page";
import { Empty } from "../parts/status";
import { useQueryTexts } from "../query";
import { CompareCharts } from "./compare/charts";
import { useProjectRuns } from "./compare/data";
import { Explore } from "./compare/explore";
import { SideBySide } from "./compare/side";

const most = 50;

/** Runs side by side, their curves over each other, and what many runs say together. */
export function Compare() {
  const { t, language } = useSpeech();
  const { project = "" } = useParams({ strict: false });
  const [query, change] = useQueryTexts();
  const ids = useMemo(() => [...new Set((query.runs ?? "").split(",").filter((x) => x !== ""))].slice(0, most), [query.runs]);
  const recent = useProjectRuns(project, "", 300);
  usePageTitle(t("compare.title"), project);

  const options = useMemo(() => {
    const rows = recent.data?.runs ?? [];
    const known = new Set(rows.map((r) => r.id));
    return [
      ...rows.map((r) => ({ value: r.id, label: `${r.name || r.id} · ${moment(r.started ?? r.created, language)}` })),
      // A run that is older than the list is chosen all the same.
      ...ids.filter((id) => !known.has(id)).map((id) => ({ value: id, label: id })),
    ];
  }, [recent.data, ids, language]);
  const tab = query.tab === "charts" || query.tab === "explore" ? query.tab : ids.length === 0 ? "explore" : "side";
  const few = ids.length < 2;
  const hint = (
    <Empty title={t("compare.none")} icon={<IconArrowsDiff size={36} aria-hidden />}>
      {t("compare.noneText")}
    </Empty>
  );
  return (
    <Box p={{ base: "sm", sm: "md" }}>
      <PageHead
        trail={[
          <A key="runs" to="/p/$project" params={{ project }} search={{}} size="sm">
            {t("app.runs")}
          </A>,
        ]}
        title={t("compare.title")}
      />
      <MultiSelect
        mb="md"
        label={t("compare.runs")}
        placeholder={ids.length < most ? t("compare.add") : ""}
        data={options}
        value={ids}
        onChange={(v) => change({ runs: v.join(",") || undefined })}
        searchable
        hidePickedOptions
        clearable
        limit={60}
        maxValues={most}
        nothingFoundMessage={t("compare.noRun")}
        clearButtonProps={{ "aria-label": t("compare.clear") }}
      />
      <Tabs value={tab} onChange={(v) => change({ tab: v ?? undefined }, true)} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="side">{t("compare.tab.side")}</Tabs.Tab>
          <Tabs.Tab value="charts">{t("compare.tab.charts")}</Tabs.Tab>
          <Tabs.Tab value="explore">{t("compare.tab.explore")}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="side">{few ? hint : <SideBySide project={project} ids={ids} />}</Tabs.Panel>
        <Tabs.Panel value="charts">{few ? hint : <CompareCharts project={project} ids={ids} />}</Tabs.Panel>
        <Tabs.Panel value="explore">
          <Explore project={project} ids={ids} />
        </Tabs.Panel>
      </Tabs>
    </Box>
  );
}
