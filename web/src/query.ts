import { useNavigate, useSearch } from "@tanstack/react-router";
import { useCallback } from "react";

/** The query of an address: texts by name; what is not there is undefined. */
export type Query = Record<string, string | undefined>;

export function parseQuery(search: string): Query {
  const out: Query = {};
  for (const [key, value] of new URLSearchParams(search)) if (!(key in out)) out[key] = value;
  return out;
}

/** Writes what is not empty, so that plain things have plain addresses. */
export function writeQuery(query: Record<string, unknown>): string {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (typeof value === "string" && value !== "") search.set(key, value);
  // People read and mail addresses: keep what a query may hold unescaped.
  const text = search.toString().replace(/%2C/g, ",").replace(/%3A/g, ":").replace(/%2F/g, "/");
  return text ? "?" + text : "";
}

/**
 * The texts in the address, and a function that changes some of them: ""
 * and undefined take one away. By default the step is no new entry of the
 * browser's history.
 */
export function useQueryTexts(): [Query, (change: Query, push?: boolean) => void] {
  const query: Query = useSearch({ strict: false });
  const navigate = useNavigate();
  const change = useCallback(
    (next: Query, push = false) => {
      void navigate({ to: ".", search: (old: Query) => ({ ...old, ...next }), replace: !push, resetScroll: false });
    },
    [navigate],
  );
  return [query, change];
}
