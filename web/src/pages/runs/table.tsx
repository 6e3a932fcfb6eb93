import { ActionIcon, Checkbox, Menu } from "@mantine/core";
import {
  IconArrowDown, IconArrowLeft, IconArrowRight, IconArrowUp, IconDotsVertical, IconEye, IconEyeOff, IconLayoutList, IconPin, IconPinnedOff, IconX,
} from "@tabler/icons-react";
import { Link, useNavigate } from "@tanstack/react-router";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState, type KeyboardEvent } from "react";
import type { Column, RunRow } from "../../api/contract";
import type { Pen } from "../../charts/colour";
import { PenMark } from "../../charts/lines";
import { number } from "../../format";
import { useSpeech } from "../../i18n";
import { StateBadge } from "../../parts/status";
import { useNow } from "../../parts/time";
import { besides, cellText, fullText, intervalText, labelOf, shownColumn, valueOf, type ShownColumn } from "./cells";
import { pageSize, type Rows } from "./data";
import css from "./runs.module.css";
import { isShown, nextSort, sortedBy, toggleShown, type TableState } from "./state";

interface Props {
  project: string;
  state: TableState;
  columns: string[];
  known: Map<string, Column>;
  rows: Rows;
  change: (change: Partial<TableState>) => void;
  /** Which pages and which columns are in view. */
  onView: (pages: number[], first: number, last: number) => void;
  penOf: (id: string) => Pen | undefined;
  chosen: ReadonlySet<string>;
  choose: (ids: ReadonlySet<string>) => void;
  lit: string | undefined;
  onLit: (id: string | undefined) => void;
}

const rowHeight = 34;
const markWidth = 68;
const nameWidth = 210;

