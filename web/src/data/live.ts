import { useQueryClient, type InfiniteData, type QueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useSyncExternalStore } from "react";
import { href, ws } from "../api/client";
import type { LivePoint, RunRow, RunsPage } from "../api/contract";

interface PointsEvent {
  run: string;
  points: LivePoint[];
  cursor: number;
}

/**
 * The points that came since the page listens, by run and metric. Listeners
 * are told at the next frame of the screen, however many points came.
 */
export class Live {
  private readonly points = new Map<string, LivePoint[]>();
  private readonly listeners = new Set<() => void>();
  private frame = 0;
  version = 0;

  private name(run: string, key: string): string {
    return run + "\n" + key;
  }

  add(e: PointsEvent): void {
    for (const p of e.points) {
      const name = this.name(e.run, p.key);
      const list = this.points.get(name);
      if (list) list.push(p);
      else this.points.set(name, [p]);
    }
    this.tell();
  }

  of(run: string, key: string): readonly LivePoint[] {
    return this.points.get(this.name(run, key)) ?? none;
  }

  keys(run: string): string[] {
    const head = run + "\n";
    return [...this.points.keys()].filter((n) => n.startsWith(head)).map((n) => n.slice(head.length));
  }

  /** Forgets what has been read meanwhile: points at or before a moment. */
  forget(run: string, key: string, before: number): void {
    const name = this.name(run, key);
    const list = this.points.get(name);
    if (list) this.points.set(name, list.filter((p) => p.time > before));
  }

  /** Forgets everything: a run was rewound, and what came is not there any more. */
  clear(): void {
    this.points.clear();
    this.tell();
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private tell(): void {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.version++;
      for (const l of this.listeners) l();
    });
  }
}

const none: readonly LivePoint[] = [];

/** A number that changes when points came. */
export function useLiveVersion(live: Live): number {
  return useSyncExternalStore(live.subscribe, () => live.version);
}

/** Puts what a run has become into every list that shows it; tells whether one did. */
export function patchRun(queries: QueryClient, row: RunRow): boolean {
  let found = false;
  const patch = (page: RunsPage): RunsPage => {
    const i = page.runs.findIndex((r) => r.id === row.id);
    if (i < 0) return page;
    found = true;
    // The row of an event has all values; the list asked for some of them.
    const old = page.runs[i]!;
    const values = { ...old.values };
    for (const name of Object.keys(row.values ?? {})) values[name] = row.values[name]!;
    return { ...page, runs: page.runs.with(i, { ...old, ...row, values }) };
  };
  queries.setQueriesData<RunsPage | InfiniteData<RunsPage>>({ queryKey: ["runs", row.project] }, (data) => {
    if (!data) return data;
    if ("pages" in data) return { ...data, pages: data.pages.map(patch) };
    return "runs" in data ? patch(data) : data;
  });
  return found;
}

// What is being read at this moment may have been read before the page began
// to listen, so it is given up and asked for once more.
function readAgain(queries: QueryClient, run: string): void {
  const those = { queryKey: ["series"], predicate: (q: { queryKey: readonly unknown[] }) => JSON.stringify(q.queryKey).includes(`"${run}"`) };
  void queries.cancelQueries(those).then(() => queries.invalidateQueries(those));
}

/**
 * Listens to a project and to the points of some runs. A lost connection comes
 * back by itself and goes on where it was. After each new connection what is
 * still running is read again, so that nothing falls between reading and
 * listening.
 */
export function useEvents(project: string, runs: string[]): Live {
  const queries = useQueryClient();
  const live = useRef<Live>(undefined);
  live.current ??= new Live();
  const names = [...runs].sort().join(",");
  useEffect(() => {
    if (typeof EventSource === "undefined") return;
    const source = new EventSource(href(ws(["events"], { project, runs: names })));
    let stale: ReturnType<typeof setTimeout> | undefined;
    const refresh = () => {
      // A sweep changes many runs at once: ask once for all of them.
      stale ??= setTimeout(() => {
        stale = undefined;
        void queries.invalidateQueries({ queryKey: ["runs", project] });
        void queries.invalidateQueries({ queryKey: ["groups", project] });
      }, 1000);
    };
    let before: string | undefined;
    source.addEventListener("hello", (e: MessageEvent<string>) => {
      if ((JSON.parse(e.data) as { resumed?: boolean }).resumed) return;
      live.current?.clear();
      void queries.invalidateQueries({ queryKey: ["runs", project] });
      for (const run of names.split(",")) if (run) readAgain(queries, run);
    });
    source.addEventListener("points", (e: MessageEvent<string>) => live.current?.add(JSON.parse(e.data) as PointsEvent));
    source.addEventListener("run", (e: MessageEvent<string>) => {
      const row = JSON.parse(e.data) as RunRow;
      if (!patchRun(queries, row)) refresh();
      if (row.state !== "running" && before !== row.id) {
        before = row.id;
        // Its last points may have come after the page stopped to listen to it.
        readAgain(queries, row.id);
        void queries.invalidateQueries({ queryKey: ["metrics"] });
        void queries.invalidateQueries({ queryKey: ["run", row.id] });
        void queries.invalidateQueries({ queryKey: ["columns", project] });
      }
    });
    return () => {
      clearTimeout(stale);
      source.close();
    };
  }, [queries, project, names]);
  return live.current;
}
