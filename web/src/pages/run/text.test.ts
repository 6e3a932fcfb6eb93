import { describe, expect, test } from "vitest";
import { commandLine, diffLines, hits, pieces, visible } from "./text";

describe("visible", () => {
  test.each([
    ["\u001b[31mred\u001b[0m", "^[[31mred^[[0m"],
    ["50 %\r60 %", "50 %^M60 %"],
    ["a\u0000b\u007f", "a^@b^?"],
    ["user\u202eexe.txt", "user⟨U+202E⟩exe.txt"],
    ["tab\tstays, ü and 日本 too", "tab\tstays, ü and 日本 too"],
  ])("%j", (text, want) => expect(visible(text)).toBe(want));
});

describe("a patch", () => {
  const patch = "diff --git a/x b/x\nindex 1..2 100644\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@ func\n same\n--- looks like a head\n+new\n \n\\ No newline at end of file\n";
  test("each line has its kind", () =>
    expect(diffLines(patch).map((l) => l.kind)).toEqual(["file", "note", "file", "file", "hunk", "same", "removed", "added", "same", "note"]));
  test("of nothing", () => expect(diffLines("")).toEqual([{ kind: "note", text: "" }]));
});

test("search finds in either case", () => expect(hits([{ text: "Loss" }, { text: "x" }, { text: "LOSS" }], "loss")).toEqual([0, 2]));
test("pieces mark what was found", () => expect(pieces("aXbxc", "x")).toEqual(["a", "X", "b", "x", "c"]));
test("a letter that grows in lower case marks nothing wrong", () => expect(pieces("İx", "x")).toEqual(["İx"]));
test("a command is quoted where needed", () => expect(commandLine(["go", "run", "a b", "it's"])).toBe("go run 'a b' 'it'\\''s'"));
