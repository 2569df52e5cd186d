import type { ISharedNotebook } from '@jupyter/ydoc';
import type { Kernel } from '@jupyterlab/services';
import { findGenerated } from './generated';
import {
  IReadReply,
  IReadRequest,
  IStreamRequest,
  NAME,
  Request,
  asRequest,
  asStreamMessage
} from './protocol';
import { StreamCell, setHeading, viewCells } from './streamCell';
import { Transcript } from './transcript';

/** What a comm needs of the notebook that asked for a translation. */
export interface IAskingNotebook {
  sharedModel: ISharedNotebook;
  /** Draws a cell that ought to be seen and is not. */
  reveal(id: string): void;
  /** Calls back right before each save, until the returned function is called. */
  beforeSave(callback: () => void): () => void;
}

/**
 * How often a cell is looked for while text comes, in milliseconds. JupyterLab 4.2 hides a new cell
 * as soon as it has drawn it, and shows it again when something else changes.
 */
const REVEAL_MS = 250;

/** States after which nothing more comes of a stream that has not ended. */
const LOST: readonly Kernel.Status[] = [
  'restarting',
  'autorestarting',
  'terminating',
  'dead',
  'unknown'
];

/**
 * Let the Jupyter kernel write to and read from generated cells.
 *
 * Every tab on this kernel gets every comm. `find` returns the notebook whose request (by its
 * session) started the running code, and null in all other tabs; these must leave the comm alone,
 * as closing it would close it for the tab that asked.
 */
export function acceptComms(
  kernel: Kernel.IKernelConnection,
  find: (request: Request) => IAskingNotebook | null
): void {
  kernel.registerCommTarget(NAME, (comm, message) => {
    const request = asRequest(message.content.data);
    const notebook = request && find(request);
    if (!notebook) {
      return;
    }
    switch (request.op) {
      case 'stream':
        receive(kernel, comm, notebook, request);
        break;
      case 'read':
        comm.send({ ...readGenerated(notebook.sharedModel, request) });
        comm.close();
        break;
      case 'head':
        setHeading(notebook.sharedModel, request);
    }
  });
}

function readGenerated(
  notebook: ISharedNotebook,
  request: IReadRequest
): IReadReply {
  const found = findGenerated(viewCells(notebook), request.source_cell);
  return {
    source: found?.cell.source ?? null,
    cell: found?.cell.id ?? null,
    edited: found?.edited ?? false
  };
}

function receive(
  kernel: Kernel.IKernelConnection,
  comm: Kernel.IComm,
  notebook: IAskingNotebook,
  request: IStreamRequest
): void {
  const transcript = new Transcript();
  const cell = new StreamCell(
    notebook.sharedModel,
    request.source_cell,
    request.stream,
    request.heading
  );
  const forgetSave = notebook.beforeSave(() => cell.mark());
  let revealed = Date.now();
  let ended = false;
  const end = () => {
    if (!ended) {
      ended = true;
      forgetSave();
      kernel.statusChanged.disconnect(onStatus);
      kernel.disposed.disconnect(end);
      cell.finish(transcript.text);
    }
  };
  const onStatus = (_: unknown, status: Kernel.Status) => {
    if (LOST.includes(status)) {
      end();
    }
  };
  kernel.statusChanged.connect(onStatus);
  kernel.disposed.connect(end);
  comm.onMsg = message => {
    const found = asStreamMessage(message.content.data);
    if (!found) {
      return;
    }
    transcript.feed(found);
    if (transcript.done) {
      end();
    } else if (!ended) {
      cell.show(transcript.text);
      if (cell.id && Date.now() - revealed > REVEAL_MS) {
        revealed = Date.now();
        notebook.reveal(cell.id);
      }
    }
  };
  comm.onClose = end;
}
