// The shapes that the server speaks, as the API's own types say. Moments are
// RFC 3339 texts or null.

import type { components } from "./types";

type Schemas = components["schemas"];

export type ItemKey = Schemas["ItemKey"];
export type ItemsPage = Omit<Schemas["ItemsPage"], "items"> & { items: Schemas["Item"][] };

/** A number with what JSON lacks: NaN is null. */
export type Num = number | null | "Infinity" | "-Infinity";

/** Any value of params, summary or metadata. */
export type Value = string | number | boolean | null | Value[] | { [key: string]: Value };
export type Fields = { [key: string]: Value };

export type Moment = string | null;
export type RunState = "pending" | "running" | "finished" | "failed" | "killed" | "crashed";
export type Role = "viewer" | "editor" | "admin";

export interface Session {
  user: { name: string; admin: boolean } | null;
  /** No sign-in is needed. */
  open: boolean;
  workspaces: { name: string; role: Role }[];
  version: string;
  language: string;
}

export interface Project {
  name: string;
  runs: number;
  running: number;
  artifacts: number;
  updated: Moment;
}

export interface RunsRequest {
  project?: string;
  where?: string;
  sort?: string[];
  limit?: number;
  offset?: number;
  columns?: string[];
  deleted?: boolean;
}

export interface RunsPage {
  runs: RunRow[];
  total: number;
}

export interface RunRow {
  id: string;
  name: string;
  project: string;
  stage: string;
  experiment: string;
  group: string;
  state: RunState;
  tags: string[] | null;
  created: Moment;
  started: Moment;
  finished: Moment;
  /** Seconds; null while it waits. */
  duration: number | null;
  host: string;
  error: string;
  deleted?: Moment;
  values: Fields;
}

export interface Column {
  name: string;
  kind: "number" | "text" | "bool" | "mixed";
  /** How many runs have it. */
  runs: number;
  /** Some values of a text column. */
  some: string[] | null;
}

export interface GroupsRequest {
  project?: string;
  where?: string;
  by: string[];
  metrics?: string[];
  limit?: number;
}

export interface RunGroup {
  by: Fields;
  runs: number;
  ids: string[];
  metrics: Record<string, Average>;
}

export interface Average {
  n: number;
  mean: Num;
  sd: number | null;
  low: number | null;
  high: number | null;
  min: Num;
  max: Num;
}

export interface Environment {
  host?: string;
  os?: string;
  arch?: string;
  [key: string]: Value | undefined;
}

export interface FileEntry {
  path: string;
  digest: string;
  size: number;
  [key: string]: Value | undefined;
}

export interface VersionName {
  /** Such as wine-raw:v0. */
  name: string;
  project: string;
  type: string;
  digest: string;
  kind: "used" | "made" | "same";
}

export interface RunDetail {
  id: string;
  name: string;
  project: string;
  stage: string;
  experiment: string;
  group: string;
  state: RunState;
  tags: string[] | null;
  notes: string;
  params: Fields | null;
  summary: Fields | null;
  environment: Fields | null;
  created: Moment;
  started: Moment;
  finished: Moment;
  error: string;
  host?: string;
  deleted?: Moment;
  /** When a user asked it to stop. */
  stopping?: Moment;
  metrics: string[] | null;
  files: FileEntry[] | null;
  used: VersionName[] | null;
  made: VersionName[] | null;
  /** The trained model that it made, project/name:v0; "" if none. */
  model: string;
}

export interface RunChange {
  name?: string;
  notes?: string;
  tags?: string[];
}

/** A name under which runs recorded points. */
export interface Metric {
  key: string;
  /** Of the runs asked for, how many recorded it. */
  runs: number;
}

export interface SeriesId {
  run: string;
  key: string;
}

export interface SeriesRequest {
  series: SeriesId[];
  pixels?: number;
  from?: number;
  to?: number;
}

export interface Series {
  run: string;
  key: string;
  steps: number[];
  values: Num[];
  /** Seconds since 1970. */
  times: number[];
  /** Nothing was thinned away. */
  whole: boolean;
  /** All points of the run up to this number are here. */
  cursor: number;
}

export interface ConsoleLine {
  number: number;
  time: string;
  text: string;
  [key: string]: Value | undefined;
}

export interface ConsolePage {
  lines: ConsoleLine[];
  next: number;
}

export interface LivePoint {
  key: string;
  step: number;
  value: Num;
  /** Seconds since 1970. */
  time: number;
}

export interface Score {
  value: number;
  low: number | null;
  high: number | null;
  n: number;
  right?: number | null;
}
