// Joins the parts: what somebody does changes the state, and the page follows it.

let state = readState(location.hash);
let served = null; // description of the live version
let skipped = 0; // a canary that lacks what the page needs
let stored = []; // the user's timeline
let storedOf = null; // whose it is
const faults = new Map(); // question -> what is wrong with it
const movies = new Map(); // by id, as far as seen
const opener = { element: null }; // where the focus was before the card opened

const history_ = new HistoryList({
  open: (movie) => change({ movie: movie.id }),
  rate: (index, rating) =>
    change({ added: state.added.map((event, i) => (i === index ? { ...event, rating } : event)) }),
  remove: (index) => change({ added: state.added.filter((_, i) => i !== index) }),
});

const userBox = new Combobox(find("user"), find("user-list"), {
  search: async (query) => (await asked("users", { query }))?.users ?? null,
  show: (id) => isolated(id),
  choose: (id) => change({ user: id }),
  nothing: "No user has this in the id.",
});

new Combobox(find("movie"), find("movie-list"), {
  search: async (query) => {
    const answer = await asked("movies", { query });
    return answer && answer.movies.map(remember);
  },
  show: (movie) => [
    isolated(movie.title),
    el("span", { className: "small" }, `${isInHistory(movie.id) ? "watched · " : ""}${factsOf(movie)}`),
  ],
  choose: (movie) => {
    find("movie").value = "";
    add(movie);
  },
  nothing: "No title has these words.",
});

// State -----------------------------------------------------------------------------

function change(changes, { replace = false } = {}) {
  const before = state;
  state = { ...state, ...changes };
  const address = writeState(state);
  if (address !== location.hash) history[replace ? "replaceState" : "pushState"](null, "", address);
  follow(before);
}

// Makes the page show the state, and asks anew if more than the card differs.
function follow(before) {
  showControls();
  showCard();
  const isSame = (name) => JSON.stringify(state[name]) === JSON.stringify(before?.[name]);
  if (!Object.keys(state).every((name) => name === "movie" || isSame(name))) refresh();
}

// Adds a movie to the history; its card closes.
function add(movie) {
  remember(movie);
  const others = state.added.filter(({ id }) => id !== movie.id);
  change({ added: [...others, { id: movie.id, rating: served?.liked ?? 4 }], movie: "" });
  announce(`${movie.title} added to what was watched`);
}

const isInHistory = (id) =>
  state.added.some((event) => event.id === id) || stored.some(({ movie }) => movie.id === id);

function remember(movie) {
  movies.set(movie.id, movie);
  return movie;
}

const known = (id) => movies.get(id) ?? { id, title: `Movie ${id}`, genres: [], is_known: true };

const factsOf = ({ genres, num_ratings }) =>
  [genres.join(" · "), counted(num_ratings, "rating")].filter(Boolean).join(" · ");

// Asking -----------------------------------------------------------------------------

// Asks, shows what went wrong, and returns null then.
async function asked(name, body) {
  try {
    if (body?.last_year && body.first_year > body.last_year) {
      forget(name);
      throw new ServerFault("The first year is after the last one.", 400);
    }
    const answer = await ask(name, body);
    if (answer && faults.delete(name)) showFaults();
    return answer;
  } catch (fault) {
    faults.set(name, fault);
    showFaults();
    return null;
  }
}

const retryLater = later(5000, () => start());
const startAnew = later(500, () => start());

function showFaults() {
  const [fault] = faults.values();
  find("fault").hidden = !fault;
  if (!fault) return;
  const isTemporary = [0, 501, 503].includes(fault.status);
  find("fault-text").textContent =
    fault.message + (isTemporary ? " This page asks again every few seconds." : "");
  find("retry").hidden = !isTemporary;
  if (isTemporary) retryLater();
}

