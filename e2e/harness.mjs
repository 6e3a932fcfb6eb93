// What the browser tests and the screenshots stand on: a project that was
// trained, servers of the real program over its store, and a real browser.
//
// SOLERA    the binary; default bin/solera. It is not built here.
// CHROMIUM  the browser; default chromium of the PATH or of Debian.

import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { deflateSync } from "node:zlib";

const root = resolve(import.meta.dirname, "..");
// The tools are those of the dashboard.
const require = createRequire(join(root, "web", "package.json"));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const binary = resolve(root, process.env.SOLERA ?? "bin/solera");
const browsers = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

export const project = "wine-classification";

/** A folder of its own, and an environment in which nobody's settings show. */
export function workshop() {
  const dir = mkdtempSync(join(tmpdir(), "solera-e2e-"));
  const env = { PATH: process.env.PATH, HOME: dir, TMPDIR: dir, LANG: "C.UTF-8", TZ: "UTC", SOLERA_KEY: join(dir, "signing.pem"), USER: "ana" };
  const run = promisify(execFile);
  return {
    dir,
    env,
    /** Runs solera and returns what it printed. */
    async solera(...args) {
      const { stdout } = await run(binary, ["-C", dir, ...args], { env, maxBuffer: 1 << 26 });
      return stdout;
    },
    /** Starts solera and returns the process. */
    start(...args) {
      return spawn(binary, ["-C", dir, ...args], { env, stdio: ["ignore", "pipe", "pipe"] });
    },
    async edit(file, ...changes) {
      let text = await readFile(join(dir, file), "utf8");
      for (const [from, to] of changes) {
        const next = text.replace(from, to);
        if (next === text) throw new Error(`${file}: nothing there is ${from}`);
        text = next;
      }
      await writeFile(join(dir, file), text);
    },
    remove() {
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** Trains the wine project twice: the second time with other parts, so that versions differ. */
export async function wine(shop) {
  await shop.solera("init", "wine");
  await shop.solera("run");
  await shop.edit("solera.yaml", [/train: 0\.8, val: 0\.1, test: 0\.1/, "train: 0.7, val: 0.15, test: 0.15"], [/exp001, epochs: 100/, "exp001, epochs: 12"]);
  await shop.solera("run");
}

/** A training that takes a while, beside what the project has. */
export function slowTraining(shop, epochs) {
  const yaml = readFileSync(join(shop.dir, "solera.yaml"), "utf8").replace(/experiments:\n(?: +- .*\n)+/, `experiments:\n  - {name: slow, epochs: ${epochs}, batch_size: 4, learning_rate: 0.0005, optimizer: adam}\n`);
  return writeFile(join(shop.dir, "slow.yaml"), yaml).then(() => {
    const child = shop.start("train", "-q", "--config", "slow.yaml");
    let said = "";
    child.stderr.on("data", (b) => (said += b));
    child.stdout.resume();
    const ended = new Promise((done) => child.on("exit", (code) => done({ code, said })));
    return { ended, stop: () => child.kill("SIGINT") };
  });
}

/** Starts a server on a free port and waits until it answers. */
export async function serve(shop, ...args) {
  const child = shop.start("server", "--listen", "127.0.0.1:0", "--json", ...args);
  let errors = "";
  child.stderr.on("data", (b) => (errors = (errors + b).slice(-20_000)));
  const ended = new Promise((done) => child.on("exit", done));
  const ready = await new Promise((done, fail) => {
    let text = "";
    const timer = setTimeout(() => fail(new Error("the server does not start:\n" + errors)), 20_000);
    child.stdout.on("data", (b) => {
      text += b;
      if (!text.includes("\n")) return;
      clearTimeout(timer);
      done(JSON.parse(text.slice(0, text.indexOf("\n"))));
    });
    child.on("exit", (code) => fail(new Error(`the server ended with ${code}:\n${errors}`)));
  });
  return {
    url: ready.url.replace(/\/$/, ""),
    key: ready.admin_key,
    log: () => errors,
    async stop() {
      child.kill("SIGTERM");
      return ended;
    },
  };
}

/** The project of searched; the other one's runs are counted by tests. */
export const searching = "searching";

/** Makes a sweep of three trials, of which two have ended, as W&B's client would; returns its identifier. */
export async function searched(server) {
  const ask = async (query, variables) => {
    const answer = await fetch(`${server.url}/graphql`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ query, variables }) });
    const { data, errors } = await answer.json();
    if (!answer.ok) throw new Error(errors[0].message);
    return data;
  };
  const config = "method: grid\nname: rates\nmetric: {name: loss, goal: minimize}\nparameters:\n  lr: {values: [0.1, 0.01, 0.001, 0.0001]}\n  units: {values: [16, 32]}\n";
  const made = await ask("mutation($c:String!,$p:String!){upsertSweep(input:{config:$c,projectName:$p}){sweep{name}}}", { c: config, p: searching });
  const sweep = made.upsertSweep.sweep.name;
  const agent = (await ask('mutation($s:String!){createAgent(input:{host:"lab",sweep:$s}){agent{id}}}', { s: sweep })).createAgent.agent.id;
  for (const loss of [0.8, 0.5, undefined]) {
    const beat = await ask('mutation($a:ID!){agentHeartbeat(input:{id:$a,runState:"{}"}){commands}}', { a: agent });
    const run = JSON.parse(beat.agentHeartbeat.commands)[0].run_id;
    if (loss === undefined) break;
    await ask("mutation($n:String!,$p:String!,$s:String!,$c:JSONString){upsertBucket(input:{name:$n,modelName:$p,sweep:$s,config:$c}){bucket{id}}}", { n: run, p: searching, s: sweep, c: '{"_wandb":{"value":{"t":{}}}}' });
    const body = { files: { "wandb-history.jsonl": { offset: 0, content: [JSON.stringify({ _step: 0, loss })] } }, complete: true, exitcode: 0 };
    const answer = await fetch(`${server.url}/files/default/${searching}/${run}/file_stream`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
  }
  return sweep;
}

export async function launch() {
  const executablePath = browsers.find((b) => b && existsSync(b));
  if (!executablePath) throw new Error("no Chromium here: install the package chromium, or set CHROMIUM to a browser");
  return chromium.launch({
    executablePath,
    args: [
      "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
      "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
    ],
  });
}

/**
 * Opens a page that watches itself: what it wrote to the console as an error,
 * what it threw, and every request that left the server's origin.
 */
export async function open(browser, server, { theme = "light", language = "en", width = 1280, height = 800, scale = 1 } = {}) {
  const context = await browser.newContext({
    viewport: { width, height }, deviceScaleFactor: scale, colorScheme: theme, locale: language === "es" ? "es-ES" : "en-GB",
    timezoneId: "UTC", reducedMotion: "reduce",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const faults = [];
  const expected = [];
  page.on("console", (m) => {
    if (m.type() === "error" && !expected.some((e) => e.test(`${m.text()} ${m.location().url}`))) faults.push(`console: ${m.text()} ${m.location().url}`);
  });
  page.on("pageerror", (e) => faults.push(`thrown: ${e.message}`));
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (url.origin !== server.url && url.protocol !== "data:" && url.protocol !== "blob:") faults.push(`left the origin: ${r.url()}`);
  });
  return {
    page,
    faults,
    /** An error that a test provokes is no fault. */
    expect: (pattern) => expected.push(pattern),
    go: (path) => page.goto(server.url + path, { waitUntil: "load" }),
    close: () => context.close(),
  };
}

/** What axe finds that is serious or worse, as lines. */
export async function violations(page) {
  // The policy of the pages forbids scripts that are not theirs, so axe comes
  // through the debugger.
  await page.evaluate(axe);
  const found = await page.evaluate(() =>
    globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], resultTypes: ["violations"] }),
  );
  return found.violations
    .filter((v) => v.impact === "serious" || v.impact === "critical")
    .flatMap((v) => v.nodes.slice(0, 5).map((n) => `${v.id} (${v.impact}): ${n.target.join(" ")}: ${(n.failureSummary ?? "").split("\n").slice(0, 3).join(" ").trim()}`));
}

