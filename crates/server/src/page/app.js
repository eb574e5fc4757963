// The chat page: one conversation with the model that the server runs.

import { listModels, streamChat } from "./api.js";
import { Settings } from "./settings.js";
import { AnswerTurn, userTurn } from "./turns.js";

const STORE = "rocmforge.conversation";
const find = (id) => document.getElementById(id);
const page = {
  scroller: find("scroller"), conversation: find("conversation"), welcome: find("welcome"),
  prompt: find("prompt"), send: find("send"), stop: find("stop"), notice: find("notice"),
  status: find("status"), toEnd: find("to-end"), modelName: find("model-name"), modelChoice: find("model-choice"),
};
const settings = new Settings(find("settings"));

/** The turns, oldest first: `{ role, content }` and for answers what `AnswerTurn.show` takes. */
let turns = JSON.parse(sessionStorage.getItem(STORE) ?? "[]");
let model = "";
/** Ends the answer that is growing; null when none is. */
let running = null;
let followsEnd = true;

// --- The model ---------------------------------------------------------------

/** Asks for the model's name until the server knows it. */
async function connect() {
  try {
    const models = await listModels(settings.key);
    showModels(models);
    notice("");
  } catch (error) {
    if (error.status === 401) return settings.open("This server asks for an API key.");
    notice(error.status === 503 ? "The model is loading …" : error.message);
    setTimeout(connect, 1500);
  }
}

function showModels(models) {
  model = models.includes(model) ? model : models[0] ?? "";
  page.modelName.textContent = model;
  document.title = `${model} · ROCmForge`;
  page.modelChoice.replaceChildren(...models.map((name) => new Option(name, name, false, name === model)));
  page.modelChoice.hidden = models.length < 2;
  page.modelName.classList.toggle("unseen", models.length > 1);
}

// --- One answer --------------------------------------------------------------

async function send(text) {
  turns.push({ role: "user", content: text });
  await answer();
}

/** Lets the model answer the turns so far. */
async function answer() {
  const turn = { role: "assistant", content: "", reasoning: "", state: "growing" };
  const request = { model, messages: messages(), ...settings.sampling };
  turns.push(turn);
  followsEnd = true;
  running = new AbortController();
  showTurns();
  announce("The model is answering.");
  try {
    await grow(turn, streamChat(request, settings.key, running.signal));
    announce(`The answer is complete: ${turn.stats.tokens} tokens.`);
  } catch (error) {
    fail(turn, error);
  }
  running = null;
  drawSoon.now();
  showState();
  store();
}

function messages() {
  const system = settings.system ? [{ role: "system", content: settings.system }] : [];
  const said = turns.filter((turn) => turn.role === "user" || turn.content);
  return [...system, ...said.map(({ role, content }) => ({ role, content }))];
}

async function grow(turn, chunks) {
  const clock = { start: performance.now(), first: 0, last: 0 };
  let pieces = 0;
  for await (const { choices, usage } of chunks) {
    const { delta = {}, finish_reason: reason } = choices?.[0] ?? {};
    const reasoning = delta.reasoning ?? delta.reasoning_content ?? "";
    const content = delta.content ?? "";
    if (reasoning || content) {
      clock.last = performance.now();
      clock.first ||= clock.last;
      pieces++;
    }
    turn.reasoning += reasoning;
    turn.content += content;
    if (reason) turn.state = reason === "length" ? "length" : "done";
    turn.stats = count(clock, pieces, usage);
    drawSoon(turn);
  }
}

/** Pieces stand for tokens until the server sends its own count. */
function count({ start, first, last }, pieces, usage) {
  const tokens = usage?.completion_tokens ?? pieces;
  // Pieces of a quick answer arrive together; then only the time since the question says how fast it was.
  const isQuick = last - first < 100;
  const [counted, milliseconds] = isQuick ? [tokens, last - start] : [tokens - 1, last - first];
  return {
    tokens,
    rate: milliseconds > 0 ? (1000 * counted) / milliseconds : 0,
    first: first && first - start,
    prompt: usage?.prompt_tokens,
    cached: usage?.prompt_tokens_details?.cached_tokens,
  };
}

