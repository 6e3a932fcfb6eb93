import { ActionIcon, Box, Group, Menu, ScrollArea, Table, Text, Title, type TitleOrder } from "@mantine/core";
import { IconDownload, IconFileTypeCsv, IconFileTypeSvg, IconPng, IconTable, IconChartDots } from "@tabler/icons-react";
import { useId, useRef, useState, type ReactNode } from "react";
import { number } from "../format";
import { useSpeech } from "../i18n";
import { csv, fileName, pngOf, save, saveText, svgText, type Cell, type Twin } from "./export";
import { useInk } from "./ink";

interface Props {
  title: string;
  /** What the chart says, in a sentence; screen readers hear it too. */
  note?: ReactNode;
  /** What else can be set, beside the title. */
  controls?: ReactNode;
  /** What the chart says in numbers; a function where that is much, called when somebody asks. */
  twin: Twin | (() => Twin);
  /** Draws the chart as SVG; by default the first svg within it is taken. */
  svg?: () => string | undefined;
  /** Draws the chart as pixels; by default the SVG is. */
  png?: () => Promise<Blob>;
  order?: TitleOrder;
  children: ReactNode;
}

/** A chart with its title, the table that tells the same, and the ways out: PNG, SVG, CSV. */
export function ChartFrame({ title, note, controls, twin, svg, png, order = 3, children }: Props) {
  const { t } = useSpeech();
  const { ground } = useInk();
  const [table, setTable] = useState(false);
  const host = useRef<HTMLDivElement>(null);
  const id = useId();
  const numbers = () => (typeof twin === "function" ? twin() : twin);
  const drawing = () => {
    if (svg) return svg();
    const found = host.current?.querySelector<SVGSVGElement>("svg[data-chart]");
    return found ? svgText(found, ground) : undefined;
  };
  const asSvg = () => {
    const text = drawing();
    if (text) saveText(fileName(title, "svg"), "image/svg+xml", text);
  };
  const asPng = async () => {
    if (png) return save(fileName(title, "png"), await png());
    const text = drawing();
    if (text) save(fileName(title, "png"), await pngOf(text));
  };
  return (
    <Box component="section" aria-labelledby={id} miw={0}>
      <Group justify="space-between" align="flex-start" gap="xs" mb={4}>
        <Title order={order} id={id} style={{ flex: "1 1 140px", overflowWrap: "anywhere" }} {...(order > 2 ? { fz: "md" } : {})}>
          {title}
        </Title>
        <Group gap={4}>
          {controls}
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-pressed={table}
            aria-label={t("chart.table", { title })}
            title={t(table ? "chart.asChart" : "chart.asTable")}
            onClick={() => setTable(!table)}
          >
            {table ? <IconChartDots size={18} /> : <IconTable size={18} />}
          </ActionIcon>
          <Menu position="bottom-end">
            <Menu.Target>
              <ActionIcon variant="subtle" color="gray" aria-label={t("chart.export", { title })} title={t("chart.save")}>
                <IconDownload size={18} />
              </ActionIcon>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item leftSection={<IconPng size={16} />} disabled={table} onClick={() => void asPng()}>
                PNG
              </Menu.Item>
              <Menu.Item leftSection={<IconFileTypeSvg size={16} />} disabled={table} onClick={asSvg}>
                SVG
              </Menu.Item>
              <Menu.Item leftSection={<IconFileTypeCsv size={16} />} onClick={() => saveText(fileName(title, "csv"), "text/csv", csv(numbers()))}>
                CSV
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        </Group>
      </Group>
      {note && (
        <Text size="sm" c="dimmed" mb="xs" component="div">
          {note}
        </Text>
      )}
      {table ? <TwinTable twin={numbers()} label={title} /> : <div ref={host}>{children}</div>}
    </Box>
  );
}

const shownRows = 500;

/** The table twin: every number that the chart shows. */
export function TwinTable({ twin, label }: { twin: Twin; label: string }) {
  const { t, language } = useSpeech();
  const isNumber = twin.columns.map((_, c) => twin.rows.some((r) => typeof r[c] === "number"));
  const cell = (v: Cell) => (typeof v === "number" ? number(v, language) : v === null || v === undefined ? "" : String(v));
  return (
    <ScrollArea.Autosize mah={420} type="auto" viewportProps={{ tabIndex: 0, role: "region", "aria-label": label }}>
      <Table stickyHeader verticalSpacing={4} fz="sm" aria-label={label}>
        <Table.Thead>
          <Table.Tr>
            {twin.columns.map((c, i) => (
              <Table.Th key={i} ta={isNumber[i] ? "right" : "left"} scope="col">
                {c}
              </Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {twin.rows.slice(0, shownRows).map((r, i) => (
            <Table.Tr key={i}>
              {twin.columns.map((_, c) => (
                <Table.Td key={c} ta={isNumber[c] ? "right" : "left"}>
                  {cell(r[c])}
                </Table.Td>
              ))}
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {twin.rows.length > shownRows && (
        <Text size="xs" c="dimmed" p={4}>
          {t("chart.moreRows", { n: twin.rows.length - shownRows })}
        </Text>
      )}
    </ScrollArea.Autosize>
  );
}
