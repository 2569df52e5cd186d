import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { IAskingNotebook, acceptComms } from './comm';
import { NAME, Request, Settings, executeMark } from './protocol';
import { recall } from './recall';

type Context = NotebookPanel['context'];

function asAsking(
  context: Context,
  tracker: INotebookTracker
): IAskingNotebook {
  return {
    sharedModel: context.model.sharedModel,
    reveal: id => {
      for (const { content } of tracker.filter(it => it.context === context)) {
        const cell = content.widgets.find(one => one.model.id === id);
        if (cell?.node.style.display === 'none') {
          content.update();
        }
      }
    },
    beforeSave: callback => {
      const onSave = (_: unknown, state: string) => {
        if (state === 'started') {
          callback();
        }
      };
      context.saveState.connect(onSave);
      return () => {
        context.saveState.disconnect(onSave);
      };
    }
  };
}

/**
 * Follows the open notebooks and the kernel connection that each of them has at the time.
 *
 * Each connection gets the comm target and marks its execute requests, which is how the Jupyter
 * kernel knows, without asking back, that a cell can be written and what the user's settings are:
 * an answer from here could not reach a kernel that is busy running the cell.
 */
export class Notebooks {
  /** `settings` gives what stands in the settings editor now. */
  constructor(
    private readonly tracker: INotebookTracker,
    private readonly settings: () => Settings
  ) {
    tracker.forEach(panel => this.follow(panel.context));
    tracker.widgetAdded.connect((_, panel) => this.follow(panel.context));
  }

  private follow(context: Context): void {
    if (this.followed.has(context)) {
      // Another view of a notebook that is open already.
      return;
    }
    this.followed.add(context);
    const adopt = () => {
      const kernel = context.sessionContext.session?.kernel;
      if (kernel && !this.contexts.has(kernel)) {
        this.adopt(kernel, context);
      }
    };
    context.sessionContext.kernelChanged.connect(adopt);
    adopt();
  }

  private adopt(kernel: Kernel.IKernelConnection, context: Context): void {
    this.contexts.set(kernel, context);
    const forget = () => this.contexts.delete(kernel);
    kernel.disposed.connect(forget);
    context.disposed.connect(forget);
    acceptComms(kernel, request => this.findAsking(request));
    if (!this.recalled.has(context)) {
      this.recalled.add(context);
      // A kernel that goes away meanwhile leaves nothing to be told.
      recall(kernel, context).catch(() => undefined);
    }
    const request = kernel.requestExecute.bind(kernel);
    kernel.requestExecute = (content, disposeOnDone, metadata) =>
      request(content, disposeOnDone, {
        ...metadata,
        [NAME]: executeMark(this.hears(kernel), this.settings())
      });
  }

  /**
   * Whether comms of this kernel arrive here. JupyterLab lets one connection per kernel take
   * them, which may be another notebook's, or a console's that opened first.
   */
  private hears(kernel: Kernel.IKernelConnection): boolean {
    return [...this.contexts.keys()].some(
      other => other.id === kernel.id && other.handleComms
    );
  }

  /**
   * The notebook that a request is about, where this tab is the one that asked. A widget's click
   * may come over the connection of another notebook on the same kernel.
   */
  private findAsking(request: Request): IAskingNotebook | null {
    const connections = [...this.contexts.keys()];
    const asking = connections.find(one => one.clientId === request.session);
    const sharing = connections.filter(one => one.id === asking?.id);
    for (const kernel of sharing) {
      const context = this.contexts.get(kernel);
      const { cells } = context?.model.sharedModel ?? { cells: [] };
      if (context && cells.some(cell => cell.id === request.source_cell)) {
        return asAsking(context, this.tracker);
      }
    }
    const context = asking && this.contexts.get(asking);
    return context && !context.isDisposed
      ? asAsking(context, this.tracker)
      : null;
  }

  private readonly followed = new WeakSet<Context>();
  /** Notebooks whose first kernel was asked for what they missed. */
  private readonly recalled = new WeakSet<Context>();
  private readonly contexts = new Map<Kernel.IKernelConnection, Context>();
}
