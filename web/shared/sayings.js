// What the server says, in the person's language. It says it in English; a sentence is found by its words, its parts
// (a phrase, a number, a reason) wherever they stand in it. locales/*/main.json holds the sentences.

/** @typedef {{ pattern: RegExp, text: string }} Saying names of its groups are those of the text's parts */

const SEPARATOR = "; "; // between the clauses of a status line
const PART = /(\{\w+\})/;
const QUOTED = '"[^"]*"'; // a phrase of the person's own may hold anything

/** @type {Saying[]} */
let sayings = [];

/** @param {unknown} found translations by their English sentences; what is no text is left out */
export function setSayings(found) {
  const entries = found && typeof found === "object" ? Object.entries(found) : [];
  const plain = (/** @type {string} */ english) => english.split(PART).filter((piece) => !PART.test(piece)).join("").length;
  sayings = entries.filter(([, text]) => typeof text === "string" && text).sort((a, b) => plain(b[0]) - plain(a[0]))
    .map(([english, text]) => ({ pattern: patternOf(english), text }));
}

/** @param {string} english */
function patternOf(english) {
  const seen = new Set();
  const source = english.split(PART).map((piece) => {
    if (!PART.test(piece)) return piece.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const name = piece.slice(1, -1);
    const again = seen.has(name);
    seen.add(name);
    return again ? `\\k<${name}>` : `(?<${name}>(?:${QUOTED}|(?!${SEPARATOR}).)+?)`;
  });
  return new RegExp(`^${source.join("")}$`, "u");
}

/** The whole of a text as one sentence, or null. @param {string} english @returns {string | null} */
function whole(english) {
  for (const { pattern, text } of sayings) {
    const parts = pattern.exec(english)?.groups;
    if (parts || pattern.test(english)) {
      return text.replace(/\{(\w+)\}/g, (all, name) => (parts?.[name] === undefined ? all : whole(parts[name]) ?? parts[name]));
    }
  }
  return null;
}

/** A line of the server in the person's language; clauses that nobody has translated stay English. @param {string} line */
export function translated(line) {
  const clauses = line.split(SEPARATOR);
  const out = [];
  for (let from = 0; from < clauses.length;) {
    let to = clauses.length;
    let said = null;
    for (; to > from && (said = whole(clauses.slice(from, to).join(SEPARATOR))) === null;) to--;
    out.push(said ?? clauses[from]);
    from = said === null ? from + 1 : to;
  }
  return out.join(SEPARATOR);
}
