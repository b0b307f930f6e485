// Runs one program: node run.js NAME URL. What it asks of the tests' server goes by lines that begin with "? ".

import { open } from "./browser.js";

const [name, url] = process.argv.slice(2);
const { default: program } = await import(`./${name}.js`);
const browser = await open(url);
try {
  await program(browser);
  browser.check();
} catch (error) {
  await browser.page.screenshot({ path: `${process.env.TMPDIR ?? "/tmp"}/mxfp4-page-${name}.png` }).catch(() => {});
  console.error(error.stack);
  console.error(`console: ${JSON.stringify(browser.said)}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  process.stdin.destroy();
}
