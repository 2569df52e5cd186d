import type { ISharedNotebook } from '@jupyter/ydoc';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { ICellView } from './generated';
import { NAME, asCellMark } from './protocol';
import { makeHeadingTrue, viewCells } from './streamCell';

/** Changes that follow one another at typing speed are looked at once. */
const PAUSE_MS = 150;

/** What we need to know of a change of the shared document. */
interface ITransaction {
  local: boolean;
  origin: unknown;
}

/** The Yjs document behind a shared notebook. */
interface IDocument {
  ydoc: Record<
    'on' | 'off',
    (
      event: 'afterTransaction',
      listener: (transaction: ITransaction) => void
    ) => void
  >;
}

type Listener = (cells: readonly ICellView[]) => void;

const watches = new WeakMap<ISharedNotebook, LinkWatch>();

/** The watch over a notebook, shared by its views; null where it has no model (any more). */
export function linkWatch({ context }: NotebookPanel): LinkWatch | null {
  const { sharedModel } = context.model;
  let watch = watches.get(sharedModel);
  if (!watch && !sharedModel.isDisposed) {
    watch = new LinkWatch(sharedModel);
    watches.set(sharedModel, watch);
  }
  return watch ?? null;
}

/**
 * Looks at a notebook's generated cells after each change, keeps their headings true, and tells
 * who shows something of them.
 *
 * A heading is corrected by whoever made the edit: with real-time collaboration all others see the
 * same change, and would each put the same words in. After an undo it is left alone, since undoing
 * an edit undoes its heading, and a change of ours would leave nothing to be redone.
 */
class LinkWatch {
  constructor(private readonly notebook: ISharedNotebook) {
    const { ydoc } = notebook as unknown as IDocument;
    ydoc.on('afterTransaction', this.onTransaction);
    notebook.disposed.connect(() => {
      window.clearTimeout(this.timer);
      ydoc.off('afterTransaction', this.onTransaction);
      this.listeners.clear();
    });
  }

  /** Tell `listener` of the cells as they are, soon and after each change. */
  listen(listener: Listener): void {
    this.listeners.add(listener);
    this.lookSoon();
  }

  leave(listener: Listener): void {
    this.listeners.delete(listener);
  }

  private lookSoon(): void {
    if (!this.timer) {
      this.timer = window.setTimeout(() => this.look(), PAUSE_MS);
    }
  }

  private readonly onTransaction = ({ local, origin }: ITransaction): void => {
    const isUndo =
      typeof origin === 'object' && origin !== null && 'undoStack' in origin;
    this.isOurs = local && !isUndo;
    this.lookSoon();
  };

  private look(): void {
    this.timer = 0;
    if (this.notebook.isDisposed) {
      return;
    }
    if (this.isOurs) {
      this.notebook.cells
        .filter(cell => asCellMark(cell.getMetadata(NAME)))
        .forEach(makeHeadingTrue);
    }
    if (this.listeners.size > 0) {
      const cells = viewCells(this.notebook);
      this.listeners.forEach(listener => listener(cells));
    }
  }

  /** Whether the last change was made here, and is no undo. */
  private isOurs = false;
  private timer = 0;
  private readonly listeners = new Set<Listener>();
}
