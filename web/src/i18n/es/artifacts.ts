import type { artifacts as en } from "../en/artifacts";
import type { Same } from "../texts";

export const artifacts: Same<typeof en> = {
  "version.title": "Versión",
  "diff.title": "Diferencias",
};
