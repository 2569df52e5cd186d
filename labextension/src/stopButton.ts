import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

/** The panel's Stop button, an ipywidgets button that carries this class. */
const STOP = 'button.kllm-stop';

/**
 * Make the panel's Stop button interrupt the notebook's Jupyter kernel.
 *
 * A widget's own click would only be looked at when the running cell has ended. Enter and Space
 * on a focused button come as clicks, too.
 */
export function interruptOnStop(tracker: INotebookTracker): void {
  const listen = (panel: NotebookPanel) =>
    panel.node.addEventListener('click', event => {
      const kernel = panel.sessionContext.session?.kernel;
      const target = event.target as Element | null;
      // No look at the kernel's status: a widget's message handled in a subshell makes it "idle".
      if (target?.closest(STOP)) {
        void kernel?.interrupt();
      }
    });
  tracker.forEach(listen);
  tracker.widgetAdded.connect((_, panel) => {
    listen(panel);
  });
}
