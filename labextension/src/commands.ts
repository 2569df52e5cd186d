import type { JupyterFrontEnd } from '@jupyterlab/application';
import {
  CommandToolbarButton,
  ICommandPalette,
  IToolbarWidgetRegistry,
  Notification
} from '@jupyterlab/apputils';
import { CodeCell } from '@jupyterlab/cells';
import {
  INotebookTracker,
  NotebookActions,
  NotebookPanel
} from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import { translateIcon } from './icon';
import { isNotInstalled, isOurMagic, translationCode } from './pythonCall';

const TRANSLATE = 'kernelllm:translate';

/** Without a time, a notification only waits in the list behind the bell. */
const SHOWN = { autoClose: 10000 };

/** Add "Translate cell"; where it appears is up to the settings schema. */
export function addCommands(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  palette: ICommandPalette | null,
  trans: TranslationBundle
): void {
  const running = new Set<string>();
  const isCode = () => tracker.activeCell?.model.type === 'code';
  app.commands.addCommand(TRANSLATE, {
    label: trans.__('Translate cell'),
    caption: trans.__('Translate this PyTorch module to a Triton kernel'),
    icon: translateIcon,
    isEnabled: isCode,
    // A cell's toolbar leaves it out on other cells; elsewhere it stays, greyed.
    isVisible: args => args.place !== 'cell' || isCode(),
    execute: async () => {
      const panel = tracker.currentWidget;
      const cell = tracker.activeCell;
      if (!panel || !(cell instanceof CodeCell) || running.has(cell.model.id)) {
        return;
      }
      const id = cell.model.id;
      running.add(id);
      try {
        await translate(panel, cell, trans);
      } finally {
        running.delete(id);
      }
    }
  });
  tracker.activeCellChanged.connect(() =>
    app.commands.notifyCommandChanged(TRANSLATE)
  );
  palette?.addItem({ command: TRANSLATE, category: trans.__('KernelLLM') });
}

/**
 * Label the button in the notebook's toolbar in the user's language: the label in the settings
 * schema, which says where the button is, stays as it is in any language.
 */
export function addToolbarButton(
  app: JupyterFrontEnd,
  toolbars: IToolbarWidgetRegistry | null,
  trans: TranslationBundle
): void {
  toolbars?.addFactory(
    'Notebook',
    'kernelllm-translate',
    () =>
      new CommandToolbarButton({
        commands: app.commands,
        id: TRANSLATE,
        args: { place: 'notebook' },
        label: trans.__('Translate cell')
      })
  );
}

async function translate(
  panel: NotebookPanel,
  cell: CodeCell,
  trans: TranslationBundle
): Promise<void> {
  const { sessionContext, content } = panel;
  const source = cell.model.sharedModel.source;
  if (isOurMagic(source)) {
    await NotebookActions.runCells(content, [cell], sessionContext);
    return;
  }
  const kernel = sessionContext.session?.kernel;
  if (!kernel || kernel.status === 'dead') {
    Notification.warning(
      trans.__(
        'This notebook has no Jupyter kernel. Start one (Kernel, Change Kernel…) to translate the cell.'
      ),
      SHOWN
    );
    return;
  }
  const spec = await kernel.spec;
  if (spec && spec.language.toLowerCase() !== 'python') {
    Notification.warning(
      trans.__(
        'Cells can be translated in Python notebooks only; this one runs %1.',
        spec.display_name
      ),
      SHOWN
    );
    return;
  }
  await run(kernel, cell, source, trans);
}

/** Run the translation as if the cell had been run: same prompt, same output area. */
async function run(
  kernel: Kernel.IKernelConnection,
  cell: CodeCell,
  source: string,
  trans: TranslationBundle
): Promise<void> {
  const { model, outputArea } = cell;
  model.sharedModel.transact(() => model.clearExecution(), false);
  showRunning(cell, true);
  // What our code displays is as trustworthy as what a run cell displays; widgets need it.
  model.trusted = true;
  const future = kernel.requestExecute(
    {
      code: translationCode(source),
      store_history: false,
      silent: false,
      allow_stdin: false,
      stop_on_error: false
    },
    false,
    { cellId: model.id }
  );
  outputArea.future = future;
  try {
    const reply = await future.done;
    if (isNotInstalled(reply.content) && !model.isDisposed) {
      model.outputs.clear();
      model.outputs.add({
        output_type: 'stream',
        name: 'stderr',
        text: trans.__(
          'kernelllm-jupyter is not installed for this Jupyter kernel. Run this in a cell, then translate again:\n\n    %pip install kernelllm-jupyter\n'
        )
      });
    }
  } catch {
    // The future is cancelled when the Jupyter kernel is restarted or the notebook closed.
  } finally {
    if (!cell.isDisposed) {
      showRunning(cell, false);
    }
  }
}

function showRunning(cell: CodeCell, running: boolean): void {
  cell.model.executionState = running ? 'running' : 'idle';
  // In later versions the prompt follows the state; before JupyterLab 4.3 there is no state.
  // eslint-disable-next-line @typescript-eslint/no-deprecated
  cell.setPrompt(running ? '*' : '');
}
