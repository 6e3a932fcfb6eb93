import type { TextOf } from "../texts";

// The projects.
export const projects = {
  "projects.runs": { one: "{n} run", other: "{n} runs" },
} satisfies Record<string, TextOf>;
