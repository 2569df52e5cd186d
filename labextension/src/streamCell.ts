import type { ISharedCell, ISharedNotebook, YCodeCell } from '@jupyter/ydoc';
import { JSONObject, UUID } from '@lumino/coreutils';
import {
  ICellView,
  chooseTarget,
  findStream,
  firstLine,
  fingerprint,
  generationOf,
  headed,
  isHeading,
  reverted,
  unchecked,
  underHeading,
  withTrueHeading,
  withoutHeading
} from './generated';
import {
  ICellMark,
  IGeneration,
  IHeadRequest,
  NAME,
  asCellMark
} from './protocol';
import { inLastStep, setFirstLine, setText } from './undoStep';

/** How much of the last text must still end the cell for more to be put after it. */
const TAIL = 40;

/** Yjs' default; also what JupyterLab leaves in place. */
const CAPTURE_TIMEOUT_MS = 500;

/** The cells of a notebook as {@link chooseTarget} and its like see them. */
export function viewCells(notebook: ISharedNotebook): ICellView[] {
  return notebook.cells.map(cell => ({
    id: cell.id,
    cell_type: cell.cell_type,
    source: cell.source,
    mark: cell.getMetadata(NAME)
  }));
}

/** Give a generated cell another text, which then counts as generated. */
export function rewrite(
  notebook: ISharedNotebook,
  id: string,
  text: string
): void {
  const cell = notebook.cells.find(one => one.id === id);
  const mark = asCellMark(cell?.getMetadata(NAME));
  if (cell && mark) {
    (cell as YCodeCell).undoManager?.stopCapturing();
    setText(cell, underHeading(mark.heading ?? '', text));
    setMark(cell, { ...mark, fingerprint: fingerprint(text), generated: text });
  }
}

function setMark(cell: ISharedCell, mark: ICellMark): void {
  cell.setMetadata(NAME, { ...mark } as unknown as JSONObject);
}

/** Put over a stream's code what is known of it by now, in the undo step that wrote the code. */
export function setHeading(
  notebook: ISharedNotebook,
  request: IHeadRequest
): void {
  const found = findStream(viewCells(notebook), request.stream);
  const cell = notebook.cells.find(one => one.id === found?.cell.id);
  if (!found || !cell) {
    return;
  }
  const first = firstLine(cell.source);
  const hadHeading = isHeading(first, found.mark);
  setMark(cell, headed(found.mark, request));
  if (hadHeading) {
    inLastStep(cell, () => setFirstLine(cell, request.heading));
  }
  makeHeadingTrue(cell);
}

/** Let the heading of a generated cell say whether it is still about the code below it. */
export function makeHeadingTrue(cell: ISharedCell): void {
  const mark = asCellMark(cell.getMetadata(NAME));
  if (mark) {
    const text = withTrueHeading(cell.source, mark);
    if (text !== cell.source) {
      inLastStep(cell, () => setFirstLine(cell, firstLine(text)));
    }
  }
}

/** Take back a person's edits, else the last generation; false where there is neither. */
export function revert(notebook: ISharedNotebook, id: string): boolean {
  const view = viewCells(notebook).find(one => one.id === id);
  const cell = notebook.cells.find(one => one.id === id);
  const mark = asCellMark(view?.mark);
  const back = view && mark && reverted(view, mark);
  if (!cell || !back) {
    return false;
  }
  const undo = (cell as YCodeCell).undoManager;
  undo?.stopCapturing();
  setMark(cell, back.mark);
  setText(cell, back.source);
  undo?.stopCapturing();
  return true;
}

/** Make a generated cell a person's own: nothing speaks of it or replaces it any more. */
export function accept(notebook: ISharedNotebook, id: string): void {
  notebook.cells.find(one => one.id === id)?.deleteMetadata(NAME);
}

/**
 * Writes one stream of text into the notebook's generated cell.
 *
 * It speaks to the shared model only (so it works with real-time collaboration and never touches
 * focus, selection or scrolling) and looks its cell up by id on every write: the cell may have
 * been moved or deleted, or the notebook closed, in between. The cell is made, or the earlier text
 * replaced, with the first text that comes; a stream without any text changes nothing.
 */
export class StreamCell {
  /** `heading` is a line that stands over the text; none where it is empty. */
  constructor(
    private readonly notebook: ISharedNotebook,
    private readonly sourceCell: string,
    private readonly stream: string,
    private readonly heading = ''
  ) {}

  /** The cell that is written to; null before any text came. */
  get id(): string | null {
    return this.cellId;
  }

