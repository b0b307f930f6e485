// Chromium with the page, and what it does besides.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

// No name is looked up but this machine's.
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** Asks the tests' server for something. */
export async function ask(what) {
  console.log(`? ${what}`);
  return JSON.parse((await lines.next()).value);
}

export async function open(url, options = {}) {
  const chrome = await chromium.launch({ executablePath: process.env.CHROMIUM, args: FLAGS });
  const context = await chrome.newContext(options);
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  return new Browser(url, chrome, context, page);
}

class Browser {
  constructor(url, chrome, context, page) {
    Object.assign(this, { url, chrome, context, page, requests: [], said: [], expected: [] });
    context.on("request", (request) => this.requests.push(request.url()));
    page.on("console", (message) => {
      if (["error", "warning"].includes(message.type())) this.said.push(message.text());
    });
    page.on("pageerror", (error) => this.said.push(String(error)));
    page.on("dialog", (dialog) => {
      this.said.push(`a dialog: ${dialog.message()}`);
      dialog.dismiss();
    });
  }

  /** Chromium logs each response that is an error; this one is meant to come. */
  expect(pattern) {
    this.expected.push(pattern);
  }

  /** Nothing was asked of anyone else, and nothing went wrong. */
  check() {
    const others = this.requests.filter((request) => !request.startsWith(`${this.url}/`));
    assert.deepEqual(others, []);
    assert.ok(this.requests.length > 0);
    const said = this.said.filter((text) => !this.expected.some((pattern) => pattern.test(text)));
    assert.deepEqual(said, []);
  }

  /** Opens the page and waits until it is ready. */
  async begin() {
    await this.page.goto(this.url);
    await this.status(/^Ready$/);
  }

  async status(pattern) {
    await this.page.locator("#status-text").filter({ hasText: pattern }).waitFor();
  }

  /** Asks, and waits for the end of the answer unless told not to. */
  async question(text, { wait = true } = {}) {
    const before = await this.answers().count();
    await this.page.locator("#question").fill(text);
    await this.page.keyboard.press("Enter");
    const answer = this.answers().nth(before);
    await answer.waitFor();
    if (wait) await this.ended(answer);
    return answer;
  }

  answers() {
    return this.page.locator(".answer");
  }

  /** A number beside the chat. */
  card(title) {
    const named = this.page.locator("dt", { hasText: title });
    return this.page.locator(".card").filter({ has: named }).locator(".value");
  }

  async ended(answer) {
    await answer.locator("footer").waitFor({ timeout: 60_000 });
  }

  async close() {
    await this.chrome.close();
  }
}
