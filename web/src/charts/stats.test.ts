import { describe, expect, test } from "vitest";
import { shares } from "./confusion";
import { between, correlation, groupsOf, importance, ranks, spearman, valueOf } from "./stats";
import { wilson } from "./wilson";

test("wilson agrees with the server", () => {
  // eval.Wilson(18, 18) = 0.8241207763533424
  expect(wilson(18, 18)).toEqual([expect.closeTo(0.8241207763533424, 12), 1]);
  expect(wilson(0, 10)[0]).toBe(0);
  expect(wilson(0, 0)).toEqual([0, 1]);
});

test("equal values share their rank", () => expect(ranks([10, 20, 20, 5])).toEqual([2, 3.5, 3.5, 1]));

describe("correlation", () => {
  test("of a line", () => expect(correlation([1, 2, 3], [2, 4, 6])).toBe(1));
  test("of what does not vary", () => expect(correlation([1, 1, 1], [2, 4, 6])).toBeNaN());
  test("by ranks sees any rise", () => expect(spearman([1, 2, 3, 4, 5], [1, 10, 100, 1000, 1e4]).value).toBe(1));
  test("interval holds the value and needs five runs", () => {
    // scipy.stats.spearmanr([1..6], [2,1,4,3,6,5]) = 0.8285714
    const r = spearman([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]);
    expect(r.value).toBeCloseTo(0.8285714, 6);
    expect(r.low!).toBeLessThan(r.value);
    expect(r.high!).toBeGreaterThan(r.value);
    expect(spearman([1, 2, 3], [3, 1, 2]).low).toBeNull();
  });
});

describe("between", () => {
  test("all of it", () => expect(between([[1, 1], [2, 2]])).toBe(1));
  test("nothing beyond chance", () => expect(between([[1, 3, 2], [2, 1, 3]])).toBe(0));
  test("too few to judge", () => expect(between([[1], [2]])).toBeNull());
  test("a metric that does not vary", () => expect(between([[1, 1], [1, 1]])).toBeNull());
});

test("many numbers fall into four parts, few stay as they are", () => {
  const many = Array.from({ length: 40 }, (_, i) => i);
  expect(groupsOf(many, many).map((g) => g.length)).toEqual([10, 10, 10, 10]);
  expect(groupsOf([1, 1, 2, 2], [5, 6, 7, 8])).toEqual([[5, 6], [7, 8]]);
});

describe("importance", () => {
  const runs = Array.from({ length: 20 }, (_, i) => ({
    params: { rate: (i % 4) / 10, kind: i % 2 ? "a" : "b", same: 7, name: `run ${i}` },
    metric: (i % 4) / 10 as number | null,
  }));
  const found = importance(runs);
  test("finds what decides", () => expect(found[0]).toMatchObject({ param: "rate", n: 20, values: 4, share: 1, rank: { value: 1 } }));
  test("leaves out what is the same everywhere", () => expect(found.some((f) => f.param === "same")).toBe(false));
  test("leaves out a name", () => expect(found.some((f) => f.param === "name")).toBe(false));
  test("does not judge four runs", () => expect(importance(runs.slice(0, 4)).every((f) => f.share === null && f.rank === null)).toBe(true));
  test("passes over runs without the metric", () => expect(importance([...runs, { params: { rate: 9, kind: "c", same: 7, name: "x" }, metric: null }])[0]!.n).toBe(20));
});

test("values as JSON has them", () => expect([valueOf("Infinity"), valueOf(true), valueOf([1, 2]), valueOf(""), valueOf(0)]).toEqual([Infinity, "true", "[1,2]", null, 0]));

describe("shares", () => {
  const counts = [[8, 2], [0, 5]];
  test("of the biggest cell", () => expect(shares(counts, "counts")).toEqual([[1, 0.25], [0, 0.625]]));
  test("of rows and columns", () => {
    expect(shares(counts, "rows")).toEqual([[0.8, 0.2], [0, 1]]);
    expect(shares(counts, "columns")[0]![1]).toBeCloseTo(2 / 7);
  });
  test("an empty class divides by nothing", () => expect(shares([[0, 0], [0, 1]], "rows")[0]).toEqual([0, 0]));
});
