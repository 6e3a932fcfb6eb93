import { queryOptions, type QueryClient } from "@tanstack/react-query";
import { ask, href, ws } from "../../api";

// What the server tells of artifacts, and how it is asked.

export type Fields = Record<string, unknown>;

export interface Artifact {
  project: string;
  name: string;
  type: string;
  newest: number; // -1: every version is deleted
  created: string | null;
  updated: string | null;
}

export interface FileEntry {
  path: string;
  digest: string;
  size: number;
  ref?: string;
}

export interface Version {
  project: string;
  name: string;
  number: number;
  type: string;
  digest: string;
  size: number;
  metadata: Fields;
  files: FileEntry[] | null;
  aliases: string[];
  run: string;
  created: string | null;
  tags: string[];
  description: string;
  expires: string | null;
  deleted?: string | null;
}

export interface VersionRow extends Version {
  signed: "signed" | "unsigned";
  used_by: number;
}

export interface ArtifactRow extends Artifact {
  versions: number; // that are not deleted
  size: number; // bytes of the newest
  version: VersionRow | null; // the newest that is not deleted
}

export interface ArtifactDetail {
  artifact: Artifact;
  versions: VersionRow[]; // deleted ones too
}

export interface VersionDetail extends Version {
  signed: string; // key, "" if unsigned
  used_by: string[];
}

export interface Histogram {
  edges: number[];
  counts: number[];
}

export interface PreviewColumn {
  name: string;
  type: "number" | "category" | "boolean" | "date";
  missing: number;
  unique: number;
  mean: number | null;
  sd: number | null;
  histogram?: Histogram | null; // of numbers and dates (seconds since 1970)
  top: { value: string; count: number }[]; // the most frequent first
}

export interface Tensor {
  name: string;
  type: string;
  shape: number[];
  count: number;
  strange: number; // values that are NaN or infinite; the rest is of the others
  mean: number | null;
  sd: number | null;
  min: number | null;
  max: number | null;
  histogram?: Histogram | null;
}

/** What is in a file. Fields that are not of its kind are empty. */
export interface Preview {
  kind: "table" | "json" | "text" | "tensors" | "binary";
  size: number;
  large: boolean; // too large to be shown, or to be shown whole
  columns: PreviewColumn[];
  rows: unknown[][];
  numbers: number[]; // of the rows, in the source
  total: number;
  value: unknown;
  text: string;
  cut: boolean;
  tensors: Tensor[];
}

export interface Resource {
  name?: string;
  uri?: string;
  digest: Record<string, string>;
  annotations?: Fields;
}

export interface Statement {
  subject: Resource[];
  predicate: {
    buildDefinition: {
      buildType: string;
      externalParameters: Fields;
      internalParameters?: Fields;
      resolvedDependencies?: Resource[];
    };
    runDetails: {
      builder: { id: string; version?: Record<string, string> };
      metadata: { invocationId: string; startedOn?: string | null };
    };
  };
}

export interface Provenance {
  envelope: unknown; // null: there is none
  statement: Statement | null;
  key: string;
  valid: boolean;
  problems: string[]; // why it is not valid
}

export interface Problem {
  ref: string;
  path: string;
  problem: string;
  detail: string;
}

export interface Verification {
  ok: boolean;
  versions: number;
  blobs: number;
  bytes: number;
  problems: Problem[];
  deleted: number;
  references: number;
  keys: { id: string; owner: string; versions: number }[];
}

export interface RowChange {
  kind: "added" | "removed" | "changed" | "relabelled" | "moved";
  before: number;
  after: number;
  from: string;
  to: string;
  cells: { column: string; before: string; after: string }[];
}

export interface RowsDiff {
  before: number;
  after: number;
  columns_added: string[];
  columns_removed: string[];
  columns_changed: { name: string; before: string; after: string }[];
  added: number;
  removed: number;
  changed: number;
  relabelled: number;
  moved: number;
  renumbered: number;
  unchanged: number;
  columns: { name: string; rows: number }[];
  rows: RowChange[];
}

