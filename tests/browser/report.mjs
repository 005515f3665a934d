// Opens reports in Chromium as a reader would and checks what the reader would see.
//
//   node report.mjs MODULES OUT NAME=FILE...
//
// MODULES is a folder with playwright-core, OUT gets screenshots. Exit code 1 where a check fails. CHROMIUM names the
// browser; default: chromium.

import { createRequire } from "node:module";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [modules, out, ...reports] = process.argv.slice(2);
const { chromium } = createRequire(resolve(modules, "x.js"))("playwright-core");
const FIRST_PAINT_MS = 2000;
const failures = [];
const check = (holds, what) => { if (!holds) failures.push(what); };

// Marks that stand for data, not axes and legends.
const countMarks = (chart) => {
  const count = (item) => {
    const own = item.role === "mark" && item.marktype !== "group" ? item.items.length : 0;
    return own + (item.items ?? []).reduce((sum, it) => sum + count(it), 0);
  };
  return chart.view ? count(chart.view.scenegraph().root) : 0;
};

const settle = async (page, id) => {
  await page.locator(`#chart-${id}`).scrollIntoViewIfNeeded();
  await page.waitForFunction((id) => ["drawn", "empty", "failed"].includes(document.getElementById(`chart-${id}`).dataset.state), id, { timeout: 20000 });
};

const draw = async (page, name) => {
  const ids = await page.evaluate(() => llem.charts.map((it) => it.id));
  // Made-up studies ran on several boards, which is a chart more.
  check(ids.length === (["large", "hostile"].includes(name) ? 13 : 12), `${name}: ${ids.length} charts`);
  for (const id of ids) {
    await settle(page, id);
    const { state, marks, why } = await page.evaluate(`(() => { const chart = llem.charts.find((it) => it.id === "${id}"); const count = ${countMarks};
      return { state: chart.section.dataset.state, marks: count(chart), why: chart.section.querySelector(".empty")?.textContent }; })()`);
    console.log(`${name}: ${id}: ${state}, ${marks} marks${why ? `: ${why}` : ""}`);
    // A study may lack what a chart is about, and the chart must then say so.
    const mayLack = name === "large" ? [] : ["trace", "effects", "shares", "heat", "drift", "spread"];
    check(state === "drawn" ? marks > 0 : state === "empty" && mayLack.includes(id), `${name}: ${id} is ${state} with ${marks} marks`);
  }
  return ids;
};

const brush = async (page, name) => {
  const rows = () => page.evaluate(() => Object.fromEntries(llem.charts.map((it) => [it.id, it.rows?.length ?? 0])));
  // Charts that are drawn while the mouse moves would move the page below it.
  await page.evaluate(() => llem.drawAll());
  const before = await rows();
  await settle(page, "parallel");
  const box = await page.evaluate(() => {
    const { view, section } = llem.charts.find((it) => it.id === "parallel");
    const area = section.querySelector("canvas, svg").getBoundingClientRect();
    const x = view.scale("x")(llem.axes[0].title);
    const [left, top] = view.origin();
    return { x: area.left + left + x, y: area.top + top, height: view.signal("height") };
  });
  await page.mouse.move(box.x - 14, box.y + 5);
  await page.mouse.down();
  await page.mouse.move(box.x, box.y + box.height * 0.3, { steps: 4 });
  await page.mouse.move(box.x + 14, box.y + box.height * 0.45, { steps: 4 });
  await page.mouse.up();
  await page.waitForFunction(() => /of/.test(document.getElementById("status").textContent), null, { timeout: 5000 }).catch(() => {});
  await page.evaluate(() => llem.drawAll());
  const after = await rows();
  for (const id of ["energy", "speed", "front", "latency", "spread", "drift", ...(name === "large" ? ["boards"] : [])]) {
    check(after.energy > 0 && after[id] < before[id], `${name}: brushing left ${id} with ${after[id]} of ${before[id]} rows`);
  }
  console.log(`${name}: brushing: ${await page.locator("#status").textContent()}`);
  await page.locator("#clear").click({ timeout: 3000 }).catch(() => {});
  check(/^all/.test(await page.locator("#status").textContent()), `${name}: the filter was not lifted`);
};

