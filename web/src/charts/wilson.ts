/** The 95 % interval of hits among n rows (Wilson, 1927), as the server gives it too. */
export function wilson(hits: number, n: number): [number, number] {
  if (n <= 0) return [0, 1];
  const z = 1.959963984540054;
  const p = hits / n;
  const centre = p + (z * z) / (2 * n);
  const half = z * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  const scale = 1 + (z * z) / n;
  return [hits === 0 ? 0 : Math.max(0, (centre - half) / scale), hits === n ? 1 : Math.min(1, (centre + half) / scale)];
}
