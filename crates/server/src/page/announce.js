// What a screen reader is told: not each token, but what has come every few seconds.

const ANNOUNCED = 4000;

/** Says a text once. */
function announce(text) {
  byId("announcer").textContent = text;
}

/** Tells an answer as it comes, in whole sentences. */
class Teller {
  constructor() {
    Object.assign(this, { fresh: "", last: performance.now() });
  }

  append(text) {
    this.fresh += text;
    if (performance.now() - this.last < ANNOUNCED) return;
    const end = Math.max(...[". ", "! ", "? ", "\n"].map((mark) => this.fresh.lastIndexOf(mark))) + 1;
    if (end === 0) return;
    this.tell(this.fresh.slice(0, end));
    this.fresh = this.fresh.slice(end);
  }

  end(word) {
    this.tell(`${this.fresh} ${word}`);
  }

  /** Nobody listens to more than this at once; it can be read in place. */
  tell(text) {
    this.last = performance.now();
    announce(text.length > 1000 ? `${text.slice(0, 1000)}…` : text);
  }
}
