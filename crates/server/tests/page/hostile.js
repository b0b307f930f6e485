// What a model writes is text: no markup, no script, no address but of the web.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

export default async function (browser) {
  const { page } = browser;
  await browser.begin();
  const before = await elements(page);
  const answer = await browser.question("hostile <img src=x onerror=alert(1)> \u202eflipped");
  assert.equal(await page.evaluate(() => window.pwned), undefined);
  assert.deepEqual(await elements(page), before);
  const inside = await answer.locator(".words *").evaluateAll((all) => [...new Set(all.map((each) => each.localName))].sort());
  const known = ["a", "code", "div", "p", "pre", "span", "strong", "table", "tbody", "td", "th", "thead", "tr", "button"];
  assert.deepEqual(inside.filter((name) => !known.includes(name)), []);
  await links(answer);
  const text = await answer.locator(".words").textContent();
  for (const part of [
    "<script>window.pwned = 1</script>",
    '<img src=x onerror="window.pwned = 2">',
    "[script](javascript:window.pwned=3)",
    "[own](/metrics)",
    "&lt;i&gt;",
    "␛[31mred",
    "[U+202E]txt.exe[U+202C]",
    "[U+2066]isolated",
    "[U+009B]2J",
    "a_1 * b_2",
    "snake_case_name",
  ]) {
    assert.ok(text.includes(part), `${part} is not in ${text}`);
  }
  assert.ok(!/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/.test(text));
  assert.match(await page.locator(".question").innerText(), /<img src=x onerror=alert\(1\)> \[U\+202E\]flipped/);
  await command(browser, answer);
  await alike(browser);
}

/** What must not become more. */
async function elements(page) {
  return page.evaluate(() =>
    ["script", "style", "img", "iframe", "object", "embed", "link", "base", "meta", "form", "video"].map((name) => [
      name,
      document.getElementsByTagName(name).length,
    ]),
  );
}

async function links(answer) {
  const found = await answer.locator("a").evaluateAll((all) => all.map((each) => [each.getAttribute("href"), each.rel, each.target]));
  assert.deepEqual(
    found.map(([href]) => href),
    [
      "https://evil.example/",
      "https://evil.example/track.png",
      "https://evil.example/pointed",
      "https://good.example/a(b)c?x=1&y=%222%22",
      "https://bare.example/path",
    ],
  );
  for (const [, rel, target] of found) assert.deepEqual([rel, target], ["noopener noreferrer nofollow", "_blank"]);
}

/** What is read in the command is what it holds. */
async function command(browser, answer) {
  await answer.getByRole("button", { name: "As curl" }).click();
  const text = await browser.page.locator("#curl-text").textContent();
  assert.ok(text.includes("\\u202eflipped") && !text.includes("\u202e"), text);
  await browser.page.keyboard.press("Escape");
}

/** A text in pieces becomes what it becomes as a whole, whatever it is made of and wherever it is cut. */
async function alike(browser) {
  const source = (name) => readFileSync(new URL(`../../src/page/${name}.js`, import.meta.url), "utf8");
  const page = await browser.context.newPage();
  const parts = ["dom", "inline", "blocks", "growing"].map(source).join("\n");
  const difference = await page.evaluate(`(() => {${parts}; return (${compare})(new Function("into", "pieces", "return 0"), {
    make: (pieces) => { const into = document.createElement("div"); const growing = new GrowingMarkdown(into);
      for (const [i, piece] of pieces.entries()) { growing.append(piece); growing.draw(i === pieces.length - 1); } return into.innerHTML; } });})()`);
  await page.close();
  assert.equal(difference, null);
}

/** Runs in the browser. */
function compare(_, { make }) {
  const words = ["a", "word", " ", " ", "\n", "\n", "\n\n", "- ", "* ", "1. ", "12) ", "  ", "    ", "# ", "### ", "> ", "| ", "|", "|-|", "| a | b |\n| - | - |\n",
    "```", "```js\n", "~~~", "`", "``", "*", "**", "***", "_", "__", "~~", "[", "](", ")", "https://a.example/x", "<br>", "<b>", "\\", "\\(", "\\)", "![", "---\n", "\r\n", "\u202e", "[x] ", "é🐦"];
  let seed = 7;
  const random = (below) => (seed = (seed * 48271) % 2147483647) % below;
  for (let round = 0; round < 3000; round += 1) {
    const text = Array.from({ length: 1 + random(30) }, () => words[random(words.length)]).join("");
    const pieces = [];
    for (let at = 0; at < text.length; ) {
      const end = at + 1 + random(6);
      pieces.push(text.slice(at, end));
      at = end;
    }
    const [whole, grown] = [make([text]), make(pieces)];
    if (whole !== grown) return { text, pieces, whole, grown };
  }
  // What takes a parser's time: each of these would take minutes if it grew with the square.
  for (const word of words) make([word.repeat(Math.ceil(100000 / word.length))]);
  for (const pair of ["*a **b ", "[a](", "`a``b```c", "_a __b ", "\\(\\[", "> - ", "a|b\n-|-\n", "<https://", "![a]("]) make([pair.repeat(20000)]);
  return null;
}
