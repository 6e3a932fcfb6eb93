import { Anchor, Badge, Box, Breadcrumbs, Button, Code, Group, Modal, Stack, Text, Tooltip, VisuallyHidden, type AnchorProps } from "@mantine/core";
import { IconCube, IconDatabase, IconFileText, IconPackage, IconShieldCheck, IconShieldQuestion, IconShieldX } from "@tabler/icons-react";
import { useRouter } from "@tanstack/react-router";
import { useCallback, useId, type MouseEvent, type ReactNode } from "react";
import { base } from "../../api";
import { useT } from "../../i18n";
import { Copy } from "../../parts/copy";
import { short, type Histogram } from "./data";

// Pieces that the pages of artifacts, lineage and audit share.

// Addresses of pages.
const at = (...parts: string[]) => `${base}/` + parts.map((p) => encodeURIComponent(p).replace(/%3A/g, ":")).join("/");
export const to = {
  artifacts: (project: string) => at("p", project, "artifacts"),
  artifact: (project: string, name: string) => at("p", project, "artifacts", name),
  version: (project: string, name: string, version: string | number) =>
    at("p", project, "artifacts", name, typeof version === "number" ? `v${version}` : version),
  lineage: (project: string, name: string, version: string | number) =>
    at("p", project, "lineage", name, typeof version === "number" ? `v${version}` : version),
  diff: (project: string, a: string, b: string) => at("p", project, "diff") + `?a=${encodeURIComponent(a).replace(/%3A/g, ":")}&b=${encodeURIComponent(b).replace(/%3A/g, ":")}`,
  run: (project: string, id: string) => at("p", project, "runs", id),
  project: (project: string) => at("p", project),
};

/** "project/name:v0" or, within project, "name:v0", as its parts. */
export function parseRef(ref: string, project: string): { project: string; name: string; version: string } {
  const [, own, name = ref, version = "latest"] = /^(?:([^/]+)\/)?([^:]+)(?::(.+))?$/.exec(ref) ?? [];
  return { project: own ?? project, name, version };
}

/** A link within the dashboard, which loads no page anew. */
export function To({ href, children, ...rest }: AnchorProps & { href: string; children: ReactNode; title?: string; "aria-label"?: string }) {
  const go = useGo();
  return (
    <Anchor
      inherit
      href={href}
      onClick={(e: MouseEvent) => {
        if (e.defaultPrevented || e.button !== 0 || e.metaKey || e.ctrlKey || e.shiftKey || e.altKey) return;
        e.preventDefault();
        go(href);
      }}
      {...rest}
    >
      {children}
    </Anchor>
  );
}

/** Goes to an address of the dashboard. */
export function useGo(): (href: string) => void {
  const router = useRouter();
  return useCallback((href: string) => void router.navigate({ href }), [router]);
}

/** The space around what a page shows. */
export function Page({ children }: { children: ReactNode }) {
  return (
    <Box px={{ base: "sm", sm: "md" }} py="md">
      {children}
    </Box>
  );
}

/** Where one is, from the project downwards; the last is the page itself. */
export function Path({ items }: { items: { text: string; href?: string }[] }) {
  return (
    <Breadcrumbs separatorMargin={6} mb={4} fz="sm" component="nav" aria-label="breadcrumb" styles={{ root: { flexWrap: "wrap" } }}>
      {items.map((i) => (i.href ? <To key={i.text} href={i.href}>{i.text}</To> : <Text key={i.text} span inherit c="dimmed">{i.text}</Text>))}
    </Breadcrumbs>
  );
}

const icons: Record<string, typeof IconCube> = { dataset: IconDatabase, model: IconCube, report: IconFileText };

export function TypeIcon({ type, size = 16 }: { type: string; size?: number }) {
  const Icon = icons[type] ?? IconPackage;
  return <Icon size={size} aria-hidden stroke={1.6} />;
}

export function TypeBadge({ type }: { type: string }) {
  return (
    <Badge variant="default" size="sm" tt="none" fw={500} miw="max-content" leftSection={<TypeIcon type={type} size={12} />}>
      {type}
    </Badge>
  );
}

/** Aliases, the newest's first, since it is what most people look for. */
export function Aliases({ names }: { names: string[] }) {
  const sorted = [...names].sort((a, b) => Number(b === "latest") - Number(a === "latest") || a.localeCompare(b));
  return (
    <Group gap={4} wrap="wrap">
      {sorted.map((a) => (
        <Badge key={a} size="sm" tt="none" fw={600} miw="max-content" variant={a === "latest" ? "light" : "outline"}>
          {a}
        </Badge>
      ))}
    </Group>
  );
}