/** The table of runs: rows and columns exist while they are in view. */
export function RunTable({ project, state, columns, known, rows, change, onView, penOf, chosen, choose, lit, onLit }: Props) {
  const { t, language } = useSpeech();
  const navigate = useNavigate();
  const scroll = useRef<HTMLDivElement>(null);
  const grid = useRef<HTMLDivElement>(null);
  const now = useNow(30_000);
  const [active, setActive] = useState(0);
  const total = rows.total ?? 0;
  const names = useMemo(() => new Set(known.keys()), [known]);
  const left = useMemo(() => columns.filter((c) => state.left.includes(c)).map((c) => shownColumn(c, known)), [columns, state.left, known]);
  const loose = useMemo(() => columns.filter((c) => !state.left.includes(c)).map((c) => shownColumn(c, known)), [columns, state.left, known]);
  const narrow = typeof window !== "undefined" && window.innerWidth < 600;
  const nameW = narrow ? 150 : nameWidth;
  const leftWidth = markWidth + nameW + (narrow ? 0 : left.reduce((n, c) => n + c.width, 0));
  const vertical = useVirtualizer({ count: total, getScrollElement: () => scroll.current, estimateSize: () => rowHeight, overscan: 8, scrollPaddingStart: rowHeight });
  const shownLoose = narrow ? [...left, ...loose] : loose;
  const horizontal = useVirtualizer({
    horizontal: true, count: shownLoose.length, getScrollElement: () => scroll.current, estimateSize: (i) => shownLoose[i]?.width ?? 100, overscan: 2, paddingStart: leftWidth, scrollPaddingStart: leftWidth,
  });
  useEffect(() => horizontal.measure(), [horizontal, shownLoose, leftWidth]);

  const items = vertical.getVirtualItems();
  const across = horizontal.getVirtualItems();
  const firstPage = Math.floor((items[0]?.index ?? 0) / pageSize);
  const lastPage = Math.floor((items.at(-1)?.index ?? 0) / pageSize);
  const firstColumn = across[0]?.index ?? 0;
  const lastColumn = across.at(-1)?.index ?? 0;
  useEffect(() => {
    onView(Array.from({ length: lastPage - firstPage + 1 }, (_, i) => firstPage + i), firstColumn, lastColumn);
  }, [onView, firstPage, lastPage, firstColumn, lastColumn]);
  // Another condition begins at its top.
  useEffect(() => {
    setActive(0);
    scroll.current?.scrollTo({ top: 0 });
  }, [state.where, state.sort.join()]);

  const eye = (id: string, index: number) => change(toggleShown(state, id, index));
  const mark = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    choose(next);
  };
  const keys = (e: KeyboardEvent) => {
    if (e.target !== grid.current || e.ctrlKey || e.metaKey || e.altKey) return;
    const page = Math.max(1, Math.floor((scroll.current?.clientHeight ?? 400) / rowHeight) - 2);
    const go = (i: number) => {
      const to = Math.max(0, Math.min(total - 1, i));
      setActive(to);
      vertical.scrollToIndex(to, { align: "auto" });
      const row = rows.at(to);
      if (row) onLit(row.id);
    };
    const row = rows.at(active);
    switch (e.key) {
      case "ArrowDown":
        go(active + 1);
        break;
      case "ArrowUp":
        go(active - 1);
        break;
      case "PageDown":
        go(active + page);
        break;
      case "PageUp":
        go(active - page);
        break;
      case "Home":
        go(0);
        break;
      case "End":
        go(total - 1);
        break;
      case "ArrowRight":
        scroll.current?.scrollBy({ left: 120 });
        break;
      case "ArrowLeft":
        scroll.current?.scrollBy({ left: -120 });
        break;
      case " ":
        if (row) eye(row.id, active);
        break;
      case "x":
        if (row) mark(row.id);
        break;
      case "Enter":
        if (row) void navigate({ to: "/p/$project/runs/$run", params: { project: row.project || project, run: row.id }, search: {} });
        break;
      default:
        return;
    }
    e.preventDefault();
  };

  const width = horizontal.getTotalSize();
  const head = (c: ShownColumn, i: number) => (
    <Head key={c.name} column={c} state={state} change={change} columns={columns} pinned={state.left.includes(c.name)} index={i} />
  );
  const allMarked = chosen.size > 0 && chosen.size >= Math.min(total, pageSize);
  return (
    <div ref={scroll} className={css.scroll}>
      <div
        ref={grid}
        className={css.grid}
        role="grid"
        tabIndex={0}
        aria-label={t("runs.table")}
        aria-rowcount={total + 1}
        aria-colcount={columns.length + 2}
        aria-multiselectable
        aria-activedescendant={rows.at(active) ? `run-${rows.at(active)!.id}` : undefined}
        onKeyDown={keys}
        style={{ height: vertical.getTotalSize() + rowHeight, width }}
      >
        <div role="row" aria-rowindex={1} className={css.head} style={{ width }}>
          <div className={css.fixed} role="presentation">
            <div role="columnheader" aria-colindex={1} aria-label={t("runs.marks")} className={css.cell} style={{ width: markWidth, paddingLeft: 10 }}>
              <Checkbox
                size="xs"
                aria-label={t("runs.markAll")}
                checked={allMarked}
                indeterminate={chosen.size > 0 && !allMarked}
                onChange={() => choose(chosen.size > 0 ? new Set() : new Set(Array.from({ length: Math.min(total, pageSize) }, (_, i) => rows.at(i)?.id).filter((id) => id !== undefined)))}
              />
            </div>
            <div style={{ width: nameW }}>{head({ name: "name", title: "name", numeric: false, width: nameW }, -1)}</div>
            {!narrow && left.map((c) => <div key={c.name} style={{ width: c.width }}>{head(c, columns.indexOf(c.name))}</div>)}
          </div>
          {across.map((v) => {
            const c = shownLoose[v.index];
            return c && <div key={c.name} className={css.float} style={{ left: v.start, width: v.size }}>{head(c, columns.indexOf(c.name))}</div>;
          })}
        </div>
        {items.map((v) => {
          const row = rows.at(v.index);
          const top = v.start + rowHeight;
          if (!row) {
            return (
              <div key={v.key} role="row" aria-rowindex={v.index + 2} aria-busy className={css.row} style={{ top, width }}>
                <div role="gridcell" className={css.cell} style={{ width: markWidth + nameW, paddingLeft: markWidth }}>
                  <span className={css.ghost} style={{ width: 60 + ((v.index * 37) % 90) }} />
                </div>
              </div>
            );
          }
          const open = isShown(state, row.id, v.index);
          const label = labelOf(row);
          const cell = (c: ShownColumn) => <Cell key={c.name} row={row} column={c} names={names} now={now} />;
          return (
            <div
              key={v.key}
              id={`run-${row.id}`}
              role="row"
              aria-rowindex={v.index + 2}
              aria-selected={chosen.has(row.id)}
              data-active={v.index === active || undefined}
              data-lit={lit === row.id || undefined}
              className={css.row}
              style={{ top, width }}
              onMouseEnter={() => onLit(row.id)}
              onMouseLeave={() => onLit(undefined)}
              onMouseDown={() => setActive(v.index)}
            >
              <div className={css.fixed} role="presentation">
                <div role="gridcell" aria-colindex={1} className={css.cell} style={{ width: markWidth, paddingLeft: 10 }}>
                  <Checkbox size="xs" aria-label={t("runs.mark", { name: label })} checked={chosen.has(row.id)} tabIndex={-1} onChange={() => mark(row.id)} />
                  <button type="button" className={css.eye} tabIndex={-1} aria-pressed={open} aria-label={t("runs.eye", { name: label })} title={t(open ? "runs.eye.hide" : "runs.eye.show")} onClick={() => eye(row.id, v.index)}>
                    {open ? <IconEye size={16} aria-hidden /> : <IconEyeOff size={16} opacity={0.55} aria-hidden />}
                  </button>
                </div>
                <div role="gridcell" aria-colindex={2} className={css.cell} style={{ width: nameW }}>
                  <PenSlot pen={open ? penOf(row.id) : undefined} />
                  <Link to="/p/$project/runs/$run" params={{ project: row.project || project, run: row.id }} search={{}} className={css.name} tabIndex={-1} title={`${label}\n${row.id}`} preload={false}>
                    {label}
                  </Link>
                </div>
                {!narrow && left.map((c) => <div key={c.name} style={{ width: c.width }}>{cell(c)}</div>)}
              </div>
              {across.map((h) => {
                const c = shownLoose[h.index];
                return c && <div key={c.name} className={css.float} style={{ left: h.start, width: h.size }}>{cell(c)}</div>;
              })}
            </div>
          );
        })}
      </div>
      <span hidden>{number(total, language)}</span>
    </div>
  );
}

