// The words of a prompt that look most like a phrase it lacks; core/text.py finds them by the same measure.
import { phraseOf, splitOccurrence, tokenise, units } from "./words.js";

/** @typedef {import("./words.js").Token} Token */

const LEAST = 0.3;
const MOST_LETTERS = 200;

/** The longest run that two texts share: where it begins in each, and its length. @param {string} a @param {string} b */
function longestRun(a, b) {
  let [i, j, length] = [0, 0, 0];
  let row = new Uint16Array(b.length + 1);
  for (let x = 0; x < a.length; x++) {
    const next = new Uint16Array(b.length + 1);
    for (let y = 0; y < b.length; y++) {
      if (a[x] !== b[y]) continue;
      next[y + 1] = row[y] + 1;
      if (next[y + 1] > length) [i, j, length] = [x - next[y + 1] + 1, y - next[y + 1] + 1, next[y + 1]];
    }
    row = next;
  }
  return [i, j, length];
}

/** Letters that two texts share in order: the longest run, and those before and after it (Ratcliff and Metzener 1988).
 * @param {string} a @param {string} b @returns {number} */
function shared(a, b) {
  const [i, j, length] = longestRun(a, b);
  return length && length + shared(a.slice(0, i), b.slice(0, j)) + shared(a.slice(i + length), b.slice(j + length));
}

/** How alike two texts are, from 0 to 1. @param {string} a @param {string} b */
export const likeness = (a, b) => (2 * shared(a, b)) / (a.length + b.length || 1);

/**
 * The phrase of the run of as many words that looks most like another phrase, "" where none does.
 * @param {string} text the prompt @param {Token[]} tokens @param {string} phrase
 * @param {(first: number, last: number) => boolean} free may the tokens first to last be taken?
 */
export function nearest(text, tokens, phrase, free = () => true) {
  const { words } = splitOccurrence(phrase);
  const wanted = units(tokenise(words)).map((word) => words.slice(word.start, word.end).toLowerCase());
  const all = units(tokens);
  let [best, most] = ["", LEAST];
  for (let i = 0; wanted.length && i + wanted.length <= all.length; i++) {
    const run = all.slice(i, i + wanted.length);
    const [first, last] = [run[0].first, run[run.length - 1].last];
    const spelt = run.map((word) => text.slice(word.start, word.end).toLowerCase()).join(" ");
    const alike = free(first, last) ? likeness(spelt.slice(0, MOST_LETTERS), wanted.join(" ").slice(0, MOST_LETTERS)) : 0;
    if (alike > most || (alike === most && !best && alike)) [best, most] = [phraseOf(text, tokens, first, last), alike];
  }
  return best;
}
