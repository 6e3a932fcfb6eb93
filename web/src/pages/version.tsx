import { Alert, Badge, Button, Group, Stack, Table, Tabs, Text, Title } from "@mantine/core";
import { IconArrowsDiff, IconSitemap } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { bytes, moment } from "../format";
import { useQueryTexts } from "../query";
import { useSpeech } from "../i18n";
import { usePageTitle } from "../parts/page";
import { Ago } from "../parts/time";
import { Empty, Failed, Loading } from "../parts/status";
import { VersionMenu } from "./artifacts/actions";
import { tag, versionOf, type VersionDetail } from "./artifacts/data";
import { JsonTree } from "./artifacts/json";
import { Aliases, Digest, Facts, Page, Path, Tags, To, to, TypeBadge, useGo } from "./artifacts/parts";
import { Files } from "./version/files";
import { ProvenancePanel } from "./version/provenance";
import "./artifacts/artifacts.css";

const tabs = ["files", "metadata", "provenance", "used"] as const;

/** One version: what is in it, where it is from, who used it. */
export function VersionPage() {
  const { t } = useSpeech();
  const { project = "", name = "", version = "" } = useParams({ strict: false });
  usePageTitle(`${name}:${version}`, project);
  const q = useQuery(versionOf(project, name, version));
  const label = q.data ? tag(q.data.number) : version;
  return (
    <Page>
      <Path
        items={[
          { text: project, href: to.project(project) },
          { text: t("app.artifacts"), href: to.artifacts(project) },
          { text: name, href: to.artifact(project, name) },
          { text: label },
        ]}
      />
      {q.isPending ? (
        <>
          <Title order={1}>{`${name}:${label}`}</Title>
          <Loading />
        </>
      ) : q.isError ? (
        <>
          <Title order={1}>{`${name}:${label}`}</Title>
          <Failed error={q.error} retry={() => void q.refetch()} />
        </>
      ) : (
        <Whole version={q.data} />
      )}
    </Page>
  );
}

function Whole({ version: v }: { version: VersionDetail }) {
  const { t, language } = useSpeech();
  const [address, setAddress] = useQueryTexts();
  const go = useGo();
  const tab = tabs.find((x) => x === address.tab) ?? "files";
  return (
    <>
      <Group justify="space-between" align="flex-start" gap="sm">
        <Group gap="sm">
          <Title order={1} style={{ overflowWrap: "anywhere" }}>{`${v.name}:${tag(v.number)}`}</Title>
          <TypeBadge type={v.type} />
          <Aliases names={v.aliases} />
          {v.deleted && (
            <Badge size="sm" tt="none" color="gray" variant="outline">
              {t("art.deleted")}
            </Badge>
          )}
        </Group>
        <Group gap="xs">
          <Button variant="default" leftSection={<IconSitemap size={16} aria-hidden />} onClick={() => go(to.lineage(v.project, v.name, v.number))}>
            {t("ver.lineage")}
          </Button>
          {v.number > 0 && (
            <Button
              variant="default"
              leftSection={<IconArrowsDiff size={16} aria-hidden />}
              onClick={() => go(to.diff(v.project, `${v.name}:v${v.number - 1}`, `${v.name}:v${v.number}`))}
            >
              {t("ver.compare", { name: `v${v.number - 1}` })}
            </Button>
          )}
          <VersionMenu version={v} labelled />
        </Group>
      </Group>
      {v.deleted && (
        <Alert color="gray" mt="sm" title={t("ver.deleted", { when: moment(v.deleted, language) })}>
          {t("ver.deleted.text")}
        </Alert>
      )}
      {v.description && (
        <Text mt="xs" maw={720} style={{ whiteSpace: "pre-wrap" }}>
          {v.description}
        </Text>
      )}
      <Group gap="lg" my="sm" fz="sm" c="dimmed">
        <span>{bytes(v.size, language)}</span>
        <span>{t("ver.files", { n: v.files?.length ?? 0 })}</span>
        <Ago time={v.created} />
        <span>
          {t("ver.by")} <To href={to.run(v.project, v.run)}>{v.run}</To>
        </span>
        {v.expires && <span>{t("ver.expires", { when: moment(v.expires, language) })}</span>}
        <Digest of={v.digest} />
        <Tags names={v.tags} />
      </Group>
      <Tabs value={tab} onChange={(x) => setAddress({ tab: x === "files" ? undefined : (x ?? undefined) })} keepMounted={false}>
        <Tabs.List mb="md">
          <Tabs.Tab value="files">{t("ver.tab.files")}</Tabs.Tab>
          <Tabs.Tab value="metadata">{t("ver.tab.metadata")}</Tabs.Tab>
          <Tabs.Tab value="provenance">{t("ver.tab.provenance")}</Tabs.Tab>
          <Tabs.Tab value="used">{t("ver.tab.used", { n: v.used_by.length })}</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="files">
          <Files version={v} />
        </Tabs.Panel>
        <Tabs.Panel value="metadata">
          <Metadata version={v} />
        </Tabs.Panel>
        <Tabs.Panel value="provenance">
          <ProvenancePanel version={v} />
        </Tabs.Panel>
        <Tabs.Panel value="used">
          {v.used_by.length === 0 ? (
            <Empty title={t("ver.used.none")}>{t("ver.used.none.text")}</Empty>
          ) : (
            <Table maw={640} verticalSpacing={8}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t("art.run")}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {v.used_by.map((id) => (
                  <Table.Tr key={id}>
                    <Table.Td>
                      <To href={to.run(v.project, id)} ff="monospace">
                        {id}
                      </To>
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          )}
        </Tabs.Panel>
      </Tabs>
    </>
  );
}

function Metadata({ version: v }: { version: VersionDetail }) {
  const { t, language } = useSpeech();
  if (Object.keys(v.metadata).length === 0) return <Empty title={t("ver.metadata.none")} />;
  const plain = Object.entries(v.metadata).filter(([, x]) => typeof x !== "object" || x === null);
  const deep = Object.fromEntries(Object.entries(v.metadata).filter(([, x]) => typeof x === "object" && x !== null));
  return (
    <Stack>
      {plain.length > 0 && <Facts rows={plain.map(([k, x]) => [k, typeof x === "number" ? new Intl.NumberFormat(language).format(x) : String(x)])} />}
      {Object.keys(deep).length > 0 && <JsonTree value={deep} open={4} />}
    </Stack>
  );
}
