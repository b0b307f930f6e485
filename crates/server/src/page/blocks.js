// Markdown in lines: paragraphs, headings, lists, quotes, tables, code.

const FENCE = /^ {0,3}(`{3,}(?!.*`)|~{3,})[ \t]*([^\s`]{0,40})/;
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]|$)/;
const RULE = /^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,9})([-*+]|\d{1,9}[.)])(?: {1,4}|$)/;
const DELIMITER = /^[ \t]*:?-+:?[ \t]*$/;
/** Beyond this, what is nested is a paragraph. */
const NESTED = 8;
/** A wider row is no table's. */
const WIDEST = 20_000;

/** A text's blocks. All but the last are as they stay, whatever is written on. */
function split(text) {
  const lines = text.split("\n");
  const blocks = [];
  let at = 0;
  let offset = 0;
  while (at < lines.length) {
    const block = lines[at].trim() === "" ? { kind: "blank", count: 1 } : blockAt(lines, at);
    block.start = offset;
    block.lines = lines.slice(at, at + block.count);
    for (const line of block.lines) offset += line.length + 1;
    at += block.count;
    if (block.kind !== "blank") blocks.push(block);
  }
  return blocks;
}

function blockAt(lines, at) {
  const line = lines[at];
  if (FENCE.test(line)) return { kind: "fence", count: fenceEnd(lines, at) - at };
  if (HEADING.test(line)) return { kind: "heading", count: 1 };
  if (RULE.test(line)) return { kind: "rule", count: 1 };
  if (QUOTE.test(line)) return { kind: "quote", count: countWhile(lines, at, (next) => QUOTE.test(next)) };
  if (ITEM.test(line)) return { kind: "list", count: listEnd(lines, at) - at };
  if (isTable(lines, at)) return { kind: "table", count: countWhile(lines, at, (next) => next.includes("|")) };
  return { kind: "paragraph", count: 1 + countWhile(lines, at + 1, (next, i) => !interrupts(lines, i)) };
}

function countWhile(lines, from, holds) {
  let at = from;
  while (at < lines.length && lines[at].trim() !== "" && holds(lines[at], at)) at += 1;
  return at - from;
}

/** Whether a line ends the paragraph before it. A number does only where it is a list's first. */
function interrupts(lines, at) {
  const line = lines[at];
  const item = ITEM.exec(line);
  return FENCE.test(line) || HEADING.test(line) || RULE.test(line) || QUOTE.test(line) || isTable(lines, at) ||
    Boolean(item && (/^[-*+]/.test(item[2]) || item[2].startsWith("1")) && line.length > item[0].length);
}

function fenceEnd(lines, from) {
  const mark = FENCE.exec(lines[from])[1];
  for (let at = from + 1; at < lines.length; at += 1) if (closes(lines[at], mark)) return at + 1;
  return lines.length;
}

function closes(line, mark) {
  const found = FENCE.exec(line);
  return Boolean(found && found[1].startsWith(mark) && line.trim() === found[1]);
}

const isBullet = (marker) => /[-*+]/.test(marker);

/** An item goes on in lines that are indented, and in lines that follow without a gap. */
function listEnd(lines, from) {
  const [, indent, marker] = ITEM.exec(lines[from]);
  let at = from + 1;
  while (at < lines.length) {
    const line = lines[at];
    if (line.trim() === "") {
      const next = lines[at + 1];
      const item = next === undefined ? null : ITEM.exec(next);
      const goesOn = next !== undefined && (/^ {2,}\S|^ {2,}$/.test(next) || (item && isBullet(item[2]) === isBullet(marker)));
      if (!goesOn) return at;
    } else {
      const item = ITEM.exec(line);
      if (item && item[1].length <= indent.length && isBullet(item[2]) !== isBullet(marker)) return at;
      if (!item && !line.startsWith("  ") && (lines[at - 1].trim() === "" || interrupts(lines, at))) return at;
      if (RULE.test(line) && !line.startsWith("  ")) return at;
      if (FENCE.test(line)) at = fenceEnd(lines, at) - 1;
    }
    at += 1;
  }
  return at;
}

function isTable(lines, at) {
  const [head, delimiter] = [lines[at], lines[at + 1] ?? ""];
  if (!head.includes("|") || !delimiter.includes("|") || head.length > WIDEST || delimiter.length > WIDEST) return false;
  const marks = cells(delimiter);
  return marks.length === cells(head).length && marks.every((cell) => DELIMITER.test(cell));
}

function cells(row) {
  const inner = row.trim().replace(/^\|/, "").replace(/(?<!\\)\|$/, "");
  return inner.split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
}

/** A block as an element. */
function draw(block, depth = 0) {
  if (depth > NESTED) return paragraph(block);
  return (DRAWN[block.kind] ?? paragraph)(block, depth);
}

const DRAWN = {
  rule: () => element("hr"),
  heading: drawHeading,
  fence: drawFence,
  quote: (block, depth) => element("blockquote", {}, ...nested(block.lines.map((line) => line.replace(QUOTE, "")), depth)),
  list: drawList,
  table: drawTable,
};

function nested(lines, depth) {
  return split(lines.join("\n")).map((block) => draw(block, depth + 1));
}

function paragraph(block) {
  return element("p", { dir: "auto" }, inline(block.lines.join("\n")));
}

/** The page has headings of two levels above those of an answer. */
function drawHeading(block) {
  const [whole, marks] = HEADING.exec(block.lines[0]);
  const words = block.lines[0].slice(whole.length).trim();
  let end = words.length;
  while (words[end - 1] === "#") end -= 1;
  const title = end === 0 || words[end - 1] === " " ? words.slice(0, end).trim() : words;
  return element(`h${Math.min(6, marks.length + 2)}`, { dir: "auto" }, inline(title));
}

function drawFence(block) {
  const [, , language] = FENCE.exec(block.lines[0]);
  const text = document.createTextNode(codeOf(block));
  const code = element("code", {}, text);
  const take = button("Copy", () => copy(text.data, take), { "aria-label": "Copy the code" });
  const head = element("div", { class: "code-head" }, element("span", {}, language || "text"), take);
  const node = element("div", { class: "code" }, head, element("pre", { tabindex: "0", "aria-label": "Code" }, code));
  // Where code is written on, only this text grows.
  node.code = text;
  return node;
}

/** What a fence holds, which may be open. */
function codeOf({ lines }) {
  const isClosed = lines.length > 1 && closes(lines.at(-1), FENCE.exec(lines[0])[1]);
  return lines.slice(1, isClosed ? -1 : undefined).join("\n");
}

function drawList(block, depth) {
  const [, , first] = ITEM.exec(block.lines[0]);
  const list = isBullet(first) ? element("ul") : element("ol", { start: parseInt(first, 10) });
  for (const lines of items(block.lines)) {
    lines[0] = lines[0].replace(/^\[([ xX])\] /, (_, done) => (done === " " ? "☐ " : "☑ "));
    const parts = nested(lines, depth);
    // A line needs no paragraph's gaps.
    const children = parts[0]?.localName === "p" ? [...parts[0].childNodes, ...parts.slice(1)] : parts;
    list.append(element("li", { dir: "auto" }, ...children));
  }
  return list;
}

/** The lines of each item, without what stands before its text. */
function items(lines) {
  const found = [];
  const first = ITEM.exec(lines[0]);
  let width = 0;
  let fence = null;
  for (const line of lines) {
    const item = fence ? null : ITEM.exec(line);
    // One of the other kind is inside also where it is indented too little.
    const isInside = item && (item[1].length >= width || (isBullet(item[2]) !== isBullet(first[2]) && item[1].length >= 2));
    if (item && (found.length === 0 || !isInside)) {
      width = item[0].length;
      found.push([line.slice(width)]);
      fence = null;
      continue;
    }
    const inner = line.slice(Math.min(width, line.length - line.trimStart().length));
    if (fence ? closes(inner, fence) : FENCE.test(inner)) fence = fence ? null : FENCE.exec(inner)[1];
    found.at(-1).push(inner);
  }
  return found;
}

function drawTable(block) {
  const [head, delimiter, ...rows] = block.lines.map(cells);
  const align = delimiter.map((mark) => (mark.endsWith(":") ? (mark.startsWith(":") ? "center" : "right") : "left"));
  const row = (name, columns) => {
    // A corner without words heads nothing.
    const drawn = head.map((_, i) => element(columns[i] ? name : "td", { class: align[i], dir: "auto" }, inline(columns[i] ?? "")));
    return element("tr", {}, ...drawn);
  };
  const table = element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, ...rows.map((each) => row("td", each))));
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": "Table" }, table);
}
