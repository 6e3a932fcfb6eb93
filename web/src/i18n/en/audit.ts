import type { TextOf } from "../texts";

// Who changed what.
export const audit = {
  "audit.title": "Audit log",
} satisfies Record<string, TextOf>;
