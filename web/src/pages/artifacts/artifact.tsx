import { Badge, Button, Checkbox, Group, ScrollArea, Switch, Table, Text, Title } from "@mantine/core";
import { IconArrowsDiff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState } from "react";
import { bytes, moment, number } from "../../format";
import { useQueryTexts } from "../../query";
import { useSpeech } from "../../i18n";
import { usePageTitle } from "../../parts/page";
import { Ago } from "../../parts/time";
import { Empty, Failed, Loading } from "../../parts/status";
import { VersionMenu } from "./actions";
import { artifactOf } from "./data";
import { Aliases, Page, Path, SignatureMark, Tags, To, to, TypeBadge, useGo } from "./parts";
import "./artifacts.css";

/** One artifact: its versions, the newest first. */
export function ArtifactPage() {
  const { t, language } = useSpeech();
  const { project = "", name = "" } = useParams({ strict: false });
  usePageTitle(name, project);
  const [address, setAddress] = useQueryTexts();
  const deleted = address.deleted === "true";
  const q = useQuery(artifactOf(project, name));
  const [chosen, choose] = useState<number[]>([]);
  const go = useGo();
  const crumbs = <Path items={[{ text: project, href: to.project(project) }, { text: t("app.artifacts"), href: to.artifacts(project) }, { text: name }]} />;
  if (q.isPending || q.isError)
    return (
      <Page>
        {crumbs}
        <Title order={1}>{name}</Title>
        {q.isError ? <Failed error={q.error} retry={() => void q.refetch()} /> : <Loading />}
      </Page>
    );
  const versions = q.data.versions.filter((v) => deleted || !v.deleted).sort((a, b) => b.number - a.number);
  const gone = q.data.versions.filter((v) => v.deleted).length;
  const [a, b] = [...chosen].sort((x, y) => x - y);
  return (
    <Page>
      {crumbs}
      <Group gap="sm" mb={4}>
        <Title order={1}>{name}</Title>
        <TypeBadge type={q.data.artifact.type} />
      </Group>
      <Text c="dimmed" size="sm" mb="md">
        {t("art.summary", { n: versions.length, size: bytes(versions.reduce((sum, v) => sum + v.size, 0), language), since: moment(q.data.artifact.created, language) })}
      </Text>
      <Group mb="sm" justify="space-between">
        <Button
          variant="default"
          leftSection={<IconArrowsDiff size={16} aria-hidden />}
          disabled={a === undefined || b === undefined}
          onClick={() => go(to.diff(project, `${name}:v${a}`, `${name}:v${b}`))}
        >
          {a === undefined || b === undefined ? t("art.compare.choose") : t("art.compare", { a: `v${a}`, b: `v${b}` })}
        </Button>
        {gone > 0 && <Switch label={t("art.showDeleted", { n: gone })} checked={deleted} onChange={(e) => setAddress({ deleted: e.currentTarget.checked ? "true" : undefined })} />}
      </Group>
      {versions.length === 0 ? (
        <Empty title={t("art.allDeleted")}>{t("art.allDeleted.text")}</Empty>
      ) : (
        <ScrollArea viewportProps={{ tabIndex: 0 }}>
          <Table highlightOnHover miw={820} verticalSpacing={8}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th w={36} aria-label={t("art.choose")} />
                <Table.Th>{t("art.version")}</Table.Th>
                <Table.Th>{t("art.tags")}</Table.Th>
                <Table.Th ta="right">{t("art.size")}</Table.Th>
                <Table.Th>{t("art.made")}</Table.Th>
                <Table.Th>{t("art.run")}</Table.Th>
                <Table.Th>{t("art.signature")}</Table.Th>
                <Table.Th ta="right">{t("art.usedBy")}</Table.Th>
                <Table.Th>{t("art.expires")}</Table.Th>
                <Table.Th w={40} aria-label={t("art.actions.column")} />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {versions.map((v) => (
                <Table.Tr key={v.number} c={v.deleted ? "dimmed" : undefined}>
                  <Table.Td>
                    <Checkbox
                      size="xs"
                      aria-label={t("art.choose.one", { name: `v${v.number}` })}
                      checked={chosen.includes(v.number)}
                      onChange={(e) => choose(e.currentTarget.checked ? [...chosen, v.number].slice(-2) : chosen.filter((n) => n !== v.number))}
                    />
                  </Table.Td>
                  <Table.Td>
                    <Group gap={6} wrap="nowrap">
                      <To href={to.version(project, name, v.number)} fw={500}>
                        v{v.number}
                      </To>
                      <Aliases names={v.aliases} />
                      {v.deleted && (
                        <Badge size="sm" tt="none" color="gray" variant="outline">
                          {t("art.deleted")}
                        </Badge>
                      )}
                    </Group>
                    {v.description && (
                      <Text size="xs" c="dimmed" lineClamp={2}>
                        {v.description}
                      </Text>
                    )}
                  </Table.Td>
                  <Table.Td>
                    <Tags names={v.tags} />
                  </Table.Td>
                  <Table.Td ta="right" className="nowrap">
                    {bytes(v.size, language)}
                  </Table.Td>
                  <Table.Td>
                    <Ago time={v.created} />
                  </Table.Td>
                  <Table.Td>
                    <To href={to.run(project, v.run)} ff="monospace" fz="sm">
                      {v.run.slice(-6)}
                    </To>
                  </Table.Td>
                  <Table.Td>
                    <SignatureMark state={v.signed} />
                  </Table.Td>
                  <Table.Td ta="right">{number(v.used_by, language)}</Table.Td>
                  <Table.Td className="nowrap">{v.expires ? new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(new Date(v.expires)) : ""}</Table.Td>
                  <Table.Td>
                    <VersionMenu version={v} />
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollArea>
      )}
    </Page>
  );
}
