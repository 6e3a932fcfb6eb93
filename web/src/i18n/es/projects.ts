import type { projects as en } from "../en/projects";
import type { Same } from "../texts";

export const projects: Same<typeof en> = {
  "projects.runs": { one: "{n} ejecución", other: "{n} ejecuciones" },
  "projects.artifacts": { one: "{n} artefacto", other: "{n} artefactos" },
  "projects.running": { one: "{n} en curso", other: "{n} en curso" },
  "projects.updated": "Actualizado",
  "projects.never": "Todavía no se ha ejecutado nada",
  "projects.find": "Buscar un proyecto",
  "projects.noneFound": "Ningún proyecto tiene eso en su nombre",
  "projects.none": "Aún no hay proyectos",
  "projects.none.text": "Un proyecto aparece aquí cuando empieza su primera ejecución. En una carpeta vacía, prueba la muestra de vinos:",
  "projects.none.own": "O con una tabla tuya:",
};
