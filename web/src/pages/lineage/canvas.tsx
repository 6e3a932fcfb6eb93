import { useComputedColorScheme } from "@mantine/core";
import { useMediaQuery } from "@mantine/hooks";
import { IconDots, IconPlayerPlay } from "@tabler/icons-react";
import dagre from "@dagrejs/dagre";
import { BaseEdge, Background, Controls, Handle, MarkerType, MiniMap, Position, ReactFlow, ReactFlowProvider, useReactFlow, type Edge, type EdgeProps, type Node as FlowNode, type NodeProps } from "@xyflow/react";
import "@xyflow/react/dist/style.css";
import { useEffect, useMemo, type KeyboardEvent } from "react";
import { useSpeech, type Key } from "../../i18n";
import { TypeIcon } from "../artifacts/parts";
import type { Fold, Node, Shown } from "./graph";
import "./canvas.css";

// The graph, drawn. It is a chunk of its own: most visits never need it.

interface Box extends Record<string, unknown> {
  node?: Node;
  fold?: Fold;
  root: boolean;
  onWay: boolean;
  faded: boolean;
  found: boolean;
  down: boolean;
}
type BoxNode = FlowNode<Box, "box">;
type LineEdge = Edge<{ points: Point[]; down: boolean }, "line">;

const size = (d: { node?: Node; fold?: Fold }) => (d.fold ? { width: 172, height: 56 } : d.node?.kind === "run" ? { width: 172, height: 56 } : { width: 212, height: 74 });

interface Props {
  shown: Shown;
  root: string;
  selected: string;
  way: ReadonlySet<string>; // highlighted; the rest fades. Empty: nothing is
  found: ReadonlySet<string>;
  focus: string; // to be brought into view
  onSelect: (id: string) => void;
  onOpen: (fold: string) => void;
}

export function Canvas(props: Props) {
  return (
    <ReactFlowProvider>
      <Drawing {...props} />
    </ReactFlowProvider>
  );
}

function Drawing({ shown, root, selected, way, found, focus, onSelect, onOpen }: Props) {
  const { t } = useSpeech();
  const scheme = useComputedColorScheme("light");
  const down = useMediaQuery("(max-width: 48em)") ?? false;
  const flow = useReactFlow();
  const places = useMemo(() => arrange(shown, down), [shown, down]);
  const nodes = useMemo<BoxNode[]>(() => {
    const box = (id: string, data: { node?: Node; fold?: Fold }): BoxNode => {
      const onWay = way.has(id);
      return {
        id,
        type: "box",
        position: places.boxes.get(id) ?? { x: 0, y: 0 },
        ...size(data),
        data: { ...data, root: id === root, onWay, faded: way.size > 0 && !onWay, found: found.has(id), down },
        selected: id === selected,
        draggable: false,
        connectable: false,
        ariaRole: "button",
        domAttributes: {
          "aria-roledescription": undefined,
          "aria-pressed": data.fold ? undefined : id === selected,
        },
      };
    };
    return [...shown.nodes.map((n) => box(n.id, { node: n })), ...shown.folds.map((f) => box(f.id, { fold: f }))];
  }, [shown, places, root, selected, way, found, down]);
  const edges = useMemo<LineEdge[]>(
    () =>
      shown.edges.map((e) => {
        const onWay = way.has(e.from) && way.has(e.to);
        return {
          id: `${e.from} ${e.to}`,
          type: "line",
          data: { points: places.lines.get(`${e.from} ${e.to}`) ?? [], down },
          source: e.from,
          target: e.to,
          className: onWay ? "on-way" : way.size > 0 ? "faded" : "",
          focusable: false,
          selectable: false,
          // The nodes and the list tell it; lines would only be in the way.
          domAttributes: { "aria-hidden": true, "aria-roledescription": undefined },
          markerEnd: { type: MarkerType.ArrowClosed, width: 16, height: 16, color: onWay ? "var(--lineage-way)" : "var(--lineage-edge)" },
        };
      }),
    [shown, way, places, down],
  );
  // After a new layout, and when somebody looks for a node.
  useEffect(() => {
    const timer = setTimeout(() => void flow.fitView(fit(shown, root)), 30);
    return () => clearTimeout(timer);
  }, [shown, root, flow, down]);
  useEffect(() => {
    if (focus) void flow.fitView({ nodes: [{ id: focus }], maxZoom: 1.1, duration: 200 });
  }, [focus, flow]);
  // The boxes are buttons to the keyboard too.
  const press = (e: KeyboardEvent<HTMLDivElement>) => {
    const box = e.target instanceof HTMLElement && (e.key === "Enter" || e.key === " ") ? e.target.closest<HTMLElement>(".react-flow__node") : null;
    const id = box?.dataset.id;
    if (id === undefined) return;
    e.preventDefault();
    if (shown.folds.some((f) => f.id === id)) onOpen(id);
    else onSelect(id);
  };
  return (
    <ReactFlow
      onKeyDown={press}
      className="lineage-canvas"
      colorMode={scheme}
      nodes={nodes}
      edges={edges}
      nodeTypes={boxTypes}
      edgeTypes={lineTypes}
      onNodeClick={(_, n) => (n.data.fold ? onOpen(n.id) : onSelect(n.id))}
      onPaneClick={() => onSelect("")}
      nodesDraggable={false}
      nodesConnectable={false}
      edgesFocusable={false}
      disableKeyboardA11y
      onlyRenderVisibleElements={shown.nodes.length > 300}
      fitView
      fitViewOptions={fit(shown, root)}
      minZoom={0.05}
      maxZoom={2}
      proOptions={{ hideAttribution: true }}
      aria-label={t("lineage.graph")}
      ariaLabelConfig={{
        "controls.ariaLabel": t("lineage.controls"),
        "controls.zoomIn.ariaLabel": t("lineage.zoomIn"),
        "controls.zoomOut.ariaLabel": t("lineage.zoomOut"),
        "controls.fitView.ariaLabel": t("lineage.fit"),
        "minimap.ariaLabel": t("lineage.map"),
      }}
    >
      <Background gap={24} size={1} />
      <Controls showInteractive={false} position={down ? "top-right" : "bottom-left"} />
      {shown.nodes.length > 24 && !down && <MiniMap pannable zoomable />}
    </ReactFlow>
  );
}

