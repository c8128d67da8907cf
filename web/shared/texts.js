// What the editors say, in the person's language. The English text is the key; locales/*/main.json holds the others.

/** @type {Record<string, string>} */
let table = {};

/** @param {unknown} found texts by their English ones; what is no text is left out */
export function setTexts(found) {
  const entries = found && typeof found === "object" ? Object.entries(found) : [];
  table = Object.fromEntries(entries.filter(([, text]) => typeof text === "string" && text));
}

/** A text that is said by t() later. @param {string} text */
export const said = (text) => text;

/** A text in the person's language, with each {name} replaced by its part. @param {string} text @param {Record<string, string | number>} parts */
export function t(text, parts = {}) {
  return (table[text] ?? text).replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(parts, name) ? String(parts[name]) : whole));
}
