import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ask, path, ws } from "./client";
import type { Column, GroupsRequest, Metric, Project, RunChange, RunDetail, RunGroup, RunRow, Session } from "./contract";
import { workspace } from "./place";

// Query keys begin with the kind of thing, so that an event can say what is
// stale: ["projects"], ["runs", project], ["run", id], ["artifacts", project]…

export function useSession() {
  return useQuery({
    queryKey: ["session"],
    queryFn: ({ signal }) => ask<Session>("GET", path(["session"]), undefined, signal),
    staleTime: 60_000,
  });
}

/** What the user may do here: nothing is offered that the server would refuse. */
export function useRights(): { edit: boolean; admin: boolean } {
  const session = useSession().data;
  if (!session) return { edit: false, admin: false };
  if (session.open || session.user?.admin) return { edit: true, admin: true };
  const role = session.workspaces.find((w) => w.name === workspace)?.role;
  return { edit: role === "editor" || role === "admin", admin: role === "admin" };
}

export function useSignOut() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: () => ask<void>("DELETE", path(["session"])),
    onSuccess: () => {
      queries.clear();
    },
  });
}

export function useProjects() {
  return useQuery({
    queryKey: ["projects"],
    queryFn: ({ signal }) => ask<Project[]>("GET", ws(["projects"]), undefined, signal),
    refetchInterval: 15_000,
  });
}

export function useColumns(project: string) {
  return useQuery({
    queryKey: ["columns", project],
    queryFn: ({ signal }) => ask<Column[]>("GET", ws(["runs", "columns"], { project }), undefined, signal),
    staleTime: 30_000,
  });
}

export function useRun(id: string) {
  return useQuery({
    queryKey: ["run", id],
    queryFn: ({ signal }) => ask<RunDetail>("GET", ws(["runs", id]), undefined, signal),
    enabled: id !== "",
  });
}

/** What the runs recorded. */
export function useMetrics(runs: string[]) {
  const asked = [...runs].sort();
  return useQuery({
    queryKey: ["metrics", asked],
    queryFn: ({ signal }) => ask<Metric[]>("POST", ws(["metrics"]), { runs: asked }, signal),
    enabled: asked.length > 0,
    placeholderData: keepPreviousData,
  });
}

export function useGroups(request: GroupsRequest) {
  return useQuery({
    queryKey: ["groups", request.project, request],
    queryFn: ({ signal }) => ask<RunGroup[]>("POST", ws(["runs", "groups"]), request, signal),
    enabled: request.by.length > 0,
    placeholderData: keepPreviousData,
  });
}

/** Changes what is said about a run; lists and pages that show it ask again. */
export function useChangeRun() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: ({ id, change }: { id: string; change: RunChange }) => ask<RunRow | undefined>("PATCH", ws(["runs", id]), change),
    onSuccess: (_, { id }) => {
      void queries.invalidateQueries({ queryKey: ["run", id] });
      void queries.invalidateQueries({ queryKey: ["runs"] });
      void queries.invalidateQueries({ queryKey: ["columns"] });
    },
  });
}

/** Asks a run to stop. Its process learns of it within seconds. */
export function useStopRun() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (id: string) => ask<unknown>("POST", ws(["runs", id, "stop"])),
    onSettled: (_, __, id) => {
      void queries.invalidateQueries({ queryKey: ["run", id] });
      void queries.invalidateQueries({ queryKey: ["runs"] });
    },
  });
}

export function useRemoveRuns() {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ ids, restore }: { ids: string[]; restore?: boolean }) => {
      for (const id of ids) await ask<void>(restore ? "POST" : "DELETE", ws(restore ? ["runs", id, "restore"] : ["runs", id]));
    },
    onSettled: (_, __, { ids }) => {
      for (const id of ids) void queries.invalidateQueries({ queryKey: ["run", id] });
      void queries.invalidateQueries({ queryKey: ["runs"] });
      void queries.invalidateQueries({ queryKey: ["projects"] });
    },
  });
}
