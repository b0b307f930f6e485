// An answer of more than 100,000 characters. The page stays usable; how long its frames take is printed, not asserted.

import assert from "node:assert/strict";

export default async function (browser) {
  const { page } = browser;
  await browser.begin();
  await page.evaluate(() => {
    const frames = (window.frames_ = []);
    let last = performance.now();
    const next = (now) => {
      frames.push(now - last);
      last = now;
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
  const answer = await browser.question("long", { wait: false });
  // It can be typed and scrolled meanwhile.
  await page.locator("#question").pressSequentially("meanwhile");
  await browser.ended(answer);
  assert.equal(await page.locator("#question").inputValue(), "meanwhile");
  const text = await answer.locator(".words").textContent();
  assert.ok(text.length > 100_000, `${text.length} characters`);
  assert.ok(text.endsWith("The end of it."));
  assert.ok(text.includes("x".repeat(10_000)));
  assert.equal(await answer.locator("table").count(), 80);
  assert.equal((await answer.locator("pre").last().textContent()).split("\n").length, 1000);
  const { frames, left, height } = await page.evaluate(() => {
    const log = document.getElementById("log");
    return { frames: window.frames_, left: log.scrollHeight - log.scrollTop - log.clientHeight, height: document.scrollingElement.scrollWidth - innerWidth };
  });
  assert.ok(left < 2, `the view is ${left} pixels from the end`);
  assert.ok(height <= 0, "nothing is wider than the window");
  frames.sort((a, b) => a - b);
  const at = (share) => frames[Math.floor((frames.length - 1) * share)].toFixed(0);
  console.log(`${text.length} characters: frames of ${at(0.5)} ms (median), ${at(0.99)} ms (99 of 100), ${at(1)} ms (longest)`);
}
