import { keepPreviousData, useMutation, useQueries, useQuery, useQueryClient } from "@tanstack/react-query";
import { ask, ws } from "../../api";
import type { RunRow, RunsPage } from "../../api/contract";

export const pageSize = 100;
const chunk = 100;

/** Columns in parts, so that a table of a thousand asks for those in view. */
export function chunks(columns: string[]): string[][] {
  const out: string[][] = [];
  for (let i = 0; i < columns.length; i += chunk) out.push(columns.slice(i, i + chunk));
  return out.length > 0 ? out : [[]];
}

interface Window {
  project: string;
  where: string;
  sort: string[];
  /** In the order of the table; those of `needed` chunks are asked for. */
  columns: string[][];
  needed: number[];
  pages: number[];
}

export interface Rows {
  total: number | undefined;
  at: (index: number) => RunRow | undefined;
  /** Changes when a row may have. */
  stamp: number;
  pending: boolean;
  error: Error | null;
  refetch: () => void;
}

/** The rows in view, a window of a list that may be very long. */
export function useRows({ project, where, sort, columns, needed, pages }: Window): Rows {
  return useQueries({
    queries: pages.flatMap((page) =>
      needed.map((n) => ({
        // The first words are what events look for.
        queryKey: ["runs", project, { where, sort, columns: columns[n] }, page] as const,
        queryFn: ({ signal }: { signal: AbortSignal }) =>
          ask<RunsPage>("POST", ws(["runs", "query"]), { project, where, sort, limit: pageSize, offset: page * pageSize, columns: columns[n]!.length > 0 ? columns[n] : ["id"] }, signal),
        placeholderData: keepPreviousData,
        staleTime: 10_000,
      })),
    ),
    combine: (answers): Rows => {
      const byPage = new Map<number, RunsPage[]>();
      answers.forEach((a, i) => {
        const page = pages[Math.floor(i / needed.length)]!;
        if (!a.data || (a.isPlaceholderData && page !== 0)) return;
        const list = byPage.get(page);
        if (list) list.push(a.data);
        else byPage.set(page, [a.data]);
      });
      return {
        total: answers.find((a) => a.data)?.data?.total,
        stamp: Math.max(0, ...answers.map((a) => a.dataUpdatedAt)),
        pending: answers.every((a) => a.isPending),
        error: answers.find((a) => a.error)?.error ?? null,
        refetch: () => answers.forEach((a) => void a.refetch()),
        at: (index) => {
          const parts = byPage.get(Math.floor(index / pageSize));
          const first = parts?.[0]?.runs[index % pageSize];
          if (!first || parts.length === 1) return first;
          return { ...first, values: Object.assign({}, ...parts.map((p) => p.runs.find((r) => r.id === first.id)?.values)) as RunRow["values"] };
        },
      };
    },
  });
}

/** Some runs by their IDs, wherever they stand in the list. */
export function useSomeRuns(project: string, ids: string[]) {
  const asked = [...ids].sort();
  return useQuery({
    queryKey: ["runs", project, "some", asked],
    queryFn: ({ signal }) =>
      ask<RunsPage>("POST", ws(["runs", "query"]), { project, where: `id in (${asked.map((id) => `"${id.replaceAll('"', '""')}"`).join(", ")})`, limit: 1000, columns: ["id"] }, signal),
    enabled: asked.length > 0,
    placeholderData: keepPreviousData,
  });
}

interface SavedView {
  name: string;
  body: { project?: string; title?: string; query?: string };
}

export function useViews(project: string) {
  return useQuery({
    queryKey: ["views"],
    queryFn: ({ signal }) => ask<SavedView[]>("GET", ws(["views"]), undefined, signal),
    select: (all) => all.filter((v) => v.body.project === project && typeof v.body.query === "string").map((v) => ({ id: v.name, title: v.body.title ?? v.name, query: v.body.query ?? "" })),
  });
}

export function useChangeViews(project: string) {
  const queries = useQueryClient();
  const onSuccess = () => void queries.invalidateQueries({ queryKey: ["views"] });
  return {
    save: useMutation({
      mutationFn: ({ title, query }: { title: string; query: string }) => ask<unknown>("PUT", ws(["views", `${project}:${title}`]), { project, title, query }),
      onSuccess,
    }),
    remove: useMutation({ mutationFn: (id: string) => ask<void>("DELETE", ws(["views", id])), onSuccess }),
  };
}
