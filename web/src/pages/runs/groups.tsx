import { Button, Group, ScrollArea, Table, Text } from "@mantine/core";
import { IconEye, IconEyeOff } from "@tabler/icons-react";
import type { Average, Column, Fields, RunGroup } from "../../api/contract";
import type { Pen } from "../../charts/colour";
import { number, real, shown } from "../../format";
import { useSpeech } from "../../i18n";
import { Empty } from "../../parts/status";
import { shownColumn, titleOf } from "./cells";
import css from "./runs.module.css";
import { isShown, toggleShown, type TableState } from "./state";
import { PenSlot, titleText } from "./table";
import { quoteField, quoteText } from "./where";

/** The name of a group, stable and unlike any other's: its values. */
export function groupId(by: Fields, fields: string[]): string {
  return JSON.stringify(fields.map((f) => by[f] ?? null));
}

/** What a group is called. */
export function groupLabel(by: Fields, fields: string[], language: string): string {
  return fields.map((f) => `${titleOf(f)} ${by[f] === null || by[f] === undefined ? "–" : shown(by[f], language)}`).join(", ");
}

/** The condition that chooses the runs of a group. */
export function groupWhere(by: Fields, fields: string[], where: string): string {
  const parts = fields.map((f) => {
    const v = by[f];
    const name = quoteField(f);
    return v === null || v === undefined ? `${name} is null` : `${name} = ${typeof v === "string" ? quoteText(v) : JSON.stringify(v)}`;
  });
  return [...(where ? [/\bor\b/i.test(where) ? `(${where})` : where] : []), ...parts].join(" and ");
}

interface Props {
  groups: RunGroup[];
  metrics: string[];
  known: Map<string, Column>;
  state: TableState;
  penOf: (id: string) => Pen | undefined;
  change: (change: Partial<TableState>) => void;
  lit: string | undefined;
  onLit: (id: string | undefined) => void;
}

/** Runs with equal values as one row: how many, and the mean of each number with its interval. */
export function GroupTable({ groups, metrics, known, state, penOf, change, lit, onLit }: Props) {
  const { t, language } = useSpeech();
  if (groups.length === 0) return <Empty title={t("runs.groups.none")} />;
  return (
    <ScrollArea className={css.scroll} type="auto" viewportProps={{ tabIndex: 0, role: "region", "aria-label": t("runs.groups") }}>
      <Table stickyHeader verticalSpacing={5} fz="sm" highlightOnHover miw={480 + metrics.length * 150} aria-label={t("runs.groups")}>
        <Table.Thead>
          <Table.Tr fz="xs">
            <Table.Th w={60} scope="col">
              <Text size="xs" c="dimmed">{t("runs.groups.chart")}</Text>
            </Table.Th>
            {state.group.map((g) => (
              <Table.Th key={g} scope="col" title={g} ta={known.get(g)?.kind === "number" ? "right" : "left"}>
                {titleText(shownColumn(g, known), t)}
              </Table.Th>
            ))}
            <Table.Th ta="right" scope="col">
              {t("runs.groups.runs")}
            </Table.Th>
            {metrics.map((m) => (
              <Table.Th key={m} ta="right" scope="col" title={m}>
                {titleOf(m)}
              </Table.Th>
            ))}
            <Table.Th />
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {groups.map((g, i) => {
            const id = groupId(g.by, state.group);
            const open = isShown(state, id, i);
            const label = groupLabel(g.by, state.group, language);
            return (
              <Table.Tr key={id} onMouseEnter={() => onLit(id)} onMouseLeave={() => onLit(undefined)} bg={lit === id ? "var(--mantine-color-default-hover)" : undefined}>
                <Table.Td>
                  <Group gap={2} wrap="nowrap">
                    <button type="button" className={css.eye} aria-pressed={open} aria-label={t("runs.eye", { name: label })} onClick={() => change(toggleShown(state, id, i))}>
                      {open ? <IconEye size={16} aria-hidden /> : <IconEyeOff size={16} opacity={0.55} aria-hidden />}
                    </button>
                    <PenSlot pen={open ? penOf(id) : undefined} />
                  </Group>
                </Table.Td>
                {state.group.map((f) => (
                  <Table.Td key={f} fw={500} ta={typeof g.by[f] === "number" ? "right" : "left"}>
                    {g.by[f] === null || g.by[f] === undefined ? <Text span c="dimmed" size="sm">{t("runs.groups.lacks")}</Text> : shown(g.by[f], language)}
                  </Table.Td>
                ))}
                <Table.Td ta="right">{number(g.runs, language)}</Table.Td>
                {metrics.map((m) => (
                  <Table.Td key={m} ta="right">
                    <Mean of={g.metrics[m]} />
                  </Table.Td>
                ))}
                <Table.Td ta="right">
                  <Button size="compact-xs" variant="subtle" onClick={() => change({ where: groupWhere(g.by, state.group, state.where), group: [], hidden: [], shown: [] })}>
                    {t("runs.groups.open")}
                  </Button>
                </Table.Td>
              </Table.Tr>
            );
          })}
        </Table.Tbody>
      </Table>
    </ScrollArea>
  );
}

function Mean({ of }: { of: Average | undefined }) {
  const { t, language } = useSpeech();
  if (!of || of.n === 0) return <Text span c="dimmed" size="sm">–</Text>;
  const range = `${t("runs.groups.range")}: ${number(real(of.min), language)} – ${number(real(of.max), language)}`;
  return (
    <span title={range} style={{ whiteSpace: "nowrap" }}>
      {number(real(of.mean), language)}
      <span className={css.beside}>
        {of.low !== null && of.high !== null ? ` [${number(of.low, language, 3)}–${number(of.high, language, 3)}]` : ""} n {number(of.n, language)}
      </span>
    </span>
  );
}
