import { Alert, Anchor, Box, Button, Collapse, Group, Paper, ScrollArea, Stack, Table, Text, Title } from "@mantine/core";
import { IconCheck, IconDownload, IconRefresh, IconShieldCheck, IconShieldQuestion, IconShieldX } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { ApiError } from "../../api/client";
import { bytes, moment, shown } from "../../format";
import { useSpeech } from "../../i18n";
import { Copy } from "../../parts/copy";
import { Failed, Loading } from "../../parts/status";
import { act, provenanceOf, type Fields, type Provenance, type Resource, type VersionDetail } from "../artifacts/data";
import { JsonTree } from "../artifacts/json";
import { Digest, Facts, parseRef, To, to, words } from "../artifacts/parts";

/** Who made a version, how and of what, and whether that can be believed. */
export function ProvenancePanel({ version: v }: { version: VersionDetail }) {
  const { t } = useSpeech();
  const q = useQuery({ ...provenanceOf(v), retry: false });
  const unsigned = q.isError && q.error instanceof ApiError && q.error.status === 404;
  if (q.isPending) return <Loading />;
  if (q.isError && !unsigned) return <Failed error={q.error} retry={() => void q.refetch()} />;
  const p = q.data;
  const none = !p || p.envelope === null;
  return (
    <Stack gap="lg">
      {none ? (
        <Alert color="gray" icon={<IconShieldQuestion size={20} />} title={t("prov.unsigned")}>
          {t("prov.unsigned.text")}
        </Alert>
      ) : p.valid ? (
        <Alert color="teal" icon={<IconShieldCheck size={20} />} title={t("prov.signed")}>
          <Group gap={4}>
            {t("prov.key")} <Digest of={p.key} digits={16} />
          </Group>
        </Alert>
      ) : (
        <Alert color="red" icon={<IconShieldX size={20} />} title={t("prov.bad")}>
          {p.problems.length > 0 ? p.problems.map((x, i) => <div key={i}>{x}</div>) : t("prov.bad.text")}
        </Alert>
      )}
      <CheckNow version={v} />
      {p?.statement && <Details version={v} provenance={p} statement={p.statement} />}
    </Stack>
  );
}

function CheckNow({ version: v }: { version: VersionDetail }) {
  const { t, language } = useSpeech();
  const check = useMutation({ mutationFn: () => act.verify(v) });
  return (
    <Box>
      <Group gap="sm">
        <Button variant="default" leftSection={<IconRefresh size={16} aria-hidden />} loading={check.isPending} onClick={() => check.mutate()}>
          {t("prov.check")}
        </Button>
        <Text size="sm" c="dimmed" maw={520}>
          {t("prov.check.text")}
        </Text>
      </Group>
      <div aria-live="polite">
        {check.isError && (
          <Alert mt="sm" color="red" title={t("prov.check.failed")}>
            {words(check.error)}
          </Alert>
        )}
        {check.data?.ok && (
          <Alert mt="sm" color="teal" icon={<IconCheck size={20} />} title={t("prov.check.ok")}>
            {t("prov.check.read", { n: check.data.blobs, size: bytes(check.data.bytes, language) })}
          </Alert>
        )}
        {check.data && !check.data.ok && (
          <Alert mt="sm" color="red" icon={<IconShieldX size={20} />} title={t("prov.check.bad", { n: check.data.problems.length })}>
            <Stack gap={4}>
              {check.data.problems.map((p, i) => (
                <div key={i}>
                  <b>{p.problem}</b> {p.path && <code>{p.path}</code>} {p.detail}
                </div>
              ))}
            </Stack>
          </Alert>
        )}
      </div>
    </Box>
  );
}

// {a: {b: 1}} as a.b = 1, the way filters name it.
function flat(f: Fields, prefix = ""): [string, string][] {
  return Object.entries(f).flatMap(([k, v]): [string, string][] =>
    typeof v === "object" && v !== null && !Array.isArray(v) && Object.keys(v).length > 0 ? flat(v as Fields, prefix + k + ".") : [[prefix + k, shown(v, "en")]],
  );
}

