// How far the server is, asked again and again while somebody looks.

const EVERY = 2000;
/** How long it waits while there is no answer. */
const PATIENCE = [1, 2, 4, 8, 15];

const STATES = {
  connecting: { text: "Connecting…", kind: "wait" },
  ready: { text: "Ready", kind: "good" },
  starting: { text: "Starting: the model is being loaded", kind: "wait" },
  draining: { text: "Ending: running answers are finished first", kind: "wait" },
  gone: { text: "The model has ended; the server does not answer requests", kind: "bad" },
  unreachable: { text: "The server does not answer", kind: "bad" },
};

let state = "connecting";
/** The model's name in requests. */
let served = null;
let failures = 0;
let timer = null;
let looking = false;

const isReady = () => state === "ready";

/** Asks once, shows what came, and asks again later. */
async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  try {
    const { state: now, why } = await health();
    if (now !== "unreachable") await learn(now);
    // Meanwhile the key was forgotten.
    if (isSignedOut()) return;
    show(now, why);
    schedule();
  } catch (error) {
    if (error.status !== 401) throw error;
    const had = key !== null;
    remember(null);
    state = "connecting";
    signIn(had ? "The key is not right any more. Enter another one." : "");
  } finally {
    looking = false;
  }
}

/** What is served, and its numbers. A server that ends or starts has less to tell. */
async function learn(now) {
  if (now !== state) {
    const version = await tell("/version");
    byId("versions").textContent = version ? [`mxfp4 ${version.version}`, ...(version.max ? [`MAX ${version.max}`] : [])].join(" · ") : "";
    const models = now === "ready" ? await tell("/v1/models") : null;
    if (models) showModel(models.data[0]);
  }
  await refreshNumbers();
}

async function tell(path) {
  try {
    return await (await ask(path, { signal: AbortSignal.timeout(5000) })).json();
  } catch (error) {
    if (error.status === 401) throw error;
    return null;
  }
}

function showModel(model) {
  served = model.id;
  byId("model-name").textContent = model.id.split("/").at(-1);
  byId("model").title = model.id;
  byId("versions").textContent += ` · context\u00a0${whole(model.max_model_len)}`;
  document.title = `${model.id} – mxfp4`;
}

function show(now, why) {
  failures = now === "unreachable" ? failures + 1 : 0;
  const { text, kind } = STATES[now] ?? { text: now, kind: "bad" };
  byId("status-dot").dataset.kind = kind;
  const words = now === "gone" && why ? `${text}: ${why}` : text;
  // A screen reader says it where it has changed.
  if (byId("status-text").textContent !== words) byId("status-text").textContent = words;
  byId("try-now").hidden = now !== "unreachable";
  byId("numbers").classList.toggle("stale", now === "unreachable");
  showApp();
  state = now;
  showTools();
}

/** A tab that nobody sees asks for nothing. */
function schedule() {
  if (document.hidden) return;
  if (state !== "unreachable") {
    timer = setTimeout(look, EVERY);
    return;
  }
  countDown(PATIENCE[Math.min(failures, PATIENCE.length) - 1]);
}

function countDown(seconds) {
  byId("try-now").textContent = `Try now (${seconds} s)`;
  timer = setTimeout(() => (seconds > 1 ? countDown(seconds - 1) : look()), 1000);
}

function startWatch() {
  byId("try-now").addEventListener("click", look);
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clearTimeout(timer);
    else if (!isSignedOut()) look();
  });
}
