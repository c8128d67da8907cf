// Phrases go on naming their words while a person edits the prompt. No DOM.
import { find, phraseOf } from "../shared/words.js";
import { cut } from "./drawing.js";

/** @typedef {import("./drawing.js").Drawing} Drawing */
/** @typedef {import("./drawing.js").Region} Region */
/** @typedef {import("../shared/words.js").Span} Span */
/** @typedef {import("../shared/words.js").Token} Token */
/** @typedef {[number, number]} Range from a character up to another */
/** Of a text, so many characters are gone and so many have come, from character low on or any up to high: which, cannot
 * be told where "red red" became "red". @typedef {{ text: string, low: number, high: number, gone: number, come: number }} Change */
/** core: what a region's words are sure to be; reach: with what was typed beside them. @typedef {{ core: Range, reach: Range }} Place */
/**
 * An edit of the prompt that may still go on.
 * @typedef {{ drawing: Drawing, places: (Place | null)[], from: number, to: number }} Following drawing: its regions are
 * at these places; from, to: what came last
 */
/** @typedef {{ text: string, tokens: Token[] }} Reading */

// Words that name nothing: what stands beyond one is no part of the thing beside it.
const JOINTS = new Set(["a", "an", "the", "and", "or", "with", "without", "of", "on", "in", "at", "by", "to", "from", "for", "under", "over", "near"]);
const WORD = /[\p{L}\p{N}\p{M}]/u;
const parts = (/** @type {Token} */ token) => JOINTS.has(token.text) || !WORD.test(token.text);

/** What was changed between two texts, as one piece. @param {string} before @param {string} after @returns {Change} */
export function changeOf(before, after) {
  const least = Math.min(before.length, after.length);
  let high = 0;
  while (high < least && before[high] === after[high]) high++;
  let same = 0;
  while (same < least && before[before.length - 1 - same] === after[after.length - 1 - same]) same++;
  const low = Math.min(high, Math.max(0, least - same));
  const kept = low < high ? least : high + same;
  return { text: before, low, high, gone: before.length - kept, come: after.length - kept };
}

/** Where a change was, of the places where it may have been: it spares a range, else it touches it. @param {Range} range @param {Change} change */
function placeOf([start, end], { low, high, gone }) {
  if (!gone) return Math.min(high, Math.max(low, end));
  if (low + gone <= start) return Math.min(high, start - gone);
  return high >= end ? high : Math.min(high, Math.max(low, start));
}

/** A range after a change, null where that took it away together with more than spaces. What comes at its edges stays
 * outside, unless it is wanted. @param {Range} range @param {Change} change @param {boolean} wanted @returns {Range | null} */
export function carried(range, change, wanted) {
  const [start, end] = range;
  const { text, gone, come } = change;
  const at = placeOf(range, change);
  const stop = at + gone;
  const before = gone ? stop <= start : at < start || (at === start && !wanted);
  if (before) return [start + come - gone, end + come - gone];
  const behind = gone ? at >= end : at > end || (at === end && !wanted);
  if (behind) return range;
  if (at > start || stop < end) return [at < start ? at + come : start, stop > end ? at : end + come - gone];
  const more = (text.slice(at, start) + text.slice(end, stop)).trim();
  return more ? null : [at, at + come];
}

/**
 * The phrase of the words from a place's core outward, up to a comma or a joining word; "" for none.
 * @param {Reading} reading @param {Place} place
 */
export function phraseAt({ text, tokens }, { core, reach }) {
  const under = (/** @type {Token} */ token, /** @type {Range} */ [start, end]) => token.start < end && token.end > start;
  const held = tokens.map((_, i) => i).filter((i) => under(tokens[i], reach));
  const sure = held.filter((i) => under(tokens[i], core));
  const known = sure.length ? sure : held.filter((i) => !parts(tokens[i])).slice(0, 1);
  if (!known.length) return "";
  let [first, last] = [known[0], known[known.length - 1]];
  while (held.includes(first - 1) && !parts(tokens[first - 1])) first--;
  while (held.includes(last + 1) && !parts(tokens[last + 1])) last++;
  return cut(phraseOf(text, tokens, first, last));
}

/**
 * Every region with the words that its own have become, and what is to be known if the edit goes on.
 * @param {{ drawing: Drawing, text: string, following: Following | null }} old @param {Span[][]} spans of the phrases in the old text
 * @param {Reading} reading the new text @returns {{ drawing: Drawing, following: Following }}
 */
export function followed(old, spans, reading) {
  const change = changeOf(old.text, reading.text);
  const places = placesOf(old, spans, change).map((place) => place && placeAfter(place, change));
  const regions = old.drawing.regions.map((own, i) => {
    const place = places[i];
    return place ? renamed(own, phraseAt(reading, place), reading.tokens) : own;
  });
  const drawing = regions.some((own, i) => own !== old.drawing.regions[i]) ? { ...old.drawing, regions } : old.drawing;
  return { drawing, following: { drawing, places, from: change.low, to: change.high + change.come } };
}

/** Where each region's words are before a change: as the edit has left them where it goes on, else where they are
 * found; null where they stand in no prompt, or in several. @type {(old: { drawing: Drawing, following: Following | null }, spans: Span[][], change: Change) => (Place | null)[]} */
function placesOf({ drawing, following }, spans, { low, high, gone }) {
  const last = following?.drawing === drawing ? following : null;
  const goesOn = last && low <= last.to && high + gone >= last.from;
  return drawing.regions.map((_, i) => {
    const held = last?.places[i];
    if (held && (goesOn || !spans[i].length)) return held;
    const range = /** @type {Range} */ ([spans[i][0]?.start, spans[i][0]?.end]);
    return spans[i].length === 1 ? { core: range, reach: range } : null;
  });
}

/** @param {Place} place @param {Change} change @returns {Place | null} */
function placeAfter({ core, reach }, change) {
  const wide = carried(reach, change, true);
  const sure = carried(core, change, false) ?? (wide && [wide[0], wide[0]]);
  return wide && sure && { core: sure, reach: wide };
}

/** @param {Region} own @param {string} phrase @param {Token[]} tokens */
function renamed(own, phrase, tokens) {
  if (!phrase) return own;
  const [was, is] = [find(tokens, own.phrase), find(tokens, phrase)];
  const same = was.length === 1 && is.length > 0 && was[0].first === is[0].first && was[0].last === is[0].last;
  return same ? own : { ...own, phrase };
}
