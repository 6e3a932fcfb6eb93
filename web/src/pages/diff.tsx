import { ActionIcon, Alert, Badge, Group, NativeSelect, Paper, ScrollArea, SimpleGrid, Stack, Table, Text, Title } from "@mantine/core";
import { IconArrowsExchange, IconCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useState, type ReactNode } from "react";
import { number } from "../format";
import { useQueryTexts } from "../query";
import { useSpeech, type Key } from "../i18n";
import { usePageTitle } from "../parts/page";
import { Empty, Failed, Loading } from "../parts/status";
import { artifactOf, artifactsOf, diffOf, short, type Change, type RowChange, type RowsDiff, type VersionDiff } from "./artifacts/data";
import { parseRef, Page, Path, To, to } from "./artifacts/parts";
import "./artifacts/artifacts.css";

/** How two versions differ. */
export function Diff() {
  const { t } = useSpeech();
  const { project = "" } = useParams({ strict: false });
  const [{ a = "", b = "" }, setAddress] = useQueryTexts();
  usePageTitle(t("diff.title"), project);
  const whole = (ref: string) => (ref === "" || ref.includes("/") ? ref : `${project}/${ref}`);
  const q = useQuery({ ...diffOf(whole(a), whole(b)), enabled: a !== "" && b !== "" });
  return (
    <Page>
      <Path items={[{ text: project, href: to.project(project) }, { text: t("app.artifacts"), href: to.artifacts(project) }, { text: t("diff.title") }]} />
      <Title order={1} mb="md">
        {t("diff.title")}
      </Title>
      <Group align="flex-end" gap="sm" mb="lg">
        <Choose label={t("diff.before")} project={project} value={a} onChange={(x) => setAddress({ a: x })} />
        <ActionIcon variant="default" size={36} aria-label={t("diff.swap")} onClick={() => setAddress({ a: b, b: a })}>
          <IconArrowsExchange size={18} />
        </ActionIcon>
        <Choose label={t("diff.after")} project={project} value={b} onChange={(x) => setAddress({ b: x })} />
      </Group>
      {a === "" || b === "" ? (
        <Empty title={t("diff.choose")} />
      ) : q.isPending ? (
        <Loading />
      ) : q.isError ? (
        <Failed error={q.error} retry={() => void q.refetch()} />
      ) : (
        <Found diff={q.data} project={project} />
      )}
    </Page>
  );
}

/** Chooses a version: the artifact, then its number. */
function Choose({ label, project, value, onChange }: { label: string; project: string; value: string; onChange: (ref: string) => void }) {
  const { t } = useSpeech();
  const artifacts = useQuery(artifactsOf(project));
  const ref = value ? parseRef(value, project) : { project, name: "", version: "" };
  const one = useQuery({ ...artifactOf(ref.project, ref.name), enabled: ref.name !== "" });
  const versions = one.data?.versions.filter((v) => !v.deleted).map((v) => `v${v.number}`) ?? [];
  const name = ref.project === project ? ref.name : `${ref.project}/${ref.name}`;
  const names = [...new Set([name, ...(artifacts.data?.map((r) => r.name) ?? [])])].filter(Boolean);
  return (
    <Group gap={4} align="flex-end" wrap="nowrap" role="group" aria-label={label}>
      <NativeSelect
        label={label}
        value={name}
        data={name === "" ? [{ value: "", label: t("diff.artifact") }, ...names] : names}
        onChange={(e) => {
          const row = artifacts.data?.find((r) => r.name === e.currentTarget.value);
          onChange(`${e.currentTarget.value}:v${Math.max(0, row?.newest ?? 0)}`);
        }}
      />
      <NativeSelect
        aria-label={t("diff.version", { side: label })}
        value={ref.version}
        data={[...new Set([...versions, ref.version])].filter(Boolean)}
        onChange={(e) => onChange(`${name}:${e.currentTarget.value}`)}
        disabled={name === ""}
      />
    </Group>
  );
}

