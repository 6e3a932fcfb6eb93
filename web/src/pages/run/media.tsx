import { Alert, Anchor, Box, Group, Image, SimpleGrid, Slider, Stack, Table, Text, TextInput } from "@mantine/core";
import { useInViewport } from "@mantine/hooks";
import { IconPhoto } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useState, type ReactNode } from "react";
import { ApiError, ask, ws, type ItemKey, type ItemsPage, type RunDetail } from "../../api";
import { ChartFrame } from "../../charts/frame";
import { Histogram, histogramTwin } from "../../charts/histogram";
import { number, shown } from "../../format";
import { useSpeech } from "../../i18n";
import { Empty, Failed, Loading } from "../../parts/status";
import { Ago } from "../../parts/time";
import { fileAddress } from "./data";
import { alarmOf, barsOf, byStep, filesOf, kindOf, picturesOf, sheetOf } from "./recorded";
import { Section } from "./overview";
import css from "./run.module.css";
import { visible } from "./text";

type Item = ItemsPage["items"][number];

const mostItems = 2000;
const mostRows = 200;
const biggestTable = 20 << 20;
const alertKey = "alert";

const every = (ended: boolean) => (ended ? false : 5_000);

/** The names under which a run recorded something other than numbers. */
export function useItemKeys(run: string, ended: boolean) {
  return useQuery({
    queryKey: ["run", run, "itemKeys"],
    queryFn: ({ signal }) => ask<ItemKey[]>("GET", ws(["runs", run, "items", "keys"]), undefined, signal),
    refetchInterval: every(ended),
  });
}

/** What it recorded under one of them: all steps, as far as a person looks. */
function useItems(run: string, key: string, ended: boolean, enabled: boolean) {
  return useQuery({
    queryKey: ["run", run, "items", key],
    queryFn: async ({ signal }) => {
      const all: Item[] = [];
      let after = 0;
      do {
        const page = await ask<ItemsPage>("GET", ws(["runs", run, "items"], { key, after, limit: 1000 }), undefined, signal);
        all.push(...page.items);
        after = page.next;
      } while (after !== 0 && all.length < mostItems);
      return { items: all, more: after !== 0 };
    },
    enabled,
    refetchInterval: every(ended),
  });
}

/** Whether there is something for the tab to show. */
export const hasMedia = (keys: ItemKey[] | undefined): boolean => (keys ?? []).some((k) => k.key !== alertKey);

/** Pictures, distributions, tables and texts of a run, by name, with a slider over its steps. */
export function RunMedia({ run, keys, ended }: { run: RunDetail; keys: ItemKey[]; ended: boolean }) {
  const { t } = useSpeech();
  const [search, setSearch] = useState("");
  const all = keys.filter((k) => k.key !== alertKey && (!k.key.startsWith("_") || search.startsWith("_")));
  const found = all.filter((k) => k.key.toLowerCase().includes(search.trim().toLowerCase()));
  if (all.length === 0 && search === "") return <Empty title={t("media.none")} icon={<IconPhoto size={36} aria-hidden />} />;
  return (
    <Stack gap="xl" maw={1120}>
      {(all.length > 4 || search !== "") && (
        <TextInput size="xs" w={240} type="search" placeholder={t("search")} aria-label={t("media.search")} value={search} onChange={(e) => setSearch(e.currentTarget.value)} />
      )}
      {found.length === 0 && <Text c="dimmed">{t("media.noMatch", { text: search })}</Text>}
      {found.map((k) => (
        <Medium key={k.key} run={run} name={k.key} kind={k.kind} ended={ended} />
      ))}
    </Stack>
  );
}