/** Room for a pen, also where none is. */
export function PenSlot({ pen }: { pen: Pen | undefined }) {
  return pen ? <PenMark pen={pen} /> : <svg width={16} height={8} aria-hidden style={{ flex: "none" }} />;
}

function Cell({ row, column, names, now }: { row: RunRow; column: ShownColumn; names: ReadonlySet<string>; now: number }) {
  const { t, language } = useSpeech();
  const value = valueOf(row, column.name);
  if (column.name === "state") {
    return (
      <div role="gridcell" className={css.cell} title={row.error || undefined}>
        <StateBadge state={row.state} />
      </div>
    );
  }
  const score = besides(column.name, names);
  const interval = score ? intervalText(row.values[score.low], row.values[score.high], language) : "";
  const n = score?.rows ? row.values[score.rows] : undefined;
  const numeric = column.numeric || typeof value === "number";
  return (
    <div role="gridcell" className={`${css.cell} ${numeric ? css.numeric : ""}`} title={fullText(column.name, value, language) || undefined}>
      <span>{cellText(column.name, value, language, t, now)}</span>
      {interval && (
        <span className={css.beside}>
          [{interval}]{typeof n === "number" ? ` n ${number(n, language)}` : ""}
        </span>
      )}
    </div>
  );
}

interface HeadProps {
  column: ShownColumn;
  state: TableState;
  columns: string[];
  pinned: boolean;
  index: number;
  change: (change: Partial<TableState>) => void;
}

