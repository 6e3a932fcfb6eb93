import { ActionIcon, Button, Group, Menu, Modal, Text, TextInput } from "@mantine/core";
import { IconBookmark, IconDeviceFloppy, IconTrash } from "@tabler/icons-react";
import { useState } from "react";
import { useRights } from "../../api";
import { useT } from "../../i18n";
import { parseQuery, writeQuery, type Query } from "../../query";
import { useChangeViews, useViews } from "./data";

/** Named views: the address under a name, for everybody in the workspace. */
export function Views({ project, query, go }: { project: string; query: Query; go: (query: Query) => void }) {
  const t = useT();
  const views = useViews(project);
  const { save, remove } = useChangeViews(project);
  const { edit } = useRights();
  const [naming, setNaming] = useState(false);
  const [title, setTitle] = useState("");
  const now = writeQuery({ ...query, view: "" });
  const current = views.data?.find((v) => v.title === query.view);
  const store = (name: string) => {
    const named = name.trim();
    if (named === "") return;
    save.mutate({ title: named, query: now }, { onSuccess: () => { setNaming(false); go({ ...query, view: named }); } });
  };
  return (
    <>
      <Menu shadow="md" width={260} position="bottom-start">
        <Menu.Target>
          <Button size="xs" variant="default" leftSection={<IconBookmark size={14} />} maw={200}>
            {query.view || t("runs.views")}
            {current && current.query !== now ? " *" : ""}
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {(views.data ?? []).length === 0 && (
            <Text size="xs" c="dimmed" p="xs">
              {t("runs.views.none")}
            </Text>
          )}
          {(views.data ?? []).map((v) => (
            <Group key={v.id} gap={2} wrap="nowrap">
              <Menu.Item flex={1} miw={0} fw={v.title === query.view ? 600 : 400} onClick={() => go({ ...parseQuery(v.query), view: v.title })}>
                {v.title}
              </Menu.Item>
              {edit && (
                <ActionIcon size="sm" variant="subtle" color="gray" aria-label={t("runs.views.remove", { name: v.title })} onClick={() => remove.mutate(v.id)}>
                  <IconTrash size={14} />
                </ActionIcon>
              )}
            </Group>
          ))}
          {edit && (
            <>
              <Menu.Divider />
              {current && current.query !== now && (
                <Menu.Item leftSection={<IconDeviceFloppy size={14} />} onClick={() => store(current.title)}>
                  {t("runs.views.update", { name: current.title })}
                </Menu.Item>
              )}
              <Menu.Item leftSection={<IconDeviceFloppy size={14} />} onClick={() => { setTitle(""); setNaming(true); }}>
                {t("runs.views.save")}
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      <Modal opened={naming} onClose={() => setNaming(false)} title={t("runs.views.save")} size="sm" closeButtonProps={{ "aria-label": t("close") }}>
        <form onSubmit={(e) => { e.preventDefault(); store(title); }}>
          <TextInput data-autofocus label={t("runs.views.name")} description={t("runs.views.text")} maxLength={80} value={title} onChange={(e) => setTitle(e.currentTarget.value)} error={save.error?.message} />
          <Group justify="flex-end" mt="md">
            <Button type="submit" loading={save.isPending} disabled={title.trim() === ""}>
              {t("save")}
            </Button>
          </Group>
        </form>
      </Modal>
    </>
  );
}
