import { describe, expect, test } from "vitest";
import type { Column } from "../../api/contract";
import { complete, faultAt, quoteField, tokens, wanted } from "./where";

const columns: Column[] = [
  { name: "params.optimizer", kind: "text", runs: 3, some: ["adam", "sgd"] },
  { name: "summary.val.accuracy", kind: "number", runs: 3, some: [] },
  { name: "summary.val loss", kind: "number", runs: 3, some: [] },
  { name: "params.nesterov", kind: "bool", runs: 3, some: [] },
];
// | is where the cursor stands.
const ask = (text: string) => {
  const cursor = text.indexOf("|");
  return complete(text.replace("|", ""), cursor, columns);
};
const texts = (text: string) => ask(text).proposals.map((p) => p.text);
const first = (text: string) => {
  const c = ask(text);
  const plain = text.replace("|", "");
  return plain.slice(0, c.from) + c.proposals[0]!.insert + plain.slice(c.to);
};

describe("completion", () => {
  test("begins with fields", () => expect(texts("|")).toContain("params.optimizer"));
  test("finds a field by a part of its name", () => expect(first("accu|")).toBe("summary.val.accuracy "));
  test("quotes a field that needs it", () => expect(first("summary.val|")).toContain("summary.val.accuracy"));
  test("offers what suits a number", () => expect(texts("summary.val.accuracy |")[0]).toBe(">"));
  test("offers what suits a text", () => expect(texts("params.optimizer |")).toContain("in ("));
  test("offers the values of a column", () => expect(texts("params.optimizer = |")).toEqual(["adam", "sgd"]));
  test("quotes a value", () => expect(first("params.optimizer = ad|")).toBe('params.optimizer = "adam" '));
  test("completes a value within quotes", () => expect(first('params.optimizer = "sg|')).toBe('params.optimizer = "sgd" '));
  test("offers true and false", () => expect(texts("params.nesterov = |")).toEqual(["true", "false"]));
  test("goes on with and, or", () => expect(texts('params.optimizer = "adam" |')).toEqual(["and", "or"]));
  test("offers values in a list, then a comma", () => {
    expect(texts("params.optimizer in (|")).toEqual(["adam", "sgd"]);
    expect(texts('params.optimizer in ("adam" |')).toEqual([",", ")"]);
    expect(texts('params.optimizer in ("adam", |')).toEqual(["adam", "sgd"]);
  });
  test("the and of between is no and of conditions", () => expect(wanted(tokens("duration between 1 and")).what).toBe("value"));
  test("after between comes and", () => expect(texts("duration between 1 and 2 |")).toEqual(["and", "or"]));
  test("after and comes a field", () => expect(texts('state = "failed" and par|')).toContain("params.optimizer"));
  test("is null ends a condition", () => expect(texts("params.optimizer is null |")).toEqual(["and", "or"]));
  test("a state has its words", () => expect(texts("state = f|")).toEqual(["finished", "failed"]));
  test("not and brackets change nothing", () => expect(wanted(tokens("not (")).what).toBe("field"));
  test("keeps what comes after the cursor", () => expect(first('optim| = "sgd"')).toBe('params.optimizer = "sgd"'));
});

describe("tokens", () => {
  test("quotes are written twice", () => expect(tokens(`a = "x""y"`).map((t) => t.raw)).toEqual(["a", "=", `"x""y"`]));
  test("an open text is open", () => expect(tokens(`a = "x`).at(-1)).toMatchObject({ kind: "text", open: true }));
  test("a field partly in backquotes is one", () => expect(tokens("summary.`val loss` >= -1.5e3").map((t) => [t.kind, t.raw])).toEqual([["field", "summary.`val loss`"], ["sign", ">="], ["number", "-1.5e3"]]));
  test("signs of two letters", () => expect(tokens("a<>1 b!=2").map((t) => t.raw)).toEqual(["a", "<>", "1", "b", "!=", "2"]));
});

test("fields that the grammar would not read are quoted", () => {
  expect([quoteField("params.lr"), quoteField("summary.val loss"), quoteField("between")]).toEqual(["params.lr", "`summary.val loss`", "`between`"]);
});

test("the place of a fault", () => {
  const text = "params.x = = 3";
  expect(faultAt("condition:1:12: want a value: params.x = = <-- here", text)).toEqual({ start: 11, end: 12 });
  expect(faultAt("condition: line 1, column 12: want a value: params.x = = <-- here: a value is a number", text)).toEqual({ start: 11, end: 12 });
  expect(faultAt("want a value: params.x = = <-- here", text)).toEqual({ start: 11, end: 12 });
  expect(faultAt("no", text)).toBeUndefined();
});
