import { Anchor, Badge, Stack, Table, Text } from "@mantine/core";
import { IconFiles } from "@tabler/icons-react";
import type { RunDetail, VersionName } from "../../api";
import { bytes } from "../../format";
import { useSpeech } from "../../i18n";
import { A } from "../../parts/link";
import { Empty } from "../../parts/status";
import { fileAddress } from "./data";
import { Section } from "./overview";
import css from "./run.module.css";

/** What the run took from the store and what it put there. */
export function InputsAndOutputs({ run }: { run: RunDetail }) {
  const { t } = useSpeech();
  return (
    <Stack gap="xl" maw={960}>
      <Section title={t("run.used")}>
        <Versions list={run.used ?? []} none={t("run.used.none")} label={t("run.used")} />
      </Section>
      <Section title={t("run.made")}>
        <Versions list={run.made ?? []} none={t("run.made.none")} label={t("run.made")} />
      </Section>
    </Stack>
  );
}

function Versions({ list, none, label }: { list: VersionName[]; none: string; label: string }) {
  const { t } = useSpeech();
  if (list.length === 0) return <Text c="dimmed">{none}</Text>;
  return (
    <Table.ScrollContainer minWidth={480} type="native" tabIndex={0}>
      <Table aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t("run.version")}</Table.Th>
            <Table.Th>{t("run.type")}</Table.Th>
            <Table.Th>{t("run.digest")}</Table.Th>
            <Table.Th />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {list.map((v) => {
            const cut = v.name.lastIndexOf(":");
            const params = { project: v.project, name: v.name.slice(0, cut), version: v.name.slice(cut + 1) };
            return (
              <Table.Tr key={v.project + v.name + v.kind}>
                <Table.Td>
                  <A to="/p/$project/artifacts/$name/$version" params={params} search={{}} size="sm">
                    {v.name}
                  </A>{" "}
                  {v.kind === "same" && (
                    <Badge size="xs" variant="default" tt="none">
                      {t("run.same")}
                    </Badge>
                  )}
                </Table.Td>
                <Table.Td>{v.type}</Table.Td>
                <Table.Td className={css.mono} title={v.digest}>
                  {v.digest.replace(/^sha256:/, "").slice(0, 12)}
                </Table.Td>
                <Table.Td ta="right">
                  <A to="/p/$project/lineage/$name/$version" params={params} search={{}} size="sm">
                    {t("run.lineage")}
                  </A>
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

/** The files that the run keeps. They are downloaded, never shown as pages. */
export function RunFiles({ run }: { run: RunDetail }) {
  const { t, language } = useSpeech();
  const files = run.files ?? [];
  if (files.length === 0) {
    return (
      <Empty title={t("run.files.none")} icon={<IconFiles size={36} aria-hidden />}>
        {t("run.files.noneText")}
      </Empty>
    );
  }
  return (
    <Table.ScrollContainer minWidth={420} type="native" tabIndex={0} maw={960}>
      <Table aria-label={t("run.tab.files")}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t("run.file")}</Table.Th>
            <Table.Th ta="right">{t("run.size")}</Table.Th>
            <Table.Th>{t("run.digest")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {files.map((f) => (
            <Table.Tr key={f.path}>
              <Table.Td>
                {typeof f.ref === "string" && f.ref !== "" ? (
                  <>
                    {f.path}{" "}
                    <Text span size="xs" c="dimmed">
                      {t("run.files.external", { place: f.ref })}
                    </Text>
                  </>
                ) : (
                  <Anchor href={fileAddress(run.id, f.path)} download size="sm">
                    {f.path}
                  </Anchor>
                )}
              </Table.Td>
              <Table.Td ta="right">{bytes(f.size, language)}</Table.Td>
              <Table.Td className={css.mono} title={f.digest}>
                {f.digest.replace(/^sha256:/, "").slice(0, 12)}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}
