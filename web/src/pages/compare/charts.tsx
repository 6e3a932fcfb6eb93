import { useQueries } from "@tanstack/react-query";
import { ask, ws, type RunDetail } from "../../api";
import { Loading } from "../../parts/status";

/** The metrics that the runs have in common, drawn over each other. */
export function CompareCharts({ ids }: { ids: string[] }) {
  const runs = useQueries({ queries: ids.map((id) => ({ queryKey: ["run", id], queryFn: () => ask<RunDetail>("GET", ws(["runs", id])) })) });
  if (runs.some((r) => r.isPending)) return <Loading />;
  return null;
}
