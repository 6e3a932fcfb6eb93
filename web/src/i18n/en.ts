import { chart } from "./en/chart";
import { compare } from "./en/compare";
import { run } from "./en/run";

// Every text of the dashboard. {name} is filled in; a value with "one" and
// "other" is chosen by its {n}.
export const en = {
  ...chart,
  ...run,
  ...compare,
  "app.skip": "Skip to content",
  "app.projects": "Projects",
  "app.runs": "Runs",
  "app.artifacts": "Artifacts",
  "app.audit": "Audit log",
  "app.theme": "Light or dark",
  "app.theme.light": "Light",
  "app.theme.dark": "Dark",
  "app.theme.auto": "As the system",
  "app.language": "Language",
  "app.signOut": "Sign out",
  "app.notFound": "There is no such page",
  "app.home": "To the projects",

  "state.pending": "pending",
  "state.running": "running",
  "state.finished": "finished",
  "state.failed": "failed",
  "state.killed": "stopped",
  "state.crashed": "crashed",

  "load.error": "This could not be loaded",
  "load.network": "The server does not answer. It may have been stopped; this page tries again by itself.",
  "load.again": "Try again",
  "load.signIn": "Sign in to see this",
  "load.forbidden": "Your role does not allow this",
  "load.missing": "It is not in the store",

  "time.now": "just now",
  "time.minutes": { one: "{n} minute ago", other: "{n} minutes ago" },
  "time.hours": { one: "{n} hour ago", other: "{n} hours ago" },
  "time.days": { one: "{n} day ago", other: "{n} days ago" },

  "copy": "Copy",
  "copied": "Copied",
  "search": "Search",
  "close": "Close",
  "cancel": "Cancel",
  "save": "Save",
} satisfies Record<string, string | { one: string; other: string }>;

export type Key = keyof typeof en;
