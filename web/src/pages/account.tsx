import { Alert, Badge, Button, Checkbox, Code, Group, NativeSelect, PasswordInput, ScrollArea, Stack, Table, Text, TextInput, Title } from "@mantine/core";
import { IconKey, IconUserPlus } from "@tabler/icons-react";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState, type ReactNode } from "react";
import { ask, path, useSession, workspace, type Role } from "../api";
import { moment } from "../format";
import { useSpeech, type Key } from "../i18n";
import { Copy } from "../parts/copy";
import { usePageTitle } from "../parts/page";
import { Empty, Failed, Loading } from "../parts/status";
import { Ago } from "../parts/time";
import { Confirm, Facts, Page, words } from "./artifacts/parts";
import "./artifacts/artifacts.css";

interface ApiKey {
  id: string;
  user: string;
  name: string;
  scope: Scope;
  created: string | null;
  expires: string | null;
  revoked: string | null;
}
interface User {
  name: string;
  admin: boolean;
  roles: Record<string, Role>;
  password: boolean;
  created: string | null;
}
const scopes = ["read", "write", "admin"] as const;
type Scope = (typeof scopes)[number];
const roles = ["viewer", "editor", "admin"] as const;

/** Who one is, one's keys, and, for who manages the server, everybody else. */
export function Account() {
  const { t } = useSpeech();
  usePageTitle(t("account.title"));
  const session = useSession();
  if (session.isPending) return <Loading />;
  if (session.isError) return <Failed error={session.error} retry={() => void session.refetch()} />;
  const { user, open, workspaces, version } = session.data;
  return (
    <Page>
    <Stack gap={40} maw={960}>
      <section>
        <Title order={1} mb="sm">
          {t("account.title")}
        </Title>
        {user ? (
          <Facts
            rows={[
              [t("account.name"), user.name],
              [t("account.role"), user.admin ? t("account.serverAdmin") : workspaces.map((w) => `${w.name}: ${t(`role.${w.role}`)}`).join(", ")],
              [t("account.version"), version],
            ]}
          />
        ) : open ? (
          <Empty title={t("account.open")}>{t("account.open.text")}</Empty>
        ) : null}
        {user && <ChangePassword name={user.name} />}
      </section>
      {user && <Keys user={user.name} all={user.admin} />}
      {user?.admin && <Users self={user.name} />}
    </Stack>
    </Page>
  );
}

/** A dialog with one request behind it. */
function useDialog<A>(work: (a: A) => Promise<unknown>, stale: string) {
  const queries = useQueryClient();
  const [opened, setOpened] = useState(false);
  const m = useMutation({
    mutationFn: work,
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: [stale] });
      setOpened(false);
    },
  });
  return {
    open: () => setOpened(true),
    run: (a: A) => m.mutate(a),
    props: {
      opened,
      busy: m.isPending,
      ...(m.isError ? { error: words(m.error) } : {}),
      onClose: () => {
        m.reset();
        setOpened(false);
      },
    },
  };
}

function ChangePassword({ name }: { name: string }) {
  const { t } = useSpeech();
  const [password, setPassword] = useState("");
  const d = useDialog((p: string) => ask("PATCH", path(["users", name]), { password: p }).then(() => setPassword("")), "users");
  return (
    <>
      <Button variant="default" size="xs" mt="sm" onClick={d.open}>
        {t("account.password.change")}
      </Button>
      <Confirm title={t("account.password.change")} yes={t("save")} onYes={() => d.run(password)} {...d.props}>
        <PasswordInput label={t("account.password.new")} autoComplete="new-password" required data-autofocus value={password} onChange={(e) => setPassword(e.currentTarget.value)} visibilityToggleButtonProps={{ "aria-label": t("signin.show") }} />
      </Confirm>
    </>
  );
}