  /** Show `text`, all that is known so far, with the next frame. */
  show(text: string): void {
    this.wanted = underHeading(this.heading, text);
    if (document.hidden) {
      // A hidden tab gets no animation frames.
      this.flush();
    } else if (!this.frame) {
      this.frame = requestAnimationFrame(() => this.flush());
    }
  }

  /** Show `text` at once and for good. */
  finish(text: string): void {
    this.wanted = underHeading(this.heading, text);
    this.flush();
    this.release();
  }

  /** Let the notebook's metadata know the text as it is now: called before it is saved, too. */
  mark(): void {
    const cell = this.cell();
    if (cell) {
      const generated = withoutHeading(this.shown);
      const mark: ICellMark = {
        source_cell: this.sourceCell,
        cell: cell.id,
        stream: this.stream,
        fingerprint: fingerprint(generated),
        generated
      };
      if (this.heading) {
        mark.heading = this.heading;
      }
      if (this.previous && this.previous.generated !== generated) {
        mark.previous = this.previous;
      }
      setMark(cell, mark);
    }
  }

  private flush(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (this.notebook.isDisposed || this.wanted === this.shown) {
      return;
    }
    const cell = this.cellId === null ? this.begin() : this.cell();
    if (!cell) {
      return;
    }
    this.group(cell);
    if (cell.source !== this.expected) {
      this.isShared = true;
    }
    if (this.isShared) {
      this.writeAround(cell);
    } else {
      this.write(cell, this.wanted);
    }
  }

  /** The cell that this stream is to write to, made or taken over now. */
  private begin(): ISharedCell {
    const target = chooseTarget(viewCells(this.notebook), this.sourceCell);
    if (target.kind === 'insert') {
      return this.insert(target.index);
    }
    this.cellId = target.id;
    const cell = this.cell() as YCodeCell;
    this.expected = cell.source;
    const mark = asCellMark(cell.getMetadata(NAME));
    if (mark) {
      this.previous = generationOf(mark, withoutHeading(cell.source));
      // The panel's next verdict will be about what comes now.
      setMark(cell, unchecked(mark));
    }
    // What the earlier code printed is not what this code prints.
    cell.setOutputs([]);
    cell.execution_count = null;
    return cell;
  }

  private insert(index: number): ISharedCell {
    this.cellId = UUID.uuid4();
    this.shown = '';
    this.expected = '';
    this.isShared = false;
    const cell = this.notebook.insertCell(index, {
      cell_type: 'code',
      id: this.cellId,
      source: '',
      metadata: {}
    });
    this.mark();
    return cell;
  }

  /** Somebody typed into the cell while it is being written: lose neither text. */
  private writeAround(cell: ISharedCell): void {
    const more = this.wanted.startsWith(this.shown)
      ? this.wanted.slice(this.shown.length)
      : '';
    if (this.shown && cell.source.endsWith(this.shown.slice(-TAIL))) {
      const end = cell.source.length;
      cell.updateSource(end, end, more);
      this.shown = this.wanted;
      this.expected = cell.source;
      return;
    }
    // The end is gone or changed (an undo, say): that cell is theirs now, go on in a new one.
    this.mark();
    this.release();
    const at = this.notebook.cells.findIndex(one => one.id === cell.id);
    const next = this.insert(at + 1);
    this.group(next);
    this.write(next, this.wanted);
  }

  private write(cell: ISharedCell, text: string): void {
    setText(cell, text);
    this.shown = text;
    this.expected = text;
  }

  private cell(): ISharedCell | null {
    if (this.notebook.isDisposed || this.cellId === null) {
      return null;
    }
    return this.notebook.cells.find(cell => cell.id === this.cellId) ?? null;
  }

  /** Make all writes one undo step, whatever pauses lie between them. */
  private group(cell: ISharedCell): void {
    // A moved cell is a new object with a new undo history, hence the look at every write.
    const undo = (cell as YCodeCell).undoManager;
    if (undo && undo !== this.undo) {
      undo.stopCapturing();
      undo.captureTimeout = Number.MAX_SAFE_INTEGER;
      this.undo = undo;
    }
  }

  private release(): void {
    this.mark();
    if (this.undo) {
      this.undo.captureTimeout = CAPTURE_TIMEOUT_MS;
      this.undo.stopCapturing();
      this.undo = null;
    }
  }

  private cellId: string | null = null;
  /** What stood in the cell before. */
  private previous: IGeneration | null = null;
  private frame = 0;
  /** What is to stand in the cell, what we put there, and what the cell held after that. */
  private wanted = '';
  private shown = '';
  private expected = '';
  /** Whether a person has typed into the cell meanwhile. */
  private isShared = false;
  private undo: YCodeCell['undoManager'] = null;
}
