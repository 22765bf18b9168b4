// What somebody has watched: what was added here, then the stored timeline, newest first.

const SHOWN_AT_FIRST = matchMedia("(min-width: 761px)").matches ? 12 : 4;

class HistoryList {
  // actions: { open(movie), rate(index, rating), remove(index) }
  constructor(actions) {
    this.actions = actions;
    this.showsAll = false;
    this.list = find("history");
    this.more = find("more-history");
    this.more.addEventListener("click", () => {
      this.showsAll = !this.showsAll;
      this.render(this.shown);
    });
  }

  // shown: { added: [{ movie, rating }], stored: [{ movie, rating, at }], scale }
  render(shown) {
    this.shown = shown;
    const { added, stored, scale } = shown;
    const newest = [...stored].reverse();
    const rows = [
      ...added.map((event, index) => this.#added(event, index, scale)).reverse(),
      ...(this.showsAll ? newest : newest.slice(0, SHOWN_AT_FIRST)).map((event, index) =>
        this.#stored(event, index, scale),
      ),
    ];
    replaceChildren(this.list, rows, find("movie"));
    this.list.hidden = rows.length === 0;
    find("clear-added").hidden = added.length === 0;
    find("history-note").replaceChildren(...this.#note(added, stored));
    this.more.hidden = stored.length <= SHOWN_AT_FIRST;
    this.more.textContent = this.showsAll ? "Show fewer" : `Show all ${stored.length}`;
  }

  #note(added, stored) {
    if (stored.length) {
      const newer = added.length ? `, and ${added.length} added here` : "";
      return [`${counted(stored.length, "newest event")} that the model stores${newer}.`];
    }
    if (added.length) return ["Added here: the address of this page holds them, and nothing else does."];
    return ["Nothing yet. Pick a user, or add movies by title or from the recommendations."];
  }

  #added({ movie, rating }, index, scale) {
    const select = el(
      "select",
      {
        "aria-label": `Rating of ${movie.title}`,
        key: `rate:${movie.id}`,
        onchange: (event) => this.actions.rate(index, Number(event.target.value)),
      },
      ratings(scale).map((value) =>
        el("option", { value, selected: value === rating }, shownRating(value, scale)),
      ),
    );
    const remove = el(
      "button",
      {
        type: "button",
        className: "plain",
        "aria-label": `Remove ${movie.title}`,
        key: `remove:${movie.id}`,
        onclick: () => this.actions.remove(index),
      },
      "Remove",
    );
    return el(
      "li",
      { className: "added" },
      this.#title(movie, "added"),
      el("span", { className: "buttons" }, ratings(scale).length > 1 && select, remove),
    );
  }

  #stored({ movie, rating, at }, index, scale) {
    return el(
      "li",
      {},
      this.#title(movie, index),
      el(
        "span",
        { className: "facts" },
        `${shownRating(rating, scale)} · `,
        el("time", { dateTime: new Date(at * 1000).toISOString() }, date(at)),
      ),
    );
  }

  #title(movie, place) {
    return el("span", {}, titleButton(movie, this.actions.open, `history:${place}:${movie.id}`));
  }
}

function titleButton(movie, open, key) {
  if (!movie.is_known) return el("span", { className: "muted" }, isolated(movie.title), ", not in this version");
  return el(
    "button",
    {
      type: "button",
      className: "title",
      key,
      title: "Show this movie and similar ones",
      onclick: () => open(movie),
    },
    isolated(movie.title),
  );
}

// All ratings of the scale, best first.
function ratings({ lowest, highest, step }) {
  const count = Math.round((highest - lowest) / step);
  return Array.from({ length: count + 1 }, (_, index) =>
    Number((highest - index * step).toFixed(6)),
  );
}

function shownRating(rating, { highest }) {
  return highest === 5 ? `${rating} ★` : `${rating} of ${highest}`;
}

// The rating of the scale that is nearest to one from the address.
function onScale(rating, scale, otherwise) {
  if (!Number.isFinite(rating)) return otherwise;
  return ratings(scale).reduce((best, value) =>
    Math.abs(value - rating) < Math.abs(best - rating) ? value : best,
  );
}