function Found({ diff: d, project }: { diff: VersionDiff; project: string }) {
  const { t } = useSpeech();
  const link = (ref: string) => {
    const r = parseRef(ref, project);
    return <To href={to.version(r.project, r.name, r.version)}>{ref}</To>;
  };
  return (
    <Stack gap="xl">
      <Text size="sm">
        {link(d.before)} → {link(d.after)}
      </Text>
      {d.same && (
        <Alert color="teal" icon={<IconCheck size={20} />} title={t("diff.same")}>
          {t("diff.same.text")}
        </Alert>
      )}
      {d.rows && <Rows diff={d.rows} />}
      {d.files.length > 0 && <FileChanges diff={d} />}
      <Changes title={t("diff.metadata")} changes={d.metadata} />
      <Changes title={t("diff.recipe")} text={t("diff.recipe.text")} changes={d.recipe} />
    </Stack>
  );
}

const kinds = ["added", "removed", "changed", "relabelled", "moved"] as const;
const colours: Record<string, string> = { added: "teal", removed: "red", changed: "blue", relabelled: "grape", moved: "yellow" };

function Rows({ diff: d }: { diff: RowsDiff }) {
  const { t, language } = useSpeech();
  const [only, setOnly] = useState("all");
  const listed = d.rows.filter((r) => only === "all" || r.kind === only);
  const present = kinds.filter((k) => d[k] > 0);
  const columns: [string, ReactNode][] = [
    ...d.columns_changed.map((c): [string, ReactNode] => [c.name, `${c.before} → ${c.after}`]),
    ...d.columns_added.map((c): [string, ReactNode] => [c, t("diff.kind.added")]),
    ...d.columns_removed.map((c): [string, ReactNode] => [c, t("diff.kind.removed")]),
    ...d.columns.map((c): [string, ReactNode] => [c.name, t("diff.values", { n: c.rows })]),
  ];
  return (
    <section>
      <Title order={2}>{t("diff.rows")}</Title>
      <Text size="sm" c="dimmed" mb="sm">
        {t("diff.rows.count", { before: number(d.before, language), after: number(d.after, language) })}
        {d.renumbered > 0 && " · " + t("diff.renumbered", { n: d.renumbered })}
      </Text>
      <SimpleGrid cols={{ base: 2, xs: 3, md: 6 }} spacing="xs" mb="lg">
        {([...kinds, "unchanged"] as const).map((k) => (
          <Paper key={k} withBorder p="sm">
            <Text fz={22} fw={600} lh={1.2} c={d[k] === 0 ? "dimmed" : undefined}>
              {number(d[k], language)}
            </Text>
            <Text size="sm" c="dimmed">
              {t(`diff.kind.${k}` as Key)}
            </Text>
          </Paper>
        ))}
      </SimpleGrid>
      {columns.length > 0 && (
        <>
          <Title order={3} mb={4}>
            {t("diff.columns")}
          </Title>
          <ScrollArea mb="lg" viewportProps={{ tabIndex: 0 }}>
            <Table maw={560} verticalSpacing={4}>
              <Table.Tbody>
                {columns.map(([name, what]) => (
                  <Table.Tr key={name + String(what)}>
                    <Table.Td fw={500}>{name}</Table.Td>
                    <Table.Td>{what}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </ScrollArea>
        </>
      )}
      {d.rows.length > 0 && (
        <>
          <Group justify="space-between" mb="xs">
            <Title order={3}>{t("diff.examples")}</Title>
            {present.length > 1 && (
              <NativeSelect
                size="xs"
                aria-label={t("diff.only")}
                value={only}
                onChange={(e) => setOnly(e.currentTarget.value)}
                data={[{ value: "all", label: t("diff.all") }, ...present.map((k) => ({ value: k, label: t(`diff.kind.${k}` as Key) }))]}
              />
            )}
          </Group>
          <ScrollArea viewportProps={{ tabIndex: 0 }}>
            <Table miw={640} verticalSpacing={6}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t("diff.what")}</Table.Th>
                  <Table.Th ta="right">{t("diff.number")}</Table.Th>
                  <Table.Th>{t("diff.part")}</Table.Th>
                  <Table.Th>{t("diff.cells")}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {listed.slice(0, 200).map((r, i) => (
                  <Table.Tr key={i}>
                    <Table.Td>
                      <Badge size="sm" tt="none" variant="light" color={colours[r.kind]}>
                        {t(`diff.kind.${r.kind}` as Key)}
                      </Badge>
                    </Table.Td>
                    <Table.Td ta="right" className="nowrap">
                      {arrow(r.before < 0 ? "" : number(r.before, language), r.after < 0 ? "" : number(r.after, language))}
                    </Table.Td>
                    <Table.Td className="nowrap">{arrow(r.from, r.to)}</Table.Td>
                    <Table.Td fz="sm">
                      <Cells row={r} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </ScrollArea>
        </>
      )}
    </section>
  );
}

const arrow = (a: string, b: string) => (a === b || b === "" ? a : a === "" ? b : `${a} → ${b}`);

function Cells({ row: r }: { row: RowChange }) {
  const { t } = useSpeech();
  const [all, showAll] = useState(false);
  const most = 5;
  const missing = <i>{t("ver.missing")}</i>;
  return (
    <Group gap="4px 14px">
      {(all ? r.cells : r.cells.slice(0, most)).map((c) => (
        <span key={c.column}>
          <Text span inherit c="dimmed">
            {c.column}
          </Text>{" "}
          {r.kind === "added" ? (
            c.after || missing
          ) : r.kind === "removed" ? (
            c.before || missing
          ) : (
            <>
              <del className="diff-del">{c.before || missing}</del> → <ins className="diff-ins">{c.after || missing}</ins>
            </>
          )}
        </span>
      ))}
      {!all && r.cells.length > most && (
        <button type="button" className="plain-link" onClick={() => showAll(true)}>
          {t("diff.more", { n: r.cells.length - most })}
        </button>
      )}
    </Group>
  );
}

function FileChanges({ diff: d }: { diff: VersionDiff }) {
  const { t } = useSpeech();
  const first = (x: unknown) => {
    if (x === null || x === undefined) return t("diff.rowsAbove");
    if (typeof x !== "object") return String(x);
    return Object.entries(x as Record<string, unknown>)
      .filter(([k, v]) => k !== "path" && v !== "" && v !== null && v !== undefined)
      .map(([k, v]) => `${k} ${typeof v === "object" ? JSON.stringify(v) : String(v)}`)
      .join(", ");
  };
  return (
    <section>
      <Title order={2} mb="xs">
        {t("diff.files")}
      </Title>
      <ScrollArea viewportProps={{ tabIndex: 0 }}>
        <Table miw={640} verticalSpacing={6}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("diff.file")}</Table.Th>
              <Table.Th>{t("diff.what")}</Table.Th>
              <Table.Th>{t("diff.digest")}</Table.Th>
              <Table.Th>{t("diff.first")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {d.files.map((f) => (
              <Table.Tr key={f.path}>
                <Table.Td ff="monospace" fz="sm">{f.path}</Table.Td>
                <Table.Td>
                  <Badge size="sm" tt="none" variant="light" color={colours[f.change]}>
                    {t(`diff.kind.${f.change}` as Key)}
                  </Badge>
                </Table.Td>
                <Table.Td ff="monospace" fz="sm" className="nowrap">{arrow(f.before ? short(f.before).slice(0, 8) : "", f.after ? short(f.after).slice(0, 8) : "")}</Table.Td>
                <Table.Td fz="sm" style={{ overflowWrap: "anywhere" }}>{f.change === "changed" ? first(f.first_difference) : ""}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea>
    </section>
  );
}

/** Keys with their values before and after. */
export function Changes({ title, text, changes }: { title: string; text?: string; changes: Change[] }) {
  const { t } = useSpeech();
  if (changes.length === 0) return null;
  return (
    <section>
      <Title order={2} mb={text ? 0 : "xs"}>
        {title}
      </Title>
      {text && (
        <Text size="sm" c="dimmed" mb="xs">
          {text}
        </Text>
      )}
      <ScrollArea viewportProps={{ tabIndex: 0 }}>
        <Table miw={560} verticalSpacing={6}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("diff.key")}</Table.Th>
              <Table.Th>{t("diff.before")}</Table.Th>
              <Table.Th>{t("diff.after")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {changes.map((c) => (
              <Table.Tr key={c.key}>
                <Table.Td fw={500}>{c.key}</Table.Td>
                <Table.Td fz="sm" style={{ overflowWrap: "anywhere" }}>{c.before === "" ? "—" : brief(c.before)}</Table.Td>
                <Table.Td fz="sm" style={{ overflowWrap: "anywhere" }}>{c.after === "" ? "—" : brief(c.after)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea>
    </section>
  );
}

// A digest among the values is cut; JSON's quotes around a text say nothing.
const brief = (s: string) => {
  const plain = s.replace(/^"(.*)"$/, "$1");
  return /^sha256:[0-9a-f]{64}$/.test(plain) ? short(plain) : plain;
};
