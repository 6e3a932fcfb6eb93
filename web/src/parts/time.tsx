import { Tooltip } from "@mantine/core";
import { useEffect, useState } from "react";
import { ago, moment } from "../format";
import { useSpeech } from "../i18n";

/** A moment as "3 minutes ago", with the date and time on hover. */
export function Ago({ time }: { time: string | null | undefined }) {
  const { t, language } = useSpeech();
  const now = useNow(30_000);
  if (!time) return null;
  return (
    <Tooltip label={moment(time, language)} openDelay={300}>
      <time dateTime={time}>{ago(time, now, t)}</time>
    </Tooltip>
  );
}

/** The time, brought up to date every so many milliseconds. */
export function useNow(every: number): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), every);
    return () => clearInterval(timer);
  }, [every]);
  return now;
}
