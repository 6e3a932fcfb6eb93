import { expect, test } from "vitest";
import { isShown, nextSort, readTable, sortedBy, toggleShown, writeTable } from "./state";

test("an address says what it said", () => {
  const q = {
    where: 'summary.val.accuracy > 0.9 and tags in ("a,b")', sort: "-summary.val.loss,created", cols: "state,params.a\\,b", group: "params.optimizer,params.batch_size",
    top: "50", hide: "r1", show: "r2,r3", left: "state", view: "best",
  };
  const s = readTable(q);
  expect(s.columns).toEqual(["state", "params.a,b"]);
  expect(writeTable(s, {})).toEqual(q);
});

test("what is usual is not said", () => expect(Object.values(writeTable(readTable({}), {})).join("")).toBe(""));
test("nonsense is the usual", () => expect([readTable({ top: "1e9" }).top, readTable({ group: "a,b,c,d" }).group.length]).toEqual([10, 3]));

test("eyes of the first ones are open, and each can be turned", () => {
  let s = readTable({ top: "5" });
  expect([isShown(s, "a", 4), isShown(s, "b", 5)]).toEqual([true, false]);
  s = { ...s, ...toggleShown(s, "a", 4) };
  s = { ...s, ...toggleShown(s, "b", 5) };
  expect([isShown(s, "a", 4), isShown(s, "b", 5)]).toEqual([false, true]);
  expect(toggleShown(s, "b", 5)).toEqual({ shown: [] });
});

test("a head sorts, then the other way, then not", () => {
  expect(nextSort([], "f", true, false)).toEqual(["-f"]);
  expect(nextSort(["-f"], "f", true, false)).toEqual(["f"]);
  expect(nextSort(["f"], "f", true, false)).toEqual([]);
  expect(nextSort(["-f"], "g", false, false)).toEqual(["g"]);
  expect(nextSort(["-f"], "g", false, true)).toEqual(["-f", "g"]);
  expect(nextSort(["-f", "g"], "f", true, true)).toEqual(["f", "g"]);
  expect([sortedBy(["-f"], "f"), sortedBy(["f"], "f"), sortedBy([], "f")]).toEqual(["down", "up", undefined]);
});
