import { Badge, Box, Code, Stack, Table, Text } from "@mantine/core";
import { IconAdjustmentsSearch } from "@tabler/icons-react";
import { useParams } from "@tanstack/react-router";
import { workspace } from "../api";
import { number } from "../format";
import { useSpeech, type Key } from "../i18n";
import { Command } from "../parts/copy";
import { A } from "../parts/link";
import { PageHead, usePageTitle } from "../parts/page";
import { Empty, Failed, Loading } from "../parts/status";
import { Ago } from "../parts/time";
import { useSweeps, type Sweep, type SweepState } from "./sweeps/data";

const colours: Record<SweepState, string> = { PENDING: "gray", RUNNING: "blue", PAUSED: "yellow", FINISHED: "teal", CANCELED: "orange" };

/** The state of a sweep: word and colour, never colour alone. */
export function SweepBadge({ state }: { state: SweepState }) {
  const { t } = useSpeech();
  return (
    <Badge color={colours[state]} variant="light" size="sm" tt="none" fw={600} miw="max-content">
      {t(`sweeps.state.${state}`)}
    </Badge>
  );
}

/** How many trials there are, and of how many, if anybody knows. */
export function useCount(): (s: Sweep) => string {
  const { t, language } = useSpeech();
  return (s) => (s.expected > 0 ? t("sweeps.of", { n: s.trials, total: s.expected }) : number(s.trials, language));
}

/** The command that starts an agent of a sweep. */
export const agentCommand = (s: { project: string; id: string }) => `wandb agent ${workspace}/${s.project}/${s.id}`;

/** Every sweep of a project, the newest first. */
export function Sweeps() {
  const { t, language } = useSpeech();
  const { project = "" } = useParams({ strict: false });
  usePageTitle(t("sweeps.title"), project);
  const count = useCount();
  const q = useSweeps(project);
  if (q.isPending) return <Loading />;
  if (q.isError) return <Failed error={q.error} retry={() => void q.refetch()} />;
  if (q.data.length === 0) {
    return (
      <Box mt="8vh">
        <Empty title={t("sweeps.none")} icon={<IconAdjustmentsSearch size={40} stroke={1.2} aria-hidden />}>
          <Stack gap="sm" align="center" maw="calc(100vw - 64px)">
            <span>{t("sweeps.noneText")}</span>
            <Command>{`export WANDB_BASE_URL=${location.origin}`}</Command>
            <Command>{`wandb sweep --project ${project} sweep.yaml`}</Command>
            <Code block ta="left" aria-label="sweep.yaml" w="100%" maw={480} tabIndex={0} style={{ overflow: "auto" }}>
              {"program: train.py\nmethod: bayes\nmetric: {name: val_loss, goal: minimize}\nparameters:\n  lr: {distribution: log_uniform_values, min: 0.0001, max: 0.1}\n  units: {values: [32, 64, 128]}"}
            </Code>
          </Stack>
        </Empty>
      </Box>
    );
  }
  return (
    <Box p={{ base: "sm", sm: "md" }}>
      <PageHead title={t("sweeps.title")} />
      <Table.ScrollContainer minWidth={640} type="native" tabIndex={0}>
        <Table verticalSpacing={8} highlightOnHover aria-label={t("sweeps.title")}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("sweeps.name")}</Table.Th>
              <Table.Th>{t("sweeps.state")}</Table.Th>
              <Table.Th>{t("sweeps.method")}</Table.Th>
              <Table.Th ta="right">{t("sweeps.trials")}</Table.Th>
              <Table.Th>{t("sweeps.best")}</Table.Th>
              <Table.Th>{t("sweeps.created")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {q.data.map((s) => (
              <Table.Tr key={s.id}>
                <Table.Td>
                  <A to="/p/$project/sweeps/$sweep" params={{ project, sweep: s.id }} search={{}} fw={600}>
                    {s.name || s.id}
                  </A>
                  {s.name && (
                    <Text size="xs" c="dimmed">
                      {s.id}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>
                  <SweepBadge state={s.state} />
                </Table.Td>
                <Table.Td>{t(`sweeps.method.${s.method}` as Key)}</Table.Td>
                <Table.Td ta="right">{count(s)}</Table.Td>
                <Table.Td>
                  {s.best ? (
                    <>
                      {s.metric} <b>{number(s.best.value, language)}</b>
                    </>
                  ) : (
                    <Text span c="dimmed" size="sm">
                      –
                    </Text>
                  )}
                </Table.Td>
                <Table.Td>
                  <Ago time={s.created} />
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Box>
  );
}
