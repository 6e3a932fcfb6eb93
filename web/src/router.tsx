import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { base } from "./api/place";
import { parseQuery, writeQuery, type Query } from "./query";
import { Missing } from "./pages/missing";
import { PageFault } from "./parts/fault";
import { Loading } from "./parts/status";
import { Shell } from "./shell";

// Addresses: /                                       the projects
//            /p/PROJECT                              runs and charts
//            /p/PROJECT/runs/ID                      one run
//            /p/PROJECT/compare?runs=A,B             side by side
//            /p/PROJECT/sweeps[/ID]                  searches for good settings
//            /p/PROJECT/artifacts[/NAME[/v0]]        versions
//            /p/PROJECT/diff?a=NAME:v0&b=NAME:v1     what changed between two versions
//            /p/PROJECT/lineage/NAME/v0              the graph
//            /p/PROJECT/audit                        who changed what
//            /signin, /account, /authorize
// Filters, sorting, columns and chosen runs are in the query, so that a link
// shows what its sender saw. /w/WORKSPACE before them names a workspace other
// than "default". A query holds texts only; pages read them with useQueryTexts.

const root = createRootRoute({
  component: Shell,
  notFoundComponent: Missing,
  errorComponent: PageFault,
  pendingComponent: Loading,
  validateSearch: (search: Record<string, unknown>): Query => search as Query,
});

const projects = createRoute({
  getParentRoute: () => root,
  path: "/",
  component: lazyRouteComponent(() => import("./pages/projects"), "Projects"),
});
const signin = createRoute({
  getParentRoute: () => root,
  path: "/signin",
  component: lazyRouteComponent(() => import("./pages/signin"), "SignIn"),
});
const account = createRoute({
  getParentRoute: () => root,
  path: "/account",
  component: lazyRouteComponent(() => import("./pages/account"), "Account"),
});
const authorize = createRoute({
  getParentRoute: () => root,
  path: "/authorize",
  component: lazyRouteComponent(() => import("./pages/authorize"), "Authorize"),
});
const runs = createRoute({
  getParentRoute: () => root,
  path: "/p/$project",
  component: lazyRouteComponent(() => import("./pages/runs"), "Runs"),
});
const run = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/runs/$run",
  component: lazyRouteComponent(() => import("./pages/run"), "RunPage"),
});
const compare = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/compare",
  component: lazyRouteComponent(() => import("./pages/compare"), "Compare"),
});
const sweeps = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/sweeps",
  component: lazyRouteComponent(() => import("./pages/sweeps"), "Sweeps"),
});
const sweep = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/sweeps/$sweep",
  component: lazyRouteComponent(() => import("./pages/sweeps/sweep"), "SweepPage"),
});
const artifacts = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/artifacts",
  component: lazyRouteComponent(() => import("./pages/artifacts"), "Artifacts"),
});
const artifact = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/artifacts/$name",
  component: lazyRouteComponent(() => import("./pages/artifacts/artifact"), "ArtifactPage"),
});
const version = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/artifacts/$name/$version",
  component: lazyRouteComponent(() => import("./pages/version"), "VersionPage"),
});
const diff = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/diff",
  component: lazyRouteComponent(() => import("./pages/diff"), "Diff"),
});
const lineage = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/lineage/$name/$version",
  component: lazyRouteComponent(() => import("./pages/lineage"), "Lineage"),
});
const audit = createRoute({
  getParentRoute: () => root,
  path: "/p/$project/audit",
  component: lazyRouteComponent(() => import("./pages/audit"), "Audit"),
});

export const router = createRouter({
  routeTree: root.addChildren([projects, signin, account, authorize, runs, run, compare, sweeps, sweep, artifacts, artifact, version, diff, lineage, audit]),
  basepath: base || "/",
  defaultPreload: "intent",
  defaultErrorComponent: PageFault,
  scrollRestoration: true,
  parseSearch: parseQuery,
  stringifySearch: writeQuery,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
