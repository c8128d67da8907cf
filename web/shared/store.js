// One state that the parts of an editor share. States are never changed in place: a part sets the next one.

/**
 * value: what the node saves. edits: how many were finished here; one more means that the value is the person's own.
 * @typedef {{ value: string, edits: number }} Saved
 */

/**
 * @template {Saved} S
 * @typedef {object} Store
 * @property {() => S} get
 * @property {(next: S) => void} set the next state, shown by all parts
 * @property {(next: S) => void} hold the next state of a drag: the canvas alone shows it
 */

/**
 * @template {Saved} S
 * @param {S} first @param {{ edited: (value: string) => void, show: (state: S) => void, draw: () => void }} on
 * @returns {Store<S>}
 */
export function createStore(first, on) {
  let state = first;
  return {
    get: () => state,
    set: (next) => {
      const finished = next.edits !== state.edits;
      state = next;
      if (finished) on.edited(state.value);
      on.show(state);
    },
    hold: (next) => {
      state = next;
      on.draw();
    },
  };
}
