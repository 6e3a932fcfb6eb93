import type { lineage as en } from "../en/lineage";
import type { Same } from "../texts";

export const lineage: Same<typeof en> = {
  "lineage.title": "Linaje",
};
