import { ActionIcon, Alert, Anchor, Box, Button, Collapse, Group, SimpleGrid, Stack, Table, TagsInput, Text, Textarea, TextInput, Title } from "@mantine/core";
import { IconPencil } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Fragment, useMemo, useState, type ReactNode } from "react";
import { ApiError, useChangeRun, useRights, type FileEntry, type RunDetail } from "../../api";
import { bytes, duration, moment, number, shown } from "../../format";
import { useSpeech, type Key } from "../../i18n";
import { Breakable } from "../../parts/breakable";
import { Copy } from "../../parts/copy";
import { A } from "../../parts/link";
import { Failed, Loading, StateBadge } from "../../parts/status";
import { useNow } from "../../parts/time";
import { flat, partsOf, resultText } from "../../score";
import { fileAddress } from "./data";
import css from "./run.module.css";
import { commandLine, diffLines, visible } from "./text";

/** A run at one look: what came of it, with what settings, what was said of it, from what code, on what machine. */
export function Overview({ run, alerts }: { run: RunDetail; alerts?: ReactNode }) {
  return (
    <SimpleGrid cols={{ base: 1, md: 2 }} spacing="xl" verticalSpacing="xl">
      <Stack gap="xl" miw={0}>
        {alerts}
        <Results summary={run.summary ?? {}} />
        <Params params={run.params ?? {}} />
      </Stack>
      <Stack gap="xl" miw={0}>
        <About run={run} />
        <Notes run={run} />
        <Code run={run} />
        <Machine run={run} />
      </Stack>
      {(run.files ?? []).some((f) => f.path === "diff.patch") && (
        <Box style={{ gridColumn: "1 / -1" }} miw={0}>
          <Diff run={run.id} file={run.files!.find((f) => f.path === "diff.patch")!} />
        </Box>
      )}
    </SimpleGrid>
  );
}

export function Section({ title, action, children }: { title: ReactNode; action?: ReactNode; children: ReactNode }) {
  return (
    <Box component="section" miw={0}>
      <Group justify="space-between" mb="xs" mih={28}>
        <Title order={2}>{title}</Title>
        {action}
      </Group>
      {children}
    </Box>
  );
}

/** The name of a part of the rows, in words. */
export function usePartName(): (part: string) => string {
  const { t } = useSpeech();
  return (part) => (["test", "val", "train"].includes(part) ? t(`run.part.${part}` as Key) : part);
}

