import { expect, test } from "vitest";
import { alarmOf, barsOf, byStep, filesOf, kindOf, picturesOf, sheetOf } from "./recorded";

test("kinds", () => {
  expect(["image-file", "images/separated", "histogram", "table-file", "text", "object", "html-file", "audio-file"].map(kindOf)).toEqual(["image", "image", "histogram", "table", "text", "value", "file", "file"]);
});

test("one picture, or several with their captions", () => {
  expect(picturesOf({ _type: "image-file", path: "media/a.png", width: 8, height: "x", caption: "a" })).toEqual([{ path: "media/a.png", caption: "a", width: 8, height: undefined }]);
  expect(picturesOf({ _type: "images/separated", filenames: ["a", 7, "b"], captions: ["x"] }).map((p) => [p.path, p.caption])).toEqual([["a", "x"], ["b", ""]]);
  for (const odd of [null, 1, "x", [], {}, { path: 3 }, { filenames: "a" }]) expect(picturesOf(odd)).toEqual([]);
});

test("a histogram has its edges, or how to find them", () => {
  expect(barsOf({ bins: [0, 1, 3], values: [2, 5] })).toEqual([{ from: 0, to: 1, n: 2 }, { from: 1, to: 3, n: 5 }]);
  expect(barsOf({ packedBins: { min: -1, size: 0.5, count: 2 }, values: [1, 2] })).toEqual([{ from: -1, to: -0.5, n: 1 }, { from: -0.5, to: 0, n: 2 }]);
  for (const odd of [null, {}, { bins: [0, 1], values: [1, 2] }, { bins: [0, "NaN"], values: [1] }, { bins: [0, 1], values: [-1] }, { packedBins: { min: 0, size: 1, count: 9 }, values: [1] }, { packedBins: 3, values: [1] }]) {
    expect(barsOf(odd)).toBeUndefined();
  }
});

test("a table file", () => {
  expect(sheetOf({ columns: ["a", 1], data: [[1], [2, 3, 4], "x"] })).toEqual({ columns: ["a", "1"], rows: [[1, undefined], [2, 3]] });
  for (const odd of [null, [], {}, { columns: ["a"] }, { columns: "a", data: [] }]) expect(sheetOf(odd)).toBeUndefined();
});

test("files, alerts, steps", () => {
  expect(filesOf({ path: "a", filenames: ["b", "a"], masks: { path: "c" }, x: 1 })).toEqual(["a", "b", "c"]);
  expect(alarmOf({ title: "t", text: "x", level: "WARN" })).toEqual({ title: "t", text: "x", level: "warn" });
  expect(alarmOf("plain")).toEqual({ title: "", text: "plain", level: "info" });
  expect(byStep([{ step: 2, n: 1 }, { step: 0, n: 2 }, { step: 2, n: 3 }])).toEqual([{ step: 0, items: [{ step: 0, n: 2 }] }, { step: 2, items: [{ step: 2, n: 1 }, { step: 2, n: 3 }] }]);
});
