// What the pages import: the shapes, the way to ask, and the hooks.
export * from "./contract";
export { ApiError, ask, href, path, ws } from "./client";
export { addressOf, base, workspace } from "./place";
export * from "./hooks";
