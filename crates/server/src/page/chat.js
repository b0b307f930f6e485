// The conversation.

/** What was said, as requests have it. */
const turns = [];
/** What aborts the answer that is made. */
let running = null;

const IDEAS = ["Why do four bits suffice for a weight?", "Write a haiku about memory bandwidth", "Compare TCP and QUIC in a table"];

function request() {
  const instructions = byId("system-text").value.trim();
  const before = instructions ? [{ role: "system", content: instructions }] : [];
  return {
    ...(served ? { model: served } : {}),
    messages: [...before, ...turns],
    reasoning_effort: byId("effort").value,
    stream: true,
    stream_options: { include_usage: true },
  };
}

function send() {
  const text = byId("question").value.trim();
  if (!text || running || !isReady()) return;
  byId("question").value = "";
  fitQuestion();
  byId("empty").hidden = true;
  turns.push({ role: "user", content: text });
  showQuestion(text);
  answer();
}

/** Asks for the next message and shows it as it comes. */
async function answer() {
  const known = turns.length;
  const body = request();
  const view = new AnswerView(body, () => {
    if (running || !isReady()) return;
    turns.length = known;
    view.node.remove();
    byId("question").focus();
    answer();
  });
  const controller = new AbortController();
  running = controller;
  showTools();
  const took = new Took();
  let problem = "";
  try {
    const response = await ask("/v1/chat/completions", { body: JSON.stringify(body), signal: controller.signal });
    await read(response, view, took);
  } catch (error) {
    problem = problemOf(error, took);
  }
  if (view.raw) turns.push({ role: "assistant", content: view.raw });
  view.end(took.facts(), problem);
  // A new chat may have begun meanwhile.
  if (running === controller) running = null;
  showTools();
}

async function read(response, view, took) {
  let isWhole = false;
  for await (const data of events(response)) {
    if (data === "[DONE]") isWhole = true;
    else readChunk(JSON.parse(data), view, took);
  }
  if (!isWhole) throw new Unreachable();
}

function readChunk(chunk, view, took) {
  if (chunk.error) throw new Refused(null, chunk.error.message);
  if (chunk.usage) took.usage = chunk.usage;
  const choice = chunk.choices?.[0];
  if (!choice) return;
  const { reasoning, content } = choice.delta;
  if (reasoning || content) took.begins();
  if (reasoning) view.reasoning(reasoning);
  if (content) view.text(content);
  if (choice.finish_reason) took.finish = choice.finish_reason;
}

/** What to say of an answer that is not whole. */
function problemOf(error, took) {
  if (error.name === "AbortError") {
    took.finish = "stopped";
    return "";
  }
  // It may be another server by now, with another model.
  look();
  if (error.status === 401) return "The server wants another key.";
  if (error.status) return `${sentence(error.message)}${error.retryAfter ? ` Try again in ${error.retryAfter} s.` : ""}`;
  if (error instanceof Refused) return sentence(error.message);
  return took.first === null ? "The server does not answer." : "The connection broke before the answer's end.";
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** What an answer took. */
class Took {
  constructor() {
    Object.assign(this, { start: performance.now(), first: null, usage: null, finish: null });
  }

  begins() {
    this.first ??= performance.now();
  }

  facts() {
    const facts = [];
    const tokens = this.usage?.completion_tokens;
    if (this.finish === "stopped") facts.push("stopped");
    if (this.finish === "length") facts.push("cut: no more tokens were allowed");
    if (tokens !== undefined) facts.push(`${whole(tokens)} tokens`);
    if (tokens > 1 && this.first !== null) {
      const seconds = (performance.now() - this.first) / 1000;
      facts.push(`${whole((tokens - 1) / Math.max(seconds, 0.001))} a second`);
    }
    if (this.first !== null) facts.push(`first after ${duration((this.first - this.start) / 1000)}`);
    return facts;
  }
}

function stop() {
  running?.abort();
}

function newChat() {
  stop();
  running = null;
  turns.length = 0;
  byId("messages").replaceChildren();
  byId("empty").hidden = false;
  byId("question").focus();
  showTools();
}

/** Which buttons work, and what is said beside them. */
function showTools() {
  const hadFocus = [byId("send"), byId("stop")].includes(document.activeElement);
  byId("send").hidden = running !== null;
  byId("stop").hidden = running === null;
  byId("send").disabled = !isReady();
  for (const idea of byId("ideas").children) idea.disabled = !isReady();
  if (hadFocus) byId("question").focus();
  byId("hint").textContent = running ? "Esc stops" : isReady() ? "Enter sends, Shift+Enter breaks the line" : "Not ready yet";
}

/** The field is as high as its text, within bounds. */
function fitQuestion() {
  const field = byId("question");
  field.style.height = "auto";
  field.style.height = `${field.scrollHeight}px`;
}

function startChat() {
  for (const idea of IDEAS) {
    const ask = () => {
      byId("question").value = idea;
      byId("question").focus();
      send();
    };
    byId("ideas").append(button(idea, ask, { class: "small idea" }));
  }
  byId("composer").addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  byId("question").addEventListener("input", fitQuestion);
  byId("question").addEventListener("keydown", (event) => {
    // Enter also ends what an input method composes.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !byId("curl").open) stop();
  });
  byId("stop").addEventListener("click", stop);
  byId("new-chat").addEventListener("click", newChat);
  byId("curl-copy").addEventListener("click", (event) => copy(byId("curl-text").textContent, event.target));
  showTools();
}
