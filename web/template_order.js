// The host lists the templates of a pack as the disk has them: NTFS by name, others in no order. Ours are named in the
// order in which to try them, so the first card is the first thing to try.
import { app } from "../../scripts/app.js";

const FOLDER = decodeURIComponent(new URL(".", import.meta.url).pathname.split("/").at(-2) ?? ""); // extensions/<folder>/

app.registerExtension({
  name: "AttentionDirector.TemplateOrder",
  init() {
    const { getWorkflowTemplates } = app.api;
    if (!getWorkflowTemplates) return;
    app.api.getWorkflowTemplates = async function (...args) {
      const found = await getWorkflowTemplates.apply(this, args);
      return Array.isArray(found?.[FOLDER]) ? { ...found, [FOLDER]: [...found[FOLDER]].sort() } : found;
    };
  },
});
