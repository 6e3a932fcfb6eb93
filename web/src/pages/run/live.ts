import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { href, ws } from "../../api";

/**
 * Follows the run's events while it is not over. An event is a doorbell: what
 * changed is read through the same doors as ever, so that a line or a state
 * that a lost connection swallowed is there all the same.
 */
export function useRunLive(id: string, active: boolean): void {
  const queries = useQueryClient();
  useEffect(() => {
    if (!active) return;
    const record = () => void queries.invalidateQueries({ queryKey: ["run", id], exact: true });
    const ring = (what: string) => () => queries.setQueryData<number>(["bell", what, id], (n) => (n ?? 0) + 1);
    const source = new EventSource(href(ws(["events"], { runs: id })));
    source.addEventListener("run", record);
    source.addEventListener("lines", ring("lines"));
    source.addEventListener("points", ring("points"));
    // Whatever befalls the stream, the page stays at most so long behind.
    const timer = setInterval(() => {
      record();
      ring("lines")();
      ring("points")();
    }, 10_000);
    return () => {
      clearInterval(timer);
      source.close();
      // The last words: what was written between the last event and the end.
      record();
      ring("lines")();
      ring("points")();
    };
  }, [id, active, queries]);
}

/** A number that changes when there are new lines or points. */
export function useBell(what: "lines" | "points", id: string): number {
  return useQuery({ queryKey: ["bell", what, id], queryFn: () => 0, enabled: false, initialData: 0, staleTime: Infinity }).data;
}
