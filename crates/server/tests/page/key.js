// A server that wants a key: the page asks for it, keeps it in this tab, and says when it is wrong.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { ask } from "./browser.js";
import { accessible } from "./looks.js";

const RIGHT = "sk-right-0123456789";
const RENEWED = "sk-renewed-0123456789";
const WRONG = "This key is not right. Check it and enter it again.";

export default async function (browser) {
  const { page } = browser;
  await ask(`want key ${RIGHT}`);
  browser.expect(/Failed to load resource: the server responded with a status of 401/);
  await page.goto(browser.url);
  await page.getByLabel("Key", { exact: true }).waitFor();
  // Nothing was asked for that would be refused, and nothing of the server is told.
  assert.deepEqual(browser.requests, [`${browser.url}/`]);
  assert.ok(!(await page.content()).includes("gpt-oss"));
  assert.equal(await page.title(), "mxfp4");
  await looks(browser);

  await wrong(browser);
  await enter(page, RIGHT);
  await browser.status(/^Ready$/);
  const answer = await browser.question("short");
  assert.equal(await answer.locator(".words").innerText(), "Short.");
  await numbers(browser);
  await byCurl(browser, answer);

  // It is kept in this tab alone.
  assert.deepEqual(await kept(page), [RIGHT, 0, ""]);
  await page.reload();
  await browser.status(/^Ready$/);
  assert.ok(browser.requests.every((request) => !request.includes(RIGHT)));

  await revoked(browser);
  await page.getByRole("button", { name: "Forget the key" }).click();
  await page.getByLabel("Key", { exact: true }).waitFor();
  assert.deepEqual(await kept(page), [null, 0, ""]);
  assert.ok(!(await page.title()).includes("gpt-oss"));
}

async function wrong({ page }) {
  await enter(page, "sk-wrong");
  await page.getByText(WRONG).waitFor();
  assert.equal(await page.evaluate(() => [document.activeElement.id, sessionStorage.length].join()), "key,0");
  await enter(page, "schlüssel");
  await page.getByText("A key has letters, digits and signs, and no spaces.").waitFor();
}

/** The numbers are behind the key, too. */
async function numbers(browser) {
  assert.equal((await fetch(`${browser.url}/metrics`)).status, 401);
  await browser.card("First token").filter({ hasText: /s$/ }).waitFor();
  assert.equal(await browser.card("KV cache").textContent(), "38 %");
}

/** The command has the key from the shell. */
async function byCurl({ page }, answer) {
  await answer.getByRole("button", { name: "As curl" }).click();
  const command = await page.locator("#curl-text").textContent();
  await page.keyboard.press("Escape");
  assert.ok(!command.includes(RIGHT), command);
  const shell = async (key) => {
    const env = { ...process.env, MXFP4_API_KEY: key };
    return (await promisify(execFile)("bash", ["-c", command], { env })).stdout;
  };
  assert.match(await shell(RIGHT), /^data: \{.*\n\ndata: \[DONE\]\n\n$/s);
  assert.equal(JSON.parse(await shell("sk-wrong")).error.code, "invalid_api_key");
}

/** The key is replaced while an answer is made. */
async function revoked(browser) {
  const { page } = browser;
  const answer = await browser.question("endless", { wait: false });
  await answer.locator(".words").filter({ hasText: "no end" }).waitFor();
  await ask(`want key ${RENEWED}`);
  await page.getByText("The key is not right any more. Enter another one.").waitFor();
  assert.deepEqual(await kept(page), [null, 0, ""]);
  await enter(page, RIGHT);
  await page.getByText(WRONG).waitFor();
  await enter(page, RENEWED);
  await browser.status(/^Ready$/);
  // The conversation is there, and the answer was stopped.
  assert.match(await answer.locator(".facts").textContent(), /^stopped/);
  assert.equal(await ask("cancelled"), 1);
}

async function enter(page, key) {
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
}

const kept = (page) => page.evaluate(() => [sessionStorage.getItem("key"), localStorage.length, document.cookie]);

async function looks(browser) {
  for (const theme of ["light", "dark"]) {
    await browser.page.emulateMedia({ colorScheme: theme });
    if (process.env.SCREENS) await browser.page.screenshot({ path: `${process.env.SCREENS}/key-${theme}.png` });
    await accessible(browser.page, `key ${theme}`);
  }
}
