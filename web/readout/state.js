// What the viewer holds, and what each event makes of it. A state in, a state out; no DOM.
import { asked, itemsOf, kindsOf, regionsOf, settled } from "./model.js";

/** @typedef {import("./data.js").Data} Data */
/** @typedef {import("./model.js").Choice} Choice */
/** @typedef {import("./model.js").Kind} Kind */
/** @typedef {{ bytes: Uint8Array, pictures: import("./paint.js").Scene["pictures"] }} Loaded */
/**
 * @typedef {object} State
 * @property {Data | null} data of a run
 * @property {Loaded} loaded its maps and pictures
 * @property {Choice} choice
 * @property {number | null} hovered the item under the mouse
 * @property {import("./stage.js").Spot | null} spot the place under the mouse
 * @property {Choice | null} before what a viewer that undo has replaced looked at
 * @property {string} said the sentence where there is no run
 * @property {boolean} alarmed that sentence says what went wrong
 */

/** @type {Loaded} */
const NOTHING = { bytes: new Uint8Array(0), pictures: [] };

/** @type {State} */
export const FIRST = {
  data: null, loaded: NOTHING, choice: { kind: "heat maps", item: 0, step: 0, image: -1, matches: true },
  hovered: null, spot: null, before: null, said: "", alarmed: false,
};

/** What is on the page: the item under the mouse before the chosen one. @param {State} state @returns {Choice} */
export const shownChoice = ({ choice, hovered }) => ({ ...choice, item: hovered ?? choice.item });

/** @param {State} state @param {Partial<Choice>} change @returns {State} */
export function chosen(state, change) {
  if (!state.data) return state;
  const choice = settled(state.data, { ...state.choice, ...change });
  return { ...state, choice, hovered: choice.kind === state.choice.kind ? state.hovered : null };
}

/** Another kind, from its beginning. @param {State} state @param {Kind} kind */
export const ofKind = (state, kind) => chosen(state, { kind, item: 0, step: 0 });

/** An item that was clicked: a second click shows the pictures alone. @param {State} state @param {number} item */
export function toggled(state, item) {
  if (state.choice.item !== item) return chosen(state, { item });
  return chosen({ ...state, hovered: null }, { item: -1 }); // else what is under the mouse would stay
}

/** The next item or the one before. @param {State} state @param {number} by */
export function turned(state, by) {
  const count = state.data ? itemsOf(state.data, state.choice.kind).length : 0;
  const from = Math.max(state.choice.item, by > 0 ? -1 : 0);
  return chosen({ ...state, hovered: null }, { item: (from + by + count) % count });
}

/** After a run; what one looked at stays, where the node was not set to something else. @param {State} state @param {Data} data @param {Loaded} loaded @returns {State} */
export function ran(state, data, loaded) {
  const same = state.data && state.data.show === data.show && state.data.step === data.step;
  const choice = state.before || same ? settled(data, state.before ?? state.choice)
    : { ...asked(data), matches: state.choice.matches };
  return { ...state, data, loaded, choice, hovered: null, before: null, said: "", alarmed: false };
}

/** Without a run: only words. @param {State} state @param {string} said @param {boolean} alarmed @returns {State} */
export const emptied = (state, said, alarmed) => ({ ...state, data: null, loaded: NOTHING, hovered: null, said, alarmed });

/** @param {State} state @param {Choice} before @returns {State} */
export const resumed = (state, before) => chosen({ ...state, before }, before);

/** The most attention of what is shown, of a pixel's; undefined where the kind has none. @param {State} state */
export function topOf(state) {
  const { data, choice } = state;
  if (!data) return undefined;
  const { item } = shownChoice(state);
  const column = choice.kind === "landing" ? regionsOf(data)[item]?.column : item;
  return data.heat?.tops[choice.step]?.[column ?? -1];
}

/** @param {State} state @param {string} kind */
export const offers = ({ data }, kind) => !!data && kindsOf(data).includes(/** @type {Kind} */ (kind));
