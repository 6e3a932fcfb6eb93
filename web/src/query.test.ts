import { expect, test } from "vitest";
import { addressOf, placeOf } from "./api/place";
import { parseQuery, writeQuery } from "./query";

test("the workspace is in the address", () => {
  expect(placeOf("/p/wine")).toEqual({ workspace: "default", base: "" });
  expect(placeOf("/w/team%20a/p/wine")).toEqual({ workspace: "team a", base: "/w/team%20a" });
  expect(placeOf("/wine/x")).toEqual({ workspace: "default", base: "" });
});

test("a query holds texts, and nothing that is empty", () => {
  expect(writeQuery({ where: 'a = "b c" and d > 1', runs: "x,y", none: "", no: undefined })).toBe("?where=a+%3D+%22b+c%22+and+d+%3E+1&runs=x,y");
  expect(parseQuery("?where=a+%3D+%22b+c%22&runs=x,y&runs=z")).toEqual({ where: 'a = "b c"', runs: "x,y" });
  expect(parseQuery(writeQuery({ a: "true", n: "1" }))).toEqual({ a: "true", n: "1" });
});

test("a workspace has an address, and the address the workspace", () => {
  for (const name of ["default", "vision", "team a"]) expect(placeOf(addressOf(name)).workspace).toBe(name);
});
