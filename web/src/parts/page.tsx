import { Breadcrumbs, Group, Stack, Text, Title } from "@mantine/core";
import { useEffect, type ReactNode } from "react";

/** Names the tab of the browser: what is seen, the project, the product. */
export function usePageTitle(...parts: (string | undefined)[]): void {
  const title = [...parts.filter((p) => p), "Solera"].join(" · ");
  useEffect(() => {
    document.title = title;
  }, [title]);
}

/** The head of a page: where it is, its name, what can be done. */
export function PageHead({ title, trail, actions, below }: { title: ReactNode; trail?: ReactNode[]; actions?: ReactNode; below?: ReactNode }) {
  return (
    <Stack gap={4} mb="md">
      {trail && trail.length > 0 && (
        <Text component="nav" size="sm" c="dimmed">
          <Breadcrumbs separatorMargin={6}>{trail}</Breadcrumbs>
        </Text>
      )}
      <Group justify="space-between" gap="sm">
        <Group gap="sm">
          <Title order={1}>{title}</Title>
        </Group>
        {actions && <Group gap="xs">{actions}</Group>}
      </Group>
      {below}
    </Stack>
  );
}
