import type { TextOf } from "../texts";

// What was made from what.
export const lineage = {
  "lineage.title": "Lineage",
} satisfies Record<string, TextOf>;