function Head({ column, state, columns, pinned, index, change }: HeadProps) {
  const { t } = useSpeech();
  const sorted = sortedBy(state.sort, column.name);
  const falling = column.numeric || ["created", "started", "finished"].includes(column.name);
  const title = titleText(column, t);
  const move = (by: number) => {
    const next = [...columns];
    const [one] = next.splice(index, 1);
    next.splice(index + by, 0, one!);
    change({ columns: next });
  };
  const grouped = state.group.includes(column.name);
  return (
    <div role="columnheader" aria-sort={sorted === "up" ? "ascending" : sorted === "down" ? "descending" : "none"} className={`${css.cell} ${column.numeric ? css.numeric : ""}`}>
      <button type="button" className={css.sort} title={column.name} onClick={(e) => change({ sort: nextSort(state.sort, column.name, falling, e.shiftKey) })}>
        <span>{title}</span>
        {sorted === "up" && <IconArrowUp size={13} aria-hidden />}
        {sorted === "down" && <IconArrowDown size={13} aria-hidden />}
      </button>
      <Menu shadow="md" withinPortal position="bottom-end">
        <Menu.Target>
          <ActionIcon size={18} variant="subtle" color="gray" className={css.more} aria-label={t("runs.column", { name: title })}>
            <IconDotsVertical size={13} />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          <Menu.Item leftSection={<IconArrowUp size={14} />} onClick={() => change({ sort: [column.name] })}>
            {t("runs.sort.up")}
          </Menu.Item>
          <Menu.Item leftSection={<IconArrowDown size={14} />} onClick={() => change({ sort: ["-" + column.name] })}>
            {t("runs.sort.down")}
          </Menu.Item>
          {index >= 0 && (
            <>
              <Menu.Divider />
              <Menu.Item
                leftSection={<IconLayoutList size={14} />}
                disabled={!grouped && state.group.length >= 3}
                onClick={() => change({ group: grouped ? state.group.filter((g) => g !== column.name) : [...state.group, column.name] })}
              >
                {t(grouped ? "runs.ungroup" : "runs.groupBy")}
              </Menu.Item>
              <Menu.Item leftSection={pinned ? <IconPinnedOff size={14} /> : <IconPin size={14} />} onClick={() => change({ left: pinned ? state.left.filter((c) => c !== column.name) : [...state.left, column.name] })}>
                {t(pinned ? "runs.unpin" : "runs.pin")}
              </Menu.Item>
              <Menu.Item leftSection={<IconArrowLeft size={14} />} disabled={index <= 0} onClick={() => move(-1)}>
                {t("runs.moveLeft")}
              </Menu.Item>
              <Menu.Item leftSection={<IconArrowRight size={14} />} disabled={index >= columns.length - 1} onClick={() => move(1)}>
                {t("runs.moveRight")}
              </Menu.Item>
              <Menu.Item leftSection={<IconX size={14} />} onClick={() => change({ columns: columns.filter((c) => c !== column.name), left: state.left.filter((c) => c !== column.name) })}>
                {t("runs.hideColumn")}
              </Menu.Item>
            </>
          )}
        </Menu.Dropdown>
      </Menu>
    </div>
  );
}

const translated = new Set(["name", "state", "created", "started", "finished", "duration", "tags", "stage", "experiment", "group", "host", "notes", "error", "id"]);

/** The head of a column in the reader's language, where it is a word of ours. */
export function titleText(column: { name: string; title: string }, t: ReturnType<typeof useSpeech>["t"]): string {
  return translated.has(column.name) ? t(`runs.field.${column.name}` as "runs.field.name") : column.title;
}

