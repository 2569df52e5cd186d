import type { ISharedCell, YCodeCell } from '@jupyter/ydoc';
import { commonPrefix, firstLine } from './generated';

/** Change as little as needed: setting a whole source anew makes the editor lay it all out. */
export function setText(cell: ISharedCell, text: string): void {
  const source = cell.source;
  const same = commonPrefix(source, text);
  cell.updateSource(same, source.length, text.slice(same));
}

/** The same for a change in the midst: what stays at the end is left alone, too. */
export function setFirstLine(cell: ISharedCell, line: string): void {
  const first = firstLine(cell.source);
  const same = commonPrefix(first, line);
  cell.updateSource(same, first.length, line.slice(same));
}

/**
 * Make a change part of the cell's last undo step: undoing that step undoes it, too. Where there is
 * nothing to be undone, it is no step at all.
 */
export function inLastStep(cell: ISharedCell, change: () => void): void {
  const undo = (cell as YCodeCell).undoManager;
  if (!undo) {
    change();
    return;
  }
  if (undo.undoStack.length === 0) {
    (cell as YCodeCell).transact(change, false);
    return;
  }
  const { captureTimeout } = undo;
  undo.captureTimeout = Number.MAX_SAFE_INTEGER;
  // After a step was closed, this stands at 0, which is how Yjs knows.
  undo.lastChange = Date.now();
  change();
  undo.captureTimeout = captureTimeout;
  undo.stopCapturing();
}
