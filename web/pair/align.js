// Two prompts word by word: what stayed, what changed. No DOM.
import { tokenise, units } from "../shared/words.js";

/** @typedef {{ start: number, end: number, first: number, last: number }} Unit */
/** @typedef {{ kind: "same" | "changed" | "added" | "removed", source: Unit | null, target: Unit | null }} Column */

const MOST_WORDS = 400;

/** @param {string} text */
function wordsOf(text) {
  const all = units(tokenise(text)).slice(0, MOST_WORDS);
  return { all, spelt: all.map((unit) => text.slice(unit.start, unit.end).toLowerCase()) };
}

/** Lengths of the longest common subsequences of what follows each pair. @param {string[]} a @param {string[]} b */
function common(a, b) {
  const table = Array.from({ length: a.length + 1 }, () => new Uint16Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      table[i][j] = a[i] === b[j] ? table[i + 1][j + 1] + 1 : Math.max(table[i + 1][j], table[i][j + 1]);
    }
  }
  return table;
}

/** The words of both side by side; a word that gave way stands above the one that came. @param {string} source @param {string} target @returns {Column[]} */
export function align(source, target) {
  const [a, b] = [wordsOf(source), wordsOf(target)];
  const table = common(a.spelt, b.spelt);
  /** @type {Column[]} */
  const out = [];
  /** @type {Unit[]} */
  let gone = [];
  /** @type {Unit[]} */
  let come = [];
  const flush = () => {
    // Ends are paired first: "cat" gives way to the dog of "fluffy dog".
    const most = Math.max(gone.length, come.length);
    for (let k = 0; k < most; k++) {
      const [from, to] = [gone[k - most + gone.length], come[k - most + come.length]];
      out.push({ kind: !from ? "added" : !to ? "removed" : "changed", source: from ?? null, target: to ?? null });
    }
    [gone, come] = [[], []];
  };
  let [i, j] = [0, 0];
  while (i < a.all.length || j < b.all.length) {
    if (i < a.all.length && j < b.all.length && a.spelt[i] === b.spelt[j]) {
      flush();
      out.push({ kind: "same", source: a.all[i++], target: b.all[j++] });
    } else if (j >= b.all.length || (i < a.all.length && table[i + 1][j] >= table[i][j + 1])) gone.push(a.all[i++]);
    else come.push(b.all[j++]);
  }
  flush();
  return out;
}
