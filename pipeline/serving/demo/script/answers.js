// Recommendations of what is live, and beside them those of the canary.

// actions: { open(movie), add(movie) }
// hasHistory: whether movies of it could be close; otherwise: makes what an empty list shows.
function renderAnswers(answers, { scale, hasHistory, actions, otherwise }) {
  const [live, canary] = answers.map((answer) =>
    answer.movies.map(({ movie }) => movie.id),
  );
  const columns = answers.map((answer, index) => {
    const mark = canary && (index === 0 ? goneFrom(canary) : changedFrom(live));
    const headingId = `answer-${index}`;
    const rows = answer.movies.map((found, place) =>
      row(found, place, index, {
        mark: mark ? mark(found.movie.id, place) : null,
        why: hasHistory ? reasonsOf(found.reasons, scale) : null,
        actions,
      }),
    );
    return el(
      "article",
      { className: "answer", "aria-labelledby": headingId },
      el(
        "div",
        { className: "title-row" },
        heading(answer, index, headingId),
        el("span", { className: "latency" }, `answered in ${duration(answer.milliseconds)}`),
      ),
      rows.length ? el("ol", { "aria-labelledby": headingId }, rows) : otherwise(),
    );
  });
  replaceChildren(find("answers"), columns, find("answers-heading"));
}

const duration = (milliseconds) =>
  `${milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;

function heading({ version, labels }, index, id) {
  const names = labels.length ? labels : [index === 0 ? "live" : "canary"];
  return el(
    "h3",
    { id },
    `Version ${version} `,
    names.map((name) => el("span", { className: "tag label" }, name)),
  );
}

function row({ movie, score, is_watched }, place, column, { mark, why, actions }) {
  return el(
    "li",
    {},
    el("span", { className: "rank" }, String(place + 1)),
    el(
      "div",
      {},
      el(
        "div",
        { className: "what" },
        titleButton(movie, actions.open, `title:${column}:${movie.id}`),
        mark && el("span", { className: `tag ${mark.kind}` }, mark.text),
        is_watched && el("span", { className: "tag watched" }, "watched"),
      ),
      el(
        "span",
        { className: "small" },
        isolated(movie.genres.join(" · ") || "no genre"),
        " · ",
        el("span", { className: "whole" }, `score ${score.toFixed(2)}`),
      ),
      why,
    ),
    !is_watched &&
      el(
        "button",
        {
          type: "button",
          "aria-label": `Add ${movie.title} to what was watched`,
          key: `add:${column}:${movie.id}`,
          onclick: () => actions.add(movie),
        },
        "Add",
      ),
  );
}

function reasonsOf(reasons, scale) {
  if (!reasons.length) {
    return el("div", { className: "reasons muted" }, "Close to none of the watched movies");
  }
  return el(
    "div",
    { className: "reasons" },
    el("span", { className: "muted" }, "Close to "),
    reasons.flatMap(({ movie, rating }, index) => [
      index > 0 && " · ",
      isolated(movie.title),
      el("span", { className: "muted whole" }, `\u00a0${shownRating(rating, scale)}`),
    ]),
  );
}

const goneFrom = (canary) => (id) =>
  canary.includes(id) ? null : { kind: "gone", text: "not in canary" };

const changedFrom = (live) => (id, place) => {
  const before = live.indexOf(id);
  if (before < 0) return { kind: "new", text: "new" };
  if (before === place) return null;
  const steps = Math.abs(before - place);
  return before > place ? { kind: "up", text: `up ${steps}` } : { kind: "down", text: `down ${steps}` };
};

function comparison([live, canary]) {
  const [before, after] = [live, canary].map(({ movies }) => movies.map(({ movie }) => movie.id));
  const kept = after.filter((id) => before.includes(id));
  const moved = kept.filter((id) => before.indexOf(id) !== after.indexOf(id)).length;
  const entered = after.length - kept.length;
  if (before.join("\n") === after.join("\n")) return "The canary recommends the same.";
  const gone = before.length - kept.length;
  return (
    `The canary keeps ${kept.length} of ${counted(before.length, "movie")}` +
    ` (${moved} moved), has ${entered} new and leaves out ${gone}.`
  );
}
