import { expect, test } from "vitest";
import { translator } from ".";

test("plural follows the language", () => {
  expect(translator("en")("time.days", { n: 1 })).toBe("1 day ago");
  expect(translator("es")("time.days", { n: 3 })).toBe("hace 3 días");
});

test("an unknown value stays visible", () => {
  expect(translator("en")("time.days", {})).toContain("{n}");
});
