import type { runs as en } from "../en/runs";
import type { Same } from "../texts";

export const runs: Same<typeof en> = {
  "runs.title": "Ejecuciones",
};
