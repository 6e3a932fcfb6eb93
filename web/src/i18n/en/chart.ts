// Texts that all charts share.
export const chart = {
  "chart.asTable": "Show as a table",
  "chart.asChart": "Show as a chart",
  "chart.table": "Table of “{title}”",
  "chart.export": "Save “{title}” as a file",
  "chart.save": "Save as PNG, SVG or CSV",
  "chart.moreRows": { one: "{n} more row is in the CSV file.", other: "{n} more rows are in the CSV file." },
  "chart.none": "Nothing to draw",
  "chart.log": "Logarithmic",
};
