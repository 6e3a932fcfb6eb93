import { expect, test } from "vitest";
import { groupId, groupLabel, groupWhere } from "./groups";

const by = { "params.optimizer": 'a"b', "params.x": null, "params.val loss": 3 };
const fields = Object.keys(by);

test("the runs of a group are chosen by a condition", () => {
  expect(groupWhere(by, fields, "")).toBe('params.optimizer = "a""b" and params.x is null and `params.val loss` = 3');
  expect(groupWhere({ "params.b": true }, ["params.b"], "a = 1 or b = 2")).toBe("(a = 1 or b = 2) and params.b = true");
});

test("groups are told apart by their values and their kinds", () => {
  expect(groupId({ a: 1 }, ["a"])).not.toBe(groupId({ a: "1" }, ["a"]));
  expect(groupLabel(by, fields, "en")).toBe('optimizer a"b, x –, val loss 3');
});
