import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { Shell } from "./shell";
import { Missing } from "./pages/missing";

// Addresses: /                                 the projects
//            /p/PROJECT                        runs and charts
//            /p/PROJECT/runs/ID                one run
//            /p/PROJECT/compare?runs=A,B       side by side
//            /p/PROJECT/artifacts[/NAME[/v0]]  versions
//            /p/PROJECT/lineage/NAME/v0        the graph
// Filters, sorting, columns and chosen runs are in the query, so that a link
// shows what its sender saw. /w/WORKSPACE before them names a workspace other
// than "default".

const root = createRootRoute({ component: Shell, notFoundComponent: Missing });

const projects = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/projects"), "Projects"),
});

export const router = createRouter({
  routeTree: root.addChildren([projects]),
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
