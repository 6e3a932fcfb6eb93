import { Box, Group, Text, Tooltip } from "@mantine/core";
import { useQueries } from "@tanstack/react-query";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useRef } from "react";
import { number, percent, shown } from "../../format";
import { useSpeech } from "../../i18n";
import { previewOf, type Preview, type PreviewColumn, type VersionDetail } from "../artifacts/data";
import { MiniHistogram } from "../artifacts/parts";
import { histogramText, page } from "./files";
import "./table.css";

const rowHeight = 30;
const columnWidth = 132;
const numberWidth = 64;

const numeric = (c: PreviewColumn) => c.type === "number";

/** A table of any length: only the rows and columns in sight are in the page, and only their parts are asked for. */
export function TablePreview({ first, version, file }: { first: Preview; version: VersionDetail; file: string }) {
  const { t, language } = useSpeech();
  const box = useRef<HTMLDivElement>(null);
  const rows = useVirtualizer({ count: first.total, getScrollElement: () => box.current, estimateSize: () => rowHeight, overscan: 12 });
  const columns = useVirtualizer({
    count: first.columns.length,
    horizontal: true,
    getScrollElement: () => box.current,
    estimateSize: () => columnWidth,
    overscan: 3,
    paddingStart: numberWidth,
  });
  const visible = rows.getVirtualItems();
  const pages = [...new Set(visible.map((r) => Math.floor(r.index / page)))];
  const asked = useQueries({ queries: pages.map((p) => previewOf(version, file, page, p * page)) });
  const at = (index: number): { row: unknown[] | undefined; number: number } => {
    const from = index < first.rows.length ? first : asked[pages.indexOf(Math.floor(index / page))]?.data;
    const i = from === first ? index : index % page;
    return { row: from?.rows[i], number: from?.numbers[i] ?? index };
  };
  const shownColumns = columns.getVirtualItems();
  return (
    <>
      <Text size="sm" c="dimmed" mb="xs">
        {t("ver.table", { n: first.total })} · {t("ver.table.columns", { n: first.columns.length })}
      </Text>
      <div ref={box} className="preview" tabIndex={0} role="table" aria-label={file} aria-rowcount={first.total + 1} aria-colcount={first.columns.length + 1}>
        <div style={{ width: columns.getTotalSize(), height: rows.getTotalSize() + headHeight, position: "relative" }} role="rowgroup">
          <div className="preview-head" role="row" aria-rowindex={1} style={{ width: columns.getTotalSize() }}>
            <div className="preview-cell preview-number" role="columnheader" aria-colindex={1}>
              {t("ver.row")}
            </div>
            {shownColumns.map((c) => (
              <Head key={c.key} column={first.columns[c.index]!} total={first.total} index={c.index} left={c.start} />
            ))}
          </div>
          {visible.map((r) => {
            const { row, number: source } = at(r.index);
            return (
              <div key={r.key} className="preview-row" role="row" aria-rowindex={r.index + 2} style={{ top: r.start + headHeight, width: columns.getTotalSize() }}>
                <div className="preview-cell preview-number" role="rowheader" aria-colindex={1}>
                  {number(source, language)}
                </div>
                {shownColumns.map((c) => {
                  const value = row?.[c.index];
                  const right = numeric(first.columns[c.index]!);
                  return (
                    <div
                      key={c.key}
                      className="preview-cell"
                      role="cell"
                      aria-colindex={c.index + 2}
                      style={{ left: c.start, width: columnWidth, textAlign: right ? "right" : "left" }}
                    >
                      {row === undefined ? "…" : value === null || value === undefined ? <span className="preview-missing">{t("ver.missing")}</span> : cell(value, language)}
                    </div>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
    </>
  );
}

// Values are shown as they are: a person compares them with the source.
function cell(value: unknown, language: string): string {
  if (typeof value === "number") return new Intl.NumberFormat(language, { maximumSignificantDigits: 9, useGrouping: false }).format(value);
  return shown(value, language);
}

const headHeight = 104;

function Head({ column: c, total, index, left }: { column: PreviewColumn; total: number; index: number; left: number }) {
  const { t, language } = useSpeech();
  const share = total > 0 ? c.missing / total : 0;
  return (
    <div className="preview-cell preview-column" role="columnheader" aria-colindex={index + 2} style={{ left, width: columnWidth }}>
      <Tooltip label={c.name} openDelay={500}>
        <Text size="sm" fw={600} truncate>
          {c.name}
        </Text>
      </Tooltip>
      <Group gap={6} wrap="nowrap" fz={11} c="dimmed">
        <span>{t(`ver.type.${c.type}`)}</span>
        {c.missing > 0 && <span className="preview-missing">{t("ver.missing.share", { share: percent(share, language) })}</span>}
      </Group>
      {c.histogram ? (
        <MiniHistogram of={c.histogram} label={histogramText(c.histogram, t, language)} width={columnWidth - 20} height={36} />
      ) : c.top.length > 0 ? (
        <Box fz={11} mt={2}>
          {c.top.slice(0, 3).map((x) => (
            <div key={String(x.value)} className="preview-top">
              <span className="preview-bar" style={{ width: `${total > 0 ? (100 * x.count) / total : 0}%` }} />
              <span className="preview-value">{shown(x.value, language)}</span>
              <span>{number(x.count, language)}</span>
            </div>
          ))}
        </Box>
      ) : null}
    </div>
  );
}
