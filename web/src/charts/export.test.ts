// @vitest-environment jsdom
import { describe, expect, test } from "vitest";
import { csv, fileName, svgText } from "./export";

describe("csv", () => {
  test("quotes what needs it", () => expect(csv({ columns: ["a", 'b "c"'], rows: [["x,y", "l\nm"]] })).toBe('a,"b ""c"""\r\n"x,y","l\nm"\r\n'));
  test("keeps every digit and leaves holes empty", () =>
    expect(csv({ columns: ["n"], rows: [[0.1234567890123], [null], [undefined], [NaN], [-2]] })).toBe("n\r\n0.1234567890123\r\n\r\n\r\nNaN\r\n-2\r\n"));
  test("makes no formula of a text", () => expect(csv({ columns: ["=1+1"], rows: [["@x"]] })).toBe("'=1+1\r\n'@x\r\n"));
});

describe("fileName", () => {
  test.each([
    ["val/loss of run ü", "val-loss-of-run-u.png"],
    ["../../etc", "etc.png"],
    ["…", "chart.png"],
  ])("%s", (name, want) => expect(fileName(name, "png")).toBe(want));
});

test("a drawing stands alone: ground, size, nothing that is for the screen only", () => {
  const host = document.createElement("div");
  host.innerHTML = '<svg viewBox="0 0 30 20" class="x"><g data-screen="1"><text>tip</text></g><text>5 &lt; 6</text></svg>';
  const text = svgText(host.querySelector("svg")!, "#fff");
  expect(text).toContain("5 &lt; 6");
  expect(text).toContain("<rect");
  expect(text).not.toContain("tip");
  expect(text).not.toContain("class=");
});