/** One name. It is read when somebody scrolls to it. */
function Medium({ run, name, kind, ended }: { run: RunDetail; name: string; kind: string; ended: boolean }) {
  const { t } = useSpeech();
  const { ref, inViewport } = useInViewport<HTMLDivElement>();
  const [seen, setSeen] = useState(false);
  useEffect(() => {
    if (inViewport) setSeen(true);
  }, [inViewport]);
  const q = useItems(run.id, name, ended, seen);
  const steps = useMemo(() => byStep(q.data?.items ?? []), [q.data]);
  const [chosen, setChosen] = useState<number>();
  const at = chosen === undefined ? steps.length - 1 : Math.min(chosen, steps.length - 1);
  const now = steps[at];
  const as = kindOf(kind);
  const slider = steps.length > 1 && now !== undefined && (
    <Group gap="sm" wrap="nowrap" maw={520}>
      <Slider
        flex={1}
        size="sm"
        min={0}
        max={steps.length - 1}
        value={at}
        label={null}
        thumbLabel={t("media.step.of", { name })}
        thumbProps={{ "aria-valuetext": t("media.step", { n: now.step }) }}
        onChange={(v) => setChosen(v === steps.length - 1 ? undefined : v)}
      />
      <Text size="sm" c="dimmed" className={css.step}>
        {t("media.step", { n: now.step })}
      </Text>
    </Group>
  );
  const body =
    q.isPending || !seen ? (
      <Loading />
    ) : q.isError ? (
      <Failed error={q.error} retry={() => void q.refetch()} />
    ) : now === undefined ? (
      <Text c="dimmed">{t("media.gone")}</Text>
    ) : as === "image" ? (
      <Pictures run={run.id} name={name} step={now.step} items={now.items} />
    ) : as === "histogram" ? (
      <Histograms name={name} items={q.data.items} now={now.items[now.items.length - 1]!} />
    ) : as === "table" ? (
      <Sheets run={run.id} name={name} items={now.items} />
    ) : as === "text" ? (
      <Texts items={now.items} />
    ) : as === "file" ? (
      <Files run={run.id} kind={kind} items={now.items} />
    ) : (
      <Values items={now.items} />
    );
  return (
    <div ref={ref} data-medium={as}>
      {as === "histogram" ? (
        <Box maw={720}>
          {body}
          {slider}
        </Box>
      ) : (
        <Section title={<Box component="span" style={{ overflowWrap: "anywhere" }}>{visible(name)}</Box>}>
          {slider}
          <Box mt={slider ? "xs" : 0}>{body}</Box>
        </Section>
      )}
      {q.data?.more && (
        <Text size="xs" c="dimmed" mt={4}>
          {t("media.cut", { n: q.data.items.length })}
        </Text>
      )}
    </div>
  );
}

// Only types that the server serves as pictures; the rest is a download.
const isPicture = (path: string) => /\.(png|jpe?g|gif|webp)$/i.test(path);

// A picture of a few pixels is shown larger, as such.
const least = 160;

function Pictures({ run, name, step, items }: { run: string; name: string; step: number; items: Item[] }) {
  const { t } = useSpeech();
  const all = items.flatMap((i) => picturesOf(i.value));
  if (all.length === 0) return <Values items={items} />;
  return (
    <SimpleGrid cols={{ base: all.length > 1 ? 2 : 1, sm: Math.min(4, all.length + 1) }} spacing="sm">
      {all.map((p, i) => (
        <figure key={i} className={css.picture}>
          {isPicture(p.path) ? (
            <Image src={fileAddress(run, p.path)} alt={t("media.picture", { name, n: step, caption: visible(p.caption) })} fit="contain" w={p.width === undefined ? "auto" : Math.max(p.width, least)} maw="100%" mah={360} loading="lazy" radius="sm" style={p.width !== undefined && p.width < least ? { imageRendering: "pixelated" } : {}} />
          ) : (
            <Download run={run} path={p.path} />
          )}
          {p.caption && (
            <Text component="figcaption" size="sm" c="dimmed" style={{ overflowWrap: "anywhere" }}>
              {visible(p.caption)}
            </Text>
          )}
        </figure>
      ))}
    </SimpleGrid>
  );
}

function Histograms({ name, items, now }: { name: string; items: Item[]; now: Item }) {
  const { t, language } = useSpeech();
  const scale = useMemo(() => {
    let [most, low, high] = [0, Infinity, -Infinity];
    for (const i of items) {
      for (const b of barsOf(i.value) ?? []) {
        most = Math.max(most, b.n);
        low = Math.min(low, b.from);
        high = Math.max(high, b.to);
      }
    }
    return { most, low, high };
  }, [items]);
  const bars = barsOf(now.value);
  if (bars === undefined) return <Values items={[now]} />;
  const n = bars.reduce((sum, b) => sum + b.n, 0);
  const from = bars[0]!.from;
  const to = bars[bars.length - 1]!.to;
  return (
    <ChartFrame title={visible(name)} note={t("media.histogram.note", { n, from: number(from, language, 3), to: number(to, language, 3) })} twin={histogramTwin(bars, [t("media.from"), t("media.to"), t("media.count")])} order={2}>
      <Histogram bars={bars} label={t("media.histogram.label", { name, n: now.step })} {...scale} />
    </ChartFrame>
  );
}

function Sheets({ run, name, items }: { run: string; name: string; items: Item[] }) {
  return (
    <Stack gap="md">
      {items.flatMap((i) => filesOf(i.value).slice(0, 1)).map((path) => (
        <SheetOf key={path} run={run} name={name} path={path} />
      ))}
    </Stack>
  );
}

