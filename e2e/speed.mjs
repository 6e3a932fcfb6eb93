// How fast the dashboard is: `make bench-web`. A real browser looks at a server of
// the real program, which keeps 10,000 runs, and 200 runs of 5,000 points each.
//
// SOLERA, CHROMIUM  as for the tests
// RUNS              how many runs the table has; default 10,000
// ROUNDS            how often each is measured; default 5

import { launch, open, serve, settled, workshop } from "./harness.mjs";

const runs = Number(process.env.RUNS ?? 10_000);
const rounds = Number(process.env.ROUNDS ?? 5);
const long = { runs: Math.min(200, runs), steps: 5_000 };

async function send(server, address, body) {
  const answer = await fetch(server.url + address, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  const text = await answer.text();
  if (!answer.ok || text.includes('"errors"')) throw new Error(`${address}: ${answer.status} ${text.slice(0, 500)}`);
}

/** Makes a run as W&B's client does. */
function register(server, project, name, i) {
  const config = { seed: { value: i }, optimizer: { value: ["adam", "sgd", "adamw"][i % 3] }, learning_rate: { value: ((i * 7919) % 1000) / 1e5 } };
  for (let k = 0; k < 20; k++) config[`setting_${k}`] = { value: (i * (k + 3)) % 101 };
  const query = `mutation UpsertBucket($name: String, $project: String, $entity: String, $config: JSONString, $summary: JSONString) {
    upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, config: $config, summaryMetrics: $summary, displayName: $name}) { bucket { id } inserted } }`;
  return send(server, "/graphql", { query, variables: { name, project, entity: "default", config: JSON.stringify(config), summary: JSON.stringify({ loss: ((i * 104_729) % 10_007) / 1e4 }) } });
}

/** Calls fn for 0 … n-1, some at a time. */
async function each(n, fn) {
  let next = 0;
  await Promise.all(Array.from({ length: 8 }, async () => {
    while (next < n) await fn(next++);
  }));
}

async function fill(server) {
  await each(runs, async (i) => {
    await register(server, "many", `many-${i}`, i);
    await send(server, `/files/default/many/many-${i}/file_stream`, { complete: true, exitcode: 0 });
  });
  await each(long.runs, async (i) => {
    await register(server, "curves", `curve-${i}`, i);
    const content = Array.from({ length: long.steps }, (_, s) => JSON.stringify({ _step: s, loss: Math.exp(-s / 1000) * (1 + i / 100) + ((s * 7919 + i * 31) % 997) / 9970 }));
    await send(server, `/files/default/curves/curve-${i}/file_stream`, { files: { "wandb-history.jsonl": { offset: 0, content } } });
    await send(server, `/files/default/curves/curve-${i}/file_stream`, { complete: true, exitcode: 0 });
  });
}

function tell(what, list) {
  list.sort((a, b) => a - b);
  console.log(`${what.padEnd(64)} ${Math.round(list[Math.floor(list.length / 2)])} ms [${Math.round(list[0])}..${Math.round(list.at(-1))}]`);
}

/** Measures in a browser without a cache, so often. */
async function measured(browser, server, what, address, fn) {
  const list = [];
  for (let i = 0; i < rounds; i++) {
    const tab = await open(browser, server, { width: 1440, height: 900 });
    try {
      await tab.page.addInitScript(() => {
        globalThis.drawn = { last: 0, strokes: 0 };
        const stroke = CanvasRenderingContext2D.prototype.stroke;
        CanvasRenderingContext2D.prototype.stroke = function (...a) {
          stroke.apply(this, a);
          globalThis.drawn.last = performance.now();
          globalThis.drawn.strokes++;
        };
      });
      await tab.go(address);
      list.push(await fn(tab.page));
    } finally {
      await tab.close();
    }
  }
  tell(what, list);
}

const shop = workshop();
const server = await serve(shop);
let browser;
try {
  const start = Date.now();
  await fill(server);
  console.log(`${runs} runs with 23 settings; ${long.runs} runs of ${long.steps} points: reported in ${Math.round((Date.now() - start) / 1000)} s`);
  browser = await launch();
  await measured(browser, server, "first paint: the head of the page", "/", async (page) => {
    await page.getByRole("link", { name: "many" }).first().waitFor();
    return page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
  });
  await measured(browser, server, "the projects: from the address until they are there", "/", async (page) => {
    await page.getByRole("link", { name: "many" }).first().waitFor();
    return page.evaluate(() => performance.now());
  });
  const row = (page) => page.getByRole("row").filter({ hasText: "many-" }).first();
  await measured(browser, server, `table of ${runs} runs: from the address to the first rows`, "/p/many", async (page) => {
    await row(page).waitFor();
    return page.evaluate(() => performance.now());
  });
  await measured(browser, server, `table of ${runs} runs: sorted by another column`, "/p/many", async (page) => {
    await row(page).waitFor();
    await settled(page);
    const first = await row(page).innerText();
    const head = page.getByRole("columnheader").filter({ hasText: "loss" }).first();
    const began = Date.now();
    await head.getByRole("button").first().click();
    while ((await row(page).innerText()) === first) await new Promise((done) => setTimeout(done, 5));
    return Date.now() - began;
  });
  await measured(browser, server, `chart of ${long.runs} runs × ${long.steps} points: drawn after its data`, "/p/curves?top=200", async (page) => {
    await page.locator("canvas").first().waitFor();
    await settled(page);
    await page.waitForTimeout(1500);
    return page.evaluate((least) => {
      const data = performance.getEntriesByType("resource").filter((r) => r.name.endsWith("/series"));
      if (data.length === 0 || globalThis.drawn.strokes < least) throw new Error(`${data.length} series, ${globalThis.drawn.strokes} strokes`);
      return globalThis.drawn.last - Math.max(...data.map((r) => r.responseEnd));
    }, long.runs);
  });
} finally {
  await browser?.close();
  await server.stop();
  shop.remove();
}
