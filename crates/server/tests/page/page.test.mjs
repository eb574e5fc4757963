// The chat page in a real browser. `PAGE_URL` names a running server; with `PAGE_SHOTS`
// pictures of the page are left in that folder. Playwright is found through `PLAYWRIGHT`,
// the folder it was installed in.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { fakeServer } from "./fake.mjs";

const { chromium } = createRequire(`${process.env.PLAYWRIGHT}/`)("playwright-core");
const URL_OF_PAGE = process.env.PAGE_URL;
const SHOTS = process.env.PAGE_SHOTS;
const QUIET = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync"];

let browser;
before(async () => {
  browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: QUIET });
});
after(() => browser?.close());

/** A fresh profile on the page; whatever the page complains about fails the test. */
async function open(options = {}, prepare = async () => {}) {
  const context = await browser.newContext({ permissions: ["clipboard-read", "clipboard-write"], ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(error.message));
  page.on("console", (message) => message.type() === "error" && page.problems.push(message.text()));
  page.on("request", (request) => request.url().startsWith(URL_OF_PAGE) || page.problems.push(request.url()));
  await prepare(page);
  await page.goto(URL_OF_PAGE);
  return page;
}

/** The page with a server whose every word the test chooses. */
async function openFaked(options = {}, models = ["demo"]) {
  const page = await open(options, (page) => page.addInitScript(fakeServer, models));
  await page.getByText(models[0], { exact: true }).first().waitFor();
  page.say = (delta, more = {}) => page.evaluate((chunk) => fake.push(chunk), { choices: [{ index: 0, delta, ...more }] });
  page.finish = async (reason = "stop") => {
    await page.say({}, { finish_reason: reason });
    await page.evaluate(() => fake.push({ choices: [], usage: { prompt_tokens: 12, completion_tokens: 34, prompt_tokens_details: { cached_tokens: 8 } } }));
    await page.evaluate(() => fake.end());
  };
  page.ask = async (text) => {
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.keyboard.press("Enter");
    await page.evaluate(() => fake.started());
  };
  return page;
}

async function done(page) {
  assert.deepEqual(page.problems, []);
  await page.context().close();
}

async function shot(page, name) {
  if (SHOTS) await page.screenshot({ path: `${SHOTS}/${name}.png` });
}

const TOUR = `Paged attention keeps the **keys and values** of a sequence in *blocks* of fixed size, see [the paper](https://arxiv.org/abs/2309.06180).

1. A block table maps positions to blocks.
2. Blocks are shared by reference:
   - a prefix is computed once
   - a copy is made on \`write\`

| Block | Tokens | Shared |
|:------|-------:|:------:|
| 0     | 16     | yes    |
| 1     | 16     | no     |

\`\`\`rust
fn block_of(position: usize, block_size: usize) -> usize {
    position / block_size // the rest is the slot within the block
}
\`\`\`

> No token is computed twice.`;

test("a question to the real model is answered, with its numbers", async () => {
  const page = await open();
  await page.waitForFunction(() => !["", "…"].includes(document.getElementById("model-name").textContent));
  await page.getByRole("button", { name: "What is paged attention?" }).click();
  await page.locator(".answer .stats", { hasText: /\d+ tokens · [\d.]+ tokens\/s .*prompt \d+/ }).waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
  assert.ok((await page.locator(".answer .text").innerText()).length > 5);
  await shot(page, "real");
  await done(page);
});

test("an answer grows while it comes, and the request says what was asked", async () => {
  const page = await openFaked();
  await page.ask("Hello");
  await page.say({ role: "assistant", content: "Good " });
  await page.locator(".answer .text", { hasText: "Good" }).waitFor();
  assert.equal(await page.locator(".answer").getAttribute("aria-busy"), "true");
  await page.say({ content: "day" });
  await page.finish();
  await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
  assert.match(await page.locator(".stats").innerText(), /prompt 12, 8 of it cached/);
  assert.equal(await page.locator(".answer .text").innerText(), "Good day");
  assert.deepEqual(await page.evaluate(() => fake.requests[0].body), {
    model: "demo",
    messages: [{ role: "user", content: "Hello" }],
    stream: true,
    stream_options: { include_usage: true },
  });
  await page.ask("And now?");
  assert.deepEqual(await page.evaluate(() => fake.requests[1].body.messages.map((m) => m.content)), ["Hello", "Good day", "And now?"]);
  await done(page);
});

test("stop ends the request and keeps what came; Escape does too", async () => {
  const page = await openFaked();
  for (const stop of [() => page.getByRole("button", { name: "Stop" }).click(), () => page.keyboard.press("Escape")]) {
    await page.getByRole("button", { name: "New chat" }).click();
    await page.ask("Count");
    await page.say({ content: "one two" });
    await page.locator(".answer .text", { hasText: "two" }).waitFor();
    await stop();
    await page.locator(".note", { hasText: "Stopped." }).waitFor();
    assert.ok(await page.evaluate(() => fake.requests.at(-1).aborted));
    assert.equal(await page.locator(".answer .text").innerText(), "one two");
    await page.getByRole("button", { name: "Send" }).waitFor();
  }
  await done(page);
});

test("settings are sent, kept on this device, and reset", async () => {
  const page = await openFaked();
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  const fill = (name, text) => page.locator(`#settings [name=${name}]`).fill(text);
  for (const [name, text] of [["system", "Be brief."], ["temperature", "0.5"], ["top_p", "0.9"], ["top_k", "40"], ["max_tokens", "64"], ["seed", "7"]]) {
    await fill(name, text);
  }
  await shot(page, "settings");
  await page.getByRole("button", { name: "Done" }).click();
  await page.reload();
  await page.ask("Hi");
  const body = await page.evaluate(() => fake.requests[0].body);
  assert.deepEqual(body.messages[0], { role: "system", content: "Be brief." });
  const { temperature, top_p, top_k, max_tokens, seed } = body;
  assert.deepEqual({ temperature, top_p, top_k, max_tokens, seed }, { temperature: 0.5, top_p: 0.9, top_k: 40, max_tokens: 64, seed: 7 });
  await page.finish();
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.getByRole("button", { name: "Reset" }).click();
  await page.keyboard.press("Escape");
  await page.ask("Hi");
  assert.equal(await page.evaluate(() => "temperature" in fake.requests[1].body || fake.requests[1].body.messages[0].role === "system"), false);
  await done(page);
});

test("a value out of range is marked and never sent", async () => {
  const page = await openFaked();
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await page.locator("[name=temperature]").fill("9");
  assert.ok(await page.locator("[name=temperature]").evaluate((input) => input.matches(":invalid")));
  await page.keyboard.press("Escape");
  await page.ask("Hi");
  assert.equal(await page.evaluate(() => fake.requests[0].body.temperature), undefined);
  await done(page);
});

test("Markdown becomes elements, and code can be copied", async () => {
  const page = await openFaked();
  await page.ask("Explain paged attention");
  for (const piece of TOUR.match(/[^]{1,7}/g)) await page.say({ content: piece });
  await page.finish();
  const text = page.locator(".answer .text");
  await text.locator("blockquote").waitFor();
  assert.equal(await text.locator("strong").innerText(), "keys and values");
  assert.equal(await text.locator("em").innerText(), "blocks");
  assert.equal(await text.locator("a").getAttribute("href"), "https://arxiv.org/abs/2309.06180");
  assert.equal(await text.locator("ol > li").count(), 2);
  assert.equal(await text.locator("ol > li > ul > li").count(), 2);
  assert.equal(await text.locator("td.right").first().innerText(), "16");
  await text.getByRole("button", { name: "Copy the code" }).click();
  await text.getByText("Copied").waitFor();
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^fn block_of[^]*\n}$/);
  await done(page);
});