export interface Change {
  key: string;
  before: string;
  after: string;
}

export interface VersionDiff {
  before: string;
  after: string;
  same: boolean;
  rows: RowsDiff | null;
  files: { path: string; change: "added" | "removed" | "changed"; before: string | null; after: string | null; first_difference: unknown }[];
  metadata: Change[];
  recipe: Change[];
}

const segments = (file: string) => file.split("/");

/** "v3" or an alias, as addresses have it, of a number. */
export const tag = (n: number) => `v${n}`;

export const artifactsOf = (project: string) =>
  queryOptions({
    queryKey: ["artifacts", project],
    queryFn: ({ signal }) => ask<ArtifactRow[]>("GET", ws(["artifacts"], { project }), undefined, signal),
  });

export const artifactOf = (project: string, name: string) =>
  queryOptions({
    queryKey: ["artifact", project, name],
    queryFn: ({ signal }) => ask<ArtifactDetail>("GET", ws(["artifacts", project, name]), undefined, signal),
  });

export const versionOf = (project: string, name: string, version: string) =>
  queryOptions({
    queryKey: ["version", project, name, version],
    queryFn: ({ signal }) => ask<VersionDetail>("GET", ws(["artifacts", project, name, version]), undefined, signal),
  });

export const previewOf = (v: { project: string; name: string; number: number }, file: string, rows: number, offset: number) =>
  queryOptions({
    queryKey: ["preview", v.project, v.name, v.number, file, rows, offset],
    // What a version holds never changes.
    staleTime: Infinity,
    queryFn: ({ signal }) =>
      ask<Preview>("GET", ws(["artifacts", v.project, v.name, tag(v.number), "preview", ...segments(file)], { rows, offset }), undefined, signal),
  });

export const provenanceOf = (v: { project: string; name: string; number: number }) =>
  queryOptions({
    queryKey: ["provenance", v.project, v.name, v.number],
    queryFn: ({ signal }) => ask<Provenance>("GET", ws(["artifacts", v.project, v.name, tag(v.number), "provenance"]), undefined, signal),
  });

export const diffOf = (a: string, b: string) =>
  queryOptions({
    queryKey: ["diff", a, b],
    queryFn: ({ signal }) => ask<VersionDiff>("GET", ws(["diff"], { a, b }), undefined, signal),
  });

export const downloadOf = (v: { project: string; name: string; number: number }, file: string) =>
  href(ws(["artifacts", v.project, v.name, tag(v.number), "files", ...segments(file)]));

/** What changes versions. Each resolves when the server has done it. */
export const act = {
  amend: (v: Version, change: { tags?: string[]; description?: string; expires?: string | null }) =>
    ask<unknown>("PATCH", ws(["artifacts", v.project, v.name, tag(v.number)]), change),
  setAlias: (v: Version, alias: string) => ask<unknown>("PUT", ws(["artifacts", v.project, v.name, tag(v.number), "aliases", alias])),
  dropAlias: (v: Version, alias: string) => ask<unknown>("DELETE", ws(["artifacts", v.project, v.name, tag(v.number), "aliases", alias])),
  remove: (v: Version, force: boolean) => ask<unknown>("DELETE", ws(["artifacts", v.project, v.name, tag(v.number)], { force })),
  restore: (v: Version) => ask<unknown>("POST", ws(["artifacts", v.project, v.name, tag(v.number), "restore"])),
  verify: (v: Version) => ask<Verification>("POST", ws(["artifacts", v.project, v.name, tag(v.number), "verify"])),
};

/** After a change of versions: everything that shows them is asked again. */
export function refresh(queries: QueryClient): Promise<void> {
  const shows = new Set(["artifacts", "artifact", "version", "audit", "lineage"]);
  return queries.invalidateQueries({ predicate: (q) => shows.has(String(q.queryKey[0])) });
}

/** "sha256:1b7d76…" as twelve digits. */
export const short = (digest: string) => digest.replace(/^sha256:/, "").slice(0, 12);
