// Gets the texts of the person's language before any node is made.
import { app } from "../../scripts/app.js";
import { setSayings } from "./shared/sayings.js";
import { setTexts } from "./shared/texts.js";

// In locales/*/main.json: what the editors say, and what the server says.
const [OURS, SERVERS] = ["attentionDirector", "attentionDirectorServer"];

async function readTexts() {
  const language = String(app.extensionManager?.setting?.get?.("Comfy.Locale") ?? "en");
  const answer = await app.api.fetchApi("/i18n");
  if (!answer.ok) return;
  const texts = (await answer.json())?.[language];
  setTexts(texts?.[OURS]);
  if (language !== "en") setSayings(texts?.[SERVERS]);
}

app.registerExtension({
  name: "AttentionDirector.Texts",
  init: () => readTexts().catch((error) => console.warn("Attention Director: its texts stay English", error)),
});
