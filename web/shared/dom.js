// Elements without markup: whatever a person or a workflow file wrote goes in as text, never as HTML.

/** @typedef {Record<string, any>} Properties */

/**
 * An element. Functions become listeners, "data-" and "aria-" names and role attributes, the rest properties.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Properties} properties
 * @param {...(Node | string)} children strings become text nodes
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (/^(data-|aria-|role$)/.test(name)) element.setAttribute(name, String(value));
    else if (name === "style") Object.assign(element.style, value);
    else /** @type {any} */ (element)[name] = value;
  }
  element.append(...children);
  return element;
}

/**
 * A button that says what it does and on which key.
 * @param {Node | string} face what it shows
 * @param {string} says tooltip, and its name for a screen reader
 * @param {() => void} act
 */
export function button(face, says, act) {
  return make("button", {
    type: "button", className: "ad-button", title: says, "aria-label": says,
    click: (/** @type {Event} */ event) => {
      event.stopPropagation();
      act();
    },
  }, face);
}

/** A button that can be down. @param {HTMLElement} element @param {boolean} down */
export function press(element, down) {
  element.classList.toggle("ad-down", down);
  element.setAttribute("aria-pressed", String(down));
}

/** Fades an element that scrolls where more lies beyond its edge. @param {HTMLElement} element @returns {() => void} to be called when its content is new */
export function fading(element) {
  const look = () => {
    element.classList.toggle("ad-more-right", element.scrollLeft + element.clientWidth < element.scrollWidth - 1);
    element.classList.toggle("ad-more-below", element.scrollTop + element.clientHeight < element.scrollHeight - 1);
  };
  element.addEventListener("scroll", look);
  return look;
}

/** Loads the pack's style sheet once. @param {string} url */
export function addStyle(url) {
  if ([...document.head.querySelectorAll("link")].some((link) => link.href === url)) return;
  document.head.append(make("link", { rel: "stylesheet", href: url }));
}
