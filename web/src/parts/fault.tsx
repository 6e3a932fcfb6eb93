import { Failed } from "./status";

/** What stands in the place of a page that broke; the frame around it stays. */
export function PageFault({ error, reset }: { error: unknown; reset: () => void }) {
  return <Failed error={error} retry={reset} />;
}