async function start() {
  const description = await asked("versions");
  if (!description) return;
  faults.clear();
  showFaults();
  const [live, canary] = description.versions;
  skipped = canary?.missing.length ? canary.version : 0;
  document.body.classList.toggle("unusable", live.missing.length > 0);
  find("served").replaceChildren(
    isolated(live.dataset),
    live.missing.length
      ? `: version ${live.version}`
      : `: ${counted(live.movies, "movie")}, ${counted(live.users, "user")} with a history`,
  );
  if (live.missing.length) {
    find("answers").replaceChildren(
      el(
        "div",
        { className: "nothing" },
        el(
          "p",
          {},
          `Version ${live.version} was exported by an earlier release, which lacks what ` +
            `this page needs: ${live.missing.join(", ")}.`,
        ),
        el(
          "p",
          {},
          "Push a new model: ",
          el("code", {}, "two-tower run"),
          ". The page then goes on by itself.",
        ),
      ),
    );
    setBusy(false);
    retryLater();
    return;
  }
  if (served?.version !== live.version) {
    storedOf = null;
    movies.clear();
  }
  served = live;
  offerFilters();
  follow(null);
}

async function refresh() {
  if (!served) return;
  setBusy(true);
  const wanted = state;
  await Promise.all([fetchStored(wanted), fetchTitles(wanted), fetchAnswers(wanted)]);
}

async function fetchStored({ user }) {
  if (user === storedOf) return;
  forget("timeline");
  const answer = user && (await asked("timeline", { user_id: user }));
  if (answer === null) return;
  stored = answer ? answer.events : [];
  for (const { movie } of stored) remember(movie);
  storedOf = user;
  history_.showsAll = false;
  showHistory();
}

async function fetchTitles({ added, movie }) {
  const ids = [...added.map(({ id }) => id), movie].filter((id) => id && !movies.has(id));
  if (!ids.length) return;
  const answer = await asked("lookup", { movie_ids: ids });
  answer?.movies.forEach(remember);
  if (answer) showHistory();
}

async function fetchAnswers(wanted) {
  const answer = await asked("recommend", {
    user_id: wanted.user,
    events: wanted.added.map(({ id, rating }) => ({
      movie_id: id,
      rating: onScale(rating, served.scale, served.liked),
    })),
    genres: wanted.genres.filter((genre) => served.genres.includes(genre)),
    first_year: wanted.first,
    last_year: wanted.last,
    include_seen: wanted.seen,
    diversity: wanted.diversity,
    k: Math.min(wanted.k, served.max_k),
  });
  if (!answer) {
    if (faults.has("recommend")) {
      setBusy(false);
      find("summary").textContent = "This is the answer from before the last change.";
    }
    return;
  }
  for (const { movies: found } of answer.answers) {
    for (const { movie, reasons } of found) [movie, ...reasons.map((r) => r.movie)].forEach(remember);
  }
  showAnswers(answer.answers, wanted);
  if (answer.answers[0].version !== served.version) startAnew(); // it was replaced
}

const setBusy = (isBusy) => find("answers").setAttribute("aria-busy", String(isBusy));

// Showing ----------------------------------------------------------------------------

function showControls() {
  if (document.activeElement !== find("user") || find("user-list").hidden) find("user").value = state.user;
  find("no-user").disabled = !state.user;
  for (const box of find("genres").querySelectorAll("input")) {
    box.checked = state.genres.includes(box.value);
  }
  for (const [id, value] of [["first-year", state.first], ["last-year", state.last], ["k", state.k]]) {
    const input = find(id);
    if (document.activeElement !== input) input.value = value || "";
  }
  find("include-seen").checked = state.seen;
  showDiversity();
  find("filters-summary").textContent = filtersInWords();
  showHistory();
}

// Any share may stand in the address.
function showDiversity() {
  const select = find("diversity");
  const value = String(state.diversity);
  if (![...select.options].some((option) => option.value === value)) {
    select.append(el("option", { value }, value));
  }
  select.value = value;
  find("diversity-choice").hidden = !served?.has_diversity;
}

