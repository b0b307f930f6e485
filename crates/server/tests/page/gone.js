// The server goes in the middle of an answer and comes back, and the page finds out by itself.

import assert from "node:assert/strict";
import { ask } from "./browser.js";

export default async function (browser) {
  const { page } = browser;
  browser.expect(/Failed to load resource: (net::ERR_|the server responded with a status of 503)/);
  await browser.begin();
  await browser.question("short");
  const answer = await browser.question("endless", { wait: false });
  await answer.locator(".words p").filter({ hasText: "Word after word" }).waitFor();
  await ask("stop");
  await browser.ended(answer);
  assert.match(await answer.locator(".error").innerText(), /^(The server shuts down; send the request again\.|The connection broke before the answer's end\.)$/);
  await browser.status(/^The server does not answer$/);
  assert.equal(await page.locator("#send").isDisabled(), true);
  assert.equal(await page.locator("#hint").textContent(), "Not ready yet");
  await page.getByRole("button", { name: /^Try now \(\d+ s\)$/ }).waitFor();

  await ask("bind");
  await page.locator("#try-now").click();
  await browser.status(/^Starting: the model is being loaded$/);
  await ask("ready");
  await browser.status(/^Ready$/);
  // The conversation is as it was, and goes on.
  assert.equal(await browser.answers().count(), 2);
  await answer.getByRole("button", { name: "Regenerate" }).click();
  await page.keyboard.press("Escape");
  const next = await browser.question("short");
  assert.equal(await next.locator(".words").innerText(), "Short.");

  await ask("kill engine");
  await browser.status(/^The model has ended; the server does not answer requests: /);
  await ask("ready");
  await browser.status(/^Ready$/);
  await unseen(browser);
  await ask("stop");
  await browser.status(/^The server does not answer$/);
  // Nobody has to ask it to look again.
  await ask("bind");
  await ask("ready");
  await browser.status(/^Ready$/);
}

/** A tab that nobody sees asks for nothing, and looks at once when it is seen again. */
async function unseen(browser) {
  const { page } = browser;
  const see = (hidden) =>
    page.evaluate((hidden) => {
      Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
      document.dispatchEvent(new Event("visibilitychange"));
    }, hidden);
  await see(true);
  // What was asked before still comes.
  await page.waitForTimeout(500);
  const before = browser.requests.length;
  await page.waitForTimeout(3000);
  assert.equal(browser.requests.length, before);
  await see(false);
  await page.waitForRequest(/\/health$/);
}
