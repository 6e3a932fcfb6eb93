import { expect, test } from "vitest";
import { readList, readSettings, readSmoothing, writeList, writeSettings, writeSmoothing } from "./settings";

test("what is usual is not in the address", () => {
  expect(Object.values(writeSettings(readSettings({}), {})).every((v) => v === "")).toBe(true);
});

test.each([
  { x: "metric:train/epoch", smooth: "ema:0.6", log: "xy", sync: "on", band: "ci", find: "loss", pin: "a,b" },
  { x: "relative", smooth: "mean:9", log: "y", sync: "", band: "sd", find: "", pin: "val/loss" },
])("what is read is written again: %o", (q) => expect(writeSettings(readSettings(q), {})).toEqual(q));

test("nonsense in an address is the usual", () => {
  const s = readSettings({ x: "drop table", smooth: "ema:NaN", log: "q", band: "?" });
  expect([s.x, s.logX, s.logY, s.spread]).toEqual(["step", false, false, "range"]);
  expect(s.smoothing).toEqual({ kind: "ema", weight: 0.6 });
  expect(readSmoothing("ema:7")).toEqual({ kind: "ema", weight: 0.999 });
  expect(writeSmoothing(readSmoothing("gauss:3"))).toBe("gauss:3");
});

test("names with commas and backslashes survive", () => {
  const names = ["a,b", "c\\d", "e\\,f", "plain"];
  expect(readList(writeList(names))).toEqual(names);
  expect(readList("")).toEqual([]);
});
