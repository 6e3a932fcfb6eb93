import { Box, Button, CloseButton, Group, Paper, ScrollArea, SegmentedControl, Stack, Switch, Table, Text, TextInput, Title } from "@mantine/core";
import { IconRoute, IconSearch } from "@tabler/icons-react";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { lazy, Suspense, useCallback, useMemo, useState } from "react";
import { ask, ws, type RunState } from "../api";
import { bytes, duration, moment } from "../format";
import { useSpeech } from "../i18n";
import { usePageTitle } from "../parts/page";
import { Empty, Failed, Loading, StateBadge } from "../parts/status";
import { useQueryTexts } from "../query";
import { Digest, Facts, parseRef, Page, Path, To, to, TypeBadge, useGo } from "./artifacts/parts";
import { find, fold, rootOf, wayToSources, type Graph, type Node } from "./lineage/graph";
import "./artifacts/artifacts.css";

const Canvas = lazy(() => import("./lineage/canvas").then((m) => ({ default: m.Canvas })));

const directions = ["up", "both", "down"] as const;
const none: ReadonlySet<string> = new Set<string>();

/** Where a version is from, and what became of it. */
export function Lineage() {
  const { t } = useSpeech();
  const { project = "", name = "", version = "" } = useParams({ strict: false });
  const [address, setAddress] = useQueryTexts();
  const direction = directions.find((d) => d === address.direction) ?? "both";
  const list = address.view === "list";
  usePageTitle(t("lineage.of", { name: `${name}:${version}` }), project);
  const ref = `${project}/${name}:${version}`;
  const q = useQuery({
    queryKey: ["lineage", ref, direction],
    queryFn: ({ signal }) => ask<Graph>("GET", ws(["lineage"], { ref, direction }), undefined, signal),
    placeholderData: keepPreviousData,
  });
  return (
    <Page>
      <Path
        items={[
          { text: project, href: to.project(project) },
          { text: t("app.artifacts"), href: to.artifacts(project) },
          { text: name, href: to.artifact(project, name) },
          { text: version, href: to.version(project, name, version) },
          { text: t("lineage.title") },
        ]}
      />
      <Group justify="space-between" gap="sm" mb="sm">
        <Title order={1}>{t("lineage.of", { name: `${name}:${version}` })}</Title>
        <Group gap="xs">
          <SegmentedControl
            size="xs"
            aria-label={t("lineage.direction")}
            value={direction}
            onChange={(d) => setAddress({ direction: d === "both" ? "" : d })}
            data={directions.map((d) => ({ value: d, label: t(`lineage.direction.${d}`) }))}
          />
          <SegmentedControl
            size="xs"
            aria-label={t("lineage.view")}
            value={list ? "list" : "graph"}
            onChange={(x) => setAddress({ view: x === "list" ? "list" : "" })}
            data={[
              { value: "graph", label: t("lineage.view.graph") },
              { value: "list", label: t("lineage.view.list") },
            ]}
          />
        </Group>
      </Group>
      {q.isPending ? <Loading /> : q.isError ? <Failed error={q.error} retry={() => void q.refetch()} /> : <Whole key={ref} graph={q.data} project={project} list={list} />}
    </Page>
  );
}

function Whole({ graph, project, list }: { graph: Graph; project: string; list: boolean }) {
  const { t } = useSpeech();
  const [address, setAddress] = useQueryTexts();
  const [selected, select] = useState("");
  const [open, setOpen] = useState(none);
  const [focus, setFocus] = useState("");
  const [next, setNext] = useState(0);
  const text = address.q ?? "";
  const root = rootOf(graph);
  const way = useMemo(() => wayToSources(graph), [graph]);
  const highlight = address.way !== "off" && way.sources.length > 0;
  const found = useMemo(() => find(graph.nodes, text), [graph, text]);
  const foundSet = useMemo(() => new Set(found), [found]);
  const shown = useMemo(() => fold(graph, new Set([...way.nodes, ...(found.length <= 20 ? found : [])]), open), [graph, way, found, open]);
  const onOpen = useCallback((id: string) => setOpen((was) => new Set([...was, id])), []);
  const node = graph.nodes.find((n) => n.id === selected);
  if (graph.nodes.length <= 1 && graph.edges.length === 0) return <Empty title={t("lineage.alone")}>{t("lineage.alone.text")}</Empty>;
  const visit = () => {
    if (found.length === 0) return;
    const id = found[next % found.length]!;
    setNext(next + 1);
    setFocus("");
    setTimeout(() => setFocus(id), 60);
    select(id);
  };
  return (
    <Stack gap="sm">
      <Group gap="md">
        <TextInput
          type="search"
          w={240}
          aria-label={t("lineage.search")}
          placeholder={t("lineage.search")}
          leftSection={<IconSearch size={16} aria-hidden />}
          value={text}
          onChange={(e) => {
            setNext(0);
            setAddress({ q: e.currentTarget.value });
          }}
          onKeyDown={(e) => {
            if (e.key === "Enter") visit();
          }}
        />
        {text && (
          <Text size="sm" c="dimmed" role="status">
            {t("lineage.found", { n: found.length })}
          </Text>
        )}
        {way.sources.length > 0 && !list && (
          <Switch label={t("lineage.way")} checked={highlight} onChange={(e) => setAddress({ way: e.currentTarget.checked ? "" : "off" })} />
        )}
      </Group>
      {way.sources.length > 0 && <Sources project={project} root={root} sources={way.sources} steps={[...way.nodes].filter((id) => graph.nodes.find((n) => n.id === id)?.kind === "run").length} />}
      {list ? (
        <List graph={graph} project={project} found={text ? foundSet : undefined} />
      ) : (
        <Box className="lineage-frame">
          <Suspense fallback={<Loading />}>
            <Canvas shown={shown} root={root} selected={selected} way={highlight ? way.nodes : none} found={foundSet} focus={focus} onSelect={select} onOpen={onOpen} />
          </Suspense>
          {node && (
            <Paper withBorder shadow="md" p="md" className="lineage-detail" role="region" aria-label={node.name} aria-live="polite">
              <Detail node={node} project={project} onClose={() => select("")} />
            </Paper>
          )}
        </Box>
      )}
    </Stack>
  );
}

