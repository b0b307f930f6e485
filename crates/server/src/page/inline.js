// Markdown within a line: code, emphasis, links. All else is text, tags too.

/** What may begin something. */
const SPECIAL = /[\\`*_~[<]|!\[|https?:\/\//g;
const ESCAPED = "\\`*_#+-.!|>~<";
/** A label may have brackets of its own, an address parentheses. */
const LINK = /!?\[((?:[^[\]\\]|\\.|\[[^[\]]{0,200}\]){0,1000})\]\(\s{0,9}<?([^\s<>()]{1,2000}(?:\([^\s()]{0,200}\)[^\s<>()]{0,500}){0,9})>?(?:\s{1,9}"[^"]{0,500}")?\s{0,9}\)/y;
const BARE = /https?:\/\/[^\s<>"'`*|\\^{}【】]{1,2000}/y;
const POINTED = /<(https?:\/\/[^\s<>]{1,2000})>/y;
const BREAK = /<br\s{0,9}\/?>/iy;
const EMPHASIS = { "*1": ["em"], "*2": ["strong"], "*3": ["strong", "em"], _1: ["em"], _2: ["strong"], _3: ["strong", "em"], "~2": ["del"] };
const DEEPEST = 6;

/** A line's text as nodes. The time it takes grows as the text does. */
function inline(text, depth = 0, linked = false) {
  return new Inline(text, depth, linked).read();
}

class Inline {
  constructor(text, depth, linked) {
    Object.assign(this, { text, depth, linked, at: 0, plain: "", nodes: document.createDocumentFragment() });
    /** Ends that do not come any more: looked for once. */
    this.absent = new Set();
  }

  read() {
    const { text } = this;
    while (this.at < text.length) {
      SPECIAL.lastIndex = this.at;
      const next = SPECIAL.exec(text)?.index ?? text.length;
      this.plain += text.slice(this.at, next);
      this.at = next;
      if (next < text.length) this.special(text[next]);
    }
    this.flush();
    return this.nodes;
  }

  flush() {
    if (this.plain) this.nodes.append(this.plain);
    this.plain = "";
  }

  put(node, end) {
    this.flush();
    this.nodes.append(node);
    this.at = end;
    return true;
  }

  special(mark) {
    const read =
      mark === "\\" ? this.escape() :
      mark === "`" ? this.code() :
      mark === "[" || mark === "!" ? this.link() :
      mark === "<" ? this.pointed() :
      mark === "h" ? this.bare() :
      this.emphasis(mark);
    if (!read) {
      // The whole run, so that it is not looked at again from each of its marks.
      const run = "*_~`".includes(mark) ? this.run(this.at) : 1;
      this.plain += this.text.slice(this.at, this.at + run);
      this.at += run;
    }
  }

  /** How often the character comes in a row. */
  run(at) {
    let end = at + 1;
    while (this.text[end] === this.text[at]) end += 1;
    return end - at;
  }

  escape() {
    const next = this.text[this.at + 1];
    if (next === "(" || next === "[") return this.math(next === "(" ? "\\)" : "\\]");
    if (!next || !ESCAPED.includes(next)) return false;
    this.plain += next;
    this.at += 2;
    return true;
  }

  /** Formulas stay as they are written, which is better than with half of their signs gone. */
  math(end) {
    const found = this.find(end, () => this.text.indexOf(end, this.at + 2));
    if (found < 0) {
      this.plain += this.text.slice(this.at, this.at + 2);
      this.at += 2;
      return true;
    }
    const formula = this.text.slice(this.at + 2, found).trim();
    return this.put(element("code", { class: "math" }, formula), found + 2);
  }

  /** Looks for an end, unless it is known that none comes. */
  find(name, look) {
    if (this.absent.has(name)) return -1;
    const found = look();
    if (found < 0) this.absent.add(name);
    return found;
  }

  code() {
    const length = this.run(this.at);
    const start = this.at + length;
    const found = this.find("`" + length, () => {
      let at = this.text.indexOf("`", start);
      while (at >= 0 && this.run(at) !== length) at = this.text.indexOf("`", at + this.run(at));
      return at;
    });
    if (found < 0) return false;
    const inner = this.text.slice(start, found);
    const padded = inner.startsWith(" ") && inner.endsWith(" ") && inner.trim() !== "";
    return this.put(element("code", {}, padded ? inner.slice(1, -1) : inner), found + length);
  }

  emphasis(mark) {
    const length = this.run(this.at);
    const names = EMPHASIS[mark + length];
    const start = this.at + length;
    if (!names || this.depth >= DEEPEST || !/\S/.test(this.text[start] ?? " ")) return false;
    if (mark === "_" && this.isWord(this.at - 1)) return false;
    const found = this.find(mark + length, () => this.closing(mark, length, start + 1));
    if (found < 0) return false;
    const inner = inline(this.text.slice(start, found), this.depth + 1, this.linked);
    const node = names.reduceRight((child, name) => element(name, {}, child), inner);
    return this.put(node, found + length);
  }

  /** Where the marks that close begin. Of three marks, those that are too many belong to what is inside. */
  closing(mark, length, from) {
    let at = this.text.indexOf(mark, from);
    while (at >= 0) {
      const run = this.run(at);
      const fits = run === length || (run === 3 && length < 3);
      const isEnd = mark !== "_" || !this.isWord(at + run);
      if (fits && isEnd && /\S/.test(this.text[at - 1])) return at + run - length;
      at = this.text.indexOf(mark, at + run);
    }
    return -1;
  }

  isWord(at) {
    return /[\p{L}\p{N}]/u.test(this.text[at] ?? "");
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    return pattern.exec(this.text);
  }

  /** Pictures are links too: nothing is fetched for them. */
  link() {
    const found = !this.linked && this.match(LINK);
    if (!found) return false;
    const [whole, label, address] = found;
    const url = webAddress(address);
    if (!url) {
      // Shown as it was written.
      this.plain += whole;
      this.at += whole.length;
      return true;
    }
    const inner = label ? inline(label, this.depth + 1, true) : url;
    return this.put(anchor(url, inner), this.at + whole.length);
  }

  pointed() {
    const broken = this.match(BREAK);
    if (broken) return this.put(element("br"), this.at + broken[0].length);
    const found = !this.linked && this.match(POINTED);
    const url = found && webAddress(found[1]);
    return url ? this.put(anchor(url, found[1]), this.at + found[0].length) : false;
  }

  bare() {
    if (this.linked || this.isWord(this.at - 1)) return false;
    let address = this.match(BARE)?.[0] ?? "";
    // What ends a sentence is not the address's.
    while (/[.,;:!?\])]$/.test(address) && !(address.endsWith(")") && address.includes("("))) address = address.slice(0, -1);
    const url = webAddress(address);
    return url ? this.put(anchor(url, address), this.at + address.length) : false;
  }
}

/** A whole address of the web, or nothing: no scripts, no data, no path of this server. */
function webAddress(text) {
  try {
    const url = new URL(text);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : null;
  } catch {
    return null;
  }
}

function anchor(url, label) {
  return element("a", { href: url, title: url, target: "_blank", rel: "noopener noreferrer nofollow" }, label);
}