/** Waits until nothing that is in sight is loading any more. */
export async function settled(page) {
  await page.locator("#main").waitFor();
  await page.waitForFunction(
    () =>
      ![...document.querySelectorAll('[aria-busy="true"], .mantine-Loader-root, .mantine-Skeleton-root')].some((e) => {
        const r = e.getBoundingClientRect();
        return r.width > 0 && r.top < innerHeight && r.bottom > 0 && r.left < innerWidth && r.right > 0;
      }),
    null,
    { timeout: 15_000 },
  );
  await page.waitForTimeout(250);
}

/** Polls until fn returns something true, and returns it. */
export async function until(what, fn, seconds = 20) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const v = await fn();
    if (v) return v;
    if (Date.now() > end) throw new Error(`after ${seconds} s still not: ${what}`);
    await new Promise((r) => setTimeout(r, 150));
  }
}

/** A PNG of one colour, small enough to be made here. */
function png(width, height, [r, g, b]) {
  const table = Uint32Array.from({ length: 256 }, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n >>> 0;
  });
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
    let crc = 0xffffffff;
    for (const x of body) crc = table[(crc ^ x) & 0xff] ^ (crc >>> 8);
    const head = Buffer.alloc(4);
    head.writeUInt32BE(data.length);
    const tail = Buffer.alloc(4);
    tail.writeUInt32BE((crc ^ 0xffffffff) >>> 0);
    return Buffer.concat([head, body, tail]);
  };
  const size = Buffer.alloc(13);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  size.set([8, 2, 0, 0, 0], 8);
  const line = Buffer.concat([Buffer.from([0]), ...Array.from({ length: width }, () => Buffer.from([r, g, b]))]);
  const raw = Buffer.concat(Array.from({ length: height }, () => line));
  return Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), chunk("IHDR", size), chunk("IDAT", deflateSync(raw)), chunk("IEND", Buffer.alloc(0))]);
}