function inputName(r: Resource): string {
  return (r.name ?? r.uri ?? "").replace(/^solera:/, "");
}

function Details({ version: v, provenance: p, statement }: { version: VersionDetail; provenance: Provenance; statement: NonNullable<Provenance["statement"]> }) {
  const { t, language } = useSpeech();
  const [open, unfold] = useState(false);
  const definition = statement.predicate?.buildDefinition;
  const details = statement.predicate?.runDetails;
  const external = definition?.externalParameters ?? {};
  const { params, ...recipe } = external as { params?: Fields };
  const inputs = definition?.resolvedDependencies ?? [];
  const text = JSON.stringify(p.envelope, null, 2);
  return (
    <>
      <section>
        <Title order={2} mb="xs">
          {t("prov.made")}
        </Title>
        <Facts
          rows={[
            [t("art.run"), <To key="run" href={to.run(v.project, v.run)}>{v.run}</To>],
            [t("prov.when"), moment(details?.metadata?.startedOn ?? v.created, language)],
            [t("prov.builder"), [details?.builder?.id, ...Object.entries(details?.builder?.version ?? {}).map(([k, x]) => `${k} ${x}`)].filter(Boolean).join(" · ")],
            ...flat({ ...recipe, ...definition?.internalParameters }).map(([k, x]): [string, ReactNode] => [k, /^sha256:/.test(x) ? <Digest of={x} /> : x]),
          ]}
        />
      </section>
      <section>
        <Title order={2} mb="xs">
          {t("prov.inputs")}
        </Title>
        {inputs.length === 0 ? (
          <Text size="sm" c="dimmed">
            {t("prov.inputs.none")}
          </Text>
        ) : (
          <ScrollArea viewportProps={{ tabIndex: 0 }}>
            <Table maw={760} verticalSpacing={6}>
              <Table.Tbody>
                {inputs.map((r, i) => {
                  const name = inputName(r);
                  const ref = /^[^/:]+(\/[^/:]+)?:v\d+$/.test(name) ? parseRef(name, v.project) : null;
                  const digest = Object.entries(r.digest ?? {})[0];
                  return (
                    <Table.Tr key={i}>
                      <Table.Td>{ref ? <To href={to.version(ref.project, ref.name, ref.version)}>{name}</To> : <span style={{ overflowWrap: "anywhere" }}>{name}</span>}</Table.Td>
                      <Table.Td>{digest && <Digest of={digest[1]} />}</Table.Td>
                    </Table.Tr>
                  );
                })}
              </Table.Tbody>
            </Table>
          </ScrollArea>
        )}
      </section>
      {params && (
        <section>
          <Title order={2} mb="xs">
            {t("prov.params")}
          </Title>
          <Facts rows={flat(params).map(([k, x]) => [k, /^sha256:/.test(x) ? <Digest key={k} of={x} /> : x])} />
        </section>
      )}
      <section>
        <Group gap="sm" mb="xs">
          <Anchor component="button" type="button" fz="sm" aria-expanded={open} onClick={() => unfold(!open)}>
            {open ? t("prov.statement.hide") : t("prov.statement.show")}
          </Anchor>
          <Group gap={2} fz="sm">
            <Anchor inherit href={`data:application/json;charset=utf-8,${encodeURIComponent(text)}`} download={`${v.name}-v${v.number}.dsse.json`}>
              <Group gap={4} wrap="nowrap">
                <IconDownload size={14} aria-hidden />
                {t("prov.envelope")}
              </Group>
            </Anchor>
            <Copy text={text} label={t("prov.envelope.copy")} />
          </Group>
        </Group>
        <Collapse expanded={open}>
          <Paper withBorder p="sm">
            <JsonTree value={statement} open={3} />
          </Paper>
        </Collapse>
      </section>
    </>
  );
}
