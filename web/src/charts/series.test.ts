import { describe, expect, test } from "vitest";
import { along, between, byPrefix, grouped, join, pointsOf, student95 } from "./series";

const read = pointsOf({ steps: [0, 1, 2], values: [5, null, "Infinity"], times: [10, 11, 12] });

describe("join", () => {
  test("what JSON lacks becomes a number", () => expect([...read.values]).toEqual([5, NaN, Infinity]));
  test("appends what is new", () => {
    const got = join(read, [{ key: "k", step: 3, value: 7, time: 13 }]);
    expect([...got.steps]).toEqual([0, 1, 2, 3]);
    expect(got.values[3]).toBe(7);
  });
  test("takes a point that came twice once, also NaN", () => {
    const got = join(read, [{ key: "k", step: 1, value: null, time: 11 }, { key: "k", step: 0, value: 5, time: 10 }, { key: "k", step: 4, value: 1, time: 14 }, { key: "k", step: 4, value: 1, time: 14 }]);
    expect([...got.steps]).toEqual([0, 1, 2, 4]);
  });
  test("keeps two values of one step, and puts late ones in order", () => {
    const got = join(read, [{ key: "k", step: 1, value: 9, time: 11.5 }]);
    expect([...got.steps]).toEqual([0, 1, 1, 2]);
    expect([...got.values]).toEqual([5, NaN, 9, Infinity]);
  });
  test("of nothing is the same", () => expect(join(read, [])).toBe(read));
});

describe("along", () => {
  const p = pointsOf({ steps: [0, 10, 20], values: [1, 2, 3], times: [100, 101, 105] });
  test("relative time counts from the start of the run", () => expect([...along(p, "relative", 99).xs]).toEqual([1, 2, 6]));
  test("relative time counts from the first point otherwise", () => expect([...along(p, "relative", undefined).xs]).toEqual([0, 1, 5]));
  test("another metric is read between its points", () => {
    const epoch = pointsOf({ steps: [0, 20], values: [0, 2], times: [0, 0] });
    expect([...along(p, "metric:epoch", undefined, epoch).xs]).toEqual([0, 1, 2]);
  });
  test("a metric that falls is put in ascending order", () => {
    const loss = pointsOf({ steps: [0, 10, 20], values: [3, 2, 1], times: [0, 0, 0] });
    const got = along(p, "metric:loss", undefined, loss);
    expect([...got.xs]).toEqual([1, 2, 3]);
    expect([...got.ys]).toEqual([3, 2, 1]);
  });
  test("without the other metric there is nothing", () => expect(along(p, "metric:absent", undefined).xs).toHaveLength(0));
});

test("between two points lies the line", () => {
  expect(between([0, 10], [0, 100], 5)).toBe(50);
  expect(between([0, 10], [0, 100], 11)).toBeNaN();
  expect(between([], [], 0)).toBeNaN();
});

describe("grouped", () => {
  const line = (ys: number[]) => ({ xs: Float64Array.from(ys.keys()), ys: Float64Array.from(ys) });
  test("mean, lowest and highest", () => {
    const g = grouped([line([1, 2]), line([3, 6])], "range");
    expect([[...g.ys], [...g.low], [...g.high], [...g.n]]).toEqual([[2, 4], [1, 2], [3, 6], [2, 2]]);
  });
  test("standard deviation is that of a sample", () => {
    const g = grouped([line([1]), line([2]), line([3])], "sd");
    expect([g.ys[0], g.low[0], g.high[0]]).toEqual([2, 1, 3]);
  });
  test("the 95 % interval is Student's", () => {
    const g = grouped([line([1]), line([2]), line([3])], "ci");
    expect(g.high[0]! - 2).toBeCloseTo(4.303 / Math.sqrt(3), 3);
  });
  test("one line has a mean and no deviation", () => {
    const g = grouped([line([1])], "sd");
    expect([g.ys[0], g.low[0]]).toEqual([1, NaN]);
  });
  test("a line counts where it is", () => expect([...grouped([line([1, 1, 1]), line([3])], "range").n]).toEqual([2, 1, 1]));
  test("a long grid is cut", () => expect(grouped([line(Array.from({ length: 5000 }, () => 1))], "range", 100).xs).toHaveLength(100));
});

// From R: qt(.975, c(30, 31, 60, 200)).
test("Student's points", () => {
  expect(student95(30)).toBeCloseTo(2.0423, 3);
  expect(student95(31)).toBeCloseTo(2.0395, 3);
  expect(student95(60)).toBeCloseTo(2.0003, 3);
  expect(student95(200)).toBeCloseTo(1.9719, 3);
});

test("metrics by prefix: what is learnt first, the machine last", () => {
  expect(byPrefix(["system/cpu", "train/loss", "b", "val/loss", "layer10/w", "layer10/a"]).map((g) => [g.prefix, ...g.keys])).toEqual([
    ["val", "val/loss"], ["train", "train/loss"], ["layer10", "layer10/a", "layer10/w"], ["", "b"], ["system", "system/cpu"],
  ]);
});