test("text of a model never becomes markup", async () => {
  const page = await openFaked();
  const hostile = ["<img src=x onerror='window.hacked=1'>", "<script>window.hacked=1</script>", "[a](javascript:window.hacked=1)",
    "[b](data:text/html,<script>window.hacked=1</script>)", "![c](https://elsewhere.example/c.png)", "```html\n<b onclick=1>\n```", "`<i>`"].join("\n\n");
  await page.ask("<b>bold?</b>");
  await page.say({ content: hostile, reasoning: "<svg onload=window.hacked=1>" });
  await page.finish();
  await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator("#conversation :is(img, script, svg, b, i)").count(), 0);
  assert.equal(await page.locator("#conversation a:not([href^=https])").count(), 0);
  assert.equal(await page.locator(".bubble").innerText(), "<b>bold?</b>");
  await done(page);
});

test("hostile Markdown is drawn in bounded time", async () => {
  const page = await openFaked();
  const n = 50_000;
  const texts = ["*a".repeat(n), "[".repeat(n), "`".repeat(n), "`a``".repeat(n), "> ".repeat(n), "- ".repeat(n), "_ ".repeat(n),
    "[a](".repeat(n), "**a *".repeat(n), "#".repeat(n), "|".repeat(n) + "\n" + "|-".repeat(n), "hhttps://".repeat(n), "~~~" + " ".repeat(n) + "~"];
  for (const text of texts) {
    await page.getByRole("button", { name: "New chat" }).click();
    await page.ask("Go");
    await page.say({ content: text });
    await page.finish();
    // The page's default time limit is what fails here.
    await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
  }
  await done(page);
});

