// The line about wired regions, with the button that copies them.
import { make } from "../shared/dom.js";
import { wiredSentence } from "./wired.js";
import { t } from "../shared/texts.js";

/** @param {() => void} copy */
export function createWiredRow(copy) {
  const text = make("span", { className: "ad-faint" });
  const act = make("button", {
    type: "button", className: "ad-button ad-framed", click: copy,
    title: t("Copy these regions here, where you can move and change them, and remove the wire, so that no region counts twice"),
  }, t("Copy wired regions here"));
  const element = make("div", { className: "ad-row", hidden: true }, text, make("span", { className: "ad-spring" }), act);
  return {
    element,
    /** @param {import("./wired.js").Wired} wired */
    show: (wired) => {
      const words = wiredSentence(wired);
      element.hidden = !words;
      if (text.textContent !== words) text.textContent = words;
    },
  };
}
