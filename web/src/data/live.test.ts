import { QueryClient } from "@tanstack/react-query";
import { expect, test, vi } from "vitest";
import type { RunRow, RunsPage } from "../api/contract";
import { Live, patchRun } from "./live";

const row = (id: string, state: RunRow["state"]): RunRow => ({
  id, name: id, project: "p", stage: "", experiment: "", group: "", state, tags: [], created: null, started: null, finished: null,
  duration: null, host: "", error: "", deleted: null, stopping: null, sweep: "", values: { "summary.loss": 1, "params.a": 2 },
});

test("listeners hear once a frame, and every point is kept", () => {
  const frames: FrameRequestCallback[] = [];
  vi.stubGlobal("requestAnimationFrame", (f: FrameRequestCallback) => frames.push(f));
  const live = new Live();
  const heard = vi.fn();
  live.subscribe(heard);
  for (let i = 0; i < 5; i++) live.add({ run: "r", cursor: i, points: [{ key: "loss", step: i, value: i, time: i }] });
  expect(frames).toHaveLength(1);
  frames[0]!(0);
  expect(heard).toHaveBeenCalledTimes(1);
  expect(live.of("r", "loss").map((p) => p.step)).toEqual([0, 1, 2, 3, 4]);
  live.forget("r", "loss", 2);
  expect(live.of("r", "loss").map((p) => p.step)).toEqual([3, 4]);
  expect(live.keys("r")).toEqual(["loss"]);
  vi.unstubAllGlobals();
});

test("an event changes the row in each list, and says when it is new", () => {
  const queries = new QueryClient();
  queries.setQueryData<RunsPage>(["runs", "p", "x"], { runs: [row("a", "running"), row("b", "running")], total: 2 });
  expect(patchRun(queries, { ...row("b", "finished"), values: { "summary.loss": 0.5 } })).toBe(true);
  const page = queries.getQueryData<RunsPage>(["runs", "p", "x"])!;
  expect(page.runs[1]!.state).toBe("finished");
  expect(page.runs[1]!.values).toEqual({ "summary.loss": 0.5, "params.a": 2 });
  expect(page.runs[0]!.state).toBe("running");
  expect(patchRun(queries, row("c", "running"))).toBe(false);
});
