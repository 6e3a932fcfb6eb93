import { Anchor, Box, Button } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { useState, type ReactNode } from "react";
import { useSpeech } from "../../i18n";
import "./json.css";

const most = 100;

/** Any JSON value as a tree that folds. Two levels are open at first. */
export function JsonTree({ value, open = 2 }: { value: unknown; open?: number }) {
  return (
    <Box className="json" ff="monospace" fz="sm">
      <Value value={value} depth={0} open={open} />
    </Box>
  );
}

const isTree = (v: unknown): v is object => typeof v === "object" && v !== null;

function Value({ value, depth, open, name }: { value: unknown; depth: number; open: number; name?: ReactNode }) {
  const { t } = useSpeech();
  const entries: [string, unknown][] = isTree(value) ? (Array.isArray(value) ? value.map((v, i) => [String(i), v]) : Object.entries(value)) : [];
  // A short list of plain values reads best on its line.
  const flat = Array.isArray(value) && value.length <= 12 && value.every((v) => !isTree(v) && String(v).length < 24);
  const [unfolded, fold] = useState(depth < open && entries.length <= 200);
  const [shown, more] = useState(most);
  if (!isTree(value) || entries.length === 0 || flat) {
    return (
      <div className="json-line">
        {name}
        {flat ? <span>[{value.map((v, i) => <span key={i}>{i > 0 && ", "}<Scalar value={v} /></span>)}]</span> : <Scalar value={value} />}
      </div>
    );
  }
  const list = Array.isArray(value);
  const Icon = unfolded ? IconChevronDown : IconChevronRight;
  return (
    <div>
      <Anchor component="button" type="button" className="json-fold" c="inherit" underline="never" aria-expanded={unfolded} onClick={() => fold(!unfolded)}>
        <Icon size={14} aria-hidden />
        {name}
        <span className="json-count">{list ? `[${entries.length}]` : unfolded && name ? "" : t("json.keys", { n: entries.length })}</span>
      </Anchor>
      {unfolded && (
        <div className="json-inner">
          {entries.slice(0, shown).map(([k, v]) => (
            <Value key={k} value={v} depth={depth + 1} open={open} name={<span className={list ? "json-index" : "json-key"}>{k}: </span>} />
          ))}
          {entries.length > shown && (
            <Button size="compact-xs" variant="subtle" onClick={() => more(shown + 10 * most)}>
              {t("json.more", { n: entries.length - shown })}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}

function Scalar({ value }: { value: unknown }) {
  const kind = value === null ? "null" : typeof value;
  const text = Array.isArray(value) ? "[]" : isTree(value) ? "{}" : typeof value === "string" ? JSON.stringify(value) : String(value);
  return <span className={`json-${kind}`}>{text}</span>;
}
