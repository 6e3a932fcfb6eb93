import { ActionIcon, Button, Checkbox, Drawer, Group, ScrollArea, Stack, Text, TextInput } from "@mantine/core";
import { IconArrowDown, IconArrowUp, IconPin, IconPinnedFilled, IconSearch } from "@tabler/icons-react";
import { useState } from "react";
import type { Column } from "../../api/contract";
import { internal } from "../../format";
import { useT } from "../../i18n";
import { titleOf } from "./cells";
import { fixedColumns } from "./where";

interface Props {
  opened: boolean;
  onClose: () => void;
  columns: Column[];
  shown: string[];
  left: string[];
  usual: boolean;
  change: (columns: string[] | undefined, left?: string[]) => void;
}

const most = 300;

/** Which columns the table has, in which order, and which stay at the left. */
export function ColumnsPanel({ opened, onClose, columns, shown, left, usual, change }: Props) {
  const t = useT();
  const [find, setFind] = useState("");
  const fits = (n: string) => n.toLowerCase().includes(find.toLowerCase());
  const all = [...fixedColumns.filter((c) => c.name !== "name" && c.name !== "notes"), ...columns];
  const others = all.filter((c) => !shown.includes(c.name) && fits(c.name));
  const move = (i: number, by: number) => {
    const next = [...shown];
    const [one] = next.splice(i, 1);
    next.splice(i + by, 0, one!);
    change(next);
  };
  return (
    <Drawer opened={opened} onClose={onClose} position="right" size="sm" title={t("runs.columns")} closeButtonProps={{ "aria-label": t("close") }} scrollAreaComponent={ScrollArea.Autosize}>
      <Stack gap="xs">
        <TextInput data-autofocus size="xs" leftSection={<IconSearch size={14} />} placeholder={t("runs.columns.find")} aria-label={t("runs.columns.find")} value={find} onChange={(e) => setFind(e.currentTarget.value)} />
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            {t("runs.columns.shown", { n: shown.length })}
          </Text>
          {!usual && (
            <Button size="compact-xs" variant="subtle" onClick={() => change(undefined, [])}>
              {t("runs.columns.usual")}
            </Button>
          )}
        </Group>
        <Stack gap={2} component="ul" m={0} p={0} style={{ listStyle: "none" }}>
          {shown.map((name, i) =>
            fits(name) ? (
              <Group key={name} component="li" gap={2} wrap="nowrap">
                <Checkbox size="xs" flex={1} miw={0} checked label={<Label name={name} />} onChange={() => change(shown.filter((n) => n !== name), left.filter((n) => n !== name))} />
                <ActionIcon size="sm" variant="subtle" color="gray" aria-pressed={left.includes(name)} aria-label={t("runs.columns.pin", { name })} onClick={() => change(shown, left.includes(name) ? left.filter((n) => n !== name) : [...left, name])}>
                  {left.includes(name) ? <IconPinnedFilled size={14} /> : <IconPin size={14} />}
                </ActionIcon>
                <ActionIcon size="sm" variant="subtle" color="gray" disabled={i === 0} aria-label={t("runs.columns.up", { name })} onClick={() => move(i, -1)}>
                  <IconArrowUp size={14} />
                </ActionIcon>
                <ActionIcon size="sm" variant="subtle" color="gray" disabled={i === shown.length - 1} aria-label={t("runs.columns.down", { name })} onClick={() => move(i, 1)}>
                  <IconArrowDown size={14} />
                </ActionIcon>
              </Group>
            ) : null,
          )}
        </Stack>
        <Group justify="space-between" mt="xs">
          <Text size="xs" c="dimmed">
            {t("runs.columns.hidden", { n: others.length })}
          </Text>
          {others.length > 0 && (
            <Button size="compact-xs" variant="subtle" onClick={() => change([...shown, ...others.map((c) => c.name).filter((n) => !internal(n))])}>
              {t("runs.columns.all")}
            </Button>
          )}
        </Group>
        <Stack gap={6}>
          {others.slice(0, most).map((c) => (
            <Checkbox key={c.name} size="xs" checked={false} label={<Label name={c.name} />} onChange={() => change([...shown, c.name])} />
          ))}
          {others.length > most && (
            <Text size="xs" c="dimmed">
              {t("runs.columns.more", { n: others.length - most })}
            </Text>
          )}
        </Stack>
      </Stack>
    </Drawer>
  );
}

function Label({ name }: { name: string }) {
  const title = titleOf(name);
  const head = name.slice(0, name.length - title.length).replace(/\.$/, "");
  return (
    <Text span size="sm" style={{ overflowWrap: "anywhere" }}>
      {title}
      {head && (
        <Text span size="xs" c="dimmed" ml={6}>
          {head}
        </Text>
      )}
    </Text>
  );
}
