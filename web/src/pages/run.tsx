import { Alert, Badge, Box, Button, Group, Modal, Tabs, Text } from "@mantine/core";
import { IconArrowsDiff, IconPlayerStop, IconRotate, IconTrash } from "@tabler/icons-react";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { useRemoveRuns, useRights, useRun, useStopRun } from "../api";
import { useSpeech, type Key } from "../i18n";
import { A, LinkButton } from "../parts/link";
import { PageHead, usePageTitle } from "../parts/page";
import { Failed, Loading, StateBadge } from "../parts/status";
import { Ago } from "../parts/time";
import { useQueryTexts } from "../query";
import { RunCharts } from "./run/charts";
import { RunConsole } from "./run/console";
import { RunEvaluation } from "./run/evaluation";
import { InputsAndOutputs, RunFiles } from "./run/files";
import { useRunLive } from "./run/live";
import { Alerts, hasMedia, RunMedia, useItemKeys } from "./run/media";
import { Overview } from "./run/overview";

const tabs = ["overview", "charts", "media", "evaluation", "console", "system", "data", "files"] as const;
type Tab = (typeof tabs)[number];

/** Everything about one run. Which part is seen is in the address. */
export function RunPage() {
  const { t } = useSpeech();
  const { project = "", run: id = "" } = useParams({ strict: false });
  const [query, change] = useQueryTexts();
  const run = useRun(id);
  const rights = useRights();
  const remove = useRemoveRuns();
  const stop = useStopRun();
  const [asking, setAsking] = useState(false);
  const ended = run.data ? !["pending", "running"].includes(run.data.state) : true;
  // The charts listen for themselves.
  useRunLive(id, run.data !== undefined && !ended && query.tab !== "charts" && query.tab !== "system");
  const items = useItemKeys(id, ended);
  usePageTitle(run.data?.name, project);

  const trail = [
    <A key="runs" to="/p/$project" params={{ project }} search={{}} size="sm">
      {t("app.runs")}
    </A>,
    <Text key="id" size="sm" c="dimmed" span>
      {id}
    </Text>,
  ];
  if (run.isPending) return <Loading />;
  if (run.isError) return <Failed error={run.error} retry={() => void run.refetch()} />;
  const r = run.data;
  const metrics = r.metrics ?? [];
  const there: Record<Tab, boolean> = {
    overview: true,
    charts: true,
    media: hasMedia(items.data),
    evaluation: r.model !== "",
    console: true,
    system: metrics.some((m) => m.startsWith("system/")),
    data: true,
    files: (r.files ?? []).length > 0,
  };
  const wanted = tabs.find((x) => x === query.tab);
  const tab: Tab = wanted && there[wanted] ? wanted : "overview";
  return (
    <Box p={{ base: "sm", sm: "md" }}>
      <PageHead
        trail={trail}
        title={r.name || t("run.unnamed")}
        actions={
          <>
            <LinkButton to="/p/$project/compare" params={{ project }} search={{ runs: id }} variant="default" size="xs" leftSection={<IconArrowsDiff size={16} />}>
              {t("run.compare")}
            </LinkButton>
            {rights.edit && !r.deleted && !ended && (
              <Button
                variant="default"
                size="xs"
                leftSection={<IconPlayerStop size={16} />}
                loading={stop.isPending}
                disabled={Boolean(r.stopping)}
                onClick={() => stop.mutate(id)}
              >
                {t(r.stopping ? "run.stopping" : "run.stop")}
              </Button>
            )}
            {rights.edit && !r.deleted && ended && (
              <Button variant="default" size="xs" leftSection={<IconTrash size={16} />} onClick={() => setAsking(true)}>
                {t("run.delete")}
              </Button>
            )}
          </>
        }
        below={
          <Group gap="xs">
            <StateBadge state={r.state} />
            {r.stage && (
              <Badge variant="default" tt="none" fw={500}>
                {r.stage}
              </Badge>
            )}
            <Text size="sm" c="dimmed">
              <Ago time={r.started ?? r.created} />
            </Text>
          </Group>
        }
      />
      <Modal opened={asking} onClose={() => setAsking(false)} title={t("run.delete.sure")} closeButtonProps={{ "aria-label": t("close") }}>
        <Text size="sm" mb="md">
          {t("run.delete.text")}
        </Text>
        <Group justify="flex-end">
          <Button variant="default" onClick={() => setAsking(false)}>
            {t("cancel")}
          </Button>
          <Button
            color="red"
            loading={remove.isPending}
            onClick={() => {
              remove.mutate({ ids: [id] }, { onSettled: () => setAsking(false) });
            }}
          >
            {t("run.delete")}
          </Button>
        </Group>
      </Modal>
      {stop.isError && (
        <Alert color="red" mb="md">
          {t("run.save.failed", { why: stop.error.message })}
        </Alert>
      )}
      {remove.isError && (
        <Alert color="red" mb="md">
          {t("run.save.failed", { why: remove.error.message })}
        </Alert>
      )}
      {r.deleted && (
        <Alert color="orange" mb="md">
          <Group justify="space-between">
            <Text size="sm">{t("run.deleted")}</Text>
            {rights.edit && (
              <Button size="xs" variant="default" leftSection={<IconRotate size={16} />} loading={remove.isPending} onClick={() => remove.mutate({ ids: [id], restore: true })}>
                {t("run.restore")}
              </Button>
            )}
          </Group>
        </Alert>
      )}
      {r.error && (
        <Alert color={r.state === "killed" ? "orange" : "red"} title={t(r.state === "killed" ? "run.stopped" : "run.error")} mb="md">
          <Text size="sm" ff="monospace" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
            {r.error}
          </Text>
        </Alert>
      )}
      <Tabs value={tab} onChange={(v) => change({ tab: v && v !== "overview" ? v : undefined }, true)} keepMounted={false}>
        <Tabs.List mb="md">
          {tabs
            .filter((x) => there[x])
            .map((x) => (
              <Tabs.Tab key={x} value={x}>
                {t(`run.tab.${x}` as Key)}
              </Tabs.Tab>
            ))}
        </Tabs.List>
        <Tabs.Panel value="overview">
          <Overview run={r} alerts={(items.data ?? []).some((k) => k.key === "alert") && <Alerts run={r} ended={ended} />} />
        </Tabs.Panel>
        <Tabs.Panel value="charts">
          <RunCharts run={r} part="model" />
        </Tabs.Panel>
        <Tabs.Panel value="media">
          <RunMedia run={r} keys={items.data ?? []} ended={ended} />
        </Tabs.Panel>
        <Tabs.Panel value="evaluation">
          <RunEvaluation run={r} />
        </Tabs.Panel>
        <Tabs.Panel value="console">
          <RunConsole run={r} />
        </Tabs.Panel>
        <Tabs.Panel value="system">
          <RunCharts run={r} part="system" />
        </Tabs.Panel>
        <Tabs.Panel value="data">
          <InputsAndOutputs run={r} />
        </Tabs.Panel>
        <Tabs.Panel value="files">
          <RunFiles run={r} />
        </Tabs.Panel>
      </Tabs>
    </Box>
  );
}
