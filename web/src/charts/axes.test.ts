import { describe, expect, test } from "vitest";
import { axes, chosen, nearestRun, telling, wantsLog } from "./axes";

const runs = [
  { values: { rate: 0.001, kind: "adam", acc: 0.9, name: "a" } },
  { values: { rate: 0.01, kind: "sgd", acc: 0.95, name: "b" } },
  { values: { rate: 0.1, kind: "adam", acc: null, name: "c" } },
];

describe("axes", () => {
  test("numbers, logarithms, names", () => {
    const [rate, kind] = axes([{ field: "rate", log: true }, { field: "kind" }], runs);
    expect(rate!.places.map((p) => p.toFixed(3))).toEqual(["0.000", "0.500", "1.000"]);
    expect(kind!.places).toEqual([0, 1, 0]);
    expect([rate!.canLog, kind!.canLog]).toEqual([true, false]);
  });
  test("flipped, with gaps", () => expect(axes([{ field: "acc", flip: true }], runs)[0]!.places).toEqual([1, 0, NaN]));
  test("a log axis over names or negatives stays plain", () => {
    expect(axes([{ field: "kind", log: true }], runs)[0]!.scale.kind).toBe("text");
    expect(axes([{ field: "v", log: true }], [{ values: { v: -1 } }, { values: { v: -2 } }])[0]!.canLog).toBe(false);
  });
  test("a field that nobody has", () => expect(axes([{ field: "no" }], runs)[0]!.places).toEqual([NaN, NaN, NaN]));
});

describe("chosen", () => {
  test("within every brush", () => {
    const list = axes([{ field: "rate", log: true, brush: [0.6, 0] }, { field: "kind", brush: [0, 0.4] }], runs);
    expect(chosen(list, 3)).toEqual([true, false, false]);
  });
  test("a brush leaves out who lacks the field", () => expect(chosen(axes([{ field: "acc", brush: [0, 1] }], runs), 3)).toEqual([true, true, false]));
});

test("the nearest line between two axes", () => {
  const [a, b] = axes([{ field: "rate", log: true }, { field: "kind" }], runs);
  expect(nearestRun(a!, b!, 0.5, 0.74, 0.05, [true, true, true])).toBe(1);
  expect(nearestRun(a!, b!, 0.5, 0.2, 0.05, [true, true, true])).toBeUndefined();
  expect(nearestRun(a!, b!, 0.5, 0.74, 0.05, [true, false, true])).toBeUndefined();
});

test("what tells runs apart", () => {
  const many = Array.from({ length: 30 }, (_, i) => ({ values: { seed: 7, rate: i, name: `n${i}`, kind: i % 2 ? "a" : "b", rare: i === 0 ? 1 : null } }));
  expect(telling(["seed", "rate", "name", "kind", "rare"], many)).toEqual(["rate", "kind"]);
});

test.each([
  [[1e-4, 0.01, null], true],
  [[1, 20], false],
  [[0, 100], false],
  [["a", 1, 100], false],
  [[], false],
])("logarithms suit %j: %s", (values, want) => expect(wantsLog(values)).toBe(want));
