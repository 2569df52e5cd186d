import { CodeMirrorEditor } from '@jupyterlab/codemirror';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { findLine } from './findings';
import { findGenerated } from './generated';
import { markLine } from './markedLine';
import { viewCells } from './streamCell';

/**
 * Go to a line of the cell that was generated from the one whose output holds `node`: scroll to
 * it, mark it for a while, and put the cursor there. False where there is no such cell.
 */
export async function goToLine(
  { content }: NotebookPanel,
  node: Node,
  line: number,
  text: string
): Promise<boolean> {
  const source = content.widgets.find(cell => cell.node.contains(node));
  const notebook = content.model?.sharedModel;
  const found =
    source &&
    notebook &&
    findGenerated(viewCells(notebook), source.model.sharedModel.id);
  const cell = content.widgets.find(
    one => one.model.sharedModel.id === found?.cell.id
  );
  if (!found || !cell) {
    return false;
  }
  cell.inputHidden = false;
  await content.scrollToCell(cell);
  await cell.ready;
  const { editor } = cell;
  if (editor instanceof CodeMirrorEditor) {
    const there = findLine(found.cell.source, line, text);
    content.deselectAll();
    content.activeCellIndex = content.widgets.indexOf(cell);
    content.mode = 'edit';
    const start = { line: there - 1, column: 0 };
    editor.setSelection({ start, end: start });
    editor.revealPosition(start);
    editor.focus();
    markLine(editor, there);
  }
  return true;
}