function fail(turn, error) {
  if (error.name === "AbortError") {
    turn.state = "stopped";
    announce("Stopped.");
    return;
  }
  turn.state = "failed";
  turn.error = error.message;
  announce(`The answer failed: ${error.message}`);
  if (error.status === 401) settings.open("This server asks for an API key.");
}

// --- What is shown -----------------------------------------------------------

let views = [];

function showTurns() {
  views = turns.map(viewOf);
  page.conversation.replaceChildren(...views.map((view) => view.element));
  page.welcome.hidden = turns.length > 0;
  showState();
  scrollToEnd();
}

function viewOf(turn, index) {
  if (turn.role === "user") return { element: userTurn(turn.content, { onEdit: () => edit(index) }) };
  const view = new AnswerTurn({ onRetry: () => retry(index) });
  view.show(turn);
  return view;
}

/** Draws at most once a frame, however fast the tokens come. */
function drawSoon(turn) {
  drawSoon.frame ||= requestAnimationFrame(() => drawSoon.now());
  drawSoon.turn = turn;
}
drawSoon.now = () => {
  cancelAnimationFrame(drawSoon.frame);
  drawSoon.frame = 0;
  views.at(-1)?.show?.(turns.at(-1));
  if (followsEnd) scrollToEnd();
};

function showState() {
  const isRunning = running !== null;
  page.stop.hidden = !isRunning;
  page.send.hidden = isRunning;
  page.send.disabled = page.prompt.value.trim() === "";
  document.body.classList.toggle("running", isRunning);
}

function scrollToEnd() {
  page.scroller.scrollTop = page.scroller.scrollHeight;
}

function notice(text) {
  page.notice.textContent = text;
  page.notice.hidden = !text;
}

/** Says something to a screen reader, which the growing text itself would flood. */
function announce(text) {
  page.status.textContent = text;
}

// --- What the user does ------------------------------------------------------

function edit(index) {
  if (running) return;
  page.prompt.value = turns[index].content;
  turns = turns.slice(0, index);
  store();
  showTurns();
  fitPrompt();
  page.prompt.focus();
}

function retry(index) {
  if (running) return;
  turns = turns.slice(0, index);
  answer();
}

function store() {
  sessionStorage.setItem(STORE, JSON.stringify(turns));
}

/** The field grows with its text. */
function fitPrompt() {
  page.prompt.style.height = "auto";
  page.prompt.style.height = `${page.prompt.scrollHeight}px`;
  showState();
}

function submit() {
  const text = page.prompt.value.trim();
  if (!text || running) return;
  page.prompt.value = "";
  fitPrompt();
  send(text);
}

find("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
page.prompt.addEventListener("input", fitPrompt);
page.prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && !settings.dialog.open) running?.abort();
});
page.stop.addEventListener("click", () => {
  running?.abort();
  page.prompt.focus();
});
page.modelChoice.addEventListener("change", () => (model = page.modelChoice.value));
page.scroller.addEventListener("scroll", () => {
  const { scrollTop, clientHeight, scrollHeight } = page.scroller;
  followsEnd = scrollTop + clientHeight > scrollHeight - 40;
  page.toEnd.hidden = followsEnd;
});
page.toEnd.addEventListener("click", scrollToEnd);
find("new-chat").addEventListener("click", () => {
  running?.abort();
  turns = [];
  store();
  showTurns();
  page.prompt.focus();
});
find("examples").addEventListener("click", (event) => {
  if (event.target.nodeName !== "BUTTON" || running) return;
  page.prompt.focus();
  send(event.target.textContent);
});
find("open-settings").addEventListener("click", () => settings.open());
settings.onclose = () => {
  page.prompt.focus();
  if (!model) connect();
};
find("theme-switch").addEventListener("click", () => {
  const root = document.documentElement;
  const isDark = (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
  root.dataset.theme = isDark ? "light" : "dark";
  localStorage.setItem("rocmforge.theme", root.dataset.theme);
});

showTurns();
fitPrompt();
connect();