function SheetOf({ run, name, path }: { run: string; name: string; path: string }) {
  const { t, language } = useSpeech();
  const address = fileAddress(run, path);
  const q = useQuery({
    queryKey: ["run", run, "sheet", path],
    queryFn: async ({ signal }) => {
      const answer = await fetch(address, { signal, credentials: "same-origin" });
      if (!answer.ok) throw new ApiError(answer.status, answer.statusText, answer.status === 404 ? t("media.file.gone", { path }) : "");
      if (Number(answer.headers.get("Content-Length") ?? 0) > biggestTable) return null;
      return sheetOf(await answer.json().catch(() => null)) ?? null;
    },
    staleTime: Infinity,
  });
  if (q.isPending) return <Loading />;
  if (q.isError) return <Failed error={q.error} retry={() => void q.refetch()} />;
  const sheet = q.data;
  if (sheet === null) {
    return (
      <Text size="sm">
        {t("media.table.odd")} <Download run={run} path={path} />
      </Text>
    );
  }
  const numeric = sheet.columns.map((_, c) => sheet.rows.some((r) => typeof r[c] === "number"));
  return (
    <>
      <Box className={css.scroll} mah={420} tabIndex={0} role="region" aria-label={name}>
        <Table stickyHeader verticalSpacing={4} fz="sm" aria-label={name}>
          <Table.Thead>
            <Table.Tr>
              {sheet.columns.map((c, i) => (
                <Table.Th key={i} scope="col" ta={numeric[i] ? "right" : "left"}>
                  {visible(c)}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {sheet.rows.slice(0, mostRows).map((r, i) => (
              <Table.Tr key={i}>
                {r.map((v, c) => (
                  <Table.Td key={c} ta={numeric[c] ? "right" : "left"} style={{ overflowWrap: "anywhere" }}>
                    {filesOf(v).length > 0 ? <Cell run={run} value={v} /> : visible(shown(v as never, language))}
                  </Table.Td>
                ))}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </Box>
      <Group justify="space-between" mt={4}>
        <Text size="xs" c="dimmed">
          {sheet.rows.length > mostRows ? t("media.table.cut", { shown: mostRows, n: sheet.rows.length }) : t("run.rows.count", { n: sheet.rows.length })}
        </Text>
        <Download run={run} path={path} />
      </Group>
    </>
  );
}

/** A picture, or another file, in a table. */
function Cell({ run, value }: { run: string; value: unknown }) {
  return filesOf(value).map((path) => (isPicture(path) ? <Image key={path} src={fileAddress(run, path)} alt={path} h={64} w="auto" fit="contain" loading="lazy" /> : <Download key={path} run={run} path={path} />));
}

function Texts({ items }: { items: Item[] }) {
  return items.map((i) => (
    <Text key={i.n} size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
      {String(i.value).split("\n").map(visible).join("\n")}
    </Text>
  ));
}

/** What a browser must not run, and what it cannot show, is a download. */
function Files({ run, kind, items }: { run: string; kind: string; items: Item[] }) {
  const { t } = useSpeech();
  const all = items.flatMap((i) => filesOf(i.value));
  if (all.length === 0) return <Values items={items} />;
  return (
    <Stack gap={4}>
      <Text size="sm" c="dimmed">
        {t(kind === "html-file" ? "media.html" : "media.file")}
      </Text>
      {all.map((path) => (
        <Download key={path} run={run} path={path} />
      ))}
    </Stack>
  );
}

function Download({ run, path }: { run: string; path: string }) {
  return (
    <Anchor href={fileAddress(run, path)} download size="sm" style={{ overflowWrap: "anywhere" }}>
      {visible(path)}
    </Anchor>
  );
}

function Values({ items }: { items: Item[] }): ReactNode {
  return (
    <Box className={css.scroll} mah={320} tabIndex={0} role="group">
      {items.map((i) => (
        <pre key={i.n} className={css.value}>
          {JSON.stringify(i.value, null, 2).split("\n").map(visible).join("\n").slice(0, 100_000)}
        </pre>
      ))}
    </Box>
  );
}

/** What the run wanted somebody to know, the newest first. */
export function Alerts({ run, ended }: { run: RunDetail; ended: boolean }) {
  const { t } = useSpeech();
  const q = useItems(run.id, alertKey, ended, true);
  const list = [...(q.data?.items ?? [])].reverse();
  if (list.length === 0) return null;
  return (
    <Section title={t("media.alerts")}>
      <Stack gap="xs">
        {list.slice(0, 50).map((i) => {
          const a = alarmOf(i.value);
          return (
            <Alert key={i.n} p="xs" color={a.level === "error" ? "red" : a.level === "warn" ? "orange" : "blue"} title={visible(a.title) || t(`media.alert.${a.level}`)}>
              <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
                {a.text.split("\n").map(visible).join("\n")}
              </Text>
              <Text size="xs" mt={2}>
                {t(`media.alert.${a.level}`)} · {t("media.step", { n: i.step })} · <Ago time={i.time} />
              </Text>
            </Alert>
          );
        })}
      </Stack>
    </Section>
  );
}
