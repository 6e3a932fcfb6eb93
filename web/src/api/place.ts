// Which workspace the address names: /w/NAME/… or, without that, "default".

export interface Place {
  workspace: string;
  /** What stands before every address of the dashboard: "" or "/w/NAME". */
  base: string;
}

export function placeOf(pathname: string): Place {
  const found = /^\/w\/([^/]+)(?=\/|$)/.exec(pathname);
  if (!found?.[1]) return { workspace: "default", base: "" };
  return { workspace: decodeURIComponent(found[1]), base: "/w/" + found[1] };
}

/** The first page of a workspace. */
export function addressOf(workspace: string): string {
  return workspace === "default" ? "/" : `/w/${encodeURIComponent(workspace)}/`;
}

// A workspace is chosen by loading the page of another address, so it stays
// the same for as long as this program runs.
export const { workspace, base } = placeOf(typeof location === "undefined" ? "/" : location.pathname);