/** A run as the W&B client reports one: numbers, pictures, distributions, a table, texts, a page, an alert. */
export async function reported(server, name = "k7q2mx") {
  const project = "media";
  const send = async (method, address, body, type = "application/json") => {
    const answer = await fetch(new URL(address, server.url), { method, body, headers: { "Content-Type": type } });
    if (!answer.ok) throw new Error(`${method} ${address}: ${answer.status} ${await answer.text()}`);
    return answer;
  };
  const ask = async (query, variables) => {
    const { data, errors } = await (await send("POST", "/graphql", JSON.stringify({ query, variables }))).json();
    if (errors) throw new Error(JSON.stringify(errors));
    return data;
  };
  await ask(
    `mutation UpsertBucket($name: String, $project: String, $entity: String, $config: JSONString, $displayName: String) {
      upsertBucket(input: {name: $name, modelName: $project, entityName: $entity, config: $config, displayName: $displayName}) { bucket { id name } inserted } }`,
    { name, project, entity: "default", config: JSON.stringify({ lr: { value: 0.01 }, _wandb: { value: { cli_version: "0.31.0" } } }), displayName: "a reported run" },
  );
  const steps = 4;
  const history = Array.from({ length: steps }, (_, i) => ({
    _step: i,
    _runtime: i,
    _timestamp: 1_700_000_000 + i,
    loss: 1 / (i + 1),
    samples: { _type: "images/separated", width: 48, height: 32, format: "png", count: 2, filenames: [`media/images/samples_${i}_0.png`, `media/images/samples_${i}_1.png`], captions: [`first of step ${i}`, "second <b>not bold</b>"] },
    weights: { _type: "histogram", bins: [-2, -1, 0, 1, 2], values: [i, 4 * i + 1, 9, 2] },
    gradients: { _type: "histogram", packedBins: { min: -1, size: 0.25, count: 8 }, values: [1, 2, 4, 8 + i, 8, 4, 2, 1] },
    remark: `after step ${i}: <script>alert(1)</script>`,
  }));
  history[steps - 1].page = { _type: "html-file", path: "media/html/page.html" };
  history[steps - 1].predictions = { _type: "table-file", path: "media/table/predictions.table.json", ncols: 3, nrows: 2 };
  history[steps - 1].shape = { width: 3, layers: [64, 32] };
  const files = {
    "media/html/page.html": "<script>document.title = 'taken over'</script>",
    "media/table/predictions.table.json": JSON.stringify({ columns: ["row", "called", "picture"], data: [[7, "class_0", { _type: "image-file", path: "media/images/samples_0_0.png" }], [12, "class_2", null]] }),
    "notes.txt": "kept with the run\n",
  };
  for (let i = 0; i < steps; i++) for (const j of [0, 1]) files[`media/images/samples_${i}_${j}.png`] = png(48, 32, [(60 * i) % 256, 90 + 100 * j, 200 - 50 * i]);
  const { createRunFiles } = await ask(
    `mutation CreateRunFiles($entity: String!, $project: String!, $run: String!, $files: [String!]!) {
      createRunFiles(input: {entityName: $entity, projectName: $project, runName: $run, files: $files}) { runID uploadHeaders files { name uploadUrl } } }`,
    { entity: "default", project, run: name, files: Object.keys(files) },
  );
  for (const f of createRunFiles.files) await send("PUT", f.uploadUrl, files[f.name], "application/octet-stream");
  await send("POST", `/files/default/${project}/${name}/file_stream`, JSON.stringify({
    files: {
      "wandb-history.jsonl": { offset: 0, content: history.map((h) => JSON.stringify(h)) },
      "wandb-summary.json": { offset: 0, content: [JSON.stringify({ loss: 0.25, _step: steps - 1, _runtime: 3, samples: history[steps - 1].samples })] },
      "output.log": { offset: 0, content: ["2026-11-29T20:00:00.000000 it begins\n"] },
    },
    uploaded: Object.keys(files),
  }));
  await ask(
    `mutation NotifyScriptableRunAlert($entityName: String!, $projectName: String!, $runName: String!, $title: String!, $text: String!, $severity: AlertSeverity, $waitDuration: Duration) {
      notifyScriptableRunAlert(input: {entityName: $entityName, projectName: $projectName, runName: $runName, title: $title, text: $text, severity: $severity, waitDuration: $waitDuration}) { success } }`,
    { entityName: "default", projectName: project, runName: name, title: "It learns slowly", text: "The loss is still 0.25.", severity: "WARN", waitDuration: 0 },
  );
  await send("POST", `/files/default/${project}/${name}/file_stream`, JSON.stringify({ complete: true, exitcode: 0 }));
  return { project, name };
}
