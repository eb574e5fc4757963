// The turns of a conversation as the page shows them.

import { copyText, element, renderMarkdown } from "./markdown.js";

/** One message of the user. */
export function userTurn(text, { onEdit }) {
  const edit = element("button", { type: "button" }, "Edit");
  edit.addEventListener("click", onEdit);
  return element("article", { class: "turn user" },
    element("h2", { class: "unseen" }, "You"),
    element("div", { class: "bubble" }, text),
    element("div", { class: "actions" }, edit));
}

/** One answer, which can still be growing. */
export class AnswerTurn {
  constructor({ onRetry }) {
    this.thoughts = element("div", { class: "markdown" });
    this.summary = element("summary", {}, "Reasoning");
    this.reasoning = element("details", { class: "reasoning", hidden: "" }, this.summary, this.thoughts);
    this.text = element("div", { class: "markdown text" });
    this.note = element("p", { class: "note", hidden: "" });
    this.stats = element("span", { class: "stats" });
    const copy = element("button", { type: "button" }, "Copy");
    copy.addEventListener("click", () => copyText(copy, this.shown.content));
    const retry = element("button", { type: "button", class: "retry" }, "Try again");
    retry.addEventListener("click", onRetry);
    this.element = element("article", { class: "turn answer" },
      element("h2", { class: "unseen" }, "Answer"), this.reasoning, this.text, this.note,
      element("div", { class: "actions" }, copy, retry, this.stats));
  }

  /** Shows an answer: `{ content, reasoning, state, error, stats }`. */
  show(answer) {
    this.shown = answer;
    const isGrowing = answer.state === "growing";
    this.element.classList.toggle("growing", isGrowing);
    this.element.classList.toggle("waiting", isGrowing && !answer.content && !answer.reasoning);
    this.element.setAttribute("aria-busy", String(isGrowing));
    this.reasoning.hidden = !answer.reasoning;
    if (answer.reasoning) renderMarkdown(this.thoughts, answer.reasoning);
    this.summary.textContent = isGrowing && !answer.content ? "Reasoning …" : "Reasoning";
    renderMarkdown(this.text, answer.content);
    const note = answer.error ?? NOTES[answer.state];
    this.note.hidden = !note;
    this.note.textContent = note ?? "";
    this.note.classList.toggle("error", Boolean(answer.error));
    this.stats.textContent = describe(answer.stats);
  }
}

/** What is said below an answer that did not end by itself. */
const NOTES = {
  stopped: "Stopped.",
  length: "The answer reached its limit of tokens.",
};

/** Numbers of an answer in words. */
function describe(stats) {
  if (!stats) return "";
  const parts = [`${stats.tokens} tokens`];
  if (stats.rate) parts.push(`${stats.rate.toFixed(1)} tokens/s`);
  if (stats.first) parts.push(`first after ${(stats.first / 1000).toFixed(2)} s`);
  if (stats.prompt) parts.push(`prompt ${stats.prompt}${stats.cached ? `, ${stats.cached} of it cached` : ""}`);
  return parts.join(" · ");
}
