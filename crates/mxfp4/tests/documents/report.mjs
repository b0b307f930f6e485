// A report in Chromium: node report.mjs INDEX.html. Tables sort, points lead to rows, it is readable on light and on dark screens
// and at 360 pixels, and it asks no one for anything.

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const { chromium } = createRequire(`${process.env.PACKAGES}/`)("playwright-core");
const url = `file://${process.argv[2]}`;
const chrome = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox", "--disable-gpu"] });

/** A page, and what it said and asked for. */
async function open(colorScheme, width) {
  const context = await chrome.newContext({ colorScheme, viewport: { width, height: 900 } });
  const page = await context.newPage();
  const [said, asked] = [[], []];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(url);
  return { page, said, asked };
}

const column = (page, number) =>
  page.locator("table").first().locator(`tbody tr td:nth-child(${number})`).allTextContents();

try {
  const { page, said, asked } = await open("light", 1000);

  // A column's title sorts, up and then down. Numbers are numbers: 8192 comes after 16.
  const titles = page.locator("table").first().locator("th");
  const numeric = await titles.evaluateAll((heads) => heads.flatMap((head, at) => (head.className ? [] : [at + 1])));
  for (const at of numeric.slice(0, 6)) {
    const before = await column(page, at);
    const numbers = (cells) => cells.map(parseFloat).filter((number) => !Number.isNaN(number));
    for (const [state, way] of [["ascending", 1], ["descending", -1]]) {
      await titles.nth(at - 1).locator("button").press("Enter");
      assert.equal(await titles.nth(at - 1).getAttribute("aria-sort"), state);
      const after = numbers(await column(page, at));
      assert.deepEqual(after, numbers(before).sort((a, b) => way * (a - b)));
    }
    assert.deepEqual((await column(page, at)).sort(), before.sort(), "no row is lost");
    assert.equal(await page.locator("th[aria-sort]").count(), 1);
  }

  // Every point of every chart leads to a row that is there, and says its figures.
  const links = await page.locator("svg a").evaluateAll((all) =>
    all.map((link) => [link.getAttribute("href").split("#")[1], link.querySelector("title").textContent]),
  );
  assert.ok(links.length > 0);
  const rows = await page.locator("tr[id]").evaluateAll((all) => all.map((row) => row.id));
  assert.equal(new Set(rows).size, rows.length, "no two rows have one name");
  for (const [id, says] of links) {
    assert.ok(rows.includes(id), id);
    assert.match(says, /\d/);
  }
  const last = page.locator("svg a circle").last();
  await last.click();
  const target = await page.evaluate(() => document.querySelector(":target")?.tagName);
  assert.equal(target, "TR");

  assert.deepEqual(said, []);
  assert.ok(asked.every((request) => request.startsWith(url)), JSON.stringify(asked));

  // Ink and paper change places on a dark screen, in charts too.
  const colors = (page) =>
    page.evaluate(() => [document.body, document.querySelector("svg .paper"), document.querySelector("svg .title")].map((part) => {
      const style = getComputedStyle(part);
      return part === document.body ? style.backgroundColor : style.fill;
    }));
  const dark = await open("dark", 1000);
  const [day, night] = [await colors(page), await colors(dark.page)];
  day.forEach((color, at) => assert.notEqual(color, night[at]));
  for (const [own, all] of [[day, "light"], [night, "dark"]]) assert.equal(own[0], own[1], `the chart's paper is the ${all} page's`);

  // Nothing but a table is wider than a small screen, and a table scrolls by itself.
  const small = await open("light", 360);
  const overflow = await small.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(overflow <= 0, `${overflow} pixels beside the screen`);

  if (process.env.SCREENS) {
    const name = process.argv[3];
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: `${process.env.SCREENS}/${name}-light.png`, fullPage: true });
    await dark.page.screenshot({ path: `${process.env.SCREENS}/${name}-dark.png`, fullPage: true });
    await small.page.screenshot({ path: `${process.env.SCREENS}/${name}-small.png` });
  }
} finally {
  await chrome.close();
}
