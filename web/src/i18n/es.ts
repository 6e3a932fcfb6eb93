import type { en } from "./en";
import { app } from "./es/app";
import { artifacts } from "./es/artifacts";
import { audit } from "./es/audit";
import { chart } from "./es/chart";
import { compare } from "./es/compare";
import { lineage } from "./es/lineage";
import { lines } from "./es/lines";
import { media } from "./es/media";
import { projects } from "./es/projects";
import { run } from "./es/run";
import { runs } from "./es/runs";
import { signin } from "./es/signin";
import { sweeps } from "./es/sweeps";
import type { Same } from "./texts";

export const es: Same<typeof en> = { ...app, ...projects, ...runs, ...chart, ...lines, ...media, ...run, ...compare, ...artifacts, ...lineage, ...audit, ...signin, ...sweeps };