function showHistory() {
  if (!served) return;
  const { scale, liked } = served;
  const added = state.added.map(({ id, rating }) => ({
    movie: known(id),
    rating: onScale(rating, scale, liked),
  }));
  history_.render({ added, stored: state.user === storedOf ? stored : [], scale });
}

function filtersInWords() {
  const years =
    state.first || state.last
      ? `${state.first || "earliest"} to ${state.last || "latest"}`
      : "";
  const diversity = served?.has_diversity && state.diversity;
  const words = [
    state.genres.join(", "),
    years,
    state.seen ? "with watched movies" : "",
    diversity ? `diversity ${diversity}` : "",
  ];
  return words.filter(Boolean).join("; ") || "none";
}

function showAnswers(answers, wanted) {
  const actions = { open: (movie) => change({ movie: movie.id }), add };
  const hasHistory = answers[0].knows_user || wanted.added.length > 0;
  renderAnswers(answers, {
    scale: served.scale,
    hasHistory,
    actions,
    otherwise: () => nothingLeft(wanted, hasHistory),
  });
  setBusy(false);
  find("summary").replaceChildren(...summaryOf(answers, wanted));
}

function summaryOf(answers, { user, added, k }) {
  const [live, canary] = answers;
  const count = live.movies.length;
  const isKnown = user && live.knows_user;
  const whom = isKnown ? ["user ", isolated(user)] : [added.length ? "this history" : "somebody new"];
  const parts = [`${counted(count, "movie")} for `, ...whom, "."];
  if (user && !isKnown) parts.push(" This version knows no user ", isolated(user), ".");
  if (!isKnown && !added.length) parts.push(" The model knows nothing of them yet.");
  if (count < Math.min(k, served.max_k) && count) parts.push(" No more are left.");
  if (k > served.max_k) parts.push(` This version recommends at most ${served.max_k}.`);
  if (canary && (count || canary.movies.length)) parts.push(" ", comparison(answers));
  if (canary && isKnown && !canary.knows_user) parts.push(" It does not know this user.");
  if (skipped) parts.push(` The canary, version ${skipped}, is too old for this page.`);
  return parts;
}

function nothingLeft({ genres, first, last, seen }, hasHistory) {
  const hidesWatched = hasHistory && !seen;
  const isFiltered = genres.length > 0 || first > 0 || last > 0;
  const reset = el("button", { type: "button", onclick: resetFilters }, "Reset filters");
  const include = el(
    "button",
    { type: "button", onclick: () => change({ seen: true }) },
    "Include watched movies",
  );
  return el(
    "div",
    { className: "nothing" },
    el(
      "p",
      {},
      isFiltered
        ? `No movie is left: none matches the filters${hidesWatched ? " and is not watched yet" : ""}.`
        : "No movie is left: all are watched.",
    ),
    el("div", { className: "buttons" }, isFiltered && reset, hidesWatched && include),
  );
}

// The card of a movie ------------------------------------------------------------------

async function showCard() {
  const card = find("card");
  const id = state.movie;
  if (!id) {
    if (card.open) card.close();
    forget("similar");
    return;
  }
  if (card.dataset.movie === id && card.open) {
    showCardActions(known(id));
    return;
  }
  card.dataset.movie = id;
  fillCard(known(id));
  find("similar").replaceChildren();
  find("similar-note").textContent = "Looking for them …";
  if (!card.open) {
    opener.element = document.activeElement;
    card.showModal();
  }
  find("card-title").focus();
  card.scrollTop = 0;
  try {
    const answer = await ask("similar", { movie_id: id });
    if (!answer) return;
    fillCard(remember(answer.movie));
    find("similar-note").textContent = answer.similar.length ? "" : "The model knows none.";
    find("similar").replaceChildren(...answer.similar.map(similarRow));
  } catch (fault) {
    find("similar-note").textContent = fault.message;
  }
}

