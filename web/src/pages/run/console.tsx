import { ActionIcon, Box, Button, Checkbox, Group, Text, TextInput } from "@mantine/core";
import { IconChevronDown, IconChevronUp, IconDownload, IconTerminal2 } from "@tabler/icons-react";
import { useVirtualizer } from "@tanstack/react-virtual";
import { useEffect, useMemo, useRef, useState } from "react";
import { ask, ws, type RunDetail } from "../../api";
import { fileName, saveText } from "../../charts/export";
import { number } from "../../format";
import { useSpeech } from "../../i18n";
import { Empty, Failed, Loading } from "../../parts/status";
import type { ConsolePart, Line } from "./data";
import { useBell } from "./live";
import css from "./run.module.css";
import { hits, pieces, visible } from "./text";

const page = 5000;
// So many lines are kept in the browser; more are for the download.
const most = 200_000;

interface Read {
  lines: Line[];
  done: boolean;
  error: unknown;
}

// Reads the output page by page, and what is new each time the bell rings.
function useLines(run: string): Read & { again: () => void } {
  const bell = useBell("lines", run);
  const [tries, setTries] = useState(0);
  const [read, setRead] = useState<Read>({ lines: [], done: false, error: undefined });
  const kept = useRef<{ run: string; lines: Line[]; next: number }>({ run, lines: [], next: 0 });
  useEffect(() => {
    const stop = new AbortController();
    if (kept.current.run !== run) kept.current = { run, lines: [], next: 0 };
    const k = kept.current;
    const go = async () => {
      try {
        while (k.lines.length < most) {
          const part = await ask<ConsolePart>("GET", ws(["runs", run, "console"], { after: k.next || undefined, limit: page }), undefined, stop.signal);
          if (stop.signal.aborted) return;
          const fresh = part.lines ?? [];
          if (fresh.length > 0) {
            k.lines = [...k.lines, ...fresh.map((l) => ({ ...l, text: visible(l.text) }))];
            k.next = part.next;
          }
          const done = fresh.length < page;
          setRead({ lines: k.lines, done, error: undefined });
          if (done) return;
        }
        setRead({ lines: k.lines, done: true, error: undefined });
      } catch (error) {
        if (!stop.signal.aborted) setRead({ lines: k.lines, done: true, error });
      }
    };
    void go();
    return () => stop.abort();
  }, [run, bell, tries]);
  return { ...read, again: () => setTries((n) => n + 1) };
}

