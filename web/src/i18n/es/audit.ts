import type { audit as en } from "../en/audit";
import type { Same } from "../texts";

export const audit: Same<typeof en> = {
  "audit.title": "Registro de cambios",
};
