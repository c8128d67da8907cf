// The prompt's words as the text encoder counts them, and where a phrase stands among them. No DOM.

/** @typedef {{ start: number, end: number, text: string, chosen: boolean, row: number }} Token text: lower case; chosen: inside {a|b}; row: which prompt */
/** @typedef {{ start: number, end: number, first: number, last: number }} Unit a word as a person sees it, and its tokens */
/** @typedef {{ start: number, end: number, first: number, last: number, uncertain: boolean }} Span */

// Scripts that put no space between words: there each letter is a token, so that a phrase is found wherever it stands.
const UNSPACED = "[\\p{scx=Han}\\p{scx=Hira}\\p{scx=Kana}\\p{scx=Thai}\\p{scx=Laoo}\\p{scx=Khmr}\\p{scx=Mymr}]";
const LONE_LETTER = `(?=\\p{L})${UNSPACED}\\p{M}*`;
const EMOJI = "\\p{Extended_Pictographic}(?:\\uFE0F|\\p{Emoji_Modifier}|\\u200D\\p{Extended_Pictographic})*|\\p{RI}{2}";
// Nearly as CLIP's tokenizer cuts: letters together, each digit and each sign alone.
const PIECE = new RegExp([
  "embedding:[^\\s,()]+", "'(?:s|t|re|ve|m|ll|d)(?!\\p{L})", LONE_LETTER, `(?:(?!${UNSPACED})\\p{L}\\p{M}*)+`, "\\p{N}", EMOJI, "\\S",
].join("|"), "giu");
const LONE = new RegExp(`^${LONE_LETTER}$`, "u");
const WORDLIKE = new RegExp(`[\\p{L}\\p{N}\\p{M}]|${EMOJI}`, "u");
const UNDERSCORE = /embedding:[^\s,()]+|_/gi;
const COMMAS = /^[\s,;，；]+|[\s,;，；]+$/g;
const COMMENT = /\/\*[\s\S]*?\*\/|\/\/[^\n]*/g;
const WEIGHT = /:\s*[+-]?(?:\d+\.?\d*|\.\d+)\s*$/;
const blank = (/** @type {string} */ text) => text.replace(/[^\n]/g, " ");

/** The text with comments, brackets of weights and their numbers made blank; every place stays. @param {string} text */
export function spoken(text) {
  const chars = [...text.replace(COMMENT, blank)].flatMap((c) => (c.length > 1 ? [c[0], c[1]] : [c]));
  /** @type {number[]} */
  const open = [];
  for (let i = 0; i < chars.length; i++) {
    if (chars[i] === "\\" && "()".includes(chars[i + 1] ?? "x")) {
      chars[i] = chars[i + 1] = " ";
      i++;
    } else if (chars[i] === "(") {
      open.push(i);
      chars[i] = " ";
    } else if (chars[i] === ")") {
      const begin = open.pop();
      chars[i] = " ";
      const weight = begin === undefined ? null : WEIGHT.exec(chars.slice(begin, i).join(""));
      if (weight && begin !== undefined) chars.fill(" ", begin + weight.index, i);
    }
  }
  return chars.join("");
}

/** The pieces of a text that count; an underscore counts as a space. @param {string} text @returns {Token[]} */
export function tokenise(text) {
  const plain = spoken(text);
  let depth = 0;
  let at = 0;
  const written = plain.replace(/[{}|]/g, " ").replace(UNDERSCORE, (found) => (found === "_" ? " " : found));
  return [...written.matchAll(PIECE)].map((match) => {
    for (; at < match.index; at++) depth += plain[at] === "{" ? 1 : plain[at] === "}" ? -1 : 0;
    const end = match.index + match[0].length;
    return { start: match.index, end, text: match[0].toLowerCase().normalize("NFC"), chosen: depth > 0, row: 0 };
  });
}

/** Several prompts, a line each in one text: phrases neither cross from one to the next nor count in another. @param {string[]} rows @returns {Token[]} */
export function tokeniseRows(rows) {
  let at = 0;
  return rows.flatMap((text, row) => {
    const from = at;
    at += text.length + 1;
    return tokenise(text).map((token) => ({ ...token, start: from + token.start, end: from + token.end, row }));
  });
}

/** @param {Token} token */
const isSign = (token) => !WORDLIKE.test(token.text);

/** The tokens without the signs before and behind them; signs alone stay. @param {Token[]} tokens */
function withoutEnds(tokens) {
  const first = tokens.findIndex((token) => !isSign(token));
  const last = tokens.findLastIndex((token) => !isSign(token));
  return first < 0 ? tokens : tokens.slice(first, last + 1);
}

