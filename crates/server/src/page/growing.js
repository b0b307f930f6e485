// Texts that grow. What a frame costs depends on what is new, not on how long the text is by now.

/** Markdown: a block that is whole is drawn once. What a line is, is known at its end alone, so what comes after is drawn anew. */
class GrowingMarkdown {
  constructor(into) {
    Object.assign(this, { into, tail: "", open: [], fence: null });
  }

  append(text) {
    this.tail += visible(text);
  }

  /** Draws what is new. */
  draw(isEnd) {
    const known = isEnd ? this.tail : this.tail.slice(0, this.tail.lastIndexOf("\n") + 1);
    const whole = split(known);
    const last = whole.pop();
    if (whole.length > 0) {
      this.show(whole.map((block) => draw(block)));
      this.open = [];
      this.tail = this.tail.slice(last.start);
    }
    const rest = split(this.tail);
    if (this.writeOn(rest)) return;
    this.show(rest.map((block) => draw(block)));
    this.fence = rest.length === 1 && rest[0].kind === "fence" ? rest[0].lines[0] : null;
  }

  /** In the place of what was drawn of it before. */
  show(nodes) {
    for (const node of this.open) node.remove();
    this.into.append(...nodes);
    this.open = nodes;
  }

  /** Code that is written on only gets the text that is new. */
  writeOn([block, ...others]) {
    const code = this.open[0]?.code;
    if (!code || others.length > 0 || block?.kind !== "fence" || block.lines[0] !== this.fence) return false;
    const text = codeOf(block);
    if (text.length < code.data.length) return false;
    code.appendData(text.slice(code.data.length));
    return true;
  }
}

/** Plain text, in pieces that end where a line does. */
class GrowingText {
  constructor(into) {
    Object.assign(this, { into, fresh: "", piece: null });
  }

  append(text) {
    this.fresh += visible(text);
  }

  draw() {
    if (!this.fresh) return;
    const lines = this.fresh.split(/(?<=\n)/);
    this.fresh = "";
    for (const line of lines) {
      if (!this.piece || this.piece.data.endsWith("\n")) {
        this.piece = document.createTextNode("");
        this.into.append(element("div", { dir: "auto" }, this.piece));
      }
      this.piece.appendData(line);
    }
  }
}