const keyboard = async (page, name) => {
  const box = page.locator("#filter input").first();
  if (!(await box.count())) return;
  await box.focus();
  await page.keyboard.press("Space");
  check(/of/.test(await page.locator("#status").textContent()), `${name}: a box does nothing by keyboard`);
  await page.keyboard.press("Space");
  const unnamed = await page.evaluate(() => [...document.querySelectorAll("button, select, input")].filter((it) => !it.textContent.trim() && !it.labels?.length && !it.title).length);
  check(unnamed === 0, `${name}: ${unnamed} controls have no name`);
};

const saved = async (page, name) => {
  await settle(page, "energy");
  const sizes = await page.evaluate(async () => {
    const { view } = llem.charts.find((it) => it.id === "energy");
    return [(await view.toSVG()).length, (await view.toImageURL("png")).length];
  });
  check(sizes.every((it) => it > 1000), `${name}: saved charts have ${sizes} characters`);
  const button = page.locator("#chart-energy button", { hasText: "Data" });
  await button.click();
  check((await page.locator("#chart-energy .data tbody tr").count()) > 0, `${name}: the data of a chart are not shown`);
  await button.click();
};

// The axis of energies can have equal differences or equal ratios.
const scale = async (page, name) => {
  const type = () => page.evaluate(() => llem.charts.find((it) => it.id === "energy").view?.scale(llem.page.experiments.length > 40 ? "y" : "x").type);
  for (const [wanted, expected] of [["ratios", "log"], ["differences", "linear"], ["auto", null]]) {
    await page.locator("#chart-energy select").selectOption(wanted);
    await page.evaluate(() => llem.drawAll());
    await settle(page, "energy");
    check(!expected || (await type()) === expected, `${name}: the axis of energies is ${await type()}, not ${expected}`);
  }
};

const profile = mkdtempSync(join(tmpdir(), "llem-browser-"));
mkdirSync(out, { recursive: true });
const context = await chromium.launchPersistentContext(profile, {
  executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", headless: true, offline: true, viewport: { width: 1280, height: 900 },
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
});
try {
  for (const report of reports) {
    const [name, file] = report.split("=");
    const page = await context.newPage();
    page.on("console", (it) => { if (["error", "warning"].includes(it.type())) failures.push(`${name}: console ${it.type()}: ${it.text().slice(0, 300)}`); });
    page.on("pageerror", (it) => failures.push(`${name}: ${String(it).slice(0, 300)}`));
    page.on("dialog", (it) => { failures.push(`${name}: a dialog opened`); it.dismiss(); });
    page.on("request", (it) => { if (!/^(file|data|blob):/.test(it.url())) failures.push(`${name}: asked for ${it.url().slice(0, 200)}`); });
    await page.emulateMedia({ colorScheme: "light" });
    await page.goto(pathToFileURL(resolve(file)).href, { waitUntil: "load" });
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
    console.log(`${name}: first paint after ${paint.toFixed(0)} ms`);
    check(paint < FIRST_PAINT_MS, `${name}: first paint after ${paint.toFixed(0)} ms`);
    await draw(page, name);
    await saved(page, name);
    await keyboard(page, name);
    if (name !== "hostile") await brush(page, name);
    check((await page.locator("img").count()) === 0, `${name}: an image came in`);
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 0, `${name}: the page is ${wide} px wider than the window`);
    if (name !== "hostile") await scale(page, name);
    for (const scheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme: scheme });
      await draw(page, name);
      await page.evaluate(() => scrollTo(0, 0));
      await page.screenshot({ path: join(out, `${name}-${scheme}.png`), fullPage: true });
    }
    await page.close();
  }
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
for (const failure of new Set(failures)) console.log(`FAILED: ${failure}`);
console.log(failures.length ? "" : "all checks hold");
process.exit(failures.length ? 1 : 0);
