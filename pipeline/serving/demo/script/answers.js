// Recommendations of what is live, and beside them those of the canary.

// actions: { open(movie), add(movie) }
function renderAnswers(answers, scale, actions, otherwise) {
  const [live, canary] = answers.map((answer) =>
    answer.movies.map(({ movie }) => movie.id),
  );
  const columns = answers.map((answer, index) => {
    const mark = canary && (index === 0 ? goneFrom(canary) : changedFrom(live));
    const headingId = `answer-${index}`;
    const rows = answer.movies.map((found, place) =>
      row(found, place, mark ? mark(found.movie.id, place) : null, scale, actions, index),
    );
    return el(
      "article",
      { className: "answer", "aria-labelledby": headingId },
      heading(answer, index, headingId),
      rows.length ? el("ol", { "aria-labelledby": headingId }, rows) : otherwise(),
    );
  });
  replaceChildren(find("answers"), columns, find("answers-heading"));
}

function heading({ version, labels, milliseconds }, index, id) {
  const names = labels.length ? labels : [index === 0 ? "live" : "canary"];
  const took = milliseconds < 10 ? milliseconds.toFixed(1) : Math.round(milliseconds);
  return el(
    "h3",
    { id },
    `Version ${version} `,
    names.map((name) => el("span", { className: "tag label" }, name)),
    el("span", { className: "latency" }, `answered in ${took} ms`),
  );
}

function row({ movie, score, is_watched, reasons }, place, mark, scale, actions, column) {
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
      reasonsOf(reasons, scale),
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
  if (!reasons.length) return null;
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
