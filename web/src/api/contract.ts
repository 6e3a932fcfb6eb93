// The shapes that the server speaks: the types that are made from its own, under
// the names that the pages use. Moments are RFC 3339 texts or null.

import type { components } from "./types";

type Schemas = components["schemas"];

export type ItemKey = Schemas["ItemKey"];
export type ItemsPage = Schemas["ItemsPage"];

/** A number with what JSON lacks: NaN is null. */
export type Num = number | null | "Infinity" | "-Infinity";

/** Any value of params, summary or metadata. */
export type Value = unknown;
export type Fields = RunRow["values"];

export type Moment = string | null;
export type RunState = RunRow["state"];
export type Role = Schemas["Workspace"]["role"];

export type Session = Schemas["Session"];

export type Project = Schemas["Project"];

export type RunsRequest = Schemas["RunsRequest"];

export type RunsPage = Schemas["RunsPage"];

export type RunRow = Schemas["RunRow"];

export type Column = Schemas["Column"];

export type GroupsRequest = Schemas["GroupsRequest"];

export type RunGroup = Schemas["Group"];

export type Average = Schemas["Average"];

export interface Environment {
  host?: string;
  os?: string;
  arch?: string;
  [key: string]: Value | undefined;
}

export type FileEntry = Schemas["Entry"];

export type VersionName = Schemas["VersionName"];

export type RunDetail = Schemas["RunDetail"];

export type RunChange = Schemas["RunChange"];

/** A name under which runs recorded points. */
export type Metric = Schemas["Metric"];

export type SeriesId = Schemas["SeriesID"];

export type SeriesRequest = Schemas["SeriesRequest"];

export type Series = Schemas["Series"];

export type ConsoleLine = Schemas["Line"];

export type ConsolePage = Schemas["Console"];

export type LivePoint = Schemas["EventPoint"];

export type Score = Schemas["Score"];

export type Sweep = Schemas["Sweep"];
export type SweepDetail = Schemas["SweepDetail"];
export type Trial = Schemas["Trial"];

export type LineageNode = Schemas["LineageNode"];
export type LineageEdge = Schemas["LineageEdge"];
