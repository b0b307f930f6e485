// Messages as they are seen.

/** Frames that take long come less often: this many times as long is left for everything else. */
const LEFT = 4;
/** So near to the end, the view stays at the end. */
const NEAR = 80;

function showQuestion(text) {
  const words = element("div", { class: "words", dir: "auto" }, visible(text));
  const node = element("article", { class: "message question", "aria-label": "Question" }, words);
  byId("messages").append(node);
  return node;
}

function isAtEnd() {
  const log = byId("log");
  return log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
}

function scrollToEnd() {
  const log = byId("log");
  log.scrollTop = log.scrollHeight;
}

/** An answer that is made. */
class AnswerView {
  constructor(body, again) {
    this.raw = "";
    this.pause = 0;
    this.teller = new Teller();
    this.thinking = element("details", { class: "thinking", hidden: "" });
    this.summary = element("summary", {}, "Thinking…");
    const thoughts = element("div", { class: "thoughts" });
    this.thinking.append(this.summary, thoughts);
    this.thoughts = new GrowingText(thoughts);
    this.words = element("div", { class: "words" });
    this.content = new GrowingMarkdown(this.words);
    this.problem = element("p", { class: "error", role: "alert", hidden: "" });
    this.facts = element("span", { class: "facts" });
    const take = button("Copy", () => copy(this.raw, take), { "aria-label": "Copy the answer" });
    const repeat = button("Regenerate", again, { class: "small again" });
    const command = button("As curl", () => showCurl(body));
    this.foot = element("footer", { class: "tools", hidden: "" }, take, repeat, command, this.facts);
    this.node = element("article", { class: "message answer waiting", "aria-label": "Answer", "aria-busy": "true" });
    this.node.append(this.thinking, this.words, this.problem, this.foot);
    byId("messages").append(this.node);
    scrollToEnd();
  }

  reasoning(text) {
    if (this.thinking.hidden) {
      this.thinking.hidden = false;
      this.since = performance.now();
      this.clock = setInterval(() => this.think("Thinking…"), 1000);
      announce("Thinking");
    }
    this.thoughts.append(text);
    this.schedule();
  }

  think(word) {
    const seconds = (performance.now() - this.since) / 1000;
    this.summary.textContent = `${word} ${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  }

  thought() {
    if (!this.clock) return;
    clearInterval(this.clock);
    this.clock = null;
    this.think("Thought for");
  }

  text(text) {
    this.thought();
    this.raw += text;
    this.content.append(text);
    this.teller.append(text);
    this.schedule();
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (performance.now() < this.pause) this.schedule();
      else this.draw(false);
    });
  }

  draw(isEnd) {
    const begun = performance.now();
    const follows = isAtEnd();
    this.node.classList.remove("waiting");
    this.thoughts.draw();
    this.content.draw(isEnd);
    if (follows) scrollToEnd();
    const ended = performance.now();
    this.pause = ended + LEFT * (ended - begun);
  }

  /** `facts` are of the answer; `problem` is why it is not whole. */
  end(facts, problem) {
    this.thought();
    cancelAnimationFrame(this.frame);
    const follows = isAtEnd();
    this.facts.textContent = facts.join(" · ");
    this.foot.hidden = false;
    if (problem) {
      this.problem.textContent = problem;
      this.problem.hidden = false;
    }
    this.node.setAttribute("aria-busy", "false");
    this.draw(true);
    if (follows) scrollToEnd();
    this.teller.end(problem ? "" : "End of the answer.");
  }
}
