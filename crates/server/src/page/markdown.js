// A small Markdown renderer for text that nobody vouches for. It builds elements and
// text nodes and never parses HTML, so that a model's answer cannot become markup.
// All of it runs in time linear in the text, whatever the text is.

const MOST_DEPTH = 8;
const MOST_LINK = 2000;

/** Shows `text` in `container`; blocks that did not change since the last call stay. */
export function renderMarkdown(container, text) {
  const shown = sources.get(container) ?? [];
  const blocks = parseBlocks(text.split(/\r?\n/));
  let same = 0;
  while (same < blocks.length && same < shown.length && blocks[same].source === shown[same]) same++;
  while (container.childNodes.length > same) container.lastChild.remove();
  for (const block of blocks.slice(same)) container.append(block.build(0));
  sources.set(container, blocks.map((block) => block.source));
}

/** What each container shows, block by block. */
const sources = new WeakMap();

/** An element with attributes and children. */
export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

// --- Blocks ------------------------------------------------------------------

/** Takes lines apart into blocks: `{ source, build(depth) }`. */
function parseBlocks(lines) {
  const blocks = [];
  for (let at = 0; at < lines.length; ) {
    if (isBlank(lines[at])) {
      at++;
      continue;
    }
    const parsed = KINDS.map((kind) => kind(lines, at)).find(Boolean);
    const source = lines.slice(at, parsed.end).join("\n");
    blocks.push({ source, build: parsed.build });
    at = parsed.end;
  }
  return blocks;
}

const KINDS = [
  (lines, at) => fence(lines, at),
  (lines, at) => heading(lines, at),
  (lines, at) => rule(lines, at),
  (lines, at) => quote(lines, at),
  (lines, at) => list(lines, at),
  (lines, at) => table(lines, at),
  (lines, at) => paragraph(lines, at),
];

function appendBlocks(into, lines, depth) {
  if (depth >= MOST_DEPTH) {
    into.append(lines.join("\n"));
    return into;
  }
  for (const block of parseBlocks(lines)) into.append(block.build(depth + 1));
  return into;
}

const isBlank = (line) => line.trim() === "";
const FENCE = /^ {0,3}(`{3,}|~{3,})([^`]*)$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*)$/;
const ITEM = /^( *)([-*+]|\d{1,9}[.)])( +)(?=\S)/;

function isRule(line) {
  const marks = line.replaceAll(" ", "");
  return marks.length >= 3 && "-*_".includes(marks[0]) && marks === marks[0].repeat(marks.length);
}

/** Whether a paragraph ends before `line`. */
function interrupts(line) {
  return isBlank(line) || FENCE.test(line) || HEADING.test(line) || isRule(line)
    || line.startsWith(">") || ITEM.test(line);
}

function fence(lines, at) {
  const open = FENCE.exec(lines[at]);
  if (!open) return null;
  const [, mark, info] = open;
  const isClose = (line) => {
    const text = line.trim();
    return text.length >= mark.length && text === mark[0].repeat(text.length);
  };
  let end = at + 1;
  while (end < lines.length && !isClose(lines[end])) end++;
  const code = lines.slice(at + 1, end).join("\n");
  return { end: Math.min(end + 1, lines.length), build: () => codeBlock(code, info.trim().split(/\s/)[0]) };
}

function codeBlock(code, language) {
  const copy = element("button", { type: "button", class: "copy", "aria-label": "Copy the code" }, "Copy");
  copy.addEventListener("click", () => copyText(copy, code));
  const head = element("div", { class: "code-head" }, element("span", {}, language), copy);
  const body = element("pre", { tabindex: "0" }, element("code", {}, code));
  return element("div", { class: "code" }, head, body);
}

/** Copies `text` and says so on the button. */
export async function copyText(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => (button.textContent = label), 1500);
}

function heading(lines, at) {
  const match = HEADING.exec(lines[at]);
  if (!match) return null;
  // Below the page's own headings.
  const level = Math.min(match[1].length + 2, 6);
  const text = match[2].trimEnd();
  return { end: at + 1, build: () => appendInline(element(`h${level}`), text) };
}

