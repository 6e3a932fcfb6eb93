import { Badge, Box, Code, Group, Paper, SimpleGrid, Stack, Text, TextInput, Title } from "@mantine/core";
import { IconFolders, IconSearch } from "@tabler/icons-react";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { useProjects } from "../api";
import { useSpeech } from "../i18n";
import { Command } from "../parts/copy";
import { usePageTitle } from "../parts/page";
import { Empty, Failed, Loading } from "../parts/status";
import { Ago } from "../parts/time";
import css from "./projects.module.css";

/** Every project, the one that changed last first. */
export function Projects() {
  const { t } = useSpeech();
  usePageTitle(t("app.projects"));
  const q = useProjects();
  const [find, setFind] = useState("");
  if (q.isPending) return <Loading />;
  if (q.isError) return <Failed error={q.error} retry={() => void q.refetch()} />;
  if (q.data.length === 0) {
    return (
      <Box mt="10vh">
        <Empty title={t("projects.none")} icon={<IconFolders size={40} aria-hidden />}>
          <Stack gap="sm">
            <span>{t("projects.none.text")}</span>
            <Command>solera init wine && solera run</Command>
            <span>
              {t("projects.none.own")} <Code>solera init data.csv --target COLUMN && solera run</Code>
            </span>
          </Stack>
        </Empty>
      </Box>
    );
  }
  const shown = q.data
    .filter((p) => p.name.toLowerCase().includes(find.toLowerCase()))
    .sort((a, b) => (b.updated ?? "").localeCompare(a.updated ?? "") || a.name.localeCompare(b.name));
  return (
    <Box p={{ base: "sm", sm: "lg" }} maw={1280} mx="auto">
      <Group justify="space-between" mb="md">
        <Title order={1}>{t("app.projects")}</Title>
        {q.data.length > 6 && (
          <TextInput data-search size="sm" w={240} leftSection={<IconSearch size={16} />} placeholder={t("projects.find")} aria-label={t("projects.find")} value={find} onChange={(e) => setFind(e.currentTarget.value)} />
        )}
      </Group>
      {shown.length === 0 && <Empty title={t("projects.noneFound")} />}
      <SimpleGrid component="ul" cols={{ base: 1, sm: 2, lg: 3 }} m={0} p={0} className={css.list}>
        {shown.map((p) => (
          <Paper component="li" key={p.name} withBorder p="md" className={css.card}>
            <Group justify="space-between" wrap="nowrap" align="flex-start" mb={6}>
              <Text component="h2" fw={600} size="md" m={0} className={css.title}>
                <Link to="/p/$project" params={{ project: p.name }} search={{}} className={css.link}>
                  {p.name}
                </Link>
              </Text>
              {p.running > 0 && (
                <Badge color="blue" variant="light" tt="none">
                  {t("projects.running", { n: p.running })}
                </Badge>
              )}
            </Group>
            <Text size="sm" c="dimmed">
              {t("projects.runs", { n: p.runs })} · {t("projects.artifacts", { n: p.artifacts })}
            </Text>
            <Text size="sm" c="dimmed">
              {p.updated ? (
                <>
                  {t("projects.updated")} <Ago time={p.updated} />
                </>
              ) : (
                t("projects.never")
              )}
            </Text>
          </Paper>
        ))}
      </SimpleGrid>
    </Box>
  );
}
