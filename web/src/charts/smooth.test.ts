import { describe, expect, test } from "vitest";
import { smooth, type Smoothing } from "./smooth";

const kinds: Smoothing[] = [
  { kind: "none" },
  { kind: "ema", weight: 0.9 },
  { kind: "mean", window: 5 },
  { kind: "gaussian", sigma: 2 },
];

describe.each(kinds)("$kind", (how) => {
  test("leaves a constant as it is", () => {
    const ys = Array.from({ length: 50 }, () => 3);
    expect(Math.max(...smooth([...ys.keys()], ys, how).map((y) => Math.abs(y - 3)))).toBeLessThan(1e-12);
  });
  test("keeps length and gaps", () => {
    const out = smooth([0, 1, 2, 3], [1, NaN, 3, Infinity], how);
    expect(out).toHaveLength(4);
    expect(out[1]).toBeNaN();
    expect(out[3]).toBe(Infinity);
    expect(Number.isFinite(out[2]!)).toBe(true);
  });
  test("stays between lowest and highest", () => {
    const ys = Array.from({ length: 200 }, (_, i) => Math.sin(i * 1.7));
    for (const y of smooth([...ys.keys()], ys, how)) expect(Math.abs(y)).toBeLessThanOrEqual(1 + 1e-12);
  });
  test("empty stays empty", () => expect(smooth([], [], how)).toHaveLength(0));
});

test("the average of points that are far apart forgets more", () => {
  const near = smooth([0, 1, 2], [0, 0, 1], { kind: "ema", weight: 0.9 });
  const far = smooth([0, 1, 100], [0, 0, 1], { kind: "ema", weight: 0.9 });
  expect(near[2]).toBeGreaterThan(0.3);
  expect(far[2]).toBeGreaterThan(near[2]!);
});
