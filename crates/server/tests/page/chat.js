// A conversation, by keyboard alone, and the same request by curl.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ask } from "./browser.js";

export default async function (browser) {
  const { page, context } = browser;
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await browser.begin();
  assert.equal(await page.locator("#model-name").textContent(), "gpt-oss-20b");
  assert.match(await page.locator("#versions").textContent(), /^mxfp4 \d.* · MAX scripted · context\u00a0131,072$/);
  await firstAnswer(browser);
  await secondAnswer(browser);
  await regenerated(browser);
  await byCurl(browser);
  await numbers(browser);
  await anew(browser);
}

async function firstAnswer(browser) {
  const { page } = browser;
  // The first stop of the keyboard leads past everything else.
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.className), "skip");
  await page.keyboard.press("Enter");
  await page.keyboard.type("Compare TCP");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("and QUIC, please, it's for <b>me</b>");
  await page.keyboard.press("Enter");
  const answer = browser.answers().first();
  await browser.ended(answer);
  assert.equal(await page.locator(".question .words").innerText(), "Compare TCP\nand QUIC, please, it's for <b>me</b>");
  assert.equal(await answer.locator(".thinking").getAttribute("open"), null);
  assert.match(await answer.locator("summary").textContent(), /^Thought for \d+\.\d s$/);
  assert.match(await answer.locator(".thoughts").textContent(), /^The user wants to know\. .* short\.$/);
  assert.equal(await answer.locator("h4").textContent(), "TCP and QUIC");
  assert.deepEqual(await answer.locator("tbody tr").first().locator("td").allTextContents(), ["runs in", "the kernel", "user space"]);
  assert.equal(await answer.locator("ol > li").count(), 2);
  assert.equal(await answer.locator("ol > li ul > li").count(), 2);
  assert.match(await answer.locator("pre code").textContent(), /^async with connect.*\n {4}await quic/);
  assert.equal(await answer.locator("a").getAttribute("rel"), "noopener noreferrer nofollow");
  assert.match(await answer.locator(".facts").textContent(), /^\d+ tokens · \d+ a second · first after \d/);
  await answer.getByRole("button", { name: "Copy the answer" }).press("Enter");
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^## TCP and QUIC\n\nBoth are \*\*reliable\*\*/);
  await answer.getByRole("button", { name: "Copy the code" }).press("Enter");
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^async with connect/);
}

async function secondAnswer(browser) {
  const { page } = browser;
  await page.locator("#effort").selectOption("high");
  await page.locator("#system summary").press("Enter");
  await page.locator("#system-text").fill("Answer in one word.");
  await browser.question("Was that short?");
  const [first, second] = await ask("prompts");
  assert.match(first, /Reasoning: medium/);
  assert.ok(first.endsWith("<|message|>Compare TCP\nand QUIC, please, it's for <b>me</b><|end|><|start|>assistant"), first);
  assert.match(second, /Reasoning: high/);
  assert.match(second, /<\|start\|>developer<\|message\|># Instructions\n\nAnswer in one word\./);
  assert.match(second, /<\|channel\|>final<\|message\|>## TCP and QUIC[^]*Was that short\?<\|end\|><\|start\|>assistant$/);
}

async function regenerated(browser) {
  const { page } = browser;
  assert.deepEqual(await page.getByRole("button", { name: "Regenerate" }).count(), 1);
  await page.getByRole("button", { name: "Regenerate" }).press("Enter");
  await page.waitForFunction(() => document.querySelectorAll(".answer[aria-busy=false]").length === 2);
  const prompts = await ask("prompts");
  assert.equal(prompts.length, 3);
  assert.equal(prompts[2], prompts[1]);
}

/** What the shell makes of the command is what the page sent. */
async function byCurl(browser) {
  const { page } = browser;
  await browser.answers().last().getByRole("button", { name: "As curl" }).press("Enter");
  const command = await page.locator("#curl-text").textContent();
  await page.getByRole("button", { name: "Copy", exact: true }).press("Enter");
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), command);
  await page.keyboard.press("Escape");
  const { stdout } = await promisify(execFile)("bash", ["-c", command]);
  assert.match(stdout, /^data: \{.*\n\ndata: \[DONE\]\n\n$/s);
  const prompts = await ask("prompts");
  assert.equal(prompts.length, 4);
  assert.equal(prompts[3], prompts[1]);
}

async function numbers(browser) {
  const card = (title) => browser.card(title);
  await card("First token").filter({ hasText: /s$/ }).waitFor();
  assert.equal(await card("KV cache").textContent(), "38 %");
  assert.match(await card("Prefix hits").textContent(), /^(49|50) %$/);
  assert.match(await card("Each token").textContent(), /^\d+(\.\d)? ms$/);
  for (const title of ["Running", "Queue"]) await card(title).filter({ hasText: /^0$/ }).waitFor();
}

async function anew(browser) {
  const { page } = browser;
  await page.getByRole("button", { name: "New chat" }).press("Enter");
  assert.equal(await page.locator(".message").count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.id), "question");
  await browser.question("short");
  const last = (await ask("prompts")).at(-1);
  assert.ok(!last.includes("TCP"), last);
}