test("reasoning is folded, and opens", async () => {
  const page = await openFaked();
  await page.ask("Think");
  await page.say({ reasoning: "First, **blocks**." });
  await page.getByText("Reasoning …").waitFor();
  await page.say({ content: "Done." });
  await page.finish();
  const folded = page.locator("details.reasoning");
  assert.equal(await folded.locator("strong").isVisible(), false);
  await folded.locator("summary").click();
  assert.equal(await folded.locator("strong").isVisible(), true);
  await page.ask("Again");
  const sent = await page.evaluate(() => JSON.stringify(fake.requests[1].body.messages));
  assert.doesNotMatch(sent, /First/);
  await done(page);
});

test("an answer cut at its limit says so, and an error says what happened", async () => {
  const page = await openFaked();
  await page.ask("Long");
  await page.say({ content: "and so" });
  await page.finish("length");
  await page.getByText("reached its limit of tokens").waitFor();
  await page.ask("Again");
  await page.say({ content: "half" });
  await page.evaluate(() => fake.push({ error: { message: "the worker died", type: "server_error" } }));
  await page.locator(".note.error", { hasText: "the worker died" }).waitFor();
  await shot(page, "error");
  await page.getByRole("button", { name: "Try again" }).last().click();
  await page.evaluate(() => fake.started());
  await page.say({ content: "whole" });
  await page.finish();
  await page.locator(".answer .text", { hasText: "whole" }).waitFor();
  assert.equal(await page.locator(".note.error").count(), 0);
  await done(page);
});

test("a server that wants a key gets the one that is entered", async () => {
  const page = await open({}, async (page) => {
    await page.addInitScript(fakeServer, ["demo"]);
    await page.addInitScript(() => (fake.key = "secret"));
  });
  await page.getByText("This server asks for an API key.").waitFor();
  const field = page.locator("[name=key]");
  assert.ok(await field.evaluate((input) => input === document.activeElement));
  await field.fill("secret");
  await page.getByRole("button", { name: "Done" }).click();
  await page.locator("#model-name", { hasText: "demo" }).waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem("rocmforge.key")), null);
  await page.reload();
  await page.locator("#model-name", { hasText: "demo" }).waitFor();
  await done(page);
});

