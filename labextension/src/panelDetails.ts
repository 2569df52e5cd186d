import type { TranslationBundle } from '@jupyterlab/translation';
import { JUMP, codeOf, lineOf } from './findings';

/** Boxes that scroll sideways where there is no room for what they hold. */
const SCROLLING = '.kllm-scroll';

/**
 * Make a panel's HTML usable by keyboard: line numbers become buttons, and what can be scrolled
 * can be reached. To be called again whenever the HTML has been replaced or its width changed.
 */
export function refine(node: HTMLElement, trans: TranslationBundle): void {
  for (const jump of node.querySelectorAll<HTMLElement>(`.${JUMP}`)) {
    jump.setAttribute('role', 'button');
    jump.tabIndex = 0;
    jump.title = trans.__('Show this line in the generated cell');
  }
  for (const box of node.querySelectorAll<HTMLElement>(SCROLLING)) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
      box.setAttribute('role', 'group');
      box.setAttribute('aria-label', trans.__('Table, can be scrolled'));
    } else {
      box.removeAttribute('tabindex');
      box.removeAttribute('role');
      box.removeAttribute('aria-label');
    }
  }
}

/** The line (from 1, with its text) that a click or key on `target` asks for. */
export function askedLine(
  target: EventTarget | null
): { line: number; text: string } | null {
  const jump = (target as Element | null)?.closest(`.${JUMP}`);
  const line = jump ? lineOf(jump.classList) : null;
  if (!jump || line === null) {
    return null;
  }
  const marked = jump.closest('.kllm-finding')?.querySelector('.kllm-line');
  return { line, text: codeOf(marked?.textContent ?? '') };
}
