import { describe, expect, test } from "vitest";
import { bytes, duration, number, percent, internal } from "./format";

describe("number", () => {
  test.each([
    [0.123456, "0.1235"],
    [1234567, "1,234,567"],
    [0.00001234, "1.234e−5"],
    [1e-8, "1e−8"],
    [Infinity, "∞"],
    [NaN, "NaN"],
    [0, "0"],
    [-2.5, "-2.5"],
  ])("%s is %s", (x, want) => expect(number(x, "en")).toBe(want));
});

test("percent keeps one decimal", () => expect(percent(17 / 18, "en")).toBe("94.4%"));
test("bytes change unit", () => expect([bytes(0, "en"), bytes(1536, "en"), bytes(5 << 20, "en")]).toEqual(["0 B", "1.5 KiB", "5 MiB"]));
test("durations", () => expect([duration(0.214, "en"), duration(75, "en"), duration(7500, "en")]).toEqual(["0.21 s", "1 min 15 s", "2 h 5 min"]));

test("what clients keep for themselves begins with _", () => {
  expect(["_runtime", "summary._step", "params._x"].every(internal)).toBe(true);
  expect(["loss_", "a._b", "summary.val._x", "system/cpu", "summary.loss"].some(internal)).toBe(false);
});
