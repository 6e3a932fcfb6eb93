import type { chart as english } from "../en/chart";
import type { Same } from "../texts";

export const chart: Same<typeof english> = {
  "chart.asTable": "Ver como tabla",
  "chart.asChart": "Ver como gráfico",
  "chart.table": "Tabla de «{title}»",
  "chart.export": "Guardar «{title}» en un archivo",
  "chart.save": "Guardar como PNG, SVG o CSV",
  "chart.moreRows": { one: "{n} fila más está en el archivo CSV.", other: "{n} filas más están en el archivo CSV." },
  "chart.none": "No hay nada que dibujar",
  "chart.log": "Logarítmico",
};
