// Gets the texts of the person's language before any node is made.
import { app } from "../../scripts/app.js";
import { setTexts } from "./shared/texts.js";

const KEY = "attentionDirector"; // in locales/*/main.json

async function readTexts() {
  const language = String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en");
  const answer = await app.api.fetchApi("/i18n");
  if (answer.ok) setTexts((await answer.json())?.[language]?.[KEY]);
}

app.registerExtension({
  name: "AttentionDirector.Texts",
  init: () => readTexts().catch((error) => console.warn("Attention Director: its texts stay English", error)),
});
