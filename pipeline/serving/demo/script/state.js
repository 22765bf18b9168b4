// What the page shows stands in the fragment of its address, which browsers do not send:
// it can be shared, and the server's access log does not hold who was looked at.

const NOTHING = Object.freeze({
  user: "",
  added: [], // { id, rating }, oldest first
  genres: [],
  first: 0,
  last: 0,
  seen: false,
  diversity: 0,
  k: 10,
  movie: "", // whose card is open
});

function readState(fragment) {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const number = (name) => {
    const value = Number.parseInt(values.get(name) ?? "", 10);
    return value > 0 && value <= 9999 ? value : NOTHING[name];
  };
  const diversity = Number.parseFloat(values.get("diversity"));
  return {
    user: values.get("user") ?? "",
    added: (values.get("added") ?? "").split(",").flatMap(readAdded),
    genres: values.getAll("genre"),
    first: number("first"),
    last: number("last"),
    seen: values.get("seen") === "1",
    diversity: diversity > 0 && diversity < 1 ? diversity : NOTHING.diversity,
    k: number("k"),
    movie: values.get("movie") ?? "",
  };
}

function readAdded(text) {
  const [id, rating] = text.split(":");
  try {
    return id ? [{ id: decodeURIComponent(id), rating: Number.parseFloat(rating) }] : [];
  } catch {
    return []; // no text that we wrote
  }
}

function writeState(state) {
  const values = new URLSearchParams();
  if (state.user) values.set("user", state.user);
  if (state.added.length) {
    const added = state.added.map(({ id, rating }) => `${encodeURIComponent(id)}:${rating}`);
    values.set("added", added.join(","));
  }
  for (const genre of state.genres) values.append("genre", genre);
  if (state.first) values.set("first", state.first);
  if (state.last) values.set("last", state.last);
  if (state.seen) values.set("seen", "1");
  if (state.diversity) values.set("diversity", state.diversity);
  if (state.k !== NOTHING.k) values.set("k", state.k);
  if (state.movie) values.set("movie", state.movie);
  return `#${values}`;
}
