// Takes the pictures of the documentation: docs/media/*.png. `make screenshots`
// builds the binary and runs this.

import { mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { launch, open, project, serve, settled, wine, workshop } from "./harness.mjs";

const media = resolve(import.meta.dirname, "..", "docs", "media");
const home = `/p/${project}`;

const shop = workshop();
let browser, server;
try {
  await wine(shop);
  [browser, server] = await Promise.all([launch(), serve(shop)]);
  const { runs } = await (await fetch(`${server.url}/api/v1/workspaces/default/runs?project=${project}&limit=100`)).json();
  const run = (experiment) => runs.find((r) => r.stage === "train" && r.experiment === experiment).id;
  await mkdir(media, { recursive: true });
  const both = ["light", "dark"];
  const shots = [
    { name: "runs", path: `${home}?where=${encodeURIComponent('stage = "train"')}`, themes: both },
    { name: "run", path: `${home}/runs/${run("exp001")}`, themes: both, height: 900 },
    { name: "evaluation", path: `${home}/runs/${run("exp001")}?tab=evaluation`, themes: both, height: 900 },
    { name: "compare", path: `${home}/compare?runs=${["exp001", "exp002", "exp003"].map(run).join(",")}`, themes: ["light"], height: 900 },
    { name: "lineage", path: `${home}/lineage/trained-wine-model-exp003/v0`, themes: both, height: 640, then: (page) => page.locator(".react-flow__node").first().waitFor() },
    { name: "artifact", path: `${home}/artifacts/wine-raw/v0`, themes: both },
    { name: "weights", path: `${home}/artifacts/trained-wine-model-exp003/v0?file=weights.safetensors`, themes: ["light"] },
    { name: "diff", path: `${home}/diff?a=wine-raw:v0&b=wine-raw:v1`, themes: ["light"] },
    { name: "phone", path: home, themes: ["light"], width: 390, height: 800 },
  ];
  for (const { name, path, themes, width = 1280, height = 800, then } of shots) {
    for (const theme of themes) {
      const tab = await open(browser, server, { theme, width, height });
      await tab.go(path);
      await settled(tab.page);
      await then?.(tab.page);
      await tab.page.waitForTimeout(1200); // charts draw after their data
      const file = join(media, `${name}${theme === "dark" ? "-dark" : ""}.png`);
      await tab.page.screenshot({ path: file });
      if (tab.faults.length > 0) throw new Error(`${path}: ${tab.faults.join("\n")}`);
      await tab.close();
      console.log(file);
    }
  }
} finally {
  await browser?.close();
  await server?.stop();
  shop.remove();
}
