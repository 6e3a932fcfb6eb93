import type { projects as en } from "../en/projects";
import type { Same } from "../texts";

export const projects: Same<typeof en> = {
  "projects.runs": { one: "{n} ejecución", other: "{n} ejecuciones" },
};
