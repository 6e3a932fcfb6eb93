import { Group, NativeSelect, ScrollArea, Table, Text, TextInput, Title, UnstyledButton } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconPackage, IconSearch } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useMemo } from "react";
import { bytes, number } from "../format";
import { useQueryTexts } from "../query";
import { useSpeech, type Key } from "../i18n";
import { usePageTitle } from "../parts/page";
import { Ago } from "../parts/time";
import { Empty, Failed, Loading } from "../parts/status";
import { artifactsOf, type ArtifactRow } from "./artifacts/data";
import { Aliases, Page, Path, To, to, TypeBadge } from "./artifacts/parts";
import "./artifacts/artifacts.css";

const orders: Record<string, (a: ArtifactRow, b: ArtifactRow) => number> = {
  name: (a, b) => a.name.localeCompare(b.name),
  type: (a, b) => a.type.localeCompare(b.type),
  versions: (a, b) => a.versions - b.versions,
  size: (a, b) => a.size - b.size,
  updated: (a, b) => (a.updated ?? "").localeCompare(b.updated ?? ""),
};

/** The artifacts of a project. */
export function Artifacts() {
  const { t, language } = useSpeech();
  const { project = "" } = useParams({ strict: false });
  usePageTitle(t("app.artifacts"), project);
  const [address, setAddress] = useQueryTexts();
  const q = useQuery(artifactsOf(project));
  const { q: text = "", type = "", sort = "-updated" } = address;
  const types = useMemo(() => [...new Set(q.data?.map((r) => r.type))].sort(), [q.data]);
  const rows = useMemo(() => {
    const falling = sort.startsWith("-");
    const by = orders[sort.replace(/^-/, "")] ?? orders.updated!;
    const words = text.toLowerCase().split(/\s+/).filter(Boolean);
    return (q.data ?? [])
      .filter((r) => type === "" || r.type === type)
      .filter((r) => {
        const where = [r.name, ...(r.version?.aliases ?? []), ...(r.version?.tags ?? [])].join(" ").toLowerCase();
        return words.every((w) => where.includes(w));
      })
      .sort((a, b) => (falling ? -1 : 1) * by(a, b) || orders.name!(a, b));
  }, [q.data, text, type, sort]);

  const head = (key: string, label: Key, right = false) => {
    const falling = sort === "-" + key;
    const on = falling || sort === key;
    const Icon = falling ? IconArrowDown : IconArrowUp;
    return (
      <Table.Th ta={right ? "right" : "left"} aria-sort={on ? (falling ? "descending" : "ascending") : "none"}>
        <UnstyledButton fz="inherit" fw="inherit" onClick={() => setAddress({ sort: on && !falling ? "-" + key : key })}>
          <Group gap={2} wrap="nowrap" justify={right ? "flex-end" : "flex-start"} display="inline-flex">
            {t(label)}
            {on && <Icon size={12} aria-hidden />}
          </Group>
        </UnstyledButton>
      </Table.Th>
    );
  };

  return (
    <Page>
      <Path items={[{ text: project, href: to.project(project) }, { text: t("app.artifacts") }]} />
      <Title order={1} mb="md">
        {t("app.artifacts")}
      </Title>
      {q.isPending ? (
        <Loading />
      ) : q.isError ? (
        <Failed error={q.error} retry={() => void q.refetch()} />
      ) : q.data.length === 0 ? (
        <Empty title={t("art.none")} icon={<IconPackage size={40} stroke={1.2} aria-hidden />}>
          {t("art.none.text")}
        </Empty>
      ) : (
        <>
          <Group mb="sm" gap="xs">
            <TextInput
              w={280}
              maw="100%"
              type="search"
              leftSection={<IconSearch size={16} aria-hidden />}
              aria-label={t("art.filter")}
              placeholder={t("art.filter")}
              value={text}
              onChange={(e) => setAddress({ q: e.currentTarget.value })}
            />
            <NativeSelect
              aria-label={t("art.type")}
              value={type}
              onChange={(e) => setAddress({ type: e.currentTarget.value })}
              data={[{ value: "", label: t("art.type.all") }, ...types]}
            />
            <Text c="dimmed" size="sm" role="status">
              {t("art.count", { n: rows.length })}
            </Text>
          </Group>
          {rows.length === 0 ? (
            <Empty title={t("art.noMatch")} />
          ) : (
            <ScrollArea viewportProps={{ tabIndex: 0 }}>
              <Table highlightOnHover miw={720} verticalSpacing={8}>
                <Table.Thead>
                  <Table.Tr>
                    {head("name", "art.name")}
                    {head("type", "art.type")}
                    <Table.Th>{t("art.newest")}</Table.Th>
                    {head("versions", "art.versions", true)}
                    {head("size", "art.size", true)}
                    {head("updated", "art.made")}
                    <Table.Th>{t("art.run")}</Table.Th>
                  </Table.Tr>
                </Table.Thead>
                <Table.Tbody>
                  {rows.map(({ version: newest, versions, size, ...a }) => (
                    <Table.Tr key={a.name}>
                      <Table.Td>
                        <To href={to.artifact(project, a.name)} fw={500}>
                          {a.name}
                        </To>
                      </Table.Td>
                      <Table.Td>
                        <TypeBadge type={a.type} />
                      </Table.Td>
                      <Table.Td>
                        {newest ? (
                          <Group gap={6} wrap="nowrap">
                            <To href={to.version(project, a.name, newest.number)}>v{newest.number}</To>
                            <Aliases names={newest.aliases} />
                          </Group>
                        ) : (
                          <Text size="sm" c="dimmed">
                            {t("art.allDeleted")}
                          </Text>
                        )}
                      </Table.Td>
                      <Table.Td ta="right">{number(versions, language)}</Table.Td>
                      <Table.Td ta="right" className="nowrap">
                        {bytes(size, language)}
                      </Table.Td>
                      <Table.Td>
                        <Ago time={a.updated} />
                      </Table.Td>
                      <Table.Td>
                        {newest?.run && (
                          <To href={to.run(project, newest.run)} ff="monospace" fz="sm">
                            {newest.run.slice(-6)}
                          </To>
                        )}
                      </Table.Td>
                    </Table.Tr>
                  ))}
                </Table.Tbody>
              </Table>
            </ScrollArea>
          )}
        </>
      )}
    </Page>
  );
}

export { ArtifactPage } from "./artifacts/artifact";
