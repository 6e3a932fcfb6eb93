import type { TextOf } from "../texts";

// Artifacts, their versions and what changed between two.
export const artifacts = {
  "version.title": "Version",
  "diff.title": "Differences",
} satisfies Record<string, TextOf>;