test("while the model loads the page says so and waits", async () => {
  const page = await open({}, async (page) => {
    await page.addInitScript(fakeServer, ["demo"]);
    await page.addInitScript(() => (fake.loading = 2));
  });
  await page.getByText("The model is loading").waitFor();
  await page.locator("#model-name", { hasText: "demo" }).waitFor();
  assert.equal(await page.locator("#notice").isVisible(), false);
  await done(page);
});

test("a message can be edited, and the conversation outlives a reload", async () => {
  const page = await openFaked();
  await page.ask("Frist");
  await page.say({ content: "Pardon?" });
  await page.finish();
  await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
  await page.reload();
  await page.locator(".answer .text", { hasText: "Pardon?" }).waitFor();
  await page.locator(".turn.user").hover();
  await page.getByRole("button", { name: "Edit" }).click();
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "Frist");
  assert.equal(await page.locator(".turn").count(), 0);
  await done(page);
});

test("light and dark follow the system until the switch is used", async () => {
  const ground = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await openFaked({ colorScheme: "light" });
  const dark = await openFaked({ colorScheme: "dark" });
  const [lightGround, darkGround] = [await ground(light), await ground(dark)];
  assert.notEqual(lightGround, darkGround);
  await shot(light, "welcome-light");
  for (const [page, name] of [[light, "light"], [dark, "dark"]]) {
    await page.ask("How does paged attention work? Please give me a table and an example in Rust.");
    await page.say({ reasoning: "The user asks for a table." });
    await page.say({ content: TOUR });
    await page.finish();
    await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
    await shot(page, `tour-${name}`);
  }
  await light.getByRole("button", { name: "Switch between light and dark" }).click();
  assert.equal(await ground(light), darkGround);
  await light.reload();
  assert.equal(await ground(light), darkGround);
  await done(light);
  await done(dark);
});

test("at 360 px everything is within the window and large enough to touch", async () => {
  const page = await openFaked({ viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
  const fits = async () => assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
  await fits();
  await shot(page, "phone-welcome");
  await page.ask("Show a table and a very long word: " + "x".repeat(200));
  await page.say({ content: TOUR + "\n\n" + "y".repeat(300) });
  await page.finish();
  await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
  await fits();
  await shot(page, "phone");
  for (const button of await page.locator("header button:visible, footer button:visible").all()) {
    const { width, height, x } = await button.boundingBox();
    assert.ok(width >= 24 && height >= 24 && x >= 0 && x + width <= 360);
  }
  await page.getByRole("button", { name: "Settings", exact: true }).click();
  await fits();
  await shot(page, "phone-settings");
  await page.getByRole("button", { name: "Done" }).click();
  await done(page);
});

test("the keyboard reaches everything, and every control has a name", async () => {
  const page = await openFaked();
  await page.ask("Hi");
  await page.say({ content: "Hello\n\n```\ncode\n```" });
  await page.finish();
  await page.locator(".stats", { hasText: "34 tokens" }).waitFor();
  assert.equal(await page.getByRole("status").innerText(), "The answer is complete: 34 tokens.");
  const reached = new Set();
  for (let step = 0; step < 20; step++) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => {
      const { ariaLabel, textContent, id } = document.activeElement;
      return (ariaLabel || textContent.trim() || id).slice(0, 40);
    }));
  }
  for (const name of ["Skip to the message field", "New chat", "Switch between light and dark", "Settings", "Edit", "Copy the code", "Copy", "Try again", "prompt"]) {
    assert.ok(reached.has(name), `${name} among ${[...reached]}`);
  }
  await page.getByLabel("Message", { exact: true }).fill("two");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("lines");
  assert.equal(await page.getByLabel("Message", { exact: true }).inputValue(), "two\nlines");
  const nameless = await page.locator("button, input, select, textarea").evaluateAll((all) =>
    all.filter((one) => !one.ariaLabel && !one.textContent.trim() && !one.labels?.length).map((one) => one.outerHTML));
  assert.deepEqual(nameless, []);
  await done(page);
});
