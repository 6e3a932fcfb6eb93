import { describe, expect, test } from "vitest";
import { best, better, metricFields, withIntervals, withRows } from "./judge";

test.each([
  ["summary.val.accuracy", "high"],
  ["test.accuracy_low", undefined],
  ["val/loss", "low"],
  ["best_epoch", undefined],
  ["macro_f1", "high"],
  ["learning_rate", undefined],
  ["something", undefined],
])("%s: %s is better", (key, want) => expect(better(key)).toBe(want));

describe("best", () => {
  test("highest accuracy, lowest loss", () => {
    expect(best({ key: "accuracy", values: [0.9, 0.95, null] })).toEqual([1]);
    expect(best({ key: "loss", values: [0.2, 0.1, 0.1] })).toEqual([1, 2]);
  });
  test("nobody wins a tie of all, or alone", () => {
    expect(best({ key: "accuracy", values: [1, 1] })).toEqual([]);
    expect(best({ key: "accuracy", values: [1, null] })).toEqual([]);
  });
  test("not a number wins nothing", () => expect(best({ key: "loss", values: [NaN, 0.3, 0.5] })).toEqual([1]));
});

const row = (key: string, values: unknown[], same = false) => ({ key, values, same, differences: values.map(() => null) });

test("intervals stand with their values", () => {
  const shown = withIntervals([row("test.accuracy", [1, 1], true), row("test.accuracy_high", [1, 1], true), row("test.accuracy_low", [0.8, 0.9]), row("test.rows", [18, 36]), row("x_low", [1, 2])]);
  expect(shown.map((r) => r.key)).toEqual(["test.accuracy", "test.rows", "x_low"]);
  expect(shown[0]).toMatchObject({ same: false, low: [0.8, 0.9], high: [1, 1], n: [18, 36] });
});

test("a share is told with its rows", () => {
  const [accuracy, loss] = withRows([row("val/accuracy", [1, null]), row("val/loss", [0.1, 0.2])], [row("val.rows", [18, 18])]);
  expect(accuracy).toMatchObject({ n: [18, 18], low: [expect.closeTo(0.824, 3), null], high: [1, null] });
  expect(loss!.n).toBeUndefined();
});

test("what people look for first", () =>
  expect(metricFields(["params.x", "summary.test.loss", "summary.val.accuracy_low", "summary.epochs", "summary.val.accuracy", "summary.val.rows"])).toEqual(["summary.val.accuracy", "summary.test.loss", "summary.epochs"]));