/** What the run printed: only the lines in sight are in the page. Nothing in it is interpreted. */
export function RunConsole({ run }: { run: RunDetail }) {
  const { t, language } = useSpeech();
  const { lines, done, error, again } = useLines(run.id);
  const running = run.state === "running" || run.state === "pending";
  const [wrap, setWrap] = useState(false);
  const [follow, setFollow] = useState(running);
  const [search, setSearch] = useState("");
  const [hit, setHit] = useState(0);
  const [saving, setSaving] = useState(false);
  const host = useRef<HTMLDivElement>(null);
  const found = useMemo(() => hits(lines, search), [lines, search]);
  const current = found.length > 0 ? found[Math.min(hit, found.length - 1)] : undefined;
  const rows = useVirtualizer({ count: lines.length, getScrollElement: () => host.current, estimateSize: () => 20, overscan: 30 });

  useEffect(() => {
    rows.measure();
  }, [wrap, rows]);
  useEffect(() => {
    if (follow && lines.length > 0) rows.scrollToIndex(lines.length - 1, { align: "end" });
  }, [follow, lines.length, rows]);
  useEffect(() => {
    if (current !== undefined) rows.scrollToIndex(current, { align: "center" });
  }, [current, rows]);

  const step = (by: number) => {
    if (found.length === 0) return;
    setFollow(false);
    setHit((Math.min(hit, found.length - 1) + by + found.length) % found.length);
  };
  const download = async () => {
    setSaving(true);
    try {
      const out: string[] = [];
      for (let next = 0; ; ) {
        const part = await ask<ConsolePart>("GET", ws(["runs", run.id, "console"], { after: next || undefined, limit: page }));
        for (const l of part.lines ?? []) out.push(l.text + "\n");
        if ((part.lines?.length ?? 0) < page) break;
        next = part.next;
      }
      saveText(fileName(run.id + "-console", "txt"), "text/plain", out.join(""));
    } finally {
      setSaving(false);
    }
  };

  if (lines.length === 0) {
    if (error) return <Failed error={error} retry={again} />;
    if (!done) return <Loading />;
    return (
      <Empty title={t("run.console.none")} icon={<IconTerminal2 size={36} aria-hidden />}>
        {t("run.console.noneText")}
      </Empty>
    );
  }
  return (
    <>
      <Group mb="xs" gap="sm">
        <TextInput
          type="search"
          size="xs"
          w={{ base: "100%", xs: 240 }}
          placeholder={t("search")}
          aria-label={t("run.console.search")}
          value={search}
          onChange={(e) => {
            setSearch(e.currentTarget.value);
            setHit(0);
            setFollow(false);
          }}
          onKeyDown={(e) => e.key === "Enter" && step(e.shiftKey ? -1 : 1)}
        />
        {search !== "" && (
          <Group gap={2} role="status">
            <Text size="xs" c="dimmed" miw={64}>
              {found.length === 0 ? t("run.console.noHits") : t("run.console.hits", { at: Math.min(hit, found.length - 1) + 1, n: found.length })}
            </Text>
            <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t("run.console.previous")} disabled={found.length === 0} onClick={() => step(-1)}>
              <IconChevronUp size={16} />
            </ActionIcon>
            <ActionIcon variant="subtle" color="gray" size="sm" aria-label={t("run.console.next")} disabled={found.length === 0} onClick={() => step(1)}>
              <IconChevronDown size={16} />
            </ActionIcon>
          </Group>
        )}
        <Checkbox size="xs" label={t("run.console.wrap")} checked={wrap} onChange={(e) => setWrap(e.currentTarget.checked)} />
        {running && <Checkbox size="xs" label={t("run.console.follow")} checked={follow} onChange={(e) => setFollow(e.currentTarget.checked)} />}
        <Group gap="xs" ml="auto">
          <Text size="xs" c="dimmed">
            {t("run.console.lines", { n: lines.length })}
            {!done && " · " + t("run.console.loading")}
          </Text>
          <Button size="compact-xs" variant="default" leftSection={<IconDownload size={14} />} loading={saving} onClick={() => void download()}>
            {t("run.console.download")}
          </Button>
        </Group>
      </Group>
      {lines.length >= most && (
        <Text size="xs" c="dimmed" mb={4}>
          {t("run.console.cut", { n: most })}
        </Text>
      )}
      <Box
        ref={host}
        className={css.console + (wrap ? " " + css.wrap : "")}
        tabIndex={0}
        role="log"
        aria-label={t("run.console.label")}
        aria-live="off"
        onWheel={(e) => e.deltaY < 0 && setFollow(false)}
        onScroll={(e) => {
          const b = e.currentTarget;
          if (running && !follow && search === "" && b.scrollTop + b.clientHeight >= b.scrollHeight - 4) setFollow(true);
        }}
      >
        <div style={{ height: rows.getTotalSize(), position: "relative" }}>
          {rows.getVirtualItems().map((item) => {
            const l = lines[item.index]!;
            return (
              <div
                key={item.key}
                data-index={item.index}
                ref={wrap ? rows.measureElement : undefined}
                className={css.line + (item.index === current ? " " + css.current : "")}
                style={{ transform: `translateY(${item.start}px)` }}
              >
                <span className={css.number} aria-hidden>
                  {number(l.n, language)}
                </span>
                <span className={l.stream === "err" ? css.err : undefined}>
                  {pieces(l.text, search).map((p, i) =>
                    i % 2 === 1 ? (
                      <mark key={i} className={css.mark}>
                        {p}
                      </mark>
                    ) : (
                      p
                    ),
                  )}
                </span>
              </div>
            );
          })}
        </div>
      </Box>
    </>
  );
}
