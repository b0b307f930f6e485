// A server that wants a key: the page asks for it, keeps it in this tab, and says when it is wrong.

import assert from "node:assert/strict";
import { accessible } from "./looks.js";

const RIGHT = "sk-right-0123456789";

export default async function (browser) {
  const { page, context } = browser;
  let right = RIGHT;
  browser.expect(/Failed to load resource: the server responded with a status of 401/);
  await guard(context, () => right);
  await page.goto(browser.url);
  await page.getByLabel("Key", { exact: true }).waitFor();
  // Nothing was asked for that would be refused, and nothing of the server is told.
  assert.deepEqual(browser.requests, [`${browser.url}/`]);
  assert.ok(!(await page.content()).includes("gpt-oss"));
  assert.equal(await page.title(), "mxfp4");
  await looks(browser);

  await enter(page, "sk-wrong");
  await page.getByText("This key is not right. Check it and enter it again.").waitFor();
  assert.equal(await page.evaluate(() => [document.activeElement.id, sessionStorage.length].join()), "key,0");
  await enter(page, "schlüssel");
  await page.getByText("A key has letters, digits and signs, and no spaces.").waitFor();
  await enter(page, RIGHT);
  await browser.status(/^Ready$/);
  const answer = await browser.question("short");
  assert.equal(await answer.locator(".words").innerText(), "Short.");
  await answer.getByRole("button", { name: "As curl" }).click();
  const command = await page.locator("#curl-text").textContent();
  assert.ok(command.includes('-H "Authorization: Bearer $MXFP4_API_KEY"') && !command.includes(RIGHT), command);
  await page.keyboard.press("Escape");

  // It is kept in this tab alone.
  assert.deepEqual(await kept(page), [RIGHT, 0, ""]);
  await page.reload();
  await browser.status(/^Ready$/);
  assert.ok(browser.requests.every((request) => !request.includes(RIGHT)));

  // The key is replaced while the page is open.
  right = "sk-renewed-0123456789";
  await page.getByText("The key is not right any more. Enter another one.").waitFor();
  assert.deepEqual(await kept(page), [null, 0, ""]);
  await enter(page, right);
  await browser.status(/^Ready$/);
  await page.getByRole("button", { name: "Forget the key" }).click();
  await page.getByLabel("Key", { exact: true }).waitFor();
  assert.deepEqual(await kept(page), [null, 0, ""]);
  assert.ok(!(await page.title()).includes("gpt-oss"));
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

/** Stands before the server and asks for the key, as a server with keys does. */
async function guard(context, right) {
  await context.route("**", async (route) => {
    const request = route.request();
    const path = new URL(request.url()).pathname;
    if (path === "/health" || request.headers().authorization === `Bearer ${right()}`) return route.continue();
    if (path === "/") return route.fulfill({ response: await route.fetch(), status: 401 });
    const error = { message: "the key is not right", type: "invalid_request_error", param: null, code: "invalid_api_key" };
    return route.fulfill({ status: 401, json: { error } });
  });
}
