import { queryOptions, type QueryClient } from "@tanstack/react-query";
import { ask, href, ws } from "../../api";
import type { components } from "../../api/types";

type Schemas = components["schemas"];

// What the server tells of artifacts, and how it is asked.

export type Fields = Record<string, unknown>;

export type Artifact = Schemas["Artifact"];

export type FileEntry = Schemas["Entry"];

/** A version, as lists and its own page have it alike. */
export type Version = Omit<VersionRow, "signed" | "used_by">;

export type VersionRow = Schemas["VersionRow"];

export type ArtifactRow = Schemas["ArtifactRow"];

export type ArtifactDetail = Schemas["ArtifactDetail"];

export type VersionDetail = Schemas["VersionDetail"];

export type Histogram = Schemas["Histogram"];

export type PreviewColumn = Schemas["PreviewColumn"];

export type Tensor = Schemas["Tensor"];

/** What is in a file. Fields that are not of its kind are empty. */
export type Preview = Schemas["Preview"];

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

export type Problem = Schemas["Problem"];

export type Verification = Schemas["TrackingVerification"];

export type RowChange = Schemas["TableRowChange"];

export type RowsDiff = Schemas["TableDiff"];

export type Change = Schemas["PipelineChange"];

export type VersionDiff = Schemas["PipelineVersionDiff"];

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
