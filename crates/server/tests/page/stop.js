// Answers that are stopped are cancelled in the engine.

import assert from "node:assert/strict";
import { ask } from "./browser.js";

export default async function (browser) {
  const { page } = browser;
  await browser.begin();
  const ways = [
    () => page.keyboard.press("Escape"),
    () => page.getByRole("button", { name: "Stop" }).click(),
  ];
  for (const [i, way] of ways.entries()) {
    const answer = await browser.question("endless", { wait: false });
    await answer.locator(".words p").filter({ hasText: "Word after word" }).waitFor();
    // While one is made, another is not sent.
    await page.locator("#question").fill("short");
    await page.locator("#question").press("Enter");
    assert.equal(await browser.answers().count(), i + 1);
    assert.equal(await page.locator("#send").isVisible(), false);
    await way();
    await browser.ended(answer);
    assert.match(await answer.locator(".facts").textContent(), /^stopped/);
    assert.equal(await answer.locator(".error").isVisible(), false);
    await cancelled(i + 1);
    // What was typed meanwhile is still there.
    assert.equal(await page.locator("#question").inputValue(), "short");
  }
  // It says how long the model has thought by now, and in the end how long it did.
  const thought = await browser.question("slow thought", { wait: false });
  await thought.locator("summary").filter({ hasText: /^Thinking… \d+\.\d s$/ }).waitFor();
  await page.keyboard.press("Escape");
  await browser.ended(thought);
  assert.match(await thought.locator("summary").textContent(), /^Thought for \d+\.\d s$/);
  await cancelled(3);
  // A conversation goes on from where it was stopped.
  const next = await browser.question("short");
  assert.equal(await next.locator(".words").innerText(), "Short.");
  assert.match((await ask("prompts")).at(-1), /Word after word[^]*short<\|end\|>/);
  // A new chat ends what the old one asked for.
  await browser.question("endless", { wait: false });
  await page.getByRole("button", { name: "New chat" }).click();
  await cancelled(4);
  assert.equal(await page.locator(".message").count(), 0);
  await browser.question("short");
}

async function cancelled(count) {
  while ((await ask("cancelled")) < count) await new Promise((resolve) => setTimeout(resolve, 20));
}
