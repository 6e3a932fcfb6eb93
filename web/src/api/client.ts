// The one door to the server. Everything that a page knows comes through here.

import { workspace } from "./place";

/** One fault of what was sent: where it is, and what is wrong with it. */
export interface Fault {
  message: string;
  location?: string;
  value?: unknown;
}

/** An answer that is no success, as the server put it. */
export class ApiError extends Error {
  readonly status: number;
  readonly detail: string;
  readonly faults: Fault[];

  constructor(status: number, title: string, detail: string, faults: Fault[] = []) {
    super(detail || title);
    this.status = status;
    this.detail = detail;
    this.faults = faults;
  }
}

interface Problem {
  title?: string;
  detail?: string;
  errors?: Fault[] | null;
}

const root = "/api/v1";

async function send(method: string, path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const init: RequestInit = { method, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { Accept: "application/json", "Content-Type": "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(root + path, init);
  } catch (cause) {
    if (signal?.aborted) throw cause;
    throw new ApiError(0, "network", "");
  }
  if (answer.ok) return answer;
  const problem = (await answer.json().catch(() => ({}))) as Problem;
  throw new ApiError(answer.status, problem.title ?? answer.statusText, problem.detail ?? "", problem.errors ?? []);
}

/** Asks for JSON. Numbers that JSON lacks arrive as null, "Infinity" and "-Infinity". */
export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const answer = await send(method, path, body, signal);
  return (answer.status === 204 ? undefined : await answer.json()) as T;
}

/** A path from parts, each escaped; empty query values are left out. */
export function path(parts: (string | number)[], query: Record<string, string | number | boolean | undefined> = {}): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== "" && value !== false) search.set(key, String(value));
  }
  const tail = search.toString();
  return "/" + parts.map((p) => encodeURIComponent(String(p))).join("/") + (tail ? "?" + tail : "");
}

/** A path within the workspace: ws(["runs", id]) is /workspaces/default/runs/ID. */
export function ws(parts: (string | number)[], query: Record<string, string | number | boolean | undefined> = {}): string {
  return path(["workspaces", workspace, ...parts], query);
}

/** The address of a download, for links. */
export function href(p: string): string {
  return root + p;
}
