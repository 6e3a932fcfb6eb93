import type { signin as en } from "../en/signin";
import type { Same } from "../texts";

export const signin: Same<typeof en> = {
  "signin.title": "Iniciar sesión",
};
