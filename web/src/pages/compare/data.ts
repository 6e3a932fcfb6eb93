import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ask, ws, type Num, type RunRow, type RunsPage } from "../../api";
import { valueOf, type Value } from "../../charts/stats";

export interface ComparedRow {
  key: string;
  /** Of the runs in order; null: the run lacks it. */
  values: unknown[];
  /** From the first run. */
  differences: (Num | undefined)[];
  same: boolean;
}

export interface PairedTest {
  part: string;
  a: string;
  b: string;
  n: number;
  only_a: number;
  only_b: number;
  p: number;
  tied: boolean;
}

export interface Comparison {
  runs: RunRow[];
  sections: { name: string; rows: ComparedRow[] }[];
  tests?: PairedTest[] | null;
}

export function useComparison(runs: string[]) {
  return useQuery({
    queryKey: ["compare", runs],
    queryFn: ({ signal }) => ask<Comparison>("GET", ws(["compare"], { runs: runs.join(",") }), undefined, signal),
    enabled: runs.length >= 2,
    placeholderData: keepPreviousData,
  });
}

/** The newest runs of a project, with all params and results. */
export function useProjectRuns(project: string, where: string, limit: number) {
  return useQuery({
    queryKey: ["runs", project, "explore", where, limit],
    queryFn: ({ signal }) => ask<RunsPage>("POST", ws(["runs", "query"]), { project, where, limit, sort: ["-created"] }, signal),
    placeholderData: keepPreviousData,
    staleTime: 15_000,
  });
}

/** A run as the charts of many runs take it. */
export interface Explored {
  id: string;
  label: string;
  values: Record<string, Value>;
}

export function explored(rows: RunRow[]): Explored[] {
  return rows.map((r) => {
    const values: Record<string, Value> = {};
    for (const [k, v] of Object.entries(r.values ?? {})) values[k] = valueOf(v);
    if (r.duration !== null) values.duration = r.duration;
    values.stage = valueOf(r.stage);
    return { id: r.id, label: r.name || r.id, values };
  });
}
