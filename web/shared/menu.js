// A button that opens a short list to pick from, by mouse or keys.
import { button, make } from "./dom.js";

const STEPS = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowUp: -1 });

/**
 * @param {Node | string} face @param {string} says @param {() => [string, string][]} entries values and labels, asked
 * for at each opening @param {(value: string) => void} pick
 */
export function createMenu(face, says, entries, pick) {
  const list = make("div", { className: "ad-menu", role: "menu", "aria-label": says, hidden: true });
  const opener = button(face, says, () => (list.hidden ? open() : show(false)));
  opener.setAttribute("aria-haspopup", "menu");
  const element = make("span", { className: "ad-menu-holder" }, opener, list);
  const show = (/** @type {boolean} */ visible) => {
    list.hidden = !visible;
    opener.setAttribute("aria-expanded", String(visible));
  };
  const leave = () => {
    show(false);
    opener.focus({ preventScroll: true });
  };
  const open = () => {
    list.replaceChildren(...entries().map((entry) => itemOf(entry, (value) => {
      leave();
      pick(value);
    })));
    show(true);
    /** @type {HTMLElement | null} */ (list.firstElementChild)?.focus({ preventScroll: true });
  };
  element.addEventListener("keydown", (event) => hear(event, list, leave));
  element.addEventListener("focusout", (event) => {
    if (!element.contains(/** @type {Node | null} */ (event.relatedTarget))) show(false);
  });
  // A press on an entry must neither draw nor take the focus away before the click.
  list.addEventListener("pointerdown", (event) => event.stopPropagation());
  return element;
}

/** @param {[string, string]} entry @param {(value: string) => void} click */
function itemOf([value, label], click) {
  return make("button", { type: "button", className: "ad-menu-item", role: "menuitem", title: label, click: () => click(value) }, label);
}

/** @param {KeyboardEvent} event @param {HTMLElement} list @param {() => void} leave */
function hear(event, list, leave) {
  const by = STEPS[event.key];
  if (list.hidden || (!by && event.key !== "Escape")) return;
  event.preventDefault();
  event.stopPropagation();
  if (!by) return leave();
  const items = /** @type {HTMLElement[]} */ ([...list.children]);
  const at = items.indexOf(/** @type {HTMLElement} */ (document.activeElement));
  items[(at + by + items.length) % items.length]?.focus({ preventScroll: true });
}
