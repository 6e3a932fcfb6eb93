import { chart } from "./es/chart";
import { compare } from "./es/compare";
import { run } from "./es/run";
import type { en } from "./en";

type Texts = { [K in keyof typeof en]: (typeof en)[K] extends string ? string : { one: string; other: string } };

export const es: Texts = {
  ...chart,
  ...run,
  ...compare,
  "app.skip": "Ir al contenido",
  "app.projects": "Proyectos",
  "app.runs": "Ejecuciones",
  "app.artifacts": "Artefactos",
  "app.audit": "Registro de cambios",
  "app.theme": "Claro u oscuro",
  "app.theme.light": "Claro",
  "app.theme.dark": "Oscuro",
  "app.theme.auto": "Como el sistema",
  "app.language": "Idioma",
  "app.signOut": "Cerrar sesión",
  "app.notFound": "Esa página no existe",
  "app.home": "A los proyectos",

  "state.pending": "pendiente",
  "state.running": "en curso",
  "state.finished": "terminada",
  "state.failed": "fallida",
  "state.killed": "detenida",
  "state.crashed": "caída",

  "load.error": "No se pudo cargar",
  "load.network": "El servidor no responde. Puede que se haya detenido; esta página lo intenta de nuevo por sí sola.",
  "load.again": "Intentar de nuevo",
  "load.signIn": "Inicia sesión para verlo",
  "load.forbidden": "Tu rol no lo permite",
  "load.missing": "No está en el almacén",

  "time.now": "ahora mismo",
  "time.minutes": { one: "hace {n} minuto", other: "hace {n} minutos" },
  "time.hours": { one: "hace {n} hora", other: "hace {n} horas" },
  "time.days": { one: "hace {n} día", other: "hace {n} días" },

  "copy": "Copiar",
  "copied": "Copiado",
  "search": "Buscar",
  "close": "Cerrar",
  "cancel": "Cancelar",
  "save": "Guardar",
};
