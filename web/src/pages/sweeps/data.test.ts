import { expect, test } from "vitest";
import { bestSoFar, exploredTrials, type SweepDetail } from "./data";

const trials = [
  { number: 1, value: 3 },
  { number: 2, value: null },
  { number: 3, value: 1 },
  { number: 5, value: 2 },
  { number: 6, value: Infinity },
];

test("the best so far goes down where lower is better, and up where higher is", () => {
  expect(bestSoFar(trials, false).map((p) => [p.number, p.best])).toEqual([[1, 3], [3, 1], [5, 1]]);
  expect(bestSoFar(trials, true).map((p) => p.best)).toEqual([3, 3, 3]);
  expect(bestSoFar([], true)).toEqual([]);
});

test("trials whose run was deleted are in no chart, and one without a value lacks it", () => {
  const base = { name: "", state: "finished", source: "suggested", agent: "", stop: "", started: null, finished: null } as const;
  const sweep = {
    metric: "val/loss",
    trial_list: [
      { ...base, number: 1, run: "a", params: { lr: 0.1, "net.units": 16 }, value: 0.5, gone: false },
      { ...base, number: 2, run: "b", params: { lr: 0.2 }, value: null, gone: false },
      { ...base, number: 3, run: "c", params: {}, value: 1, gone: true },
    ],
  } as unknown as SweepDetail;
  expect(exploredTrials(sweep)).toEqual([
    { id: "a", label: "a", values: { "params.lr": 0.1, "params.net.units": 16, "summary.val/loss": 0.5 } },
    { id: "b", label: "b", values: { "params.lr": 0.2 } },
  ]);
});
