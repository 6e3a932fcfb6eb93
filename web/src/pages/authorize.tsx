import { Alert, Button, Code, Group, Stack, Text, Title } from "@mantine/core";
import { IconKey } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { ask, path, useSession } from "../api";
import { useT } from "../i18n";
import { Copy } from "../parts/copy";
import { A } from "../parts/link";
import { usePageTitle } from "../parts/page";
import { Failed, Loading } from "../parts/status";
import { Page, words } from "./artifacts/parts";

// Of the right length, and of no use anywhere else.
const anyKey = "local" + "0".repeat(35);

/** Where clients of other tools send people for a key. */
export function Authorize() {
  const t = useT();
  usePageTitle(t("authorize.title"));
  const session = useSession();
  const queries = useQueryClient();
  const make = useMutation({
    mutationFn: () => ask<{ key: string }>("POST", path(["keys"]), { name: t("authorize.name"), scope: "write", expires: null }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["keys"] }),
  });
  if (session.isPending) return <Loading />;
  if (session.isError) return <Failed error={session.error} retry={() => void session.refetch()} />;
  const key = session.data.open ? anyKey : make.data?.key;
  return (
    <Page>
      <Stack gap="md" maw={640}>
        <Title order={1}>{t("authorize.title")}</Title>
        <Text>{t(session.data.open ? "authorize.open" : "authorize.text")}</Text>
        {key ? (
          <Group gap={4} wrap="nowrap">
            <Code style={{ overflowWrap: "anywhere" }} data-testid="new-key">
              {key}
            </Code>
            <Copy text={key} />
          </Group>
        ) : (
          <Group>
            <Button leftSection={<IconKey size={16} aria-hidden />} loading={make.isPending} onClick={() => make.mutate()}>
              {t("authorize.make")}
            </Button>
          </Group>
        )}
        {make.isError && (
          <Alert color="red" role="alert">
            {words(make.error)}
          </Alert>
        )}
        {!session.data.open && (
          <Text size="sm" c="dimmed">
            <A to="/account" search={{}} inherit>
              {t("app.account")}
            </A>
            : {t("authorize.again")}
          </Text>
        )}
      </Stack>
    </Page>
  );
}
