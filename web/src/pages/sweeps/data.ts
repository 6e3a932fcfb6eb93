import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ask, ws, type Sweep, type SweepDetail, type Trial } from "../../api";
import { valueOf, type Value } from "../../charts/stats";
import type { Explored } from "../compare/data";

export type { Sweep, SweepDetail, Trial };
export type SweepState = Sweep["state"];

export function useSweeps(project: string) {
  return useQuery({
    queryKey: ["sweeps", project],
    queryFn: ({ signal }) => ask<Sweep[]>("GET", ws(["sweeps"], { project }), undefined, signal),
    refetchInterval: 10_000,
  });
}

export const ended = (state: SweepState) => state === "FINISHED" || state === "CANCELED";

export function useSweep(id: string) {
  return useQuery({
    queryKey: ["sweep", id],
    queryFn: ({ signal }) => ask<SweepDetail>("GET", ws(["sweeps", id]), undefined, signal),
    // Trials may end after the sweep did.
    refetchInterval: (q) => (q.state.data && ended(q.state.data.state) && q.state.data.open === 0 ? false : 5_000),
  });
}

/** Pauses, resumes or ends a sweep. */
export function useMoveSweep(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (state: SweepState) => ask<SweepDetail>("PATCH", ws(["sweeps", id]), { state }),
    onSuccess: (detail) => {
      queries.setQueryData(["sweep", id], detail);
      void queries.invalidateQueries({ queryKey: ["sweeps"] });
      void queries.invalidateQueries({ queryKey: ["runs"] });
    },
  });
}

export function useDeleteSweep(id: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => ask<void>("DELETE", ws(["sweeps", id])),
    onSuccess: () => {
      queries.removeQueries({ queryKey: ["sweep", id] });
      void queries.invalidateQueries({ queryKey: ["sweeps"] });
    },
  });
}

/** Trials as the charts of many runs take them. */
export function exploredTrials(sweep: SweepDetail): Explored[] {
  return sweep.trial_list
    .filter((t) => !t.gone)
    .map((t) => {
      const values: Record<string, Value> = {};
      for (const [k, v] of Object.entries(t.params)) values["params." + k] = valueOf(v);
      if (sweep.metric && t.value !== null) values["summary." + sweep.metric] = t.value;
      return { id: t.run, label: t.name || t.run, values };
    });
}

/** The best value after each trial that has one, in the order of the trials. */
export function bestSoFar(trials: { number: number; value: number | null }[], maximize: boolean): { number: number; value: number; best: number }[] {
  let best = NaN;
  const out: { number: number; value: number; best: number }[] = [];
  for (const t of trials) {
    if (t.value === null || !Number.isFinite(t.value)) continue;
    if (Number.isNaN(best) || (maximize ? t.value > best : t.value < best)) best = t.value;
    out.push({ number: t.number, value: t.value, best });
  }
  return out;
}
