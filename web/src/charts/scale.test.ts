import { describe, expect, test } from "vitest";
import { bandScale, numberScale, ticks } from "./scale";
import { contrast, ink, mix, ramp, textOn } from "./ink";

describe("ticks", () => {
  test.each([
    [0, 1, 5, [0, 0.2, 0.4, 0.6, 0.8, 1]],
    [0.92, 1, 4, [0.92, 0.94, 0.96, 0.98, 1]],
    [-3, 3, 3, [-2, 0, 2]],
    [5, 5, 4, [5]],
  ])("%s to %s", (low, high, about, want) => expect(ticks(low, high, about)).toEqual(want));
  test("are never too many", () => {
    for (const high of [1e-9, 0.3, 7, 99, 1e12]) expect(ticks(0, high, 6).length).toBeLessThanOrEqual(7);
  });
});

describe("numberScale", () => {
  test("goes there and back", () => {
    for (const log of [false, true]) {
      const s = numberScale([0.001, 5, 20], { log, air: 0.05 });
      for (const v of [0.001, 0.5, 20]) expect(s.value(s.at(v))).toBeCloseTo(v, 9);
    }
  });
  test("a log axis has no place for zero and negatives", () => {
    const s = numberScale([-1, 0, 1, 100], { log: true });
    expect(s.domain).toEqual([1, 100]);
    expect([s.at(0), s.at(-1), s.at(10)]).toEqual([NaN, NaN, 0.5]);
  });
  test("decades on a log axis", () => expect(numberScale([1e-4, 1], { log: true }).ticks(5)).toEqual([1e-4, 1e-3, 0.01, 0.1, 1]));
  test("one value, no value, only infinities", () => {
    expect(numberScale([3]).at(3)).toBe(0.5);
    expect(numberScale([]).domain).toEqual([0, 1]);
    expect(numberScale([Infinity, NaN]).domain).toEqual([0, 1]);
  });
});

test("names stand in natural order", () => {
  const s = bandScale(["exp10", "exp2", "exp2"]);
  expect(s.names).toEqual(["exp2", "exp10"]);
  expect([s.at("exp2"), s.at("exp10"), s.at("?")]).toEqual([0, 1, NaN]);
});

test("texts read on every ground that charts use", () => {
  for (const dark of [false, true]) {
    const p = ink(dark);
    for (const c of [p.text, p.dim, p.right, p.wrong, p.accent]) expect(contrast(c, p.ground)).toBeGreaterThan(4.5);
    for (let s = 0; s <= 1; s += 0.05) {
      for (const full of [p.right, p.wrong]) {
        const cell = mix(p.ground, full, s);
        expect(contrast(textOn(cell), cell)).toBeGreaterThan(4.5);
      }
      // A line needs 2 : 1 at the least to be seen.
      expect(contrast(ramp(s, dark), p.ground)).toBeGreaterThan(2);
    }
  }
});