function rule(lines, at) {
  return isRule(lines[at]) ? { end: at + 1, build: () => element("hr") } : null;
}

function quote(lines, at) {
  let end = at;
  while (end < lines.length && lines[end].startsWith(">")) end++;
  if (end === at) return null;
  const inner = lines.slice(at, end).map((line) => line.replace(/^> ?/, ""));
  return { end, build: (depth) => appendBlocks(element("blockquote"), inner, depth) };
}

function list(lines, at) {
  const first = ITEM.exec(lines[at]);
  if (!first) return null;
  const indent = first[1].length;
  const ordered = /\d/.test(first[2]);
  const items = [];
  let end = at;
  for (; end < lines.length; end++) {
    const line = lines[end];
    const match = ITEM.exec(line);
    if (match && match[1].length <= indent + 1) {
      if (match[1].length < indent || /\d/.test(match[2]) !== ordered) break;
      items.push({ offset: match[0].length, lines: [line.slice(match[0].length)] });
    } else if (isBlank(line)) {
      const next = lines[end + 1] ?? "";
      if (!next.startsWith(" ".repeat(indent + 1)) && !ITEM.test(next)) break;
      items.at(-1).lines.push("");
    } else if (/^ /.test(line) || !interrupts(line)) {
      const item = items.at(-1);
      const spaces = line.length - line.trimStart().length;
      item.lines.push(line.slice(Math.min(spaces, item.offset)));
    } else {
      break;
    }
  }
  const start = ordered ? { start: String(parseInt(first[2], 10)) } : {};
  const build = (depth) => element(ordered ? "ol" : "ul", start, ...items.map((item) => listItem(item.lines, depth)));
  return { end, build };
}

function listItem(lines, depth) {
  const item = appendBlocks(element("li"), lines, depth);
  // A first paragraph stands on the mark's line, without a paragraph's space.
  if (item.firstChild?.nodeName === "P") item.firstChild.replaceWith(...item.firstChild.childNodes);
  return item;
}

function cells(line) {
  return line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
}

function table(lines, at) {
  const marks = lines[at + 1];
  if (!lines[at].includes("|") || !marks?.includes("-")) return null;
  const aligns = cells(marks);
  const head = cells(lines[at]);
  if (aligns.length !== head.length || !aligns.every((cell) => /^:?-+:?$/.test(cell))) return null;
  let end = at + 2;
  while (end < lines.length && lines[end].includes("|")) end++;
  const align = (column) => (aligns[column]?.endsWith(":") ? { class: aligns[column].startsWith(":") ? "middle" : "right" } : {});
  const row = (name, texts) =>
    element("tr", {}, ...head.map((_, column) => appendInline(element(name, align(column)), texts[column] ?? "")));
  const build = () => {
    const body = lines.slice(at + 2, end).map((line) => row("td", cells(line)));
    const made = element("table", {}, element("thead", {}, row("th", head)), element("tbody", {}, ...body));
    return element("div", { class: "table", tabindex: "0" }, made);
  };
  return { end, build };
}

function paragraph(lines, at) {
  let end = at + 1;
  while (end < lines.length && !interrupts(lines[end])) end++;
  const text = lines.slice(at, end).join("\n").trim();
  return { end, build: () => appendInline(element("p"), text) };
}

// --- Within a line -----------------------------------------------------------

const EMPHASIS = [["**", "strong"], ["__", "strong"], ["~~", "del"], ["*", "em"], ["_", "em"]];
const isSpace = (char) => char === undefined || /\s/.test(char);
const isWord = (char) => char !== undefined && /[\p{L}\p{N}]/u.test(char);

