// Both themes and two widths: axe finds nothing serious, nothing is too wide, and pictures are left where SCREENS says.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const SIZES = { wide: { width: 1200, height: 760 }, phone: { width: 360, height: 740 } };

export default async function (browser) {
  const { page } = browser;
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.setViewportSize(SIZES.wide);
  await browser.begin();
  await everyWay(browser, "empty");
  const others = load(browser);
  const answer = await browser.question("Compare TCP and QUIC");
  await answer.locator(".thinking summary").click();
  // Where somebody wants to see it, there is more to see after a while.
  await page.waitForTimeout(process.env.SCREENS ? 70_000 : 2500);
  await everyWay(browser, "answer");
  await answer.getByRole("button", { name: "As curl" }).click();
  await everyWay(browser, "curl", ["light wide", "dark phone"]);
  await page.keyboard.press("Escape");
  const motion = await browser.question("endless", { wait: false });
  assert.equal(await motion.evaluate((node) => getComputedStyle(node, "::before").animationName), "none");
  await page.keyboard.press("Escape");
  others.over = true;
  await others.sent;
}

/** Other clients' requests, so that there are numbers to show. */
function load(browser) {
  const others = { over: false };
  const body = JSON.stringify({ messages: [{ role: "user", content: "Compare" }] });
  const one = async () => (await fetch(`${browser.url}/v1/chat/completions`, { method: "POST", body })).text();
  const send = async () => {
    for (let round = 1; !others.over; round += 1) {
      await Promise.all(Array.from({ length: 3 + ((round * 5) % 7) }, one));
    }
  };
  others.sent = send();
  return others;
}

async function everyWay(browser, name, ways = ["light wide", "light phone", "dark wide", "dark phone"]) {
  const { page } = browser;
  for (const way of ways) {
    const [theme, size] = way.split(" ");
    await page.emulateMedia({ colorScheme: theme });
    await page.setViewportSize(SIZES[size]);
    if (process.env.SCREENS) await page.screenshot({ path: `${process.env.SCREENS}/${name}-${theme}-${size}.png` });
    const wider = await page.evaluate(() => document.scrollingElement.scrollWidth - innerWidth);
    assert.ok(wider <= 0, `${name} ${way} is ${wider} pixels too wide`);
    await accessible(page, `${name} ${way}`);
  }
}

export async function accessible(page, what) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => window.axe.run());
  const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
  const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" ")}`);
  assert.deepEqual(found, [], what);
}
