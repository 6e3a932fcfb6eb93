import { Badge, Button, Center, Group, Loader, Stack, Text, Title } from "@mantine/core";
import { IconAlertTriangle, IconPlugConnectedX } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/client";
import type { RunState } from "../api/contract";
import { useT, type Key } from "../i18n";

export type { RunState };

const colours: Record<RunState, string> = {
  pending: "gray",
  running: "blue",
  finished: "teal",
  failed: "red",
  killed: "orange",
  crashed: "grape",
};

/** The state of a run: word and colour, never colour alone. */
export function StateBadge({ state }: { state: RunState }) {
  const t = useT();
  return (
    <Badge color={colours[state]} variant="light" size="sm" tt="none" fw={600}>
      {t(`state.${state}` as Key)}
    </Badge>
  );
}

/** What a page shows while its data is on the way. */
export function Loading({ label }: { label?: string }) {
  const t = useT();
  return (
    <Center mih={160} role="status" aria-label={label ?? t("load.loading")}>
      <Loader type="dots" />
    </Center>
  );
}

/** Nothing here yet, and what to do about it. */
export function Empty({ title, children, icon }: { title: string; children?: ReactNode; icon?: ReactNode }) {
  return (
    <Center mih={240} p="xl">
      <Stack align="center" gap="xs" maw={520} ta="center">
        {icon}
        <Title order={2}>{title}</Title>
        <Text component="div" c="dimmed">
          {children}
        </Text>
      </Stack>
    </Center>
  );
}

/** What went wrong, in words, and a way to go on. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const t = useT();
  const status = error instanceof ApiError ? error.status : -1;
  const words: Record<number, Key> = { 0: "load.network", 401: "load.signIn", 403: "load.forbidden", 404: "load.missing" };
  const known = words[status];
  const detail = error instanceof Error ? error.message : String(error);
  return (
    <Center mih={200} p="xl" role="alert">
      <Stack align="center" gap="sm" maw={560} ta="center">
        {status === 0 ? <IconPlugConnectedX size={36} aria-hidden /> : <IconAlertTriangle size={36} aria-hidden />}
        <Title order={2}>{known ? t(known) : t("load.error")}</Title>
        {status !== 0 && detail && <Text c="dimmed">{detail}</Text>}
        {retry && (
          <Group>
            <Button variant="default" onClick={retry}>
              {t("load.again")}
            </Button>
          </Group>
        )}
      </Stack>
    </Center>
  );
}
