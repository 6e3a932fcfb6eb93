import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ask, ws, type RunRow, type RunsPage } from "../../api";
import { valueOf, type Value } from "../../charts/stats";
import type { components } from "../../api/types";

type Schemas = components["schemas"];

export type ComparedRow = Schemas["ComparedRow"];

export type PairedTest = Schemas["PairedTest"];

export type Comparison = Schemas["Comparison"];

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
