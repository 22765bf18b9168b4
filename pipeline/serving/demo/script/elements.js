// Makes elements. Text becomes text nodes only: nothing that data holds is ever markup.

const find = (id) => document.getElementById(id);

function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "onclick" || name === "onchange") {
      node.addEventListener(name.slice(2), value);
    } else if (name === "key") {
      node.dataset.key = value; // where the focus goes when a list is made anew
    } else if (name in node) {
      node[name] = value;
    } else {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.flat().filter((child) => child !== null && child !== false));
  return node;
}

// Text of data: its direction does not change that of what stands beside it.
const isolated = (text) => el("bdi", {}, text);

const counted = (number, one, many = `${one}s`) =>
  `${number.toLocaleString("en")} ${number === 1 ? one : many}`;

const date = (seconds) =>
  new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeZone: "UTC" }).format(
    new Date(seconds * 1000),
  );

// Replaces the children of an element, and keeps the focus where it was: on the same
// control, or on the next of its kind where that is gone.
function replaceChildren(root, children, otherwise) {
  const active = document.activeElement;
  const key = root.contains(active) ? active.dataset.key : undefined;
  const kind = key?.split(":")[0];
  const alike = () =>
    [...root.querySelectorAll("[data-key]")].filter((node) => node.dataset.key.split(":")[0] === kind);
  const place = key === undefined ? -1 : alike().indexOf(active);
  root.replaceChildren(...children);
  if (key === undefined) return;
  const now = alike();
  const next = now.find((node) => node.dataset.key === key) ?? now[Math.min(place, now.length - 1)];
  (next ?? otherwise)?.focus();
}
