// The lines "word: number" of Attention Edit's reweight, read and written one word at a time.

const LINE = /^(.*\S)\s*:\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$/;

/** @param {string} word */
const key = (word) => word.toLowerCase().replace(/[\s_]+/g, " ").replace(/^[\s,;]+|[\s,;]+$/g, "");

/** @param {string} line @returns {{ word: string, weight: number } | null} */
function read(line) {
  const match = LINE.exec(line.trim());
  return match ? { word: match[1], weight: Number(match[2]) } : null;
}

/** The weight a word has; 1 where no line names it. @param {string} text @param {string} word */
export function weightOf(text, word) {
  for (const line of text.split("\n")) {
    const found = read(line);
    if (found && key(found.word) === key(word)) return found.weight;
  }
  return 1;
}

/** The lines with a word's weight set; 1 takes its line away, other lines stay as they are. @param {string} text @param {string} word @param {number} weight */
export function withWeight(text, word, weight) {
  const value = String(Math.round(weight * 100) / 100);
  let placed = value === "1";
  /** @type {string[]} */
  const out = [];
  for (const line of text.split("\n")) {
    const found = read(line);
    if (!found || key(found.word) !== key(word)) {
      if (line.trim()) out.push(line);
    } else if (!placed) {
      out.push(`${found.word}: ${value}`);
      placed = true;
    }
  }
  if (!placed) out.push(`${word}: ${value}`);
  return out.join("\n");
}
