import { expect, test } from "vitest";
import { find, fold, wayToSources, type Graph } from "./graph";

// load → raw → prep → data → train → model, and 20 more trainings of data.
function wine(fan = 20): Graph {
  const g: Graph = {
    nodes: [
      { id: "model:v0", kind: "version", name: "model:v0", type: "model" },
      { id: "train", kind: "run", name: "train exp003", stage: "train" },
      { id: "data:v0", kind: "version", name: "data:v0", type: "dataset" },
      { id: "prep", kind: "run", name: "preprocess", stage: "preprocess" },
      { id: "raw:v0", kind: "version", name: "raw:v0", type: "dataset" },
      { id: "load", kind: "run", name: "load", stage: "load" },
    ],
    edges: [
      { from: "train", to: "model:v0", kind: "made" },
      { from: "data:v0", to: "train", kind: "used" },
      { from: "prep", to: "data:v0", kind: "made" },
      { from: "raw:v0", to: "prep", kind: "used" },
      { from: "load", to: "raw:v0", kind: "made" },
    ],
  };
  for (let i = 0; i < fan; i++) {
    g.nodes.push({ id: `t${i}`, kind: "run", name: `train ${i}`, stage: "train" }, { id: `m${i}:v0`, kind: "version", name: `m${i}:v0`, type: "model" });
    g.edges.push({ from: "data:v0", to: `t${i}`, kind: "used" }, { from: `t${i}`, to: `m${i}:v0`, kind: "made" });
  }
  return g;
}

test("the way to the sources goes through every step, and to the raw data only", () => {
  const way = wayToSources(wine());
  expect(way.sources).toEqual(["raw:v0"]);
  expect([...way.nodes].sort()).toEqual(["data:v0", "model:v0", "prep", "raw:v0", "train"]);
});

test("a heap is folded with what hangs on it, and what is to be kept is not", () => {
  const g = wine();
  const shown = fold(g, new Set(["train"]), new Set());
  expect(shown.folds).toHaveLength(1);
  expect(shown.folds[0]!.members).toHaveLength(20);
  expect(shown.nodes.map((n) => n.id).sort()).toEqual(["data:v0", "load", "model:v0", "prep", "raw:v0", "train"]);
  expect(shown.edges.at(-1)).toEqual({ from: "data:v0", to: shown.folds[0]!.id, kind: "fold" });
});

test("an opened fold shows everything", () => {
  const g = wine();
  const id = fold(g, new Set(), new Set()).folds[0]!.id;
  expect(fold(g, new Set(), new Set([id])).nodes).toHaveLength(g.nodes.length);
});

test("few of a kind are not folded", () => {
  expect(fold(wine(8), new Set(), new Set()).folds).toEqual([]);
});

test("words are found in names, stages and types", () => {
  const g = wine(2);
  expect(find(g.nodes, "exp003 train")).toEqual(["train"]);
  expect(find(g.nodes, "  ")).toEqual([]);
});
