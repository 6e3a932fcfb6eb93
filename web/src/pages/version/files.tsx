import { Alert, Box, Button, Code, Grid, Group, NavLink, Paper, ScrollArea, Stack, Table, Text, TextInput, Title } from "@mantine/core";
import { IconDownload, IconExternalLink, IconFile } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { bytes, number } from "../../format";
import { useQueryTexts } from "../../query";
import { useSpeech } from "../../i18n";
import { Empty, Failed, Loading } from "../../parts/status";
import { downloadOf, previewOf, type FileEntry, type Histogram, type Preview, type Tensor, type VersionDetail } from "../artifacts/data";
import { JsonTree } from "../artifacts/json";
import { Digest, MiniHistogram } from "../artifacts/parts";
import { TablePreview } from "./table";

/** How many rows of a table come at once. */
export const page = 200;

// What people want to look at first.
const weight = (e: FileEntry) => [/^report|^model\.json/, /train\.parquet$/, /predictions/, /\.parquet$/, /\.safetensors$/, /\.json$/].findIndex((r) => r.test(e.path));
const first = (files: FileEntry[]) => [...files].sort((a, b) => (weight(a) + 9) % 9 - (weight(b) + 9) % 9)[0];

/** The files of a version, and what is in the chosen one. */
export function Files({ version: v }: { version: VersionDetail }) {
  const { t, language } = useSpeech();
  const [address, setAddress] = useQueryTexts();
  const [text, setText] = useState("");
  const files = v.files ?? [];
  if (files.length === 0) return <Empty title={t("ver.files.none")} />;
  const chosen = files.find((e) => e.path === address.file) ?? first(files)!;
  const most = 300;
  const matching = files.filter((e) => e.path.toLowerCase().includes(text.toLowerCase()));
  return (
    <Grid gap="lg">
      <Grid.Col span={{ base: 12, sm: 4, lg: 3 }}>
        {files.length > 20 && <TextInput mb="xs" type="search" aria-label={t("search")} placeholder={t("search")} value={text} onChange={(e) => setText(e.currentTarget.value)} />}
        <ScrollArea.Autosize mah={560}>
          <Box component="nav" aria-label={t("ver.tab.files")} p={3}>
            {matching.slice(0, most).map((e) => (
              <NavLink
                key={e.path}
                component="button"
                active={e.path === chosen.path}
                aria-current={e.path === chosen.path}
                label={e.path}
                leftSection={e.ref ? <IconExternalLink size={16} aria-hidden /> : <IconFile size={16} aria-hidden stroke={1.5} />}
                rightSection={
                  <Text span size="xs" className="nowrap">
                    {bytes(e.size, language)}
                  </Text>
                }
                onClick={() => setAddress({ file: e.path })}
                styles={{ label: { overflowWrap: "anywhere" }, root: { borderRadius: 4 } }}
                py={6}
              />
            ))}
            {matching.length > most && (
              <Text size="sm" c="dimmed" p="xs">
                {t("ver.files.more", { n: matching.length - most })}
              </Text>
            )}
          </Box>
        </ScrollArea.Autosize>
      </Grid.Col>
      <Grid.Col span={{ base: 12, sm: 8, lg: 9 }}>
        <Group justify="space-between" mb="sm" gap="xs">
          <Title order={2} style={{ overflowWrap: "anywhere" }}>
            {chosen.path}
          </Title>
          <Group gap="sm">
            <Text size="sm" c="dimmed" component="div">
              <Digest of={chosen.digest} />
            </Text>
            {!chosen.ref && !v.deleted && (
              <Button component="a" href={downloadOf(v, chosen.path)} download variant="default" size="xs" leftSection={<IconDownload size={14} aria-hidden />}>
                {t("ver.download")}
              </Button>
            )}
          </Group>
        </Group>
        {chosen.ref ? (
          <Alert color="gray" icon={<IconExternalLink size={18} />} title={t("ver.external")}>
            <Code>{chosen.ref}</Code>
          </Alert>
        ) : v.deleted ? (
          <Text c="dimmed">{t("ver.deleted.text")}</Text>
        ) : (
          <PreviewOf key={chosen.path} version={v} file={chosen.path} />
        )}
      </Grid.Col>
    </Grid>
  );
}

