/**
 * Findings in a panel's HTML, and where their lines are in a cell by now.
 *
 * `kernelllm_jupyter/markup.py` writes that HTML. What it tells is in class names and in text, as
 * only these are left by JupyterLab's sanitiser.
 */

/** The line number in a finding, to be made a place to click on. */
export const JUMP = 'kllm-jump';

const AT = /^kllm-at-(\d+)$/;

/** The line, from 1, that a finding with these classes speaks of. */
export function lineOf(classes: Iterable<string>): number | null {
  for (const name of classes) {
    const found = AT.exec(name);
    if (found) {
      return Number(found[1]);
    }
  }
  return null;
}

/** The code in a marked line of an excerpt, which reads `> 12 | code`. */
export function codeOf(marked: string): string {
  return marked.replace(/^>\s*\d+ \| /, '');
}

/**
 * Where `text`, which was line `line`, stands in `source` now: the nearest line that reads the
 * same, else the number itself, else the last line. From 1.
 */
export function findLine(source: string, line: number, text: string): number {
  const lines = source.split('\n').map(one => one.trim());
  const wanted = text.trim();
  const same = lines
    .map((one, at) => ({ one, number: at + 1 }))
    .filter(({ one }) => wanted !== '' && one === wanted)
    .map(({ number }) => number);
  const [nearest = Math.min(line, lines.length)] = same.sort(
    (one, other) => Math.abs(one - line) - Math.abs(other - line)
  );
  return nearest;
}
