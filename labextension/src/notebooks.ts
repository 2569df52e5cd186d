import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import { IAskingNotebook, acceptComms } from './comm';
import { MARKER, NAME } from './protocol';

type Context = NotebookPanel['context'];

/**
 * Follows the open notebooks and the kernel connection that each of them has at the time.
 *
 * Each connection gets the comm target and marks its execute requests, which is how the Jupyter
 * kernel knows, without asking back, that a cell can be written: an answer from here could not
 * reach a kernel that is busy running the cell.
 */
export class Notebooks {
  constructor(tracker: INotebookTracker) {
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
    kernel.disposed.connect(() => this.contexts.delete(kernel));
    acceptComms(kernel, session => this.findAsking(session));
    const request = kernel.requestExecute.bind(kernel);
    kernel.requestExecute = (content, disposeOnDone, metadata) =>
      request(
        content,
        disposeOnDone,
        this.hears(kernel) ? { ...metadata, [NAME]: MARKER } : metadata
      );
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

  private findAsking(session: string): IAskingNotebook | null {
    for (const [kernel, context] of this.contexts) {
      if (kernel.clientId === session && !context.isDisposed) {
        return {
          sharedModel: context.model.sharedModel,
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
    }
    return null;
  }

  private readonly followed = new WeakSet<Context>();
  private readonly contexts = new Map<Kernel.IKernelConnection, Context>();
}
