import { Alert, Anchor, Button, Center, Paper, PasswordInput, SegmentedControl, Stack, Text, TextInput, Title } from "@mantine/core";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError, ask, base, path, useSession } from "../api";
import { useT } from "../i18n";
import { usePageTitle } from "../parts/page";
import { useQueryTexts } from "../query";
import { words } from "./artifacts/parts";

// Only a path of ours: an address with a host would lead away.
const inside = (back: string | undefined) => (back && /^\/(?![/\\])/.test(back) && !back.startsWith("/signin") ? back : `${base}/`);

/** Signing in, with a key or with name and password. */
export function SignIn() {
  const t = useT();
  usePageTitle(t("signin.title"));
  const [{ back }] = useQueryTexts();
  const queries = useQueryClient();
  const session = useSession();
  const [by, setBy] = useState<"key" | "password">("key");
  const [key, setKey] = useState("");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const enter = useMutation({
    mutationFn: () => ask<void>("POST", path(["session"]), by === "key" ? { key: key.trim() } : { name: name.trim(), password }),
    onSuccess: async () => {
      queries.removeQueries({ predicate: (q) => q.queryKey[0] !== "session" });
      await queries.invalidateQueries({ queryKey: ["session"] });
    },
  });
  // Who is in already need not be here.
  const known = session.data !== undefined && (session.data.open || session.data.user !== null);
  useEffect(() => {
    // By loading it: where an address of another tool leads, the server knows.
    if (known) location.replace(inside(back));
  }, [known, back]);
  const refused = enter.error instanceof ApiError && enter.error.status === 401;
  return (
    <Center mih="calc(100dvh - 120px)" p="md">
      <Paper withBorder p="xl" w="100%" maw={420} radius="md">
        <form
          onSubmit={(e) => {
            e.preventDefault();
            enter.mutate();
          }}
        >
          <Stack gap="md">
            <Title order={1}>{t("signin.title")}</Title>
            <SegmentedControl
              fullWidth
              aria-label={t("signin.by")}
              value={by}
              onChange={(x) => {
                setBy(x === "password" ? "password" : "key");
                enter.reset();
              }}
              data={[
                { value: "key", label: t("signin.key") },
                { value: "password", label: t("signin.password.by") },
              ]}
            />
            {by === "key" ? (
              <PasswordInput
                label={t("signin.key")}
                description={t("signin.key.text")}
                placeholder="solera_…"
                autoComplete="off"
                spellCheck={false}
                required
                withAsterisk={false}
                data-autofocus
                value={key}
                onChange={(e) => setKey(e.currentTarget.value)}
                visibilityToggleButtonProps={{ "aria-label": t("signin.show") }}
              />
            ) : (
              <>
                <TextInput label={t("signin.name")} autoComplete="username" autoCapitalize="none" required withAsterisk={false} value={name} onChange={(e) => setName(e.currentTarget.value)} />
                <PasswordInput
                  label={t("signin.password")}
                  autoComplete="current-password"
                  required
                  withAsterisk={false}
                  value={password}
                  onChange={(e) => setPassword(e.currentTarget.value)}
                  visibilityToggleButtonProps={{ "aria-label": t("signin.show") }}
                />
              </>
            )}
            {enter.isError && (
              <Alert color="red" role="alert" title={refused ? t("signin.refused") : t("signin.failed")}>
                {refused ? t(by === "key" ? "signin.refused.key" : "signin.refused.password") : enter.error instanceof ApiError && enter.error.status === 0 ? t("load.network") : words(enter.error)}
              </Alert>
            )}
            <Button type="submit" loading={enter.isPending} fullWidth>
              {t("signin.title")}
            </Button>
            <Text size="sm" c="dimmed">
              {t("signin.help")} <Anchor component="span" inherit underline="never" c="inherit" ff="monospace">solera user key NAME</Anchor>
            </Text>
          </Stack>
        </form>
      </Paper>
    </Center>
  );
}
