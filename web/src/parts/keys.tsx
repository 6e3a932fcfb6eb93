import { Group, Kbd, Modal, Table, Text } from "@mantine/core";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { useT, type Key } from "../i18n";

interface Shortcut {
  keys: string[];
  /** One key after the other, or one of several. */
  join?: "then" | "or";
  text: Key;
}

const shortcuts: Shortcut[] = [
  { keys: ["?"], text: "keys.help" },
  { keys: ["/"], text: "keys.search" },
  { keys: ["g", "p"], join: "then", text: "keys.projects" },
  { keys: ["g", "r"], join: "then", text: "keys.runs" },
  { keys: ["g", "s"], join: "then", text: "keys.sweeps" },
  { keys: ["g", "a"], join: "then", text: "keys.artifacts" },
  { keys: ["g", "l"], join: "then", text: "keys.audit" },
  { keys: ["t"], text: "keys.theme" },
  { keys: ["←", "→", "↑", "↓"], join: "or", text: "keys.arrows" },
  { keys: ["Space"], text: "keys.space" },
  { keys: ["x"], text: "keys.mark" },
  { keys: ["Enter"], text: "keys.open" },
  { keys: ["Esc"], text: "keys.escape" },
];

function typing(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

/** Listens to the keys that work on every page, and lists them. */
export function Keys({ project, toggleTheme, opened, setOpened }: { project: string | undefined; toggleTheme: () => void; opened: boolean; setOpened: (opened: boolean) => void }) {
  const t = useT();
  const navigate = useNavigate();
  const [leading, setLeading] = useState(false);
  const state = useRef({ project, toggleTheme, leading });
  state.current = { project, toggleTheme, leading };

  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const listen = (e: KeyboardEvent) => {
      if (e.ctrlKey || e.metaKey || e.altKey || typing(e.target) || e.defaultPrevented) return;
      const { project, toggleTheme, leading } = state.current;
      if (leading) {
        setLeading(false);
        clearTimeout(timer);
        if (e.key === "p") void navigate({ to: "/" });
        else if (project === undefined) return;
        else if (e.key === "r") void navigate({ to: "/p/$project", params: { project } });
        else if (e.key === "s") void navigate({ to: "/p/$project/sweeps", params: { project } });
        else if (e.key === "a") void navigate({ to: "/p/$project/artifacts", params: { project } });
        else if (e.key === "l") void navigate({ to: "/p/$project/audit", params: { project } });
        return;
      }
      switch (e.key) {
        case "?":
          setOpened(true);
          break;
        case "/": {
          const box = document.querySelector<HTMLElement>("[data-search]");
          if (!box) return;
          box.focus();
          break;
        }
        case "g":
          setLeading(true);
          timer = setTimeout(() => setLeading(false), 1500);
          break;
        case "t":
          toggleTheme();
          break;
        default:
          return;
      }
      e.preventDefault();
    };
    document.addEventListener("keydown", listen);
    return () => {
      document.removeEventListener("keydown", listen);
      clearTimeout(timer);
    };
  }, [navigate, setOpened]);

  return (
    <Modal opened={opened} onClose={() => setOpened(false)} title={t("app.keys")} closeButtonProps={{ "aria-label": t("close") }}>
      <Table verticalSpacing={6}>
        <Table.Tbody>
          {shortcuts.map((s) => (
            <Table.Tr key={s.text}>
              <Table.Td w={150}>
                <Group gap={4} wrap="nowrap">
                  {s.keys.map((k, i) => (
                    <Group key={k} gap={4} wrap="nowrap">
                      {i > 0 && s.join === "then" && (
                        <Text size="xs" c="dimmed">
                          {t("keys.then")}
                        </Text>
                      )}
                      <Kbd>{k}</Kbd>
                    </Group>
                  ))}
                </Group>
              </Table.Td>
              <Table.Td>
                <Text size="sm">{t(s.text)}</Text>
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  );
}
