// Charts leave the browser as SVG, PNG and CSV. A chart that is drawn as SVG is
// exported as it is; one drawn into a canvas brings a function that draws it.

/** One cell of the table that tells what a chart shows. */
export type Cell = string | number | boolean | null | undefined;

/** The table twin of a chart. */
export interface Twin {
  columns: string[];
  rows: Cell[][];
}

function field(v: Cell): string {
  if (v === null || v === undefined) return "";
  if (typeof v === "number") return Number.isNaN(v) ? "NaN" : String(v);
  if (typeof v === "boolean") return String(v);
  // A text that a spreadsheet would take for a formula is made a text again.
  const safe = /^[=+\-@\t\r]/.test(v) ? "'" + v : v;
  return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe;
}

/** A table as RFC 4180 writes it, numbers with all their digits. */
export function csv({ columns, rows }: Twin): string {
  return [columns, ...rows].map((row) => row.map(field).join(",")).join("\r\n") + "\r\n";
}

/** A name that every file system takes. */
export function fileName(name: string, ending: string): string {
  const safe = name.normalize("NFKD").replace(/[^\w.-]+/g, "-").replace(/^[-.]+|[-.]+$/g, "");
  return (safe || "chart").slice(0, 80) + "." + ending;
}

/** Hands the content to the browser as a download. */
export function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

export function saveText(name: string, type: string, text: string): void {
  save(name, new Blob([text], { type: type + ";charset=utf-8" }));
}

/** The text of a drawing, on its own: with size, ground and font. */
export function svgText(svg: SVGSVGElement, ground: string): string {
  const copy = svg.cloneNode(true) as SVGSVGElement;
  const box = svg.viewBox.baseVal;
  const width = box?.width || svg.clientWidth;
  const height = box?.height || svg.clientHeight;
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", String(width));
  copy.setAttribute("height", String(height));
  copy.setAttribute("font-family", "system-ui, sans-serif");
  copy.removeAttribute("class");
  copy.removeAttribute("style");
  for (const e of copy.querySelectorAll("[data-screen]")) e.remove();
  const back = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  back.setAttribute("width", "100%");
  back.setAttribute("height", "100%");
  back.setAttribute("fill", ground);
  copy.insertBefore(back, copy.firstChild);
  return new XMLSerializer().serializeToString(copy);
}

/** The pixels of a drawing, twice as many as on the screen. */
export async function pngOf(svg: string, scale = 2): Promise<Blob> {
  const image = new Image();
  // A data URL, since the content security policy allows no blob: images.
  image.src = "data:image/svg+xml;charset=utf-8," + encodeURIComponent(svg);
  await image.decode();
  const canvas = document.createElement("canvas");
  canvas.width = image.width * scale;
  canvas.height = image.height * scale;
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return await new Promise((done, fail) => canvas.toBlob((b) => (b ? done(b) : fail(new Error("no PNG"))), "image/png"));
}
