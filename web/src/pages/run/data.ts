import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ask, href, ws } from "../../api";
import type { components } from "../../api/types";

type Schemas = components["schemas"];

/** One line that a run printed. */
export type Line = Schemas["Line"];

export type ConsolePart = Schemas["Console"];

export type Bin = Schemas["Bin"];

export type ClassScore = Schemas["ClassScore"];

export type PartScores = Schemas["PartScores"];

export type Evaluation = Schemas["Evaluation"];

export type EvaluatedRow = Schemas["Row"];

export type EvaluatedRows = Schemas["Rows"];

export function useEvaluation(run: string, enabled: boolean) {
  return useQuery({
    queryKey: ["run", run, "evaluation"],
    queryFn: ({ signal }) => ask<Evaluation>("GET", ws(["runs", run, "evaluation"]), undefined, signal),
    enabled,
    staleTime: Infinity,
  });
}

export interface RowsAsked {
  part: string;
  true?: string;
  predicted?: string;
  order?: string;
  limit?: number;
  offset?: number;
}

export function useRows(run: string, asked: RowsAsked) {
  return useQuery({
    queryKey: ["run", run, "rows", asked],
    queryFn: ({ signal }) => ask<EvaluatedRows>("GET", ws(["runs", run, "rows"], { ...asked }), undefined, signal),
    placeholderData: keepPreviousData,
    staleTime: Infinity,
  });
}

/** Where a file of a run is downloaded; each part of its path is escaped. */
export function fileAddress(run: string, path: string): string {
  return href(ws(["runs", run, "files", ...path.split("/")]));
}