function PreviewOf({ version, file }: { version: VersionDetail; file: string }) {
  const q = useQuery(previewOf(version, file, page, 0));
  if (q.isPending) return <Loading />;
  if (q.isError) return <Failed error={q.error} retry={() => void q.refetch()} />;
  return <Shown preview={q.data} version={version} file={file} />;
}

function Shown({ preview: p, version, file }: { preview: Preview; version: VersionDetail; file: string }) {
  const { t, language } = useSpeech();
  if (p.large && p.kind !== "text" && p.total === 0 && p.tensors.length === 0) {
    return <Empty title={t("ver.large")}>{t("ver.binary.text", { size: bytes(p.size, language) })}</Empty>;
  }
  switch (p.kind) {
    case "table":
      return <TablePreview first={p} version={version} file={file} />;
    case "json":
      return (
        <Paper withBorder p="sm">
          <JsonTree value={p.value} open={2} />
        </Paper>
      );
    case "text":
      return (
        <Stack gap="xs">
          {p.cut && <Text size="sm" c="dimmed">{t("ver.cut")}</Text>}
          <Code block tabIndex={0} style={{ maxHeight: 640, overflow: "auto" }}>
            {p.text}
          </Code>
        </Stack>
      );
    case "tensors":
      return <Tensors tensors={p.tensors} />;
    default:
      return <Empty title={t("ver.binary")} icon={<IconFile size={40} stroke={1.2} aria-hidden />}>{t("ver.binary.text", { size: bytes(p.size, language) })}</Empty>;
  }
}

const finite = (x: number | null, language: string) => (x === null ? "—" : number(x, language, 3));

/** Weights: how many, of what shape, spread how. */
function Tensors({ tensors }: { tensors: Tensor[] }) {
  const { t, language } = useSpeech();
  const total = tensors.reduce((sum, x) => sum + x.count, 0);
  return (
    <>
      <Text size="sm" c="dimmed" mb="xs">
        {t("ver.tensors", { n: tensors.length, values: number(total, language) })}
      </Text>
      <ScrollArea viewportProps={{ tabIndex: 0 }}>
        <Table miw={760} verticalSpacing={6}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t("ver.tensor")}</Table.Th>
              <Table.Th>{t("ver.shape")}</Table.Th>
              <Table.Th>{t("ver.valueType")}</Table.Th>
              <Table.Th>{t("ver.distribution")}</Table.Th>
              <Table.Th ta="right">{t("ver.mean")}</Table.Th>
              <Table.Th ta="right">{t("ver.sd")}</Table.Th>
              <Table.Th ta="right">{t("ver.min")}</Table.Th>
              <Table.Th ta="right">{t("ver.max")}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {tensors.map((x) => (
              <Table.Tr key={x.name}>
                <Table.Td ff="monospace" fz="sm">{x.name}</Table.Td>
                <Table.Td className="nowrap">{x.shape.length === 0 ? t("ver.scalar") : x.shape.join(" × ")}</Table.Td>
                <Table.Td c="dimmed">
                  {x.type}
                  {x.strange > 0 && <span className="preview-missing"> {t("ver.strange", { n: x.strange })}</span>}
                </Table.Td>
                <Table.Td>{x.histogram && <MiniHistogram of={x.histogram} label={histogramText(x.histogram, t, language)} width={120} />}</Table.Td>
                {[x.mean, x.sd, x.min, x.max].map((v, i) => (
                  <Table.Td key={i} ta="right" className="nowrap">
                    {finite(v, language)}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea>
    </>
  );
}

/** What a histogram shows, for those who do not see it. */
export function histogramText(h: Histogram, t: ReturnType<typeof useSpeech>["t"], language: string): string {
  const top = h.counts.indexOf(Math.max(...h.counts));
  const n = (x: number | undefined) => number(x ?? NaN, language, 3);
  return t("ver.histogram", { low: n(h.edges[0]), high: n(h.edges.at(-1)), from: n(h.edges[top]), to: n(h.edges[top + 1]) });
}

