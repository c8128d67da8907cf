// Everything around the canvas: tools above it; words, regions, the selected region and a sentence below.
import { completions, find, splitOccurrence } from "../shared/words.js";
import { createChips } from "./chips.js";
import { make } from "../shared/dom.js";
import { bound, reordered, weighted } from "./edits.js";
import { MAX_STRENGTH } from "./drawing.js";
import { createInspector } from "./inspector.js";
import { isMissed, scoresOf } from "./landing.js";
import { createNotice } from "./notice.js";
import { inner } from "./phrase_field.js";
import { createPromptStrip } from "./prompt_strip.js";
import { refitted } from "./shapes.js";
import { beforeInsert, committed, drawnSize, firstWired, picked, rebound, replacement, selectedRegion, shownDrawing, spansOf, staleOf, turnedSizes } from "./state.js";
import { createToolbar } from "./toolbar.js";
import { t } from "../shared/texts.js";

/** @typedef {import("./state.js").State} State */
/** @typedef {import("../shared/store.js").Store<State>} Store */
/** @typedef {import("./view.js").ViewEvents} ViewEvents */
/**
 * @typedef {object} Around
 * @property {(order: import("./keys.js").Command) => void} act
 * @property {() => void} leave back to the canvas
 * @property {(from: string | File[]) => void} masks
 * @property {() => void} large
 */

/** @typedef {ReturnType<typeof createPanels>} Panels */
/** @param {Store} store @param {ViewEvents} on @param {Around} around */
export function createPanels(store, on, around) {
  return {
    prompt: createPrompt(on.type),
    toolbar: toolbarOf(store, on, around),
    strip: createPromptStrip({ pick: (first, last) => store.set(picked(store.get(), first, last)), leave: around.leave }),
    chips: createChips({
      select: (index) => store.set(committed(store.get(), store.get().drawing, index)),
      reorder: (from, to) => store.set(committed(store.get(), reordered(store.get().drawing, from, to), to)),
    }),
    inspector: inspectorOf(store, on, around),
    notice: createNotice({
      keep: () => store.set(committed(store.get(), refitted({ ...store.get().drawing, size: drawnSize(store.get()) }, store.get().size))),
      stretch: () => store.set(committed(store.get(), { ...store.get().drawing, size: store.get().size })),
      again: () => {
        const { drawing, landing, value } = store.get();
        const missed = scoresOf(landing, value, drawing.regions).map(isMissed);
        store.set(committed(store.get(), { ...drawing, regions: drawing.regions.map((own, i) => (missed[i] ? { ...own, strength: MAX_STRENGTH } : own)) }));
        on.run();
      },
      use: (index, phrase) => store.set(committed(store.get(), bound(store.get().drawing, index, phrase))),
    }),
  };
}

/** The prompt itself, in the large window alone: there the node's own box is out of reach. @param {(text: string) => void} type */
function createPrompt(type) {
  const element = make("textarea", {
    className: "ad-prompt", rows: 3, spellcheck: false, "aria-label": t("Prompt"), title: t("Prompt"), dir: "auto",
    input: () => type(element.value), keydown: inner,
  });
  return {
    element,
    /** @param {State} state */
    show: ({ prompt, text }) => {
      element.hidden = !prompt.editable || !!prompt.note;
      if (document.activeElement !== element) element.value = text;
    },
  };
}

/** @param {Store} store @param {ViewEvents} on @param {Around} around */
function toolbarOf(store, on, around) {
  return createToolbar({
    tool: (tool) => around.act({ do: "tool", tool }),
    width: (brushWidth) => store.hold({ ...store.get(), brushWidth }),
    snap: () => around.act({ do: "snap" }),
    command: (name) => around.act({ do: name }),
    background: on.background, eye: on.eye, power: on.power, upload: on.upload, large: around.large, pictures: on.pictures, masks: around.masks,
  });
}

/** @param {Store} store @param {ViewEvents} on @param {Around} around */
function inspectorOf(store, on, around) {
  return createInspector({
    phrase: (phrase) => store.set(rebound(store.get(), phrase)),
    strength: (strength) => store.set(committed(store.get(), weighted(store.get().drawing, store.get().selected, strength))),
    command: (name) => {
      if (name === "forward" || name === "backward") around.act({ do: "order", by: name === "forward" ? -1 : 1 });
      else around.act({ do: name });
    },
    insert: (phrase) => insert(store, on, phrase),
    enter: (phrase) => {
      const { tokens, prompt } = store.get();
      const lacks = phrase && prompt.editable && !prompt.note && !find(tokens, phrase).length;
      if (lacks) insert(store, on, phrase);
      else store.set(rebound(store.get(), phrase));
    },
    suggest: (typed) => completions(store.get().text, store.get().tokens, typed),
    leave: around.leave,
  });
}

/** The words of all regions, those that come by wire too, and the numbers that give their colours.
 * @param {State} state @param {import("../shared/words.js").Span[][]} drawn */
function boundIn(state, drawn) {
  const { regions } = shownDrawing(state);
  const first = firstWired({ ...state.drawing, regions });
  return {
    spans: [...drawn, ...state.wired.map(({ phrase }) => find(state.tokens, phrase))],
    numbers: [...regions.map(({ number }) => number), ...state.wired.map((_, i) => first + i)], drawn: regions.length,
  };
}

/** Put words into the prompt and bind the selected region to them: one step of undo.
 * @param {Store} store @param {ViewEvents} on @param {string} phrase */
function insert(store, on, phrase) {
  on.insert(phrase);
  const next = beforeInsert(store.get(), phrase);
  if (next.edits === store.get().edits) on.change(next.value);
  store.set(next);
}

/** Do a region's words stand in the prompt, though not as words? @param {State} state @param {number} index */
function isPart(state, index) {
  const { words } = splitOccurrence(shownDrawing(state).regions[index]?.phrase ?? "");
  return !!words && state.text.toLowerCase().includes(words.toLowerCase()) && !find(state.tokens, words).length;
}

/** @param {Panels} panels @param {State} state */
export function showPanels({ prompt: field, toolbar, strip, chips, inspector, notice }, state) {
  const { drawing, selected, prompt } = state;
  const spans = spansOf(state);
  const stale = staleOf(state, spans);
  const uncertain = !!spans[selected]?.some((span) => span.uncertain);
  field.show(state);
  toolbar.show(state);
  strip.show({ text: state.text, tokens: state.tokens, selected, ...boundIn(state, spans), empty: t(prompt.note) || t("Type a prompt above; its words appear here.") });
  const scores = scoresOf(state.landing, state.value, drawing.regions);
  chips.show(drawing.regions, selected, stale, scores);
  inspector.element.hidden = !drawing.regions.length;
  inspector.show(selectedRegion(state), !!stale[selected], prompt.editable && !prompt.note);
  const lost = stale[selected] ? selected : stale.indexOf(true);
  notice.show({ drawing, selected, wired: state.wired.length, editable: prompt.editable, stale, lost, instead: lost < 0 ? "" : replacement(state, spans, lost), uncertain, partly: isPart(state, lost),
    scores, problem: state.problem, said: state.said, alarmed: state.alarmed, waiting: state.waiting, turned: turnedSizes(state) });
}
