// The dashboard in a real browser, on a real server, over a real store.
// `make e2e` builds the binary and runs this; SOLERA and CHROMIUM say which.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, open, project, reported, searched, searching, serve, settled, slowTraining, until, violations, wine, workshop } from "./harness.mjs";

let shop, browser, server, runs, sweep;
const home = `/p/${project}`;

before(async () => {
  shop = workshop();
  await wine(shop);
  [browser, server] = await Promise.all([launch(), serve(shop)]);
  sweep = await searched(server);
  const answer = await fetch(`${server.url}/api/v1/workspaces/default/runs?project=${project}&limit=100`);
  runs = (await answer.json()).runs;
});

after(async () => {
  await browser?.close();
  const code = await server?.stop();
  shop?.remove();
  if (server) assert.equal(code, 0, "the server ends well when asked to");
});

const trained = (experiment) => runs.find((r) => r.stage === "train" && r.experiment === experiment);

/** Opens a page for a test and holds it to its manners at the end. */
async function visit(path, fn, options) {
  const tab = await open(browser, server, options);
  try {
    await tab.go(path);
    await settled(tab.page);
    await fn(tab.page, tab);
    assert.deepEqual(tab.faults, []);
  } finally {
    await tab.close();
  }
}

describe("on a server of one's own", () => {
  test("the projects lead to the runs", () =>
    visit("/", async (page) => {
      await page.getByRole("link", { name: project }).first().click();
      await page.getByText("train exp003").first().waitFor();
      assert.match(page.url(), new RegExp(`${home}$`));
      assert.match(await page.title(), /wine-classification · Solera/);
    }));

  test("a condition chooses runs, is in the address, and says where it is wrong", () =>
    visit(home, async (page, tab) => {
      const box = page.getByRole("combobox", { name: "Condition on runs" }).or(page.getByRole("textbox", { name: "Condition on runs" })).first();
      await box.fill('stage = "train" and experiment = "exp002"');
      await box.press("Escape");
      await box.press("Enter");
      await page.getByText("2 runs", { exact: true }).waitFor();
      assert.equal(await page.getByText("train exp003").count(), 0);
      assert.match(decodeURIComponent(page.url()), /exp002/);
      await page.reload();
      await page.getByText("2 runs", { exact: true }).waitFor();
      tab.expect(/400/);
      await box.fill("stage = = 3");
      await box.press("Escape");
      await box.press("Enter");
      await page.getByRole("alert").first().waitFor();
    }));

  test("a chart moves while a run trains, and the run's end shows", async () => {
    const training = await slowTraining(shop, 120_000);
    try {
      await visit(home, async (page) => {
        const row = page.getByRole("row").filter({ hasText: "slow" }).first();
        await row.getByText("running").waitFor();
        const canvas = page.locator("canvas").first();
        await canvas.waitFor();
        const picture = () => canvas.evaluate((c) => c.toDataURL());
        const seen = new Set();
        await until("the chart moved three times", async () => seen.add(await picture()).size >= 4, 30);
        training.stop();
        await row.getByText("running").waitFor({ state: "detached", timeout: 30_000 });
      });
    } finally {
      training.stop();
      await training.ended;
    }
  });

  test("a run is stopped from its page", async () => {
    const training = await slowTraining(shop, 120_000);
    try {
      await visit(home, async (page) => {
        const row = page.getByRole("row").filter({ hasText: "slow" }).filter({ hasText: "running" }).first();
        await row.getByRole("link").first().click();
        await page.getByRole("button", { name: "Stop" }).click();
        await page.getByText("Why it stopped").waitFor({ timeout: 30_000 });
        await page.getByText(/stopped by/).first().waitFor();
        assert.equal(await page.getByRole("button", { name: "Stop" }).count(), 0);
      });
      const { code } = await training.ended;
      assert.equal(code, 1, "the training ended by itself");
    } finally {
      training.stop();
      await training.ended;
    }
  });

  test("a cell of the confusion matrix opens its rows", () =>
    visit(`${home}/runs/${trained("exp001").id}`, async (page) => {
      await page.getByRole("tab", { name: "Evaluation" }).click();
      const matrix = page.locator('[data-chart="confusion"]').first();
      await matrix.waitFor();
      const cell = matrix.getByRole("button").first();
      const count = Number(/\d+/.exec(await cell.getAttribute("aria-label"))[0]);
      assert.ok(count > 0, "the first class has rows that were recognised");
      await cell.focus();
      await page.keyboard.press("Enter");
      const table = page.getByRole("region", { name: /rows/i }).getByRole("table");
      await table.waitFor();
      await until("the rows of the cell are listed", async () => (await table.locator("tbody tr").count()) === count);
    }));

  test("from a model one follows the lineage to the rows of the raw table", () =>
    visit(`${home}/artifacts`, async (page) => {
      await page.getByRole("link", { name: "trained-wine-model-exp003" }).click();
      await page.getByRole("link", { name: "v0", exact: true }).click();
      await page.getByRole("button", { name: "Lineage" }).click();
      await page.locator(".react-flow__node").first().waitFor();
      assert.equal(await page.locator(".react-flow__node").count(), 8);
      assert.equal(await page.locator(".lineage-box.on-way").count(), 5, "model, train, preprocess's data and run, raw data");
      // By keyboard: a box is a button.
      const box = page.locator('.react-flow__node[data-id="wine-preprocess:v0"]');
      await box.focus();
      await page.keyboard.press("Enter");
      await page.getByRole("region", { name: "wine-preprocess:v0" }).waitFor();
      await page.getByText("List", { exact: true }).click();
      await page.getByRole("cell", { name: "wine-raw:v0" }).first().waitFor();
      await page.getByRole("link", { name: "rows of wine-raw:v0" }).click();
      await page.getByRole("table", { name: "train.parquet" }).waitFor();
      await page.getByRole("columnheader", { name: /alcohol/ }).waitFor();
      await page.getByText("14.23", { exact: true }).first().waitFor();
    }));

  test("a version can be checked, named and compared", () =>
    visit(`${home}/artifacts/wine-raw/v1?tab=provenance`, async (page) => {
      await page.getByText("Signed, and the signature verifies").waitFor();
      await page.getByRole("button", { name: "Check now" }).click();
      await page.getByText("Everything is as it was committed").waitFor();
      await page.getByRole("button", { name: "Actions for wine-raw:v1" }).click();
      await page.getByRole("menuitem", { name: "Aliases…" }).click();
      await page.getByLabel("New alias").fill("golden");
      await page.getByRole("button", { name: "Save" }).click();
      await page.getByText("golden", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Compare with v0" }).click();
      await page.getByText("moved to another part").first().waitFor();
      await page.goto(`${server.url}${home}/audit`);
      await page.getByText("golden").first().waitFor();
      await page.getByRole("button", { name: "Check the chain" }).click();
      await page.getByText(/The chain of .* entries is whole/).waitFor();
    }));

  test("a sweep shows its best trial, and is paused and resumed", () =>
    visit(`/p/${searching}/sweeps`, async (page) => {
      await page.getByRole("link", { name: "rates" }).click();
      await page.getByRole("heading", { name: "rates" }).waitFor();
      await page.getByRole("link", { name: "Trial 2" }).waitFor();
      assert.equal(await page.locator("svg[data-chart=progress] circle").count(), 2);
      await page.getByText("3 of 8").first().waitFor();
      await page.getByRole("button", { name: "Pause" }).click();
      await page.getByText("paused", { exact: true }).waitFor();
      await page.getByRole("button", { name: "Resume" }).click();
      await page.getByText("running", { exact: true }).first().waitFor();
    }));

  test("everything is said in Spanish too", () =>
    visit(
      `${home}/artifacts/wine-raw/v0`,
      async (page) => {
        await page.getByRole("tab", { name: "Procedencia" }).click();
        await page.getByText("Comprobar ahora").waitFor();
        assert.equal(await page.evaluate(() => document.documentElement.lang), "es");
      },
      { language: "es" },
    ));

  // Pages mostly wait for their server, so some are open at once.
  test("nothing serious is found by axe on any page, in light and dark, wide and narrow", { concurrency: 4 }, async (t) => {
    const model = trained("exp003");
    const pages = [
      "/",
      home,
      `${home}/runs/${model.id}`,
      `${home}/runs/${model.id}?tab=charts`,
      `${home}/runs/${model.id}?tab=evaluation`,
      `${home}/runs/${model.id}?tab=console`,
      `${home}/compare?runs=${[trained("exp001"), trained("exp002")].map((r) => r.id).join(",")}`,
      `${home}/artifacts`,
      `${home}/artifacts/wine-raw`,
      `${home}/artifacts/wine-raw/v0`,
      `${home}/artifacts/trained-wine-model-exp003/v0?file=weights.safetensors`,
      `${home}/artifacts/trained-wine-model-exp003/v0?file=report.json`,
      `${home}/artifacts/trained-wine-model-exp003/v0?tab=provenance`,
      `${home}/diff?a=wine-raw:v0&b=wine-raw:v1`,
      `${home}/lineage/trained-wine-model-exp003/v0`,
      `${home}/lineage/trained-wine-model-exp003/v0?view=list`,
      `${home}/sweeps`,
      `/p/${searching}/sweeps`,
      `/p/${searching}/sweeps/${sweep}`,
      `${home}/audit`,
      "/account",
      "/nowhere",
    ];
    const visits = [];
    for (const look of [{ theme: "light" }, { theme: "dark" }, { theme: "light", width: 390, height: 800 }]) {
      const name = look.width ? "narrow" : look.theme;
      for (const path of pages) {
        visits.push(t.test(`${name} ${path.replace(home, "")}`, () =>
          visit(
            path,
            async (page) => {
              assert.deepEqual(await violations(page), []);
              const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
              assert.ok(over <= 0, `the page is ${over} pixels wider than the window`);
            },
            look,
          )));
      }
    }
    await Promise.all(visits);
  });

  test("what a run of the W&B client recorded is seen, and cannot act", async (t) => {
    const run = await reported(server);
    const printed = `/default/${run.project}/runs/${run.name}`; // as its client says where to look
    await visit(printed, async (page) => {
      assert.match(page.url(), new RegExp(`/p/${run.project}/runs/${run.name}$`));
      await page.getByText("It learns slowly").waitFor();
      await page.getByRole("tab", { name: "Media" }).click();
      const samples = page.locator('[data-medium="image"]');
      const picture = samples.getByRole("img").first();
      await picture.waitFor();
      await until("the picture is there", () => picture.evaluate((i) => i.complete && i.naturalWidth === 48));
      await samples.getByText("second <b>not bold</b>").waitFor();
      await samples.getByText("first of step 3").waitFor();
      await samples.getByRole("slider").focus();
      await page.keyboard.press("Home");
      await samples.getByText("first of step 0").waitFor();
      assert.equal(await page.locator('svg[data-chart="histogram"]').count(), 2);
      const packed = page.locator('[data-medium="histogram"]').filter({ hasText: "gradients" });
      await packed.getByRole("button", { name: "gradients as table" }).or(packed.getByRole("button").first()).first().click();
      await packed.getByRole("cell", { name: "0.25" }).first().waitFor();
      await page.getByRole("table", { name: "predictions" }).getByText("class_2").waitFor();
      await page.getByText("<script>alert(1)</script>").waitFor();
      await page.getByRole("link", { name: "media/html/page.html" }).waitFor();
      await page.getByRole("tab", { name: "Files" }).click();
      await page.getByRole("link", { name: "notes.txt" }).waitFor();
      await page.getByRole("tab", { name: "Charts" }).click();
      await page.getByRole("heading", { name: "loss" }).waitFor();
      assert.equal(await page.getByRole("heading", { name: "_runtime" }).count(), 0);
      assert.match(await page.title(), /Solera/);
    }, { height: 2400 }); // what is out of sight is not read
    const answer = await fetch(`${server.url}/api/v1/workspaces/default/runs/${run.name}/files/media/html/page.html`);
    assert.match(answer.headers.get("content-disposition"), /^attachment/);
    assert.equal(answer.headers.get("content-type"), "application/octet-stream");
    for (const look of [{ theme: "light" }, { theme: "dark", language: "es" }, { theme: "light", width: 390, height: 800 }]) {
      for (const tab of ["overview", "media", "files"]) {
        await t.test(`${tab}, ${look.width ? "narrow" : look.theme}`, () =>
          visit(
            `/p/${run.project}/runs/${run.name}?tab=${tab}`,
            async (page) => {
              assert.deepEqual(await violations(page), []);
              const over = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
              assert.ok(over <= 0, `the page is ${over} pixels wider than the window`);
            },
            look,
          ));
      }
    }
  });

  test("pages of users never run in the origin", async () => {
    const answer = await fetch(`${server.url}/api/v1/workspaces/default/artifacts/${project}/wine-raw/v0/files/schema.json`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get("content-disposition"), /^attachment/);
    assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
  });
});

describe("on a server of a team", () => {
  let team;
  before(async () => {
    team = await serve(shop, "--auth", "--workspace", `vision=${shop.dir}/vision`, "--workspace", `speech=${shop.dir}/speech`);
  });
  after(async () => {
    assert.equal(await team?.stop(), 0);
  });

  test("one chooses among the workspaces in which one has a role, and sees no other", async () => {
    await shop.solera("--store", "vision", "load", "-q");
    await shop.solera("user", "add", "vic", "--role", "viewer", "--workspace", "vision");
    const { key } = JSON.parse(await shop.solera("user", "key", "vic", "--json"));
    const signIn = async (page, secret) => {
      await page.getByRole("textbox", { name: "API key" }).fill(secret);
      await page.getByRole("button", { name: "Sign in" }).click();
    };
    // Who has a role in one sees that one, and no choice.
    const guest = await open(browser, team);
    guest.expect(/40[13]/);
    await guest.go("/");
    await signIn(guest.page, key);
    await guest.page.waitForURL(/\/w\/vision\/$/);
    await guest.page.getByRole("link", { name: project }).first().waitFor();
    assert.equal(await guest.page.getByRole("button", { name: /^Workspace:/ }).count(), 0);
    await guest.go("/w/speech/");
    await guest.page.getByText("Your role does not allow this").waitFor();
    await guest.close();
    // An admin chooses, and each has its own projects.
    for (const width of [1280, 390]) {
      const tab = await open(browser, team, { width });
      const { page } = tab;
      try {
        tab.expect(/401/);
        await tab.go("/");
        await signIn(page, team.key);
        await page.getByRole("link", { name: project }).first().waitFor();
        const menu = page.getByRole("button", { name: width > 1000 ? "Workspace: default" : "Menu" });
        await menu.click();
        await page.getByRole(width > 1000 ? "menuitem" : "link", { name: /speech/ }).waitFor();
        assert.deepEqual(await violations(page), []);
        await page.getByRole(width > 1000 ? "menuitem" : "link", { name: /vision/ }).click();
        await page.waitForURL(/\/w\/vision\/$/);
        await page.getByRole("link", { name: project }).first().click();
        await page.waitForURL(/\/w\/vision\/p\/wine-classification$/);
        await page.getByText("train exp003").waitFor({ state: "detached" });
        await page.getByText("load", { exact: true }).first().waitFor();
        assert.deepEqual(tab.faults, []);
      } finally {
        await tab.close();
      }
    }
  });

  test("an address that a client printed asks to sign in, and then leads to its page", async () => {
    const tab = await open(browser, team);
    try {
      tab.expect(/401/);
      await tab.go(`/default/${project}/runs/${trained("exp001").id}`);
      await tab.page.getByRole("textbox", { name: "API key" }).fill(team.key);
      await tab.page.getByRole("button", { name: "Sign in" }).click();
      await tab.page.waitForURL(new RegExp(`${home}/runs/${trained("exp001").id}$`));
      await tab.page.getByRole("tab", { name: "Evaluation" }).waitFor();
      assert.deepEqual(tab.faults, []);
    } finally {
      await tab.close();
    }
  });

  test("without credentials nothing is told", async () => {
    for (const path of ["projects", `runs?project=${project}`, "artifacts", "audit", `lineage?ref=${project}/wine-raw:v0`]) {
      const answer = await fetch(`${team.url}/api/v1/workspaces/default/${path}`);
      assert.equal(answer.status, 401, path);
      assert.doesNotMatch(await answer.text(), /wine-raw/);
    }
  });

  test("who is not known is asked to sign in, refused with a wrong key, and brought back with the right one", async () => {
    const tab = await open(browser, team);
    const { page } = tab;
    try {
      tab.expect(/401/);
      await tab.go(`${home}/artifacts`);
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      assert.deepEqual(await violations(page), []);
      assert.equal(await page.getByText("wine-raw").count(), 0);
      await page.getByRole("textbox", { name: "API key" }).fill("solera_" + "0".repeat(43));
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByText("The key is not valid here.").waitFor();
      await page.getByRole("textbox", { name: "API key" }).fill(team.key);
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("link", { name: "wine-raw" }).waitFor();
      assert.match(page.url(), /artifacts$/);

      // The page that clients open gives a key that they can write with.
      await tab.go("/authorize");
      await page.getByRole("button", { name: "Make a key" }).click();
      const given = await page.getByTestId("new-key").innerText();
      const viewer = await fetch(`${team.url}/graphql`, {
        method: "POST", body: JSON.stringify({ query: "query Viewer { viewer { id entity } }" }),
        headers: { "Content-Type": "application/json", Authorization: `Basic ${Buffer.from(`api:${given}`).toString("base64")}` },
      });
      assert.equal((await viewer.json()).data.viewer.entity, "default");

      // A key is made, shown once, and revoked.
      await tab.go("/account");
      await page.getByRole("button", { name: "New key" }).click();
      await page.getByLabel("What for").fill("laptop");
      await page.getByLabel("May").selectOption("read");
      await page.getByRole("button", { name: "Make the key" }).click();
      const key = await page.getByTestId("new-key").innerText();
      assert.match(key, /^solera_[0-9A-Za-z]{43}$/);
      const asks = () => fetch(`${team.url}/api/v1/workspaces/default/projects`, { headers: { Authorization: `Bearer ${key}` } });
      assert.equal((await asks()).status, 200);
      await page.reload();
      await page.getByText("laptop").waitFor();
      assert.equal(await page.getByText(key).count(), 0, "the key is shown once");
      await page.getByRole("button", { name: "Revoke the key laptop" }).click();
      await page.getByRole("dialog").getByRole("button", { name: "Revoke" }).click();
      await page.getByText("revoked", { exact: true }).waitFor();
      assert.equal((await asks()).status, 401);

      // Somebody who may only look is offered nothing else.
      await page.getByRole("button", { name: "New user" }).click();
      const dialog = page.getByRole("dialog");
      await dialog.getByRole("textbox", { name: "Name" }).fill("bea");
      await dialog.getByRole("textbox", { name: "Password" }).fill("a long password of bea");
      await dialog.getByRole("button", { name: "Add" }).click();
      await page.getByRole("cell", { name: "bea", exact: true }).waitFor();
      for (const theme of ["light", "dark"]) {
        await page.emulateMedia({ colorScheme: theme });
        assert.deepEqual(await violations(page), []);
      }
      await page.getByRole("button", { name: /^Account: admin/ }).click();
      await page.getByRole("menuitem", { name: "Sign out" }).click();
      await page.getByRole("heading", { name: "Sign in" }).waitFor();
      await page.getByText("Name and password", { exact: true }).click();
      await page.getByRole("textbox", { name: "Name" }).fill("bea");
      await page.getByRole("textbox", { name: "Password" }).fill("a long password of bea");
      await page.getByRole("button", { name: "Sign in" }).click();
      await page.getByRole("link", { name: project }).first().waitFor();
      await tab.go(`${home}/artifacts/wine-raw/v0`);
      await page.getByRole("tab", { name: "Provenance" }).waitFor();
      assert.equal(await page.getByRole("button", { name: /^Actions for/ }).count(), 0);
      assert.deepEqual(tab.faults, []);
    } finally {
      await tab.close();
    }
  });
});