/** Words a person can point at: tokens that no gap parts, without signs at their ends. @param {Token[]} tokens @returns {Unit[]} */
export function units(tokens) {
  /** @type {Unit[]} */
  const out = [];
  const joins = (/** @type {Token} */ token, /** @type {Token | undefined} */ next) =>
    next?.start === token.end && !LONE.test(token.text) && !LONE.test(next.text);
  for (let i = 0; i < tokens.length; ) {
    let [first, last] = [i, i];
    while (joins(tokens[last], tokens[last + 1])) last++;
    i = last + 1;
    while (first <= last && isSign(tokens[first])) first++;
    while (last >= first && isSign(tokens[last])) last--;
    if (first <= last) out.push({ start: tokens[first].start, end: tokens[last].end, first, last });
  }
  return out;
}

/** "cat#2" is the second cat. @param {string} phrase @returns {{ words: string, occurrence: number }} */
export function splitOccurrence(phrase) {
  const match = /^([\s\S]*\S)\s*#\s*([1-9]\d*)$/.exec(phrase.trim());
  return match ? { words: match[1], occurrence: Number(match[2]) } : { words: phrase.trim(), occurrence: 1 };
}

/** Where each occurrence of a run of words begins, and which of its prompt it is, from 1. @param {Token[]} tokens @param {string[]} wanted */
function occurrences(tokens, wanted) {
  /** @type {Record<number, number>} */
  const counts = {};
  const begins = (/** @type {Token} */ token, /** @type {number} */ i) =>
    wanted.length > 0 && wanted.every((word, k) => tokens[i + k]?.text === word && tokens[i + k].row === token.row);
  return tokens.flatMap((token, i) =>
    (begins(token, i) ? [{ first: i, number: (counts[token.row] = (counts[token.row] ?? 0) + 1) }] : []));
}

/** Where a phrase stands: once in each prompt that has it. Signs at its ends do not count. @param {Token[]} tokens @param {string} phrase @returns {Span[]} */
export function find(tokens, phrase) {
  const { words, occurrence } = splitOccurrence(phrase);
  const wanted = withoutEnds(tokenise(words)).map((token) => token.text);
  return occurrences(tokens, wanted).filter(({ number }) => number === occurrence).map(({ first }) => {
    const last = first + wanted.length - 1;
    const uncertain = tokens.slice(first, last + 1).some((token) => token.chosen);
    return { start: tokens[first].start, end: tokens[last].end, first, last, uncertain };
  });
}

/** Tokens as they are written, a space for each gap. @param {string} text @param {Token[]} tokens */
function spelt(text, tokens) {
  return tokens.map(({ start, end }, i) => `${i && start > tokens[i - 1].end ? " " : ""}${text.slice(start, end)}`).join("");
}

/**
 * The phrase that names tokens first to last, with "#n" where the same words stand there before; it ends with its prompt.
 * @param {string} text the prompt @param {Token[]} tokens @param {number} first @param {number} last
 */
export function phraseOf(text, tokens, first, last) {
  while (tokens[last].row > tokens[first].row) last--;
  const [start, end] = [tokens[first].start, tokens[last].end];
  const raw = text.slice(start, end);
  const clean = spoken(text).slice(start, end) === raw && !/[{}|_]/.test(raw);
  const words = clean ? raw.replace(/\s+/g, " ") : spelt(text, tokens.slice(first, last + 1));
  const wanted = tokens.slice(first, last + 1).map((token) => token.text);
  const number = occurrences(tokens, wanted).find((found) => found.first === first)?.number ?? 1;
  return number > 1 ? `${words}#${number}` : words;
}

/**
 * Phrases of the prompt that go on from what is typed, short ones first.
 * @param {string} text @param {Token[]} tokens its own @param {string} typed @param {number} most
 */
export function completions(text, tokens, typed, most = 6) {
  const wanted = typed.toLowerCase().replace(/[\s_]+/g, " ").replace(COMMAS, "");
  /** @type {string[]} */
  const found = [];
  const words = units(tokens);
  for (let length = 1; length <= 4; length++) {
    for (let i = 0; i + length <= words.length; i++) {
      const phrase = phraseOf(text, tokens, words[i].first, words[i + length - 1].last);
      const key = phrase.toLowerCase();
      if (key !== wanted && key.startsWith(wanted) && !/[,.;|，。、；]/.test(phrase) && !found.includes(phrase)) {
        found.push(phrase);
      }
    }
  }
  return found.slice(0, most);
}

/** The prompt with a phrase at its end. @param {string} text @param {string} phrase */
export function inserted(text, phrase) {
  const words = splitOccurrence(phrase).words.replace(COMMAS, "");
  const before = text.replace(/[\s,]+$/, "");
  return before ? `${before}, ${words}` : words;
}
