// Marks one of our nodes whose prompt reaches a sampler that its model does not reach.
import { app } from "../../scripts/app.js";
import { say } from "./shared/status.js";
import { sentence, withoutModel } from "./wiring/trace.js";

const OURS = /^(RegionPrompt|AttentionEdit|SharedSubjectAttention|IdentityInject)$/;
let asked = 0;

function markAll() {
  asked = 0;
  const graphs = new Set([app.rootGraph ?? app.graph, app.graph]);
  for (const graph of graphs) {
    for (const node of graph?.nodes ?? []) if (OURS.test(node.type)) say(node, "mark", sentence(withoutModel(node)));
  }
}

/** Once after all changes of this moment. */
function ask() {
  if (!asked) asked = window.setTimeout(markAll, 50);
}

app.registerExtension({
  name: "AttentionDirector.WiringMark",
  afterConfigureGraph: ask,
  setup: () => app.api.addEventListener("graphChanged", ask),
});