function appendInline(into, text, depth = 0) {
  const rest = { text, plain: "", missing: new Set() };
  const flush = () => {
    if (rest.plain) into.append(rest.plain);
    rest.plain = "";
  };
  for (let at = 0; at < text.length; ) {
    const found = depth < MOST_DEPTH && "\\`*_~[h\n".includes(text[at]) ? inlineAt(rest, at, depth) : null;
    if (!found) {
      rest.plain += text[at++];
    } else {
      if (found.node) flush(), into.append(found.node);
      rest.plain += found.plain ?? "";
      at = found.end;
    }
  }
  flush();
  return into;
}

/** What starts at `at`: `{ end, node }` or `{ end, plain }`, or nothing. */
function inlineAt(rest, at, depth) {
  const { text } = rest;
  switch (text[at]) {
    case "\n":
      return { end: at + 1, node: element("br") };
    case "\\":
      return /[!-/:-@[-`{-~]/.test(text[at + 1] ?? "") ? { end: at + 2, plain: text[at + 1] } : null;
    case "`":
      return codeSpan(rest, at);
    case "[":
      return link(text, at, depth);
    case "h":
      return bareLink(text, at);
    default:
      return emphasis(rest, at, depth);
  }
}

function codeSpan(rest, at) {
  const { text, missing } = rest;
  let open = at;
  while (text[open] === "`") open++;
  const mark = text.slice(at, open);
  const literal = { end: open, plain: mark };
  if (missing.has(mark)) return literal;
  for (let close = text.indexOf(mark, open); close >= 0; ) {
    let end = close;
    while (text[end] === "`") end++;
    if (end - close === mark.length) {
      return { end, node: element("code", {}, text.slice(open, close).replace(/^ (.+) $/s, "$1")) };
    }
    close = text.indexOf(mark, end);
  }
  missing.add(mark);
  return literal;
}

function emphasis(rest, at, depth) {
  const { text, missing } = rest;
  const [mark, name] = EMPHASIS.find(([mark]) => text.startsWith(mark, at)) ?? [];
  if (!mark) return null;
  const literal = { end: at + mark.length, plain: mark };
  const inner = at + mark.length;
  const opens = !isSpace(text[inner]) && !(mark[0] === "_" && isWord(text[at - 1]));
  if (!opens || missing.has(mark)) return literal;
  const close = closing(text, mark, inner + 1);
  if (close < 0) {
    missing.add(mark);
    return literal;
  }
  return { end: close + mark.length, node: appendInline(element(name), text.slice(inner, close), depth + 1) };
}

/** Where `mark` ends what it opened, or -1. */
function closing(text, mark, from) {
  for (let at = text.indexOf(mark, from); at >= 0; ) {
    let end = at;
    while (text[end] === mark[0]) end++;
    const length = end - at;
    const fits = mark.length === 2 ? length >= 2 : length !== 2;
    const ends = !isSpace(text[at - 1]) && !(mark[0] === "_" && isWord(text[end]));
    if (fits && ends) return end - mark.length;
    at = text.indexOf(mark, end);
  }
  return -1;
}

function link(text, at, depth) {
  const middle = text.slice(at, at + MOST_LINK).indexOf("](");
  if (middle < 0) return null;
  const start = at + middle + 2;
  const length = text.slice(start, start + MOST_LINK).search(/[)\s]/);
  if (length < 0 || text[start + length] !== ")") return null;
  const node = anchor(text.slice(start, start + length));
  if (!node) return null;
  appendInline(node, text.slice(at + 1, at + middle), depth + 1);
  return { end: start + length + 1, node };
}

function bareLink(text, at) {
  if (!/^https?:\/\//.test(text.slice(at, at + 8)) || isWord(text[at - 1])) return null;
  const address = /^[^\s<>"]*/.exec(text.slice(at, at + MOST_LINK))[0].replace(/[.,;:!?)\]'*_]+$/, "");
  const node = anchor(address);
  node?.append(address);
  return node && { end: at + address.length, node };
}

/** A link to an address of the web; nothing for any other kind, such as `javascript:`. */
function anchor(address) {
  if (!/^(https?:\/\/|mailto:)/i.test(address) || !URL.canParse(address)) return null;
  return element("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" });
}