function similarRow({ movie }, index) {
  remember(movie);
  return el(
    "li",
    {},
    el("span", { className: "rank" }, String(index + 1)),
    el(
      "div",
      {},
      titleButton(movie, ({ id }) => change({ movie: id }), `similar:${movie.id}`),
      el("span", { className: "small" }, factsOf(movie)),
    ),
  );
}

function fillCard(movie) {
  find("card-title").replaceChildren(isolated(movie.title));
  find("card-facts").textContent = movie.num_ratings === undefined ? "" : factsOf(movie);
  showCardActions(movie);
}

function showCardActions(movie) {
  const actions = find("card-actions");
  if (isInHistory(movie.id)) {
    actions.replaceChildren(el("span", { className: "tag watched" }, "watched"));
    return;
  }
  actions.replaceChildren(
    el("button", { type: "button", onclick: () => add(movie) }, "Add to what was watched"),
  );
}

// Controls ---------------------------------------------------------------------------

function offerFilters() {
  const boxes = served.genres.map((genre) =>
    el(
      "label",
      {},
      el("input", { type: "checkbox", value: genre, key: `genre:${genre}`, onchange: chooseGenres }),
      isolated(genre),
    ),
  );
  replaceChildren(find("genres"), boxes);
  const [first, last] = served.years;
  for (const [id, placeholder] of [["first-year", first], ["last-year", last]]) {
    Object.assign(find(id), { placeholder, min: first, max: last });
  }
  find("k").max = served.max_k;
}

function chooseGenres() {
  const chosen = [...find("genres").querySelectorAll(":checked")].map((box) => box.value);
  change({ genres: chosen });
}

const resetFilters = () => {
  const { genres, first, last, seen, diversity } = NOTHING;
  change({ genres, first, last, seen, diversity });
};

function readNumbers() {
  const number = (id) => {
    const value = Number.parseInt(find(id).value, 10);
    return value > 0 && value <= 9999 ? value : 0;
  };
  change(
    {
      first: number("first-year"),
      last: number("last-year"),
      k: Math.min(number("k") || NOTHING.k, served?.max_k ?? NOTHING.k),
    },
    { replace: true },
  );
}

const readNumbersLater = later(300, readNumbers);

for (const id of ["first-year", "last-year", "k"]) {
  find(id).addEventListener("input", readNumbersLater);
  find(id).addEventListener("change", () => {
    readNumbersLater.cancel();
    readNumbers();
  });
  find(id).addEventListener("blur", showControls);
}
find("include-seen").addEventListener("change", (event) => change({ seen: event.target.checked }));
find("diversity").addEventListener("change", (event) =>
  change({ diversity: Number(event.target.value) }),
);
find("reset-filters").addEventListener("click", resetFilters);
find("clear-added").addEventListener("click", () => {
  change({ added: [] });
  find("movie").focus();
});
find("no-user").addEventListener("click", () => {
  change({ user: "" });
  find("user").focus();
});
find("random-user").addEventListener("click", async () => {
  const answer = await asked("random-user");
  if (answer?.user_id != null) change({ user: answer.user_id });
});
find("user").addEventListener("focus", (event) => event.target.select());
find("skip").addEventListener("click", () => find("answers-heading").focus());
find("retry").addEventListener("click", () => start());
find("close-card").addEventListener("click", () => find("card").close());
find("card").addEventListener("click", (event) => {
  if (event.target === event.currentTarget) event.currentTarget.close(); // beside the card
});
find("card").addEventListener("close", () => {
  delete find("card").dataset.movie;
  if (state.movie) change({ movie: "" });
  const { element } = opener;
  (element?.isConnected ? element : find("answers-heading")).focus();
});
addEventListener("popstate", () => {
  const before = state;
  state = readState(location.hash);
  follow(before);
});

find("filters").open = matchMedia("(min-width: 761px)").matches;
start();
