import type { TextOf } from "../texts";

// The projects.
export const projects = {
  "projects.runs": { one: "{n} run", other: "{n} runs" },
  "projects.artifacts": { one: "{n} artifact", other: "{n} artifacts" },
  "projects.running": { one: "{n} running", other: "{n} running" },
  "projects.updated": "Updated",
  "projects.never": "Nothing has run yet",
  "projects.find": "Find a project",
  "projects.noneFound": "No project has that in its name",
  "projects.none": "No project yet",
  "projects.none.text": "A project appears here when its first run starts. In an empty folder, try the wine sample:",
  "projects.none.own": "Or with a table of your own:",
} satisfies Record<string, TextOf>;
