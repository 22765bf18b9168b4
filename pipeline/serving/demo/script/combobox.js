// An editable combobox with a list of suggestions, after the ARIA Authoring Practices.

class Combobox {
  // search: async (query) => options, or null if stale; show: option => nodes;
  // choose: option => void; nothing: what the list says where nothing was found.
  constructor(input, list, { search, show, choose, nothing }) {
    Object.assign(this, { input, list, search, show, choose, nothing });
    this.options = [];
    this.active = -1;
    this.isWanted = false; // whether the list is open, or will be
    this.isStale = false; // whether the options are not yet those of what stands there
    this.takesFirst = false; // Enter was pressed before they came
    list.setAttribute("role", "listbox");
    for (const [name, value] of Object.entries({
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": list.id,
      autocomplete: "off",
      autocapitalize: "off",
      spellcheck: "false",
      enterkeyhint: "search",
    })) {
      input.setAttribute(name, value);
    }
    this.suggest = later(120, () => this.#suggest());
    input.addEventListener("input", () => this.open());
    input.addEventListener("keydown", (event) => this.#press(event));
    input.addEventListener("click", () => this.open());
    input.addEventListener("blur", () => this.close());
    list.addEventListener("pointerdown", (event) => event.preventDefault()); // keeps the focus
    list.addEventListener("click", (event) => {
      const index = [...list.children].indexOf(event.target.closest("li"));
      this.#choose(index);
    });
  }

  open() {
    this.isWanted = true;
    this.isStale = true;
    this.takesFirst = false;
    this.suggest();
  }

  close() {
    this.isWanted = false;
    this.takesFirst = false;
    this.suggest.cancel();
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.#activate(-1);
  }

  async #suggest() {
    const options = await this.search(this.input.value.trim());
    if (options === null || !this.isWanted) return;
    this.options = options;
    this.isStale = false;
    const items = options.map((option, index) =>
      el("li", { role: "option", id: `${this.list.id}-${index}` }, this.show(option)),
    );
    const none = el("li", { role: "option", "aria-disabled": "true" }, this.nothing);
    this.list.replaceChildren(...(items.length ? items : [none]));
    this.list.hidden = false;
    this.list.scrollTop = 0;
    this.input.setAttribute("aria-expanded", "true");
    this.#activate(-1);
    announce(items.length ? counted(items.length, "suggestion") : this.nothing);
    if (this.takesFirst) this.#choose(0);
  }

  #press(event) {
    const last = this.options.length - 1;
    const isOpen = !this.list.hidden;
    const moves = {
      ArrowDown: () => (this.active >= last ? 0 : this.active + 1),
      ArrowUp: () => (this.active <= 0 ? last : this.active - 1),
    };
    if (event.isComposing) return; // Enter ends the input of a word, as in Japanese
    if (event.key in moves) {
      event.preventDefault();
      if (isOpen) this.#activate(moves[event.key]());
      else this.open();
    } else if (event.key === "Enter" && this.isWanted) {
      event.preventDefault();
      if (this.isStale) this.takesFirst = true;
      else this.#choose(Math.max(this.active, 0));
    } else if (event.key === "Escape") {
      if (isOpen) this.close();
      else this.input.value = "";
    }
  }

  #activate(index) {
    this.active = this.options.length ? index : -1;
    for (const [place, item] of [...this.list.children].entries()) {
      item.setAttribute("aria-selected", String(place === this.active));
    }
    const item = this.list.children[this.active];
    item?.scrollIntoView({ block: "nearest" });
    if (item) this.input.setAttribute("aria-activedescendant", item.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  #choose(index) {
    const option = this.options[index];
    if (option === undefined) return;
    this.close();
    this.choose(option);
  }
}

function announce(text) {
  find("announcement").textContent = text;
}
