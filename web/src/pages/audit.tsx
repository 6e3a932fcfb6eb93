import { Alert, Anchor, Badge, Button, Group, NativeSelect, ScrollArea, Table, Text, TextInput, Title } from "@mantine/core";
import { useDebouncedValue } from "@mantine/hooks";
import { IconCheck, IconHistory, IconLink, IconLinkOff } from "@tabler/icons-react";
import { keepPreviousData, useInfiniteQuery, useMutation } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { Fragment, useState, type ReactNode } from "react";
import { ask, ws } from "../api";
import { moment, number, shown } from "../format";
import { useSpeech, type Key } from "../i18n";
import { usePageTitle } from "../parts/page";
import { Empty, Failed, Loading } from "../parts/status";
import { useQueryTexts } from "../query";
import { Digest, Page, Path, To, to, words } from "./artifacts/parts";
import "./artifacts/artifacts.css";
import type { components } from "../api/types";

type Schemas = components["schemas"];

type Entry = Schemas["AuditEntry"];
type AuditPage = Schemas["AuditPage"];
type Chain = Schemas["TrackingAuditCheck"];

// What the filter offers; "run." is everything about runs.
const actions = ["run.", "version.", "alias.", "statement.", "blob.", "key.", "document."];
const page = 100;

/** Who changed what, and whether the record of it is whole. */
export function Audit() {
  const { t, language } = useSpeech();
  const { project = "" } = useParams({ strict: false });
  usePageTitle(t("audit.title"), project);
  const [address, setAddress] = useQueryTexts();
  const { actor = "", action = "", subject = "", from = "", to: until = "" } = address;
  const [asked] = useDebouncedValue({ actor, action, subject, from, until }, 250);
  const q = useInfiniteQuery({
    queryKey: ["audit", asked],
    initialPageParam: 0,
    queryFn: ({ signal, pageParam }) =>
      ask<AuditPage>(
        "GET",
        ws(["audit"], {
          actor: asked.actor.trim(),
          action: asked.action,
          subject: asked.subject.trim(),
          from: asked.from && new Date(asked.from + "T00:00:00").toISOString(),
          // The day itself belongs to it.
          to: asked.until && new Date(asked.until + "T23:59:59.999").toISOString(),
          before: pageParam || undefined,
          limit: page,
        }),
        undefined,
        signal,
      ),
    getNextPageParam: (last) => last.next || undefined,
    placeholderData: keepPreviousData,
  });
  const filtered = [actor, action, subject, from, until].some((x) => x !== "");
  const entries = q.data?.pages.flatMap((p) => p.entries) ?? [];
  const set = (name: string) => (e: { currentTarget: { value: string } }) => {
    setAddress({ [name]: e.currentTarget.value });
  };
  return (
    <Page>
      {project && <Path items={[{ text: project, href: to.project(project) }, { text: t("audit.title") }]} />}
      <Title order={1}>{t("audit.title")}</Title>
      <Text c="dimmed" size="sm" mb="md" maw={720}>
        {t("audit.text")}
      </Text>
      <ChainState />
      <Group gap="xs" mb="md" align="flex-end">
        <NativeSelect
          label={t("audit.action")}
          value={action}
          onChange={set("action")}
          data={[{ value: "", label: t("audit.any") }, ...actions.map((a) => ({ value: a, label: t(`audit.about.${a.slice(0, -1)}` as Key) })), ...(action && !actions.includes(action) ? [action] : [])]}
        />
        <TextInput label={t("audit.actor")} value={actor} onChange={set("actor")} w={150} />
        <TextInput label={t("audit.subject")} value={subject} onChange={set("subject")} w={260} maw="100%" placeholder={`${project || "project"}/name:v0`} />
        <TextInput type="date" label={t("audit.from")} value={from} onChange={set("from")} />
        <TextInput type="date" label={t("audit.to")} value={until} onChange={set("to")} />
        {filtered && (
          <Button variant="subtle" onClick={() => setAddress({ actor: "", action: "", subject: "", from: "", to: "" })}>
            {t("audit.clear")}
          </Button>
        )}
      </Group>
      {q.isPending ? (
        <Loading />
      ) : q.isError ? (
        <Failed error={q.error} retry={() => void q.refetch()} />
      ) : entries.length === 0 ? (
        <Empty title={t(filtered ? "audit.noMatch" : "audit.none")} icon={<IconHistory size={40} stroke={1.2} aria-hidden />} />
      ) : (
        <>
          <ScrollArea viewportProps={{ tabIndex: 0 }}>
            <Table miw={820} verticalSpacing={8}>
              <Table.Thead>
                <Table.Tr>
                  <Table.Th ta="right">{t("audit.n")}</Table.Th>
                  <Table.Th>{t("audit.time")}</Table.Th>
                  <Table.Th>{t("audit.actor")}</Table.Th>
                  <Table.Th>{t("audit.action")}</Table.Th>
                  <Table.Th>{t("audit.subject")}</Table.Th>
                  <Table.Th>{t("audit.change")}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {entries.map((e) => (
                  <Table.Tr key={e.n} className="top">
                    <Table.Td ta="right" c="dimmed">
                      {number(e.n, language)}
                    </Table.Td>
                    <Table.Td className="nowrap">{moment(e.time, language)}</Table.Td>
                    <Table.Td className="nowrap">{e.actor}</Table.Td>
                    <Table.Td className="nowrap">
                      <Badge variant="light" size="sm" tt="none" fw={600} miw="max-content" color={colour(e.action)}>
                        {e.action}
                      </Badge>
                    </Table.Td>
                    <Table.Td fz="sm" style={{ overflowWrap: "anywhere" }}>
                      <Subject of={e} project={project} />
                    </Table.Td>
                    <Table.Td fz="sm">
                      <Change entry={e} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </ScrollArea>
          {q.hasNextPage && (
            <Button variant="default" mt="md" loading={q.isFetchingNextPage} onClick={() => void q.fetchNextPage()}>
              {t("audit.more")}
            </Button>
          )}
        </>
      )}
    </Page>
  );
}

const colour = (action: string) => (/delete|remove|revoke/.test(action) ? "red" : /create|set|add/.test(action) ? "teal" : "blue");

/** Whether the entries hang together, counted again on the server when asked. */
function ChainState() {
  const { t } = useSpeech();
  const check = useMutation({ mutationFn: () => ask<Chain>("GET", ws(["audit", "check"])) });
  const c = check.data;
  return (
    <Group gap="sm" mb="md" aria-live="polite">
      <Button variant="default" size="xs" leftSection={<IconLink size={14} aria-hidden />} loading={check.isPending} onClick={() => check.mutate()}>
        {t("audit.chain.check")}
      </Button>
      {check.isError && (
        <Text size="sm" c="light-dark(var(--mantine-color-red-9), var(--mantine-color-red-4))">
          {words(check.error)}
        </Text>
      )}
      {c?.ok && (
        <Group gap={6} fz="sm" c="light-dark(var(--mantine-color-teal-9), var(--mantine-color-teal-4))">
          <IconCheck size={16} aria-hidden />
          <span>{t("audit.chain.ok", { n: c.entries })}</span>
          <Digest of={c.last} />
        </Group>
      )}
      {c && !c.ok && (
        <Alert color="red" icon={<IconLinkOff size={20} />} title={t("audit.chain.bad")}>
          {c.problem}
        </Alert>
      )}
    </Group>
  );
}

function Subject({ of: e, project }: { of: Entry; project: string }) {
  const version = /^([^/:\s]+)\/([^/:\s]+):(v\d+)$/.exec(e.subject);
  if (version) return <To href={to.version(version[1]!, version[2]!, version[3]!)}>{e.subject}</To>;
  if (e.action.startsWith("run.") && /^\d{8}-\d{6}-\w{6}$/.test(e.subject)) return <To href={to.run(project, e.subject)}>{e.subject}</To>;
  return <>{e.subject}</>;
}

/** What changed: each field before and after; short at first. */
function Change({ entry: e }: { entry: Entry }) {
  const { t, language } = useSpeech();
  const [open, unfold] = useState(false);
  const keys = [...new Set([...Object.keys(e.before ?? {}), ...Object.keys(e.after ?? {})])];
  const most = 3;
  const cell = (v: unknown): ReactNode => {
    if (v === undefined || v === null || v === "") return "—";
    const text = typeof v === "string" ? v : shown(v, language);
    if (/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(text)) return moment(text, language);
    return /^sha256:[0-9a-f]{64}$/.test(text) ? text.slice(7, 19) : text.length > 60 && !open ? text.slice(0, 59) + "…" : text;
  };
  const fresh = Object.keys(e.before ?? {}).length === 0;
  const list = open ? keys : keys.slice(0, most);
  return (
    <>
      <dl className="change">
        {list.map((k) => (
          <Fragment key={k}>
            <dt>{k}</dt>
            <dd>
              {!fresh && (
                <>
                  <span className="diff-del">{cell(e.before?.[k])}</span> →{" "}
                </>
              )}
              <span className={fresh ? "" : "diff-ins"}>{cell(e.after?.[k])}</span>
            </dd>
          </Fragment>
        ))}
      </dl>
      {(keys.length > most || open) && (
        <Anchor component="button" type="button" fz="sm" aria-expanded={open} onClick={() => unfold(!open)}>
          {open ? t("audit.less") : t("audit.fields", { n: keys.length - most })}
        </Anchor>
      )}
    </>
  );
}
