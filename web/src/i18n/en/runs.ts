import type { TextOf } from "../texts";

// The table of runs.
export const runs = {
  "runs.title": "Runs",
} satisfies Record<string, TextOf>;