export function Tags({ names }: { names: string[] }) {
  return (
    <Group gap={4} wrap="wrap">
      {names.map((a) => (
        <Badge key={a} size="sm" tt="none" fw={500} color="gray" variant="light" c="inherit">
          {a}
        </Badge>
      ))}
    </Group>
  );
}

/** A digest, cut to what tells it apart, to be copied whole. */
export function Digest({ of, digits = 12 }: { of: string; digits?: number }) {
  return (
    <Group gap={2} wrap="nowrap" component="span" display="inline-flex">
      <Tooltip label={of} openDelay={300} styles={{ tooltip: { fontFamily: "var(--mantine-font-family-monospace)", wordBreak: "break-all", whiteSpace: "normal", maxWidth: 420 } }}>
        <Code bg="transparent" p={0} fz="inherit">{digits === 12 ? short(of) : of.replace(/^sha256:/, "").slice(0, digits)}</Code>
      </Tooltip>
      <Copy text={of} />
    </Group>
  );
}

export type Signature = "signed" | "unsigned" | "bad";

/** Who vouches for a version: word, sign and colour. */
export function SignatureMark({ state, size = 16, bare = false }: { state: Signature; size?: number; bare?: boolean }) {
  const t = useT();
  const Icon = state === "signed" ? IconShieldCheck : state === "bad" ? IconShieldX : IconShieldQuestion;
  const colour = state === "signed" ? "light-dark(var(--mantine-color-teal-9), var(--mantine-color-teal-4))" : state === "bad" ? "light-dark(var(--mantine-color-red-9), var(--mantine-color-red-4))" : "var(--mantine-color-dimmed)";
  return (
    <Group gap={4} wrap="nowrap" c={colour} component="span" display="inline-flex">
      <Icon size={size} aria-hidden />
      {bare ? <VisuallyHidden>{t(`sig.${state}`)}</VisuallyHidden> : <span>{t(`sig.${state}`)}</span>}
    </Group>
  );
}

/** A histogram of a column or tensor, as small as a word. */
export function MiniHistogram({ of, label, width = 96, height = 28 }: { of: Histogram; label: string; width?: number; height?: number }) {
  const most = Math.max(1, ...of.counts);
  const w = width / Math.max(1, of.counts.length);
  return (
    <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={label} className="mini-histogram">
      {of.counts.map((n, i) => {
        // One of many must still be seen.
        const h = n === 0 ? 0 : Math.max(1.5, (n / most) * (height - 1));
        return <rect key={i} x={i * w + 0.5} y={height - h} width={Math.max(0.5, w - 1)} height={h} />;
      })}
      <line x1={0} y1={height - 0.5} x2={width} y2={height - 0.5} />
    </svg>
  );
}

/** Facts about one thing: what it is called on the left, what it is on the right. */
export function Facts({ rows }: { rows: [string, ReactNode][] }) {
  return (
    <dl className="facts">
      {rows.filter(([, v]) => v !== null && v !== undefined && v !== "" && v !== false).map(([k, v]) => (
        <div key={k}>
          <dt>{k}</dt>
          <dd>{v}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Asks before something is done that people will miss. */
export function Confirm({ opened, title, children, yes, danger, busy, error, onYes, onClose }: {
  opened: boolean;
  title: string;
  children?: ReactNode;
  yes: string;
  danger?: boolean;
  busy?: boolean;
  error?: string;
  onYes: () => void;
  onClose: () => void;
}) {
  const t = useT();
  const id = useId();
  return (
    <Modal opened={opened} onClose={onClose} title={title} centered aria-describedby={id} closeButtonProps={{ "aria-label": t("close") }}>
      <form
        onSubmit={(e) => {
          e.preventDefault();
          onYes();
        }}
      >
        <Stack id={id} gap="sm">
          {children}
          {error && (
            <Text c="light-dark(var(--mantine-color-red-9), var(--mantine-color-red-4))" role="alert" size="sm">
              {error}
            </Text>
          )}
          <Group justify="flex-end" mt="xs">
            <Button variant="default" onClick={onClose}>
              {t("cancel")}
            </Button>
            <Button type="submit" color={danger ? "red.8" : undefined} loading={busy ?? false}>
              {yes}
            </Button>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

export const words = (error: unknown): string => (error instanceof Error ? error.message : String(error));
