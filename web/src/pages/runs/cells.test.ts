import { expect, test } from "vitest";
import type { Column, RunRow } from "../../api/contract";
import { translator } from "../../i18n";
import { besides, cellText, distinct, intervalText, shownColumn, usualColumns, valueOf } from "./cells";

const column = (name: string, kind: Column["kind"] = "number", runs = 3): Column => ({ name, kind, runs, some: [] });
const wine = ["summary.best_epoch", "summary.test.accuracy", "summary.test.accuracy_high", "summary.test.accuracy_low", "summary.test.rows", "summary.val.accuracy", "summary.val.loss", "params.optimizer", "params.loss.focal", "params.learning_rate"].map((n) => column(n));

test("how it went comes first, intervals and row counts are no columns", () => {
  const got = usualColumns(wine);
  expect(got.slice(0, 4)).toEqual(["state", "summary.val.accuracy", "summary.test.accuracy", "summary.val.loss"]);
  expect(got.some((n) => /_low|_high|rows/.test(n))).toBe(false);
  expect(got).toContain("params.learning_rate");
});

test("an interval stands beside its score", () => {
  const known = new Set(wine.map((c) => c.name));
  expect(besides("summary.test.accuracy", known)).toEqual({ low: "summary.test.accuracy_low", high: "summary.test.accuracy_high", rows: "summary.test.rows" });
  expect(besides("summary.val.accuracy", known)).toBeUndefined();
  expect(intervalText(0.82412, 1, "en")).toBe("0.824–1");
  expect(intervalText(null, 1, "en")).toBe("");
});

test("numbers are known by their column", () => {
  const known = new Map([column("params.lr"), column("params.opt", "text")].map((c) => [c.name, c]));
  expect([shownColumn("params.lr", known).numeric, shownColumn("params.opt", known).numeric, shownColumn("duration", known).numeric]).toEqual([true, false, true]);
  expect(shownColumn("params.lr", known).title).toBe("lr");
});

test("cells in words", () => {
  const t = translator("es");
  expect(cellText("state", "killed", "es", t, 0)).toBe("detenida");
  expect(cellText("created", "2026-01-01T00:00:00Z", "es", t, Date.parse("2026-01-01T02:00:00Z"))).toBe("hace 2 horas");
  expect(cellText("duration", 75, "es", t, 0)).toBe("1 min 15 s");
  expect(cellText("params.x", null, "es", t, 0)).toBe("");
  expect(cellText("tags", ["a", "b"], "es", t, 0)).toBe("a, b");
});

test("a row has its fields and its values", () => {
  const row = { id: "r", name: "n", state: "running", values: { "params.a": 1 } } as unknown as RunRow;
  expect([valueOf(row, "name"), valueOf(row, "params.a"), valueOf(row, "params.b")]).toEqual(["n", 1, undefined]);
});

test("runs of one name are told apart", () => {
  expect([...distinct([{ id: "x-aaaaaa", name: "train" }, { id: "x-bbbbbb", name: "train" }, { id: "x-cccccc", name: "load" }]).values()]).toEqual(["train aaaaaa", "train bbbbbb", "load"]);
});
