import { app } from "./en/app";
import { artifacts } from "./en/artifacts";
import { audit } from "./en/audit";
import { chart } from "./en/chart";
import { compare } from "./en/compare";
import { lineage } from "./en/lineage";
import { lines } from "./en/lines";
import { media } from "./en/media";
import { projects } from "./en/projects";
import { run } from "./en/run";
import { runs } from "./en/runs";
import { signin } from "./en/signin";
import { sweeps } from "./en/sweeps";

// Every text of the dashboard, a file for each area of it. {name} is filled in;
// a value with "one" and "other" is chosen by its {n}.
export const en = { ...app, ...projects, ...runs, ...chart, ...lines, ...media, ...run, ...compare, ...artifacts, ...lineage, ...audit, ...signin, ...sweeps };

export type Key = keyof typeof en;