function Keys({ user, all }: { user: string; all: boolean }) {
  const { t, language } = useSpeech();
  const [everybody, setEverybody] = useState(false);
  const q = useQuery({
    queryKey: ["keys", everybody],
    queryFn: ({ signal }) => ask<ApiKey[]>("GET", path(["keys"], { user: everybody ? "*" : undefined }), undefined, signal),
  });
  const [made, setMade] = useState("");
  const [name, setName] = useState("");
  const [scope, setScope] = useState<Scope>("write");
  const [expires, setExpires] = useState("");
  const add = useDialog(
    () =>
      ask<{ key: string }>("POST", path(["keys"]), { name: name.trim(), scope, expires: expires ? new Date(expires + "T00:00:00").toISOString() : null }).then((k) => {
        setMade(k.key);
        setName("");
        setExpires("");
      }),
    "keys",
  );
  const [going, setGoing] = useState<ApiKey | null>(null);
  const revoke = useDialog((k: ApiKey) => ask("DELETE", path(["keys", k.id])), "keys");
  return (
    <section>
      <Head title={t("account.keys")} text={t("account.keys.text")}>
        {all && <Checkbox label={t("account.keys.everybody")} checked={everybody} onChange={(e) => setEverybody(e.currentTarget.checked)} />}
        <Button leftSection={<IconKey size={16} aria-hidden />} onClick={add.open}>
          {t("account.keys.new")}
        </Button>
      </Head>
      {made && (
        <Alert color="teal" mb="md" title={t("account.keys.made")} withCloseButton closeButtonLabel={t("close")} onClose={() => setMade("")}>
          <Text size="sm" mb="xs">
            {t("account.keys.once")}
          </Text>
          <Group gap={4} wrap="nowrap">
            <Code style={{ overflowWrap: "anywhere" }} data-testid="new-key">
              {made}
            </Code>
            <Copy text={made} />
          </Group>
        </Alert>
      )}
      {q.isPending ? (
        <Loading />
      ) : q.isError ? (
        <Failed error={q.error} retry={() => void q.refetch()} />
      ) : q.data.length === 0 ? (
        <Text c="dimmed" size="sm">
          {t("account.keys.none")}
        </Text>
      ) : (
        <ScrollArea viewportProps={{ tabIndex: 0 }}>
          <Table miw={640} verticalSpacing={8}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("account.keys.for")}</Table.Th>
                {everybody && <Table.Th>{t("account.name")}</Table.Th>}
                <Table.Th>{t("account.keys.begins")}</Table.Th>
                <Table.Th>{t("account.keys.scope")}</Table.Th>
                <Table.Th>{t("art.made")}</Table.Th>
                <Table.Th>{t("account.keys.until")}</Table.Th>
                <Table.Th aria-label={t("art.actions.column")} />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {q.data.map((k) => (
                <Table.Tr key={k.id} c={k.revoked ? "dimmed" : undefined}>
                  <Table.Td>{k.name || "—"}</Table.Td>
                  {everybody && <Table.Td>{k.user}</Table.Td>}
                  <Table.Td ff="monospace" fz="sm">
                    solera_{k.id}…
                  </Table.Td>
                  <Table.Td>{t(`account.scope.${k.scope}` as Key)}</Table.Td>
                  <Table.Td>
                    <Ago time={k.created} />
                  </Table.Td>
                  <Table.Td>{k.expires ? moment(k.expires, language) : t("account.keys.never")}</Table.Td>
                  <Table.Td ta="right">
                    {k.revoked ? (
                      <Badge color="gray" variant="outline" tt="none" size="sm">
                        {t("account.keys.revoked")}
                      </Badge>
                    ) : (
                      <Button
                        size="compact-sm"
                        variant="default"
                        aria-label={t("account.keys.revoke.of", { name: k.name || k.id })}
                        onClick={() => {
                          setGoing(k);
                          revoke.open();
                        }}
                      >
                        {t("account.keys.revoke")}
                      </Button>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollArea>
      )}
      <Confirm title={t("account.keys.new")} yes={t("account.keys.create")} onYes={() => add.run(undefined)} {...add.props}>
        <TextInput label={t("account.keys.for")} description={t("account.keys.for.text", { name: user })} placeholder="laptop" maxLength={100} data-autofocus value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <NativeSelect label={t("account.keys.scope")} value={scope} onChange={(e) => setScope(scopes.find((s) => s === e.currentTarget.value) ?? "read")} data={scopes.map((s) => ({ value: s, label: t(`account.scope.${s}`) }))} />
        <TextInput type="date" label={t("account.keys.until")} description={t("account.keys.until.text")} value={expires} onChange={(e) => setExpires(e.currentTarget.value)} />
      </Confirm>
      <Confirm title={t("account.keys.revoke.title", { name: going?.name || going?.id || "" })} yes={t("account.keys.revoke")} danger onYes={() => going && revoke.run(going)} {...revoke.props}>
        <Text size="sm">{t("account.keys.revoke.text")}</Text>
      </Confirm>
    </section>
  );
}

function Head({ title, text, children }: { title: string; text: string; children: ReactNode }) {
  return (
    <>
      <Group justify="space-between" gap="sm">
        <Title order={2}>{title}</Title>
        <Group gap="md">{children}</Group>
      </Group>
      <Text size="sm" c="dimmed" mb="md" maw={640}>
        {text}
      </Text>
    </>
  );
}

function Users({ self }: { self: string }) {
  const { t, language } = useSpeech();
  const queries = useQueryClient();
  const q = useQuery({ queryKey: ["users"], queryFn: ({ signal }) => ask<User[]>("GET", path(["users"]), undefined, signal) });
  const [name, setName] = useState("");
  const [role, setRole] = useState<Role>("viewer");
  const [password, setPassword] = useState("");
  const add = useDialog(
    () =>
      ask("POST", path(["users"]), { name: name.trim(), roles: { [workspace]: role }, password }).then(() => {
        setName("");
        setPassword("");
      }),
    "users",
  );
  const [going, setGoing] = useState<User | null>(null);
  const remove = useDialog((u: User) => ask("DELETE", path(["users", u.name])), "users");
  const change = useMutation({
    mutationFn: ({ user, ...what }: { user: User; admin?: boolean; roles?: Record<string, string> }) => ask("PATCH", path(["users", user.name]), what),
    onSettled: () => queries.invalidateQueries({ queryKey: ["users"] }),
  });
  return (
    <section>
      <Head title={t("account.users")} text={t("account.users.text")}>
        <Button leftSection={<IconUserPlus size={16} aria-hidden />} onClick={add.open}>
          {t("account.users.new")}
        </Button>
      </Head>
      {change.isError && (
        <Alert color="red" mb="md" title={t("account.users.failed")}>
          {words(change.error)}
        </Alert>
      )}
      {q.isPending ? (
        <Loading />
      ) : q.isError ? (
        <Failed error={q.error} retry={() => void q.refetch()} />
      ) : (
        <ScrollArea viewportProps={{ tabIndex: 0 }}>
          <Table miw={640} verticalSpacing={8}>
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t("account.name")}</Table.Th>
                <Table.Th>{t("account.role")}</Table.Th>
                <Table.Th>{t("account.users.admin")}</Table.Th>
                <Table.Th>{t("signin.password")}</Table.Th>
                <Table.Th>{t("account.users.since")}</Table.Th>
                <Table.Th aria-label={t("art.actions.column")} />
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {q.data.map((u) => (
                <Table.Tr key={u.name}>
                  <Table.Td fw={500}>{u.name}</Table.Td>
                  <Table.Td>
                    <NativeSelect
                      size="xs"
                      maw={170}
                      aria-label={t("account.role.of", { name: u.name })}
                      disabled={u.admin || change.isPending}
                      value={u.admin ? "admin" : (u.roles[workspace] ?? "")}
                      onChange={(e) => change.mutate({ user: u, roles: { [workspace]: e.currentTarget.value } })}
                      data={[{ value: "", label: t("account.role.none") }, ...roles.map((r) => ({ value: r, label: t(`role.${r}`) }))]}
                    />
                  </Table.Td>
                  <Table.Td>
                    <Checkbox aria-label={t("account.users.admin.of", { name: u.name })} checked={u.admin} disabled={u.name === self || change.isPending} onChange={(e) => change.mutate({ user: u, admin: e.currentTarget.checked })} />
                  </Table.Td>
                  <Table.Td c="dimmed">{u.password ? t("account.users.password.yes") : t("account.users.password.no")}</Table.Td>
                  <Table.Td className="nowrap">{moment(u.created, language)}</Table.Td>
                  <Table.Td ta="right">
                    {u.name !== self && (
                      <Button
                        size="compact-sm"
                        variant="default"
                        aria-label={t("account.users.remove.title", { name: u.name })}
                        onClick={() => {
                          setGoing(u);
                          remove.open();
                        }}
                      >
                        {t("remove")}
                      </Button>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </ScrollArea>
      )}
      <Confirm title={t("account.users.new")} yes={t("account.users.add")} onYes={() => add.run(undefined)} {...add.props}>
        <TextInput label={t("account.name")} required autoComplete="off" autoCapitalize="none" data-autofocus value={name} onChange={(e) => setName(e.currentTarget.value)} />
        <NativeSelect label={t("account.role")} value={role} onChange={(e) => setRole(roles.find((r) => r === e.currentTarget.value) ?? "viewer")} data={roles.map((r) => ({ value: r, label: t(`role.${r}`) }))} />
        <PasswordInput label={t("signin.password")} description={t("account.users.password.text")} autoComplete="new-password" value={password} onChange={(e) => setPassword(e.currentTarget.value)} visibilityToggleButtonProps={{ "aria-label": t("signin.show") }} />
      </Confirm>
      <Confirm title={t("account.users.remove.title", { name: going?.name ?? "" })} yes={t("remove")} danger onYes={() => going && remove.run(going)} {...remove.props}>
        <Text size="sm">{t("account.users.remove.text")}</Text>
      </Confirm>
    </section>
  );
}
