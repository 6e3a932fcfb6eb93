import { ActionIcon, Box, Combobox, Group, Kbd, Text, TextInput, useCombobox } from "@mantine/core";
import { IconFilter, IconX } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { ApiError } from "../../api";
import type { Column } from "../../api/contract";
import { useT } from "../../i18n";
import css from "./runs.module.css";
import { complete, faultAt } from "./where";

interface Props {
  where: string;
  columns: Column[];
  /** What the server said of the condition. */
  error: Error | null;
  onChange: (where: string) => void;
}

/** What the server says of a condition, without the place, which is shown by itself. */
export function faultText(error: Error | null): string | undefined {
  if (!(error instanceof ApiError) || error.status !== 400) return undefined;
  const fault = error.faults.find((f) => f.location?.endsWith("where"));
  return fault?.message ?? (/where/.test(error.detail) ? error.detail : undefined);
}

/** The box for a condition on runs, with what could come next. */
export function Filter({ where, columns, error, onChange }: Props) {
  const t = useT();
  const [text, setText] = useState(where);
  const [cursor, setCursor] = useState(where.length);
  const input = useRef<HTMLInputElement>(null);
  const combobox = useCombobox({ onDropdownClose: () => combobox.resetSelectedOption() });
  useEffect(() => setText(where), [where]);
  const offer = complete(text, cursor, columns);
  const fault = text === where ? faultText(error) : undefined;
  const place = fault === undefined ? undefined : faultAt(fault, where);

  const apply = (next: string) => {
    combobox.closeDropdown();
    onChange(next.trim());
  };
  const take = (i: number) => {
    const p = offer.proposals[i];
    if (!p) return;
    const next = text.slice(0, offer.from) + p.insert + text.slice(offer.to);
    const at = offer.from + p.insert.length;
    setText(next);
    setCursor(at);
    requestAnimationFrame(() => input.current?.setSelectionRange(at, at));
    combobox.resetSelectedOption();
  };
  return (
    <Box flex={1} miw={220}>
      <Combobox store={combobox} onOptionSubmit={(v) => take(Number(v))} position="bottom-start" shadow="md" withinPortal width={380}>
        <Combobox.Target targetType="input">
          <TextInput
            ref={input}
            data-search
            size="xs"
            classNames={{ input: css.where }}
            leftSection={<IconFilter size={14} />}
            placeholder={t("runs.where")}
            aria-label={t("runs.where.label")}
            aria-invalid={fault !== undefined}
            spellCheck={false}
            autoComplete="off"
            value={text}
            error={fault !== undefined}
            onChange={(e) => {
              setText(e.currentTarget.value);
              setCursor(e.currentTarget.selectionStart ?? e.currentTarget.value.length);
              combobox.openDropdown();
            }}
            onSelect={(e) => setCursor(e.currentTarget.selectionStart ?? 0)}
            onClick={() => combobox.openDropdown()}
            onBlur={() => {
              combobox.closeDropdown();
              if (text.trim() !== where) apply(text);
            }}
            onKeyDown={(e) => {
              if (e.key === "Enter" && combobox.getSelectedOptionIndex() < 0) {
                e.preventDefault();
                apply(text);
              } else if (e.key === "Tab" && !e.shiftKey && combobox.dropdownOpened && offer.proposals.length > 0 && offer.to > offer.from) {
                e.preventDefault();
                take(Math.max(0, combobox.getSelectedOptionIndex()));
              } else if (e.key === "Escape") {
                if (combobox.dropdownOpened) combobox.closeDropdown();
                else setText(where);
              }
            }}
            rightSection={
              text !== "" && (
                <ActionIcon
                  size="sm"
                  variant="subtle"
                  color="gray"
                  aria-label={t("runs.where.clear")}
                  onMouseDown={(e) => e.preventDefault()}
                  onClick={() => {
                    setText("");
                    apply("");
                  }}
                >
                  <IconX size={14} />
                </ActionIcon>
              )
            }
          />
        </Combobox.Target>
        <Combobox.Dropdown hidden={offer.proposals.length === 0}>
          <Combobox.Options mah={300} className={css.proposals}>
            {offer.proposals.map((p, i) => (
              <Combobox.Option value={String(i)} key={p.kind + p.text}>
                <Group justify="space-between" wrap="nowrap" gap="md">
                  <Text size="sm" ff={p.kind === "word" || p.kind === "operator" ? "monospace" : undefined} truncate>
                    {p.text}
                  </Text>
                  {p.note && (
                    <Text size="xs" c="dimmed">
                      {t(`runs.kind.${p.note}` as "runs.kind.text")}
                    </Text>
                  )}
                </Group>
              </Combobox.Option>
            ))}
          </Combobox.Options>
          <Combobox.Footer>
            <Text size="xs" c="dimmed">
              <Kbd size="xs">Tab</Kbd> {t("runs.where.take")} · <Kbd size="xs">Enter</Kbd> {t("runs.where.apply")}
            </Text>
          </Combobox.Footer>
        </Combobox.Dropdown>
      </Combobox>
      {fault !== undefined && (
        <Box role="alert" mt={4}>
          {place && (
            <Text size="xs" ff="monospace" className={css.faulty}>
              {where.slice(0, place.start)}
              <mark>{where.slice(place.start, place.end) || " "}</mark>
              {where.slice(place.end)}
            </Text>
          )}
          <Text size="xs" c="red">
            {faultWords(fault)}
          </Text>
        </Box>
      )}
    </Box>
  );
}

// The words of a fault without what is shown beside them.
function faultWords(fault: string): string {
  return fault.replace(/^condition: /, "").replace(/^line \d+, column \d+: /, "").replace(/: [^:]*<-- here/, "");
}
