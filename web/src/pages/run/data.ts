import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { ask, href, ws, type Num, type Score } from "../../api";

/** One line that a run printed. */
export interface Line {
  n: number;
  stream: string;
  text: string;
  time: string | null;
}

export interface ConsolePart {
  lines: Line[] | null;
  next: number;
}

export interface Bin {
  from: number;
  to: number;
  confidence: number;
  accuracy: number;
  n: number;
}

export interface ClassScore {
  class: string;
  precision: Num;
  recall: Num;
  f1: Num;
  n: number;
}

export interface PartScores {
  rows: number;
  scores: Record<string, Score>;
  confusion: number[][];
  reliability: Bin[] | null;
  per_class: ClassScore[] | null;
}

export interface Evaluation {
  warnings?: string[] | null;
  classes: string[];
  parts: Record<string, PartScores>;
}

export interface EvaluatedRow {
  number: number;
  true: string;
  predicted: string;
  probabilities: Num[];
  loss: Num;
  values: unknown[];
}

export interface EvaluatedRows {
  columns: string[];
  rows: EvaluatedRow[] | null;
  total: number;
}

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
