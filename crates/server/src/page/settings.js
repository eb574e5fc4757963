// What the user set: kept on this device, read for every request.

const STORE = "rocmforge.settings";
const KEY = "rocmforge.key";
const TEXTS = ["system"];
const NUMBERS = ["temperature", "top_p", "top_k", "max_tokens", "seed"];

/** Ties the dialog to the stored settings. */
export class Settings {
  constructor(dialog) {
    this.dialog = dialog;
    this.form = dialog.querySelector("form");
    this.problem = dialog.querySelector("#settings-problem");
    this.load();
    this.form.addEventListener("input", () => this.save());
    dialog.querySelector("#reset").addEventListener("click", () => this.reset());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => this.onclose?.());
  }

  /** Shows the dialog; with `problem`, at the field for the key. */
  open(problem) {
    this.problem.hidden = !problem;
    this.problem.textContent = problem ?? "";
    if (!this.dialog.open) this.dialog.showModal();
    if (problem) this.form.elements.key.focus();
  }

  get key() {
    return this.form.elements.key.value.trim();
  }

  get system() {
    return this.form.elements.system.value.trim();
  }

  /** The fields of a request that were set; the others are the server's to choose. */
  get sampling() {
    const set = NUMBERS.map((name) => [name, this.form.elements[name]])
      .filter(([, input]) => input.value !== "" && input.validity.valid)
      .map(([name, input]) => [name, input.valueAsNumber]);
    return Object.fromEntries(set);
  }

  load() {
    const { elements } = this.form;
    const stored = JSON.parse(localStorage.getItem(STORE) ?? "{}");
    for (const name of [...TEXTS, ...NUMBERS]) elements[name].value = stored[name] ?? "";
    elements.remember.checked = localStorage.getItem(KEY) !== null;
    elements.key.value = localStorage.getItem(KEY) ?? sessionStorage.getItem(KEY) ?? "";
  }

  save() {
    const { elements } = this.form;
    const entries = [...TEXTS, ...NUMBERS].map((name) => [name, elements[name].value]);
    localStorage.setItem(STORE, JSON.stringify(Object.fromEntries(entries.filter(([, value]) => value !== ""))));
    // The key outlives the tab only if the user says so.
    const [keep, drop] = elements.remember.checked ? [localStorage, sessionStorage] : [sessionStorage, localStorage];
    drop.removeItem(KEY);
    keep.setItem(KEY, this.key);
  }

  reset() {
    localStorage.removeItem(STORE);
    for (const name of [...TEXTS, ...NUMBERS]) this.form.elements[name].value = "";
  }
}