// A large graph would shrink to dust: begin around the root then.
function fit(shown: Shown, root: string) {
  const padding = 0.12;
  return shown.nodes.length > 60 ? { nodes: [{ id: root }], maxZoom: 0.8, padding } : { maxZoom: 1.1, padding };
}

interface Point {
  x: number;
  y: number;
}
interface Layout {
  boxes: Map<string, Point>;
  lines: Map<string, Point[]>; // of edges, by "from to": around what lies between
}

function arrange(shown: Shown, down: boolean): Layout {
  const g = new dagre.graphlib.Graph();
  g.setGraph({ rankdir: down ? "TB" : "LR", nodesep: down ? 20 : 22, ranksep: down ? 44 : 40, marginx: 8, marginy: 8 });
  g.setDefaultEdgeLabel(() => ({}));
  for (const n of shown.nodes) g.setNode(n.id, size({ node: n }));
  for (const f of shown.folds) g.setNode(f.id, size({ fold: f }));
  for (const e of shown.edges) g.setEdge(e.from, e.to);
  dagre.layout(g);
  const boxes = new Map<string, Point>();
  for (const id of g.nodes()) {
    const n = g.node(id) as Point & { width: number; height: number };
    boxes.set(id, { x: n.x - n.width / 2, y: n.y - n.height / 2 });
  }
  const lines = new Map<string, Point[]>();
  for (const e of g.edges()) lines.set(`${e.v} ${e.w}`, (g.edge(e) as { points?: Point[] }).points ?? []);
  return { boxes, lines };
}

// From the middle of one side to the middle of the other, through the bends of
// the layout, without corners: each bend is the control point of a curve
// between the middles of its two straight pieces.
function LineView({ sourceX, sourceY, targetX, targetY, data, markerEnd }: EdgeProps<LineEdge>) {
  const bends = (data?.points ?? []).slice(1, -1);
  const points = [{ x: sourceX, y: sourceY }, ...bends, { x: targetX, y: targetY }];
  let path = `M${sourceX},${sourceY}`;
  if (bends.length < 2) {
    // Nothing lies between: a curve that leaves and arrives at right angles.
    const along = data?.down ? { x: 0, y: (targetY - sourceY) / 2 } : { x: (targetX - sourceX) / 2, y: 0 };
    path += `C${sourceX + along.x},${sourceY + along.y} ${targetX - along.x},${targetY - along.y} ${targetX},${targetY}`;
  } else {
    for (let i = 1; i < points.length - 1; i++) {
      const [p, q] = [points[i]!, points[i + 1]!];
      const end = i === points.length - 2 ? q : { x: (p.x + q.x) / 2, y: (p.y + q.y) / 2 };
      path += `Q${p.x},${p.y} ${end.x},${end.y}`;
    }
  }
  return <BaseEdge path={path} {...(markerEnd ? { markerEnd } : {})} />;
}

function BoxView({ data: d, selected }: NodeProps<BoxNode>) {
  const { t } = useSpeech();
  const sides = d.down ? ([Position.Top, Position.Bottom] as const) : ([Position.Left, Position.Right] as const);
  const n = d.node;
  const marks = [d.fold ? "fold" : n?.kind, selected && "selected", d.root && "root", d.onWay && "on-way", d.faded && "faded", d.found && "found", n?.deleted && "deleted"];
  return (
    <div className={"lineage-box " + marks.filter(Boolean).join(" ")}>
      <Handle type="target" position={sides[0]} isConnectable={false} />
      {d.fold ? (
        <>
          <IconDots size={16} aria-hidden />
          <div className="lineage-text">
            <b>{t(d.fold.kind === "run" ? "lineage.fold.runs" : "lineage.fold.versions", { n: d.fold.members.length })}</b>
            <span>{d.fold.what}</span>
          </div>
        </>
      ) : (
        <>
          {n?.kind === "run" ? <IconPlayerPlay size={16} aria-hidden stroke={1.6} /> : <TypeIcon type={n?.type ?? ""} size={18} />}
          <div className="lineage-text">
            <b>{n?.name}</b>
            <span>
              {n?.kind === "run" ? [n.state ? t(`state.${n.state}` as Key) : "", n.id.slice(-6)].filter(Boolean).join(" · ") : [n?.type, n?.deleted ? t("art.deleted") : (n?.digest ?? "").replace(/^sha256:/, "").slice(0, 8)].filter(Boolean).join(" · ")}
            </span>
          </div>
        </>
      )}
      <Handle type="source" position={sides[1]} isConnectable={false} />
    </div>
  );
}

const boxTypes = { box: BoxView };
const lineTypes = { line: LineView };
