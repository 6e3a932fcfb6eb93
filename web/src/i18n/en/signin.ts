import type { TextOf } from "../texts";

// Signing in.
export const signin = {
  "signin.title": "Sign in",
} satisfies Record<string, TextOf>;
