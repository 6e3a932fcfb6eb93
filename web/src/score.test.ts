import { describe, expect, test } from "vitest";
import { translator } from "./i18n";
import { flat, partsOf, resultText, sharePercent, type Result } from "./score";

const en = translator("en");
const result = (r: Partial<Result>): Result => ({ key: "accuracy", value: 1, low: null, high: null, n: null, ...r });

describe("a result", () => {
  test.each<[Partial<Result>, string]>([
    [{ value: 1, n: 18, low: 0.8241, high: 1 }, "18 of 18 right, 82–100\u00a0%"],
    [{ value: 17 / 18, n: 18, low: 0.7424, high: 0.9901 }, "17 of 18 right, 74–99\u00a0%"],
    [{ value: 0.99951, n: 20000, low: 0.99911, high: 0.99973 }, "19,990 of 20,000 right, 99.91–99.97\u00a0%"],
    [{ key: "loss", value: 0.0220051, n: 18 }, "0.02201"],
    [{ key: "loss", value: 0.0220051, n: 18, low: 0.0041, high: 0.038 }, "0.02201, 0.0041–0.038"],
    [{ key: "recall", value: 1, n: 18, low: 0.8241, high: 1 }, "100\u00a0%, 82–100\u00a0%"],
    [{ key: "note", value: "good" }, "good"],
    [{ key: "loss", value: null }, "–"],
    [{ key: "list", value: [1, 2] }, "[1,2]"],
  ])("%j is %s", (r, want) => expect(resultText(result(r), "en", en)).toBe(want));
  test("in Spanish", () => expect(resultText(result({ n: 18, low: 0.8241, high: 1 }), "es", translator("es"))).toBe("18 de 18 aciertos, 82–100\u00a0%"));
});

test("percent never rounds to what it is not", () => {
  expect([sharePercent(0.9999, 178, "en"), sharePercent(0.0001, 178, "en"), sharePercent(1, 178, "en"), sharePercent(0, 178, "en")]).toEqual(["99", "1", "100", "0"]);
});

describe("parts of a summary", () => {
  const parts = partsOf({
    epochs: 200,
    val: { accuracy: 1, accuracy_low: 0.8, accuracy_high: 1, loss: 0.02, rows: 18 },
    test: { loss: 0.1, accuracy: 0.9, rows: 18 },
    rows: 5,
  });
  test("test before validation, the rest last", () => expect(parts.map((p) => [p.name, p.rows])).toEqual([["test", 18], ["val", 18], ["", null]]));
  test("the interval is told with its value", () => expect(parts[1]!.results.map((r) => r.key)).toEqual(["accuracy", "loss"]));
  test("accuracy first", () => expect(parts[0]!.results[0]!.key).toBe("accuracy"));
  test("rows of the run as a whole", () => expect(parts[2]!.results.map((r) => r.key)).toEqual(["epochs"]));
  test("of nothing", () => expect(partsOf({})).toEqual([]));
});

test("flat opens objects and leaves lists", () => expect(flat({ a: { b: { c: 1 }, d: [1] }, e: {} })).toEqual({ "a.b.c": 1, "a.d": [1], e: {} }));
