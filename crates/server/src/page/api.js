// Requests to the server that this page came from.

/** An answer that is an error, as the server said it. */
class Refused extends Error {
  constructor(status, message, retryAfter) {
    super(message);
    Object.assign(this, { status, retryAfter });
  }
}

/** There was no answer. */
class Unreachable extends Error {}

const KEY = "key";
let key = remembered();

/** A browser may forbid storage; then the key lasts as long as the page. */
function remembered() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

function remember(next) {
  key = next;
  try {
    if (next === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, next);
  } catch {
    // It lasts as long as the page.
  }
}

/** A response that is no error. */
async function ask(path, { body, signal } = {}) {
  const headers = {};
  if (key !== null) headers.authorization = `Bearer ${key}`;
  if (body) headers["content-type"] = "application/json";
  const response = await reach(path, { method: body ? "POST" : "GET", headers, body, signal, cache: "no-store" });
  if (response.ok) return response;
  const message = (await answerOf(response))?.error?.message ?? `the server answered ${response.status}`;
  throw new Refused(response.status, message, Number(response.headers.get("retry-after")) || null);
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable("the server does not answer");
  }
}

async function answerOf(response) {
  try {
    return await response.json();
  } catch {
    return null;
  }
}

/** How far the server is: its own word, or `unreachable`. */
async function health() {
  try {
    const response = await reach("/health", { cache: "no-store", signal: AbortSignal.timeout(5000) });
    const answer = await answerOf(response);
    return { state: answer?.status ?? (response.ok ? "ready" : "unreachable"), why: answer?.error?.message ?? "" };
  } catch {
    return { state: "unreachable", why: "" };
  }
}