function Results({ summary }: { summary: Record<string, unknown> }) {
  const { t, language } = useSpeech();
  const partName = usePartName();
  const parts = useMemo(() => partsOf(summary), [summary]);
  const hasInterval = parts.some((p) => p.results.some((r) => r.low !== null));
  return (
    <Section title={t("run.results")}>
      {parts.length === 0 && <Text c="dimmed">{t("run.results.none")}</Text>}
      {parts.map((p) => (
        <Table key={p.name} mb="sm" verticalSpacing={6} layout="fixed">
          <Table.Thead>
            <Table.Tr>
              <Table.Th w="45%">{p.name === "" ? (parts.length > 1 ? t("run.results.whole") : t("run.field")) : partName(p.name)}</Table.Th>
              <Table.Td ta="right" c="dimmed">
                {p.rows !== null && t("run.results.rows", { n: p.rows })}
              </Table.Td>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {p.results.map((r) => (
              <Table.Tr key={r.key}>
                <Table.Td style={{ overflowWrap: "anywhere" }}>
                  <Breakable>{r.key}</Breakable>
                </Table.Td>
                <Table.Td ta="right" style={{ overflowWrap: "anywhere" }}>
                  {visible(resultText(r, language, t))}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      ))}
      {hasInterval && (
        <Text size="xs" c="dimmed">
          {t("run.results.interval")}
        </Text>
      )}
    </Section>
  );
}

function Params({ params }: { params: Record<string, unknown> }) {
  const { t, language } = useSpeech();
  const [search, setSearch] = useState("");
  const all = useMemo(() => Object.entries(flat(params)).sort(([a], [b]) => a.localeCompare(b)), [params]);
  const want = search.trim().toLowerCase();
  const found = all.filter(([k, v]) => k.toLowerCase().includes(want) || shown(v, language).toLowerCase().includes(want));
  return (
    <Section
      title={t("run.params")}
      action={all.length > 6 && <TextInput size="xs" w={180} type="search" placeholder={t("search")} aria-label={t("run.params.search")} value={search} onChange={(e) => setSearch(e.currentTarget.value)} />}
    >
      {all.length === 0 && <Text c="dimmed">{t("run.params.none")}</Text>}
      {all.length > 0 && found.length === 0 && <Text c="dimmed">{t("run.params.noMatch", { text: search })}</Text>}
      {found.length > 0 && (
        <Box className={found.length > 40 ? css.scroll : undefined} mah={found.length > 40 ? 900 : undefined}>
          <Table verticalSpacing={4} layout="fixed" aria-label={t("run.params")}>
            <Table.Tbody>
              {found.map(([k, v]) => (
                <Table.Tr key={k}>
                  <Table.Th scope="row" fw={400} w="55%" style={{ overflowWrap: "anywhere" }}>
                    <Breakable>{k}</Breakable>
                  </Table.Th>
                  <Table.Td ta="right" style={{ overflowWrap: "anywhere" }} title={typeof v === "number" ? String(v) : undefined}>
                    {visible(shown(v, language)) || "–"}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </Box>
      )}
    </Section>
  );
}

type Fact = [label: string, value: ReactNode] | false | "" | null | undefined;

function Facts({ facts }: { facts: Fact[] }) {
  return (
    <dl className={css.facts}>
      {facts.map(
        (f) =>
          f && (
            <Fragment key={f[0]}>
              <dt>{f[0]}</dt>
              <dd>{f[1]}</dd>
            </Fragment>
          ),
      )}
    </dl>
  );
}

function Digest({ digest }: { digest: string }) {
  return (
    <Group gap={4} wrap="nowrap">
      <span className={css.mono} title={digest}>
        {digest.replace(/^sha256:/, "").slice(0, 12)}
      </span>
      <Copy text={digest} />
    </Group>
  );
}

// The record says more than the shape that lists need.
type Whole = RunDetail & { code?: string; recipe?: string; solera?: string; reuse_of?: string };

const isDigest = (d: string | undefined): d is string => d !== undefined && d !== "" && !/^sha256:0+$/.test(d);

function About({ run }: { run: Whole }) {
  const { t, language } = useSpeech();
  const rights = useRights();
  const change = useChangeRun();
  const now = useNow(run.state === "running" ? 1000 : 60_000);
  const [name, setName] = useState<string>();
  const took = run.started && run.finished ? (Date.parse(run.finished) - Date.parse(run.started)) / 1000 : undefined;
  const soFar = run.started && run.state === "running" ? Math.max(0, (now - Date.parse(run.started)) / 1000) : undefined;
  const save = () => {
    if (name !== undefined && name.trim() !== "" && name !== run.name) change.mutate({ id: run.id, change: { name: name.trim() } }, { onSuccess: () => setName(undefined) });
    else setName(undefined);
  };
  return (
    <Section title={t("run.about")}>
      <Facts
        facts={[
          [
            t("run.name"),
            name === undefined ? (
              <Group gap={4} wrap="nowrap">
                <span>{run.name || "–"}</span>
                {rights.edit && (
                  <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t("run.rename")} title={t("run.rename")} onClick={() => setName(run.name)}>
                    <IconPencil size={14} />
                  </ActionIcon>
                )}
              </Group>
            ) : (
              <form
                onSubmit={(e) => {
                  e.preventDefault();
                  save();
                }}
              >
                <Group gap={6}>
                  <TextInput size="xs" autoFocus aria-label={t("run.name")} value={name} maxLength={256} onChange={(e) => setName(e.currentTarget.value)} onKeyDown={(e) => e.key === "Escape" && setName(undefined)} />
                  <Button size="xs" type="submit" loading={change.isPending}>
                    {t("save")}
                  </Button>
                  <Button size="xs" variant="default" onClick={() => setName(undefined)}>
                    {t("cancel")}
                  </Button>
                </Group>
              </form>
            ),
          ],
          [t("run.state"), <StateBadge state={run.state} key="state" />],
          run.stage && [t("run.stage"), run.stage],
          run.experiment && [t("run.experiment"), run.experiment],
          run.group && [t("run.group"), run.group],
          run.started ? [t("run.started"), moment(run.started, language)] : [t("run.created"), moment(run.created, language)],
          run.finished && [t("run.finished"), moment(run.finished, language)],
          took !== undefined ? [t("run.duration"), duration(took, language)] : soFar !== undefined && [t("run.duration"), t("run.duration.soFar", { time: duration(Math.floor(soFar), language) })],
          [
            t("run.id"),
            <Group gap={4} wrap="nowrap" key="id">
              <span className={css.mono}>{run.id}</span>
              <Copy text={run.id} />
            </Group>,
          ],
          run.reuse_of && [
            t("run.reuse"),
            <A key="reuse" to="/p/$project/runs/$run" params={{ project: run.project, run: run.reuse_of }} search={{}} size="sm">
              {run.reuse_of}
            </A>,
          ],
        ]}
      />
      {change.isError && (
        <Alert color="red" mt="xs" p="xs">
          {t("run.save.failed", { why: change.error.message })}
        </Alert>
      )}
    </Section>
  );
}

function Notes({ run }: { run: RunDetail }) {
  const { t } = useSpeech();
  const rights = useRights();
  const change = useChangeRun();
  const [notes, setNotes] = useState<string>();
  return (
    <Section
      title={t("run.notes")}
      action={
        rights.edit &&
        notes === undefined && (
          <ActionIcon variant="subtle" color="gray" aria-label={t("run.notes.edit")} title={t("run.notes.edit")} onClick={() => setNotes(run.notes)}>
            <IconPencil size={16} />
          </ActionIcon>
        )
      }
    >
      {notes !== undefined ? (
        <Stack gap="xs">
          <Textarea autosize minRows={3} maxRows={16} autoFocus aria-label={t("run.notes")} placeholder={t("run.notes.hint")} value={notes} onChange={(e) => setNotes(e.currentTarget.value)} />
          <Group gap="xs">
            <Button size="xs" loading={change.isPending} onClick={() => change.mutate({ id: run.id, change: { notes } }, { onSuccess: () => setNotes(undefined) })}>
              {t("save")}
            </Button>
            <Button size="xs" variant="default" onClick={() => setNotes(undefined)}>
              {t("cancel")}
            </Button>
          </Group>
        </Stack>
      ) : (
        <Text size="sm" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }} c={run.notes ? undefined : "dimmed"}>
          {run.notes ? run.notes.split("\n").map(visible).join("\n") : t("run.notes.none")}
        </Text>
      )}
      <Box mt="sm">
        {rights.edit ? (
          <TagsInput size="xs" label={t("run.tags")} placeholder={t("run.tags.add")} value={run.tags ?? []} maxTags={100} maxLength={128} onChange={(tags) => change.mutate({ id: run.id, change: { tags } })} disabled={change.isPending} />
        ) : (
          <Text size="sm">
            <Text span c="dimmed" size="sm">
              {t("run.tags")}:{" "}
            </Text>
            {(run.tags ?? []).join(", ") || t("run.tags.none")}
          </Text>
        )}
      </Box>
      {change.isError && (
        <Alert color="red" mt="xs" p="xs">
          {t("run.save.failed", { why: change.error.message })}
        </Alert>
      )}
    </Section>
  );
}

function Code({ run }: { run: Whole }) {
  const { t } = useSpeech();
  const environment = run.environment ?? {};
  const git = (typeof environment.git === "object" && environment.git !== null ? environment.git : {}) as Record<string, unknown>;
  const command = commandLine(environment.command);
  const text = (v: unknown) => (typeof v === "string" && v !== "" ? v : undefined);
  const commit = text(git.commit);
  const remote = text(git.remote);
  return (
    <Section title={t("run.code")}>
      <Facts
        facts={[
          command !== "" && [
            t("run.command"),
            <Group gap={4} wrap="nowrap" key="command">
              <span className={css.mono}>{visible(command)}</span>
              <Copy text={command} />
            </Group>,
          ],
          commit !== undefined && [
            t("run.commit"),
            <Group gap={4} wrap="nowrap" key="commit">
              <span className={css.mono} title={commit}>
                {commit.slice(0, 12)}
              </span>
              <Copy text={commit} />
            </Group>,
          ],
          text(git.branch) !== undefined && [t("run.branch"), visible(text(git.branch)!)],
          remote !== undefined && [
            t("run.remote"),
            /^https?:\/\//.test(remote) ? (
              <Anchor key="remote" href={remote} size="sm" rel="noreferrer noopener" target="_blank">
                {visible(remote)}
              </Anchor>
            ) : (
              visible(remote)
            ),
          ],
          typeof git.dirty === "boolean" && [t("run.dirty"), t(git.dirty ? "run.dirty.yes" : "run.dirty.no")],
          isDigest(run.code) && [t("run.code.digest"), <Digest digest={run.code} key="code" />],
          isDigest(run.recipe) && [t("run.recipe"), <Digest digest={run.recipe} key="recipe" />],
          run.solera && [t("run.solera"), run.solera],
        ]}
      />
    </Section>
  );
}

// What a client keeps with the run in its own form says nothing to people.
const known = new Set(["client", "client_name", "command", "git", "cpu", "cores", "memory_bytes", "os", "arch", "go", "kernel"]);

function Machine({ run }: { run: RunDetail }) {
  const { t, language } = useSpeech();
  const [open, setOpen] = useState(false);
  const e = run.environment ?? {};
  const text = (v: unknown) => (v === undefined || v === null || v === "" ? undefined : visible(shown(v, language)));
  const rest = Object.entries(flat(Object.fromEntries(Object.entries(e).filter(([k]) => !known.has(k))))).sort(([a], [b]) => a.localeCompare(b));
  return (
    <Section title={t("run.machine")}>
      <Facts
        facts={[
          run.host && [t("run.host"), run.host],
          text(e.os) !== undefined && [t("run.os"), [text(e.os), text(e.arch)].filter(Boolean).join(" · ")],
          text(e.cpu) !== undefined && [t("run.cpu"), text(e.cpu)],
          typeof e.cores === "number" && [t("run.cores"), number(e.cores, language)],
          typeof e.memory_bytes === "number" && [t("run.memory"), bytes(e.memory_bytes, language)],
          text(e.kernel) !== undefined && [t("run.kernel"), text(e.kernel)],
          text(e.go) !== undefined && [t("run.go"), text(e.go)],
        ]}
      />
      {rest.length > 0 && (
        <>
          <Button variant="subtle" size="compact-sm" mt={6} px={0} onClick={() => setOpen(!open)} aria-expanded={open}>
            {t("run.more")} ({rest.length})
          </Button>
          <Collapse expanded={open}>
            <Facts facts={rest.map(([k, v]) => [k, text(v) ?? "–"])} />
          </Collapse>
        </>
      )}
    </Section>
  );
}

const biggestDiff = 1 << 20;

/** What was changed since the commit, in colours and with signs; text and nothing else. */
function Diff({ run, file }: { run: string; file: FileEntry }) {
  const { t, language } = useSpeech();
  const address = fileAddress(run, file.path);
  const big = file.size > biggestDiff;
  const patch = useQuery({
    queryKey: ["run", run, "diff"],
    queryFn: async ({ signal }) => {
      const answer = await fetch(address, { signal, credentials: "same-origin" });
      if (!answer.ok) throw new ApiError(answer.status, answer.statusText, "");
      return await answer.text();
    },
    enabled: !big,
    staleTime: Infinity,
  });
  const lines = useMemo(() => (patch.data === undefined ? [] : diffLines(patch.data)), [patch.data]);
  return (
    <Section
      title={t("run.diff")}
      action={
        <Anchor href={address} download size="sm">
          diff.patch, {bytes(file.size, language)}
        </Anchor>
      }
    >
      {big ? (
        <Text c="dimmed">{t("run.diff.big", { size: bytes(file.size, language) })}</Text>
      ) : patch.isPending ? (
        <Loading />
      ) : patch.isError ? (
        <Failed error={patch.error} retry={() => void patch.refetch()} />
      ) : (
        <Box className={css.scroll} mah={560} tabIndex={0} role="region" aria-label={t("run.diff")}>
          <pre className={css.diff}>
            {lines.map((l, i) => (
              <span key={i} className={l.kind === "same" ? undefined : css[l.kind]}>
                {visible(l.text) || " "}
              </span>
            ))}
          </pre>
        </Box>
      )}
    </Section>
  );
}
