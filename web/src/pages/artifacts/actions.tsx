import { ActionIcon, Checkbox, Group, Menu, Pill, Stack, TagsInput, Text, Textarea, TextInput } from "@mantine/core";
import { IconAdjustments, IconBookmark, IconDotsVertical, IconPencil, IconRestore, IconTrash, IconX } from "@tabler/icons-react";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { useRights } from "../../api";
import { useT } from "../../i18n";
import { act, refresh, type Version } from "./data";
import { Confirm, words } from "./parts";

type Dialog = "" | "alias" | "edit" | "delete" | "restore";

/** What an editor may do with a version; nothing for anybody else. */
export function VersionMenu({ version: v, labelled = false }: { version: Version; labelled?: boolean }) {
  const t = useT();
  const queries = useQueryClient();
  const may = useRights();
  const [dialog, open] = useState<Dialog>("");
  const [force, setForce] = useState(false);
  const done = async () => {
    await refresh(queries);
    open("");
  };
  const run = useMutation({ mutationFn: (work: () => Promise<unknown>) => work(), onSuccess: done });
  const close = () => {
    setForce(false);
    run.reset();
    open("");
  };
  if (!may.edit) return null;
  const name = `${v.name}:v${v.number}`;
  const shared = { busy: run.isPending, onClose: close, ...(run.isError ? { error: words(run.error) } : {}) };
  return (
    <>
      <Menu position="bottom-end">
        <Menu.Target>
          <ActionIcon variant={labelled ? "default" : "subtle"} color="gray" size={labelled ? 34 : "md"} aria-label={t("art.actions", { name })}>
            {labelled ? <IconAdjustments size={18} /> : <IconDotsVertical size={16} />}
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {v.deleted ? (
            <Menu.Item leftSection={<IconRestore size={16} />} onClick={() => open("restore")}>
              {t("art.restore")}
            </Menu.Item>
          ) : (
            <>
              <Menu.Item leftSection={<IconBookmark size={16} />} onClick={() => open("alias")}>
                {t("art.aliases.edit")}
              </Menu.Item>
              <Menu.Item leftSection={<IconPencil size={16} />} onClick={() => open("edit")}>
                {t("art.edit")}
              </Menu.Item>
              <Menu.Divider />
              <Menu.Item color="red.8" c="light-dark(var(--mantine-color-red-9), var(--mantine-color-red-4))" leftSection={<IconTrash size={16} />} onClick={() => open("delete")}>
                {t("art.delete")}
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
      {dialog === "alias" && <AliasDialog version={v} onYes={(work) => run.mutate(work)} {...shared} />}
      {dialog === "edit" && <EditDialog version={v} onYes={(work) => run.mutate(work)} {...shared} />}
      <Confirm opened={dialog === "delete"} title={t("art.delete.title", { name })} yes={t("art.delete.yes")} danger onYes={() => run.mutate(() => act.remove(v, force))} {...shared}>
        <Text size="sm">{t("art.delete.text")}</Text>
        <Checkbox label={t("art.delete.force")} checked={force} onChange={(e) => setForce(e.currentTarget.checked)} />
      </Confirm>
      <Confirm opened={dialog === "restore"} title={t("art.restore.title", { name })} yes={t("art.restore")} onYes={() => run.mutate(() => act.restore(v))} {...shared}>
        <Text size="sm">{t("art.restore.text")}</Text>
      </Confirm>
    </>
  );
}

interface DialogProps {
  version: Version;
  busy: boolean;
  error?: string;
  onClose: () => void;
  onYes: (work: () => Promise<unknown>) => void;
}

function AliasDialog({ version: v, onYes, ...shared }: DialogProps) {
  const t = useT();
  const [alias, setAlias] = useState("");
  const [dropped, setDropped] = useState<string[]>([]);
  const own = v.aliases.filter((a) => a !== "latest");
  return (
    <Confirm
      opened
      title={t("art.aliases.title", { name: `${v.name}:v${v.number}` })}
      yes={t("save")}
      onYes={() =>
        onYes(async () => {
          for (const a of dropped) await act.dropAlias(v, a);
          if (alias.trim()) await act.setAlias(v, alias.trim());
        })
      }
      {...shared}
    >
      <Text size="sm" c="dimmed">
        {t("art.aliases.text")}
      </Text>
      {own.length > 0 && (
        <Group gap={6}>
          {own.map((a) => {
            const gone = dropped.includes(a);
            return (
              <Pill key={a} size="md" td={gone ? "line-through" : undefined}>
                <Group gap={4} wrap="nowrap">
                  {a}
                  <ActionIcon
                    size={16}
                    variant="transparent"
                    color="gray"
                    aria-label={gone ? t("art.aliases.keep", { name: a }) : t("art.aliases.drop", { name: a })}
                    onClick={() => setDropped(gone ? dropped.filter((x) => x !== a) : [...dropped, a])}
                  >
                    {gone ? <IconRestore size={12} /> : <IconX size={12} />}
                  </ActionIcon>
                </Group>
              </Pill>
            );
          })}
        </Group>
      )}
      <TextInput label={t("art.aliases.new")} placeholder="champion" data-autofocus value={alias} onChange={(e) => setAlias(e.currentTarget.value)} />
    </Confirm>
  );
}

function EditDialog({ version: v, onYes, ...shared }: DialogProps) {
  const t = useT();
  const [tags, setTags] = useState(v.tags);
  const [description, setDescription] = useState(v.description);
  const was = v.expires?.slice(0, 10) ?? "";
  const [expires, setExpires] = useState(was);
  return (
    <Confirm
      opened
      title={t("art.edit.title", { name: `${v.name}:v${v.number}` })}
      yes={t("save")}
      onYes={() =>
        onYes(() =>
          act.amend(v, {
            tags,
            description,
            ...(expires === was ? {} : { expires: expires ? new Date(expires + "T00:00:00").toISOString() : null }),
          }),
        )
      }
      {...shared}
    >
      <Stack gap="sm">
        <Textarea label={t("art.description")} autosize minRows={2} maxRows={8} data-autofocus value={description} onChange={(e) => setDescription(e.currentTarget.value)} />
        <TagsInput label={t("art.tags")} description={t("art.tags.text")} value={tags} onChange={setTags} />
        <TextInput type="date" label={t("art.expires")} description={t("art.expires.text")} value={expires} onChange={(e) => setExpires(e.currentTarget.value)} />
      </Stack>
    </Confirm>
  );
}
