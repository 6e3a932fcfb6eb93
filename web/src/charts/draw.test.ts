import { expect, test } from "vitest";
import { at, axis, extent, extentX, lowerBound, nearest, surround, SvgPath, trace, type Stroke } from "./draw";

class Points implements Stroke {
  readonly moves: [number, number][] = [];
  readonly all: [number, number][] = [];
  moveTo(x: number, y: number) {
    this.moves.push([x, y]);
    this.all.push([x, y]);
  }
  lineTo(x: number, y: number) {
    this.all.push([x, y]);
  }
}

test("an axis puts its ends where they belong", () => {
  const linear = axis(10, 20, 0, 100, false);
  expect([at(linear, 10), at(linear, 15), at(linear, 20)]).toEqual([0, 50, 100]);
  const log = axis(1, 100, 0, 100, true);
  expect(at(log, 10)).toBeCloseTo(50, 10);
});

test("few points are drawn as they are, with gaps", () => {
  const p = new Points();
  trace(p, [0, 1, 2, 3], [1, NaN, 2, 3], axis(0, 3, 0, 300, false), axis(0, 3, 300, 0, false));
  expect(p.all).toEqual([[0, 200], [200, 100], [300, 0]]);
  expect(p.moves).toHaveLength(2);
});

test("many points keep each spike with at most four points a pixel", () => {
  const n = 100_000;
  const xs = Float64Array.from({ length: n }, (_, i) => i);
  const ys = Float64Array.from({ length: n }, (_, i) => Math.sin(i / 5000));
  ys[77_777] = 9;
  ys[33_333] = -9;
  const p = new Points();
  trace(p, xs, ys, axis(0, n, 0, 500, false), axis(-10, 10, 200, 0, false));
  expect(p.all.length).toBeLessThanOrEqual(4 * 501);
  expect(Math.min(...p.all.map(([, y]) => y))).toBeCloseTo(10, 6);
  expect(Math.max(...p.all.map(([, y]) => y))).toBeCloseTo(190, 6);
  expect(p.moves).toHaveLength(1);
});

test("what a logarithm lacks is a gap", () => {
  const p = new Points();
  trace(p, [1, 2, 3], [1, -1, 10], axis(1, 3, 0, 100, false), axis(1, 10, 100, 0, true));
  expect(p.all.flat().map(Math.round).map(Math.abs)).toEqual([0, 100, 100, 0]);
});

test("a band is walked round, each part of it", () => {
  const p = new SvgPath();
  surround(p, [0, 1, 2], [0, NaN, 0], [1, 1, 1], axis(0, 2, 0, 2, false), axis(0, 1, 1, 0, false));
  expect(String(p)).toBe("M0.0 0.0L0.0 1.0ZM2.0 0.0L2.0 1.0Z");
});

test("places in ascending numbers", () => {
  expect([nearest([], 1), nearest([5], 1), nearest([1, 2, 4], 2.9), nearest([1, 2, 4], 3.1)]).toEqual([-1, 0, 1, 2]);
  expect([lowerBound([1, 2, 2, 3], 2), lowerBound([1], 9)]).toEqual([1, 1]);
});

test("extents pass over what is no number", () => {
  expect(extent([{ xs: [0, 1, 2], ys: [NaN, 4, Infinity] }], false)).toEqual([4, 4]);
  expect(extent([{ xs: [0], ys: [-1] }], true)).toBeUndefined();
  expect(extent([{ xs: [0, 1, 2, 3, 4], ys: [9, 1, 2, 3, 9] }], false, { from: 1.5, to: 2.5 })).toEqual([1, 3]);
  expect(extentX([{ xs: [0, 5], ys: [1, 1] }, { xs: [-3], ys: [1] }], true)).toEqual([5, 5]);
});