/** The way from a model to the rows of the raw table, in words. */
function Sources({ project, root, sources, steps }: { project: string; root: string; sources: string[]; steps: number }) {
  const { t } = useSpeech();
  return (
    <Group gap={6} fz="sm">
      <IconRoute size={16} aria-hidden />
      <span>{t("lineage.way.text", { name: root, n: steps })}</span>
      {sources.slice(0, 4).map((s) => {
        const r = parseRef(s, project);
        return (
          <To key={s} href={to.version(r.project, r.name, r.version)}>
            {t("lineage.way.rows", { name: s })}
          </To>
        );
      })}
      {sources.length > 4 && <span>{t("lineage.way.more", { n: sources.length - 4 })}</span>}
    </Group>
  );
}

function Detail({ node: n, project, onClose }: { node: Node; project: string; onClose: () => void }) {
  const { t, language } = useSpeech();
  const go = useGo();
  const r = parseRef(n.id, project);
  const run = n.kind === "run";
  return (
    <Stack gap="sm">
      <Group justify="space-between" wrap="nowrap" align="flex-start">
        <Title order={2} style={{ overflowWrap: "anywhere" }}>
          {n.name}
        </Title>
        <CloseButton aria-label={t("close")} onClick={onClose} />
      </Group>
      <Facts
        rows={
          run
            ? [
                [t("lineage.kind"), t("lineage.run")],
                [t("lineage.stage"), n.stage],
                [t("lineage.experiment"), n.experiment],
                [t("lineage.state"), n.state && <StateBadge state={n.state as RunState} />],
                [t("lineage.created"), n.created && moment(n.created, language)],
                [t("lineage.duration"), typeof n.duration === "number" && duration(n.duration, language)],
              ]
            : [
                [t("lineage.kind"), <TypeBadge key="type" type={n.type ?? ""} />],
                [t("lineage.aliases"), n.aliases?.join(", ")],
                [t("art.size"), n.size !== undefined && bytes(n.size, language)],
                [t("lineage.created"), n.created && moment(n.created, language)],
                [t("lineage.digest"), n.digest && <Digest of={n.digest} />],
                ["", n.deleted && t("art.deleted")],
              ]
        }
      />
      <Group gap="xs">
        <Button size="xs" onClick={() => go(run ? to.run(n.project ?? project, n.id) : to.version(r.project, r.name, r.version))}>
          {t("lineage.open")}
        </Button>
        {!run && (
          <Button size="xs" variant="default" onClick={() => go(to.lineage(r.project, r.name, r.version))}>
            {t("lineage.fromHere")}
          </Button>
        )}
      </Group>
    </Stack>
  );
}

/** The same graph as a table, for those who read or print it. */
function List({ graph, project, found }: { graph: Graph; project: string; found: ReadonlySet<string> | undefined }) {
  const { t } = useSpeech();
  const byId = new Map(graph.nodes.map((n) => [n.id, n]));
  const link = (id: string) => {
    const n = byId.get(id);
    if (!n) return id;
    const r = parseRef(id, project);
    return <To href={n.kind === "run" ? to.run(n.project ?? project, id) : to.version(r.project, r.name, r.version)}>{n.name}</To>;
  };
  const links = (ids: string[]) => (
    <>
      {ids.slice(0, 12).map((id, i) => (
        <span key={id}>
          {i > 0 && ", "}
          {link(id)}
        </span>
      ))}
      {ids.length > 12 && " " + t("lineage.way.more", { n: ids.length - 12 })}
    </>
  );
  return (
    <ScrollArea viewportProps={{ tabIndex: 0 }}>
      <Table miw={680} verticalSpacing={6}>
        <Table.Thead>
          <Table.Tr>
            <Table.Th>{t("lineage.name")}</Table.Th>
            <Table.Th>{t("lineage.kind")}</Table.Th>
            <Table.Th>{t("lineage.from")}</Table.Th>
            <Table.Th>{t("lineage.to")}</Table.Th>
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {graph.nodes
            .filter((n) => !found || found.has(n.id))
            .map((n) => (
              <Table.Tr key={n.id}>
                <Table.Td fw={500}>{link(n.id)}</Table.Td>
                <Table.Td>{n.kind === "run" ? <Group gap={6}>{t("lineage.run")} {n.state && <StateBadge state={n.state as RunState} />}</Group> : <TypeBadge type={n.type ?? ""} />}</Table.Td>
                <Table.Td fz="sm">{links(graph.edges.filter((e) => e.to === n.id).map((e) => e.from))}</Table.Td>
                <Table.Td fz="sm">{links(graph.edges.filter((e) => e.from === n.id).map((e) => e.to))}</Table.Td>
              </Table.Tr>
            ))}
        </Table.Tbody>
      </Table>
    </ScrollArea>
  );
}
