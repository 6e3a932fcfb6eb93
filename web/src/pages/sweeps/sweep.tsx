import { Alert, Box, Button, Code, Group, Menu, Modal, Paper, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { IconChartDots3, IconDotsVertical, IconPlayerPause, IconPlayerPlay, IconPlayerStop, IconTrash, IconX } from "@tabler/icons-react";
import { useNavigate, useParams } from "@tanstack/react-router";
import { useMemo, useState } from "react";
import { useRights } from "../../api";
import { telling } from "../../charts/axes";
import { ChartFrame } from "../../charts/frame";
import { Progress } from "../../charts/progress";
import { number, shown } from "../../format";
import { useSpeech, type Key } from "../../i18n";
import { Command } from "../../parts/copy";
import { A } from "../../parts/link";
import { PageHead, usePageTitle } from "../../parts/page";
import { Empty, Failed, Loading, StateBadge } from "../../parts/status";
import { Ago } from "../../parts/time";
import { ImportancePart, ParallelPart } from "../compare/explore";
import { agentCommand, SweepBadge, useCount } from "../sweeps";
import { bestSoFar, ended, exploredTrials, useDeleteSweep, useMoveSweep, useSweep, type SweepDetail, type Trial } from "./data";

/** One search: how far it is, what it found, which settings matter, every trial. */
export function SweepPage() {
  const { t } = useSpeech();
  const { project = "", sweep: id = "" } = useParams({ strict: false });
  const q = useSweep(id);
  usePageTitle(q.data?.name || id, t("sweeps.title"), project);
  if (q.isPending) return <Loading />;
  if (q.isError) return <Failed error={q.error} retry={() => void q.refetch()} />;
  return <Found sweep={q.data} project={project} />;
}

function Found({ sweep: s, project }: { sweep: SweepDetail; project: string }) {
  const { t } = useSpeech();
  const move = useMoveSweep(s.id);
  return (
    <Box p={{ base: "sm", sm: "md" }}>
      <PageHead
        trail={[
          <A key="sweeps" to="/p/$project/sweeps" params={{ project }} search={{}} size="sm">
            {t("sweeps.title")}
          </A>,
          <Text key="id" size="sm" c="dimmed" span>
            {s.id}
          </Text>,
        ]}
        title={s.name || s.id}
        actions={<Actions sweep={s} project={project} move={move} />}
        below={
          <>
            <Group gap="xs">
              <SweepBadge state={s.state} />
              <Text size="sm" c="dimmed">
                {t(`sweeps.method.${s.method}`)} · {s.metric ? t(s.maximize ? "sweeps.maximize" : "sweeps.minimize", { metric: s.metric }) : t("sweeps.noMetric")} · <Ago time={s.created} />
              </Text>
            </Group>
            {s.reason && (
              <Text size="sm" c="dimmed">
                {reason(s.reason, t)}
              </Text>
            )}
            {s.description && <Text size="sm">{s.description}</Text>}
          </>
        }
      />
      {move.isError && (
        <Alert color="red" mb="md">
          {move.error.message}
        </Alert>
      )}
      <Stack gap="xl">
        <Summary sweep={s} project={project} />
        {s.trial_list.length > 0 && <Charts sweep={s} project={project} />}
        <Trials sweep={s} project={project} />
        <SimpleGrid cols={{ base: 1, md: 2 }} spacing="xl" verticalSpacing="xl">
          <Space sweep={s} />
          <Stack gap="xl" miw={0}>
            <Agents sweep={s} />
            <About sweep={s} />
          </Stack>
        </SimpleGrid>
      </Stack>
    </Box>
  );
}

// The server says why in English; what it says often is put into words here.
function reason(text: string, t: ReturnType<typeof useSpeech>["t"]): string {
  switch (text) {
    case "there is nothing more to try":
      return t("sweep.reason.exhausted");
    case "stopped by a user":
      return t("sweep.reason.user");
  }
  return text;
}

function Actions({ sweep: s, project, move }: { sweep: SweepDetail; project: string; move: ReturnType<typeof useMoveSweep> }) {
  const { t } = useSpeech();
  const rights = useRights();
  const navigate = useNavigate();
  const remove = useDeleteSweep(s.id);
  const [asking, setAsking] = useState(false);
  if (!rights.edit) return null;
  const over = ended(s.state);
  return (
    <>
      {!over &&
        (s.state === "PAUSED" ? (
          <Button size="xs" variant="default" leftSection={<IconPlayerPlay size={16} />} loading={move.isPending} onClick={() => move.mutate("RUNNING")}>
            {t("sweep.resume")}
          </Button>
        ) : (
          <Button size="xs" variant="default" leftSection={<IconPlayerPause size={16} />} loading={move.isPending} onClick={() => move.mutate("PAUSED")}>
            {t("sweep.pause")}
          </Button>
        ))}
      {!over && (
        <Button size="xs" variant="default" leftSection={<IconPlayerStop size={16} />} disabled={move.isPending} title={t("sweep.stopHow")} onClick={() => move.mutate("FINISHED")}>
          {t("sweep.stop")}
        </Button>
      )}
      <Menu shadow="md" position="bottom-end" width={280}>
        <Menu.Target>
          <Button size="xs" variant="default" px={6} aria-label={t("sweep.more")}>
            <IconDotsVertical size={16} />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {!over && (
            <Menu.Item leftSection={<IconX size={16} />} onClick={() => move.mutate("CANCELED")}>
              {t("sweep.cancel")}
              <Text size="xs" c="dimmed">
                {t("sweep.cancelHow")}
              </Text>
            </Menu.Item>
          )}
          <Menu.Item leftSection={<IconTrash size={16} />} onClick={() => setAsking(true)}>
            {t("sweep.delete")}
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      <Modal opened={asking} onClose={() => setAsking(false)} title={t("sweep.delete.title")} closeButtonProps={{ "aria-label": t("close") }}>
        <Text size="sm" mb="md">
          {t("sweep.delete.text")}
        </Text>
        {remove.isError && (
          <Alert color="red" mb="md">
            {remove.error.message}
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={() => setAsking(false)}>
            {t("cancel")}
          </Button>
          <Button color="red" loading={remove.isPending} onClick={() => remove.mutate(undefined, { onSuccess: () => void navigate({ to: "/p/$project/sweeps", params: { project }, search: {} }) })}>
            {t("sweep.delete")}
          </Button>
        </Group>
      </Modal>
    </>
  );
}

function Fact({ label, children }: { label: string; children: React.ReactNode }) {
  return (
    <Paper withBorder p="sm">
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text component="div" size="lg" fw={600}>
        {children}
      </Text>
    </Paper>
  );
}

function Summary({ sweep: s, project }: { sweep: SweepDetail; project: string }) {
  const { t, language } = useSpeech();
  const count = useCount();
  const best = s.best && s.trial_list.find((x) => x.number === s.best?.trial);
  return (
    <Stack gap="sm">
      <SimpleGrid cols={{ base: 1, xs: 2, md: 4 }} spacing="sm">
        {s.metric && (
          <Fact label={`${t("sweep.best")}: ${s.metric}`}>
            {s.best ? (
              <>
                {number(s.best.value, language)}
                <A to="/p/$project/runs/$run" params={{ project, run: s.best.run }} search={{}} size="sm" fw={400} ml="sm">
                  {t("sweep.bestOf", { n: s.best.trial })}
                </A>
              </>
            ) : (
              <Text span c="dimmed" size="sm" fw={400}>
                {t("sweep.best.none", { metric: s.metric })}
              </Text>
            )}
          </Fact>
        )}
        <Fact label={t("sweeps.trials")}>{count(s)}</Fact>
      </SimpleGrid>
      {best && Object.keys(best.params).length > 0 && (
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {Object.entries(best.params)
            .map(([k, v]) => `${k} = ${shown(v, language)}`)
            .join(" · ")}
        </Text>
      )}
      {!ended(s.state) && s.agents.length === 0 && (
        <Group gap="sm">
          <Text size="sm">{t("sweep.waiting")}</Text>
          <Command>{agentCommand(s)}</Command>
        </Group>
      )}
    </Stack>
  );
}

function Charts({ sweep: s, project }: { sweep: SweepDetail; project: string }) {
  const { t } = useSpeech();
  const navigate = useNavigate();
  const dots = useMemo(() => {
    const byNumber = new Map(s.trial_list.map((x) => [x.number, x]));
    return bestSoFar(s.trial_list, s.maximize).map((p) => ({ ...p, id: byNumber.get(p.number)!.run, label: byNumber.get(p.number)!.name }));
  }, [s.trial_list, s.maximize]);
  const runs = useMemo(() => exploredTrials(s).filter((r) => s.metric === "" || r.values["summary." + s.metric] !== undefined), [s]);
  const metric = "summary." + s.metric;
  const fields = useMemo(() => {
    const all = new Set<string>();
    for (const r of runs) for (const k of Object.keys(r.values)) all.add(k);
    const told = telling([...all].sort(), runs);
    return s.metric && all.has(metric) && !told.includes(metric) ? [...told, metric] : told;
  }, [runs, s.metric, metric]);
  const metrics = fields.includes(metric) ? [metric] : [];
  if (s.metric === "") {
    return (
      <Empty title={t("sweep.progress")} icon={<IconChartDots3 size={36} stroke={1.2} aria-hidden />}>
        {t("sweep.progress.noMetric")}
      </Empty>
    );
  }
  if (dots.length === 0) {
    return (
      <Empty title={t("sweep.progress")} icon={<IconChartDots3 size={36} stroke={1.2} aria-hidden />}>
        {t("sweep.progress.none", { metric: s.metric })}
      </Empty>
    );
  }
  return (
    <>
      <ChartFrame
        order={2}
        title={t("sweep.progress")}
        note={t("sweep.progress.note")}
        twin={{ columns: [t("sweep.trial"), t("sweep.run"), s.metric, t("sweep.progress.best")], rows: dots.map((d) => [d.number, d.label, d.value, d.best]) }}
      >
        <Progress dots={dots} metric={s.metric} onOpen={(run) => void navigate({ to: "/p/$project/runs/$run", params: { project, run }, search: {} })} />
      </ChartFrame>
      {runs.length >= 2 && fields.length >= 2 && (
        <>
          <ParallelPart project={project} runs={runs} fields={fields} metrics={metrics} />
          <ImportancePart runs={runs} metrics={metrics} />
        </>
      )}
    </>
  );
}

const firstShown = 200;

function Trials({ sweep: s, project }: { sweep: SweepDetail; project: string }) {
  const { t, language } = useSpeech();
  const names = useMemo(() => {
    const all = new Set<string>();
    for (const x of s.trial_list) for (const k of Object.keys(x.params)) all.add(k);
    return s.parameters.map((p) => p.name).filter((n) => all.has(n));
  }, [s]);
  const [all, setAll] = useState(false);
  // The newest are what people look for.
  const list = useMemo(() => [...s.trial_list].reverse(), [s.trial_list]);
  const seen = all ? list : list.slice(0, firstShown);
  return (
    <Box component="section">
      <Title order={2} mb="xs">
        {t("sweeps.trials")}
      </Title>
      {list.length === 0 ? (
        <Text c="dimmed">{t("sweep.trials.none")}</Text>
      ) : (
        <Table.ScrollContainer minWidth={560} type="native" tabIndex={0}>
          <Table fz="sm" verticalSpacing={6} highlightOnHover aria-label={t("sweeps.trials")}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th ta="right">{t("sweep.trial")}</Table.Th>
                <Table.Th>{t("sweep.run")}</Table.Th>
                <Table.Th>{t("sweeps.state")}</Table.Th>
                {s.metric && <Table.Th ta="right">{s.metric}</Table.Th>}
                {names.map((n) => (
                  <Table.Th key={n} ta="right">
                    {n}
                  </Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {seen.map((x) => (
                <Row key={x.number} trial={x} best={x.number === s.best?.trial} names={names} metric={s.metric} project={project} language={language} />
              ))}
            </Table.Tbody>
          </Table>
        </Table.ScrollContainer>
      )}
      {list.length > seen.length && (
        <Button variant="default" size="xs" mt="sm" onClick={() => setAll(true)}>
          {t("sweeps.of", { n: seen.length, total: list.length })}
        </Button>
      )}
    </Box>
  );
}

function Row({ trial: x, best, names, metric, project, language }: { trial: Trial; best: boolean; names: string[]; metric: string; project: string; language: string }) {
  const { t } = useSpeech();
  return (
    <Table.Tr>
      <Table.Td ta="right" c="dimmed">
        {x.number}
      </Table.Td>
      <Table.Td>
        {x.gone ? (
          <Text span size="sm" c="dimmed">
            {t("sweep.gone")}
          </Text>
        ) : (
          <A to="/p/$project/runs/$run" params={{ project, run: x.run }} search={{}} size="sm">
            {x.name || x.run}
          </A>
        )}
        {x.source !== "suggested" && (
          <Text span size="xs" c="dimmed" ml="xs">
            {t(`sweep.source.${x.source}` as Key)}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        <StateBadge state={x.state} />
        {x.stop && (
          <Text size="xs" c="dimmed" maw={320}>
            {x.stop}
          </Text>
        )}
      </Table.Td>
      {metric && (
        <Table.Td ta="right" fw={best ? 700 : 400} style={{ whiteSpace: "nowrap" }}>
          {best ? "★ " : ""}
          {x.value === null ? "–" : number(x.value, language)}
        </Table.Td>
      )}
      {names.map((n) => (
        <Table.Td key={n} ta="right">
          {shown(x.params[n], language)}
        </Table.Td>
      ))}
    </Table.Tr>
  );
}

function Space({ sweep: s }: { sweep: SweepDetail }) {
  const { t, language } = useSpeech();
  return (
    <Box component="section" miw={0}>
      <Title order={2} mb="xs">
        {t("sweep.space")}
      </Title>
      <Table.ScrollContainer minWidth={320} type="native" tabIndex={0}>
        <Table fz="sm" verticalSpacing={6} aria-label={t("sweep.space")}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("sweep.parameter")}</Table.Th>
              <Table.Th>{t("sweep.distribution")}</Table.Th>
              <Table.Th>{t("sweep.values")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {s.parameters.map((p) => (
              <Table.Tr key={p.name}>
                <Table.Td>{p.name}</Table.Td>
                <Table.Td>
                  <Code>{p.kind}</Code>
                </Table.Td>
                <Table.Td style={{ overflowWrap: "anywhere" }}>
                  {p.min !== null && p.max !== null ? `${number(p.min, language)} … ${number(p.max, language)}` : (p.values ?? []).map((v) => (v === null ? "null" : shown(v, language))).join(", ")}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Box>
  );
}

function Agents({ sweep: s }: { sweep: SweepDetail }) {
  const { t } = useSpeech();
  return (
    <Box component="section" miw={0}>
      <Title order={2} mb="xs">
        {t("sweep.agents")}
      </Title>
      {s.agents.length === 0 ? (
        <Text c="dimmed">{t("sweep.agents.none")}</Text>
      ) : (
        <Table fz="sm" verticalSpacing={6} aria-label={t("sweep.agents")}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("sweep.agent.host")}</Table.Th>
              <Table.Th ta="right">{t("sweep.agent.trials")}</Table.Th>
              <Table.Th>{t("sweep.agent.heard")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {s.agents.map((a) => (
              <Table.Tr key={a.id}>
                <Table.Td>{a.host || a.id}</Table.Td>
                <Table.Td ta="right">{a.trials}</Table.Td>
                <Table.Td>
                  <Ago time={a.heard} /> {a.gone && <Text span c="dimmed" size="sm">({t("sweep.agent.gone")})</Text>}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Box>
  );
}

function About({ sweep: s }: { sweep: SweepDetail }) {
  const { t, language } = useSpeech();
  const facts: [string, string][] = [
    [t("sweep.earlyStop"), s.early_stop || t("sweep.earlyStop.none")],
    [t("sweep.runCap"), s.run_cap > 0 ? number(s.run_cap, language) : t("sweep.runCap.none")],
    ...(s.target !== null ? [[t("sweep.target"), `${s.metric} = ${number(s.target, language)}`] as [string, string]] : []),
    [t("sweep.seed"), String(s.seed)],
  ];
  return (
    <Box component="section" miw={0}>
      <Title order={2} mb="xs">
        {t("sweep.about")}
      </Title>
      <Table fz="sm" verticalSpacing={6} mb="md" aria-label={t("sweep.about")}>
        <Table.Tbody>
          {facts.map(([k, v]) => (
            <Table.Tr key={k}>
              <Table.Th scope="row" fw={500} w="45%">
                {k}
              </Table.Th>
              <Table.Td>{v}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Text size="sm" fw={600} mb={4}>
        {t("sweep.config")}
      </Text>
      <Code block tabIndex={0} style={{ maxHeight: 320, overflow: "auto" }}>
        {s.text}
      </Code>
    </Box>
  );
}
