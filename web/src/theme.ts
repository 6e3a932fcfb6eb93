import { createTheme, Menu, type MantineColorsTuple } from "@mantine/core";

// Amber of an old solera, from pale fino to dark oloroso. Shade 7 on white and
// shade 4 on the dark ground keep a contrast above 4.5 : 1.
const amber: MantineColorsTuple = [
  "#fdf6ea", "#f7e8cd", "#eccf9b", "#e1b465", "#d79d3a", "#c88722", "#b0721a", "#8f5a12", "#744811", "#5b380d",
];

export const theme = createTheme({
  primaryColor: "amber",
  primaryShade: { light: 7, dark: 4 },
  colors: { amber },
  autoContrast: true,
  fontFamily: 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", Consolas, "DejaVu Sans Mono", monospace',
  headings: { fontWeight: "600", sizes: { h1: { fontSize: "1.5rem" }, h2: { fontSize: "1.15rem" }, h3: { fontSize: "1rem" } } },
  defaultRadius: "sm",
  respectReducedMotion: true,
  cursorType: "pointer",
  // The placeholder is an element that a menu may not have, by ARIA; without it
  // the first entry gets the focus.
  components: { Menu: Menu.extend({ defaultProps: { withInitialFocusPlaceholder: false } }) },
});
