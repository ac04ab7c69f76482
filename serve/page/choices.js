// Model, languages and voice: each choice narrows the next. A choice of one is made, and not shown.

const NAMES = new Intl.DisplayNames("en", { type: "language" });

export class Choices {
  constructor(form) {
    this.selects = Object.fromEntries(["model", "from", "to", "voice"].map((name) => [name, form.elements[name]]));
    this.fieldset = form.querySelector("fieldset");
    this.models = [];
    form.addEventListener("change", () => this.#refresh());
  }

  /** Take the models of GET /v1/models. */
  fill(models) {
    this.models = models;
    this.fieldset.hidden = !models.length;
    this.#refresh();
  }

  /** What is chosen, as the query of a request: model, from, to, and voice where there are several. */
  get query() {
    const chosen = Object.entries(this.selects).map(([name, select]) => [name, select.value]);
    return Object.fromEntries(chosen.filter(([, value]) => value));
  }

  #refresh() {
    this.#offer("model", this.models.map(({ name }) => name));
    const model = this.models.find(({ name }) => name === this.selects.model.value);
    if (!model) return;
    const directions = model.directions.map((direction) => direction.split("-")).filter(([, to]) => to in model.languages);
    this.#offer("from", directions.map(([from]) => from), languageName);
    const from = this.selects.from.value;
    this.#offer("to", directions.filter(([source]) => source === from).map(([, to]) => to), languageName);
    const voices = model.languages[this.selects.to.value] ?? [];
    this.#offer("voice", voices.length > 1 ? voices : []);
    for (const name of ["model", "voice"]) {
      const { options } = this.selects[name];
      this.selects[name].closest("label").hidden = options.length < 2;
    }
  }

  /** Put values into a select and keep what was chosen, if it is still among them. */
  #offer(name, values, label = (value) => value) {
    const select = this.selects[name];
    const chosen = select.value;
    const options = [...new Set(values)].map((value) => new Option(label(value), value));
    select.replaceChildren(...options);
    if (values.includes(chosen)) select.value = chosen;
  }
}

function languageName(code) {
  try {
    return NAMES.of(code.replace("_", "-"));
  } catch {
    return code; // not a code of the standard
  }
}
