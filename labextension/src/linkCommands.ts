import type { JupyterFrontEnd } from '@jupyterlab/application';
import { ICommandPalette, Notification } from '@jupyterlab/apputils';
import type { INotebookTracker } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import { findGenerated } from './generated';
import { NAME, asCellMark } from './protocol';
import { accept, revert, viewCells } from './streamCell';

const ACCEPT = 'kernelllm:accept';
const REVERT = 'kernelllm:revert';
const SHOWN = { autoClose: 5000 };

/** Add the commands on a generated cell; each acts on the active one, or on that of its source. */
export function addLinkCommands(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  palette: ICommandPalette | null,
  trans: TranslationBundle
): void {
  const add = (
    command: string,
    label: string,
    caption: string,
    change: (id: string) => void
  ) => {
    app.commands.addCommand(command, {
      label,
      caption,
      isEnabled: () => linked(tracker) !== null,
      execute: () => {
        const id = linked(tracker);
        if (id !== null) {
          change(id);
        }
      }
    });
    palette?.addItem({ command, category: trans.__('KernelLLM') });
  };
  const notebook = () => tracker.currentWidget?.context.model.sharedModel;
  add(
    ACCEPT,
    trans.__('Accept generated code'),
    trans.__('Keep the code as yours: nothing replaces it any more'),
    id => {
      const model = notebook();
      if (model) {
        accept(model, id);
      }
    }
  );
  add(
    REVERT,
    trans.__('Revert generated code'),
    trans.__('Take back your edits, or go back to the code before this one'),
    id => {
      const model = notebook();
      if (model && !revert(model, id)) {
        Notification.info(
          trans.__('The cell is as it was generated, and held nothing before.'),
          SHOWN
        );
      }
    }
  );
  const onActive = () => {
    app.commands.notifyCommandChanged(ACCEPT);
    app.commands.notifyCommandChanged(REVERT);
  };
  tracker.activeCellChanged.connect(onActive);
}

/** The generated cell that a command acts on. */
function linked(tracker: INotebookTracker): string | null {
  const cell = tracker.activeCell?.model.sharedModel;
  const model = tracker.currentWidget?.context.model.sharedModel;
  if (!cell || !model) {
    return null;
  }
  const mark = asCellMark(cell.getMetadata(NAME));
  if (mark && mark.cell === cell.id) {
    return cell.id;
  }
  return findGenerated(viewCells(model), cell.id)?.cell.id ?? null;
}
