// What a lineage is, and what of it is shown. Pure functions.

import type { LineageEdge, LineageNode } from "../../api";

/** A run or a version. */
export type Node = Pick<LineageNode, "id" | "kind" | "name"> & Partial<LineageNode>;

export interface Edge {
  from: string;
  to: string;
  /** An edge of a heap stands for those of its members. */
  kind: LineageEdge["kind"] | "fold";
}

export interface Graph {
  root?: string;
  nodes: Node[];
  edges: Edge[];
}

/** A heap of like nodes that hang on one: shown as one until it is opened. */
export interface Fold {
  id: string;
  on: string; // node that they hang on
  out: boolean; // they lie behind it, else before it
  what: string; // their stage or type
  kind: Node["kind"];
  members: string[];
}

export interface Shown {
  nodes: Node[];
  edges: Edge[];
  folds: Fold[];
}

export const rootOf = (g: Graph): string => g.root ?? g.nodes[0]?.id ?? "";

const what = (n: Node) => (n.kind === "run" ? (n.stage ?? "") : (n.type ?? ""));

function neighbours(g: Graph): { out: Map<string, string[]>; in: Map<string, string[]> } {
  const out = new Map<string, string[]>();
  const into = new Map<string, string[]>();
  const add = (m: Map<string, string[]>, k: string, v: string) => {
    const list = m.get(k);
    if (list) list.push(v);
    else m.set(k, [v]);
  };
  for (const e of g.edges) {
    add(out, e.from, e.to);
    add(into, e.to, e.from);
  }
  return { out, in: into };
}

/**
 * The nodes from a version up to the first versions that nothing was made
 * from: data as it came in. Shortest ways only, or it would be everything.
 */
export function wayToSources(g: Graph): { nodes: Set<string>; sources: string[] } {
  const above = neighbours(g).in;
  const byId = new Map(g.nodes.map((n) => [n.id, n]));
  const root = rootOf(g);
  const came = new Map<string, string>([[root, ""]]);
  const sources: string[] = [];
  for (let todo = [root]; todo.length > 0; ) {
    const next: string[] = [];
    for (const id of todo) {
      const makers = above.get(id) ?? [];
      const raw = byId.get(id)?.kind === "version" && makers.every((m) => (above.get(m) ?? []).length === 0);
      if (raw && id !== root) sources.push(id);
      for (const m of makers) {
        if (came.has(m)) continue;
        came.set(m, id);
        next.push(m);
      }
    }
    todo = next;
  }
  const nodes = new Set<string>();
  for (const s of sources) for (let id = s; id !== ""; id = came.get(id) ?? "") nodes.add(id);
  return { nodes, sources };
}

/**
 * Folds heaps: more than `most` nodes of one kind that hang on the same node,
 * on the side away from the root, become one. What can be reached only
 * through them goes with them. Nodes in `keep` and folds in `open` stay.
 */
export function fold(g: Graph, keep: ReadonlySet<string>, open: ReadonlySet<string>, most = 8): Shown {
  const root = rootOf(g);
  const { out, in: into } = neighbours(g);
  const byId = new Map(g.nodes.map((n) => [n.id, n]));
  const near = (id: string) => [...(out.get(id) ?? []), ...(into.get(id) ?? [])];
  const distance = new Map<string, number>([[root, 0]]);
  for (let todo = [root]; todo.length > 0; ) {
    const next: string[] = [];
    for (const id of todo)
      for (const n of near(id))
        if (!distance.has(n)) {
          distance.set(n, distance.get(id)! + 1);
          next.push(n);
        }
    todo = next;
  }
  const folded = new Set<string>();
  const folds: Fold[] = [];
  for (const node of g.nodes) {
    for (const way of [true, false]) {
      const heaps = new Map<string, Node[]>();
      for (const id of (way ? out : into).get(node.id) ?? []) {
        const n = byId.get(id);
        if (!n || keep.has(id) || id === root || folded.has(id) || (distance.get(id) ?? 0) <= (distance.get(node.id) ?? 0)) continue;
        const key = n.kind + " " + what(n);
        heaps.set(key, [...(heaps.get(key) ?? []), n]);
      }
      for (const [key, members] of heaps) {
        const id = `fold ${way ? "out" : "in"} ${node.id} ${key}`;
        if (members.length <= most || open.has(id)) continue;
        for (const m of members) folded.add(m.id);
        folds.push({ id, on: node.id, out: way, what: what(members[0]!), kind: members[0]!.kind, members: members.map((m) => m.id) });
      }
    }
  }
  const seen = new Set<string>([root]);
  for (const todo = [root]; todo.length > 0; )
    for (const n of near(todo.pop()!))
      if (!seen.has(n) && !folded.has(n)) {
        seen.add(n);
        todo.push(n);
      }
  const kept = folds.filter((f) => seen.has(f.on));
  return {
    nodes: g.nodes.filter((n) => seen.has(n.id)),
    edges: g.edges
      .filter((e) => seen.has(e.from) && seen.has(e.to))
      .concat(kept.map((f) => (f.out ? { from: f.on, to: f.id, kind: "fold" } : { from: f.id, to: f.on, kind: "fold" }))),
    folds: kept,
  };
}

/** Nodes whose name, stage, type or identifier has every word. */
export function find(nodes: Node[], text: string): string[] {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return [];
  return nodes.filter((n) => words.every((w) => [n.id, n.name, what(n), n.state ?? "", n.experiment ?? ""].join(" ").toLowerCase().includes(w))).map((n) => n.id);
}
