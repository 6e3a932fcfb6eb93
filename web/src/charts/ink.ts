import { useComputedColorScheme } from "@mantine/core";
import { pen } from "./colour";

/** The colours of a drawing. Plain values, no CSS variables: an exported file has no page around it. */
export interface Ink {
  dark: boolean;
  ground: string;
  text: string;
  dim: string;
  grid: string;
  /** What is as it should be, and what is not: blue and vermilion, apart for every eye. */
  right: string;
  wrong: string;
  accent: string;
  line: (i: number) => string;
}

export function ink(dark: boolean): Ink {
  return {
    dark,
    ground: dark ? "#242424" : "#ffffff",
    text: dark ? "#e8e8e8" : "#1b1b1b",
    dim: dark ? "#a6a6a6" : "#5c5c5c",
    grid: dark ? "#3d3d3d" : "#e3e3e3",
    right: dark ? "#4a9fdc" : "#0060a0",
    wrong: dark ? "#ff8f5a" : "#b8430a",
    accent: dark ? "#e1b465" : "#8f5a12",
    line: (i) => pen(i, dark).colour,
  };
}

export function useInk(): Ink {
  return ink(useComputedColorScheme("light") === "dark");
}

function channels(hex: string): [number, number, number] {
  const n = parseInt(hex.slice(1), 16);
  return [(n >> 16) & 255, (n >> 8) & 255, n & 255];
}

/** The colour that is share of the way from a to b. */
export function mix(a: string, b: string, share: number): string {
  const [x, y] = [channels(a), channels(b)];
  const s = Math.min(1, Math.max(0, share));
  return "#" + x.map((v, i) => Math.round(v + (y[i]! - v) * s).toString(16).padStart(2, "0")).join("");
}

function luminance(hex: string): number {
  const [r, g, b] = channels(hex).map((v) => {
    const c = v / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

/** How well two colours stand apart, from 1 to 21, as WCAG counts. */
export function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

/** Black or white, whichever reads better on the ground. */
export function textOn(ground: string): string {
  return contrast(ground, "#ffffff") >= contrast(ground, "#000000") ? "#ffffff" : "#000000";
}

// Viridis (van der Walt and Smith, 2015), which is even for every eye and in
// grey. The end that would drown in the ground is left out.
const viridis = ["#440154", "#482878", "#3e4a89", "#31688e", "#26828e", "#1f9e89", "#35b779", "#6dcd59", "#b4de2c", "#fde725"];

/** A colour for a share from 0 to 1. */
export function ramp(share: number, dark: boolean): string {
  const s = Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : 0;
  const at = (dark ? 0.28 + 0.72 * s : 0.78 * s) * (viridis.length - 1);
  const i = Math.min(viridis.length - 2, Math.floor(at));
  return mix(viridis[i]!, viridis[i + 1]!, at - i);
}
