import type { IOutput } from '@jupyterlab/nbformat';
import type { NotebookPanel } from '@jupyterlab/notebook';
import type { Kernel } from '@jupyterlab/services';
import type { ISharedCodeCell, ISharedNotebook } from '@jupyter/ydoc';
import type { JSONObject } from '@lumino/coreutils';
import { findStream, withoutHeading } from './generated';
import { IOutcome, NAME, RECALL, VERSION, asOutcomes } from './protocol';
import { StreamCell, rewrite, setHeading, viewCells } from './streamCell';

const PANEL_MIME = 'application/vnd.kernelllm.panel+json';
const WIDGETS = 'jupyter.widget';

type Context = NotebookPanel['context'];

/**
 * Ask the Jupyter kernel of a notebook that was just opened for the ends of runs that this page
 * was not there for, and put them in: a page that is loaded anew while a cell runs hears no more of
 * that run, neither its outputs nor its comms.
 */
export async function recall(
  kernel: Kernel.IKernelConnection,
  context: Context
): Promise<void> {
  await context.ready;
  const { sharedModel } = context.model;
  if (
    kernel.isDisposed ||
    !kernel.handleComms ||
    !sharedModel.cells.some(cell => cell.source.startsWith('%%kernelllm'))
  ) {
    return;
  }
  // A kernel without our panels knows no such comm, and would complain of it.
  const found = await kernel.requestCommInfo({ target_name: WIDGETS });
  if (
    found.content.status !== 'ok' ||
    Object.keys(found.content.comms).length === 0
  ) {
    return;
  }
  const comm = kernel.createComm(NAME);
  comm.onMsg = message => {
    const saved = Date.parse(context.contentsModel?.last_modified ?? '') / 1e3;
    for (const outcome of asOutcomes(message.content.data)) {
      // What was saved after the end is as the user wants it.
      if (!context.isDisposed && !(saved > outcome.ended_s)) {
        trust(context, outcome.cell);
        putIn(sharedModel, outcome);
      }
    }
  };
  comm.open({ ...RECALL });
}

/**
 * Trust a cell as if its run had ended here, for its panel's widgets. What else it shows was read
 * from a file and stays as it is.
 */
function trust({ model }: Context, id: string): void {
  for (const cell of model.cells) {
    const { sharedModel } = cell;
    if (cell.id === id && sharedModel.cell_type === 'code') {
      cell.trusted ||= (sharedModel as ISharedCodeCell)
        .getOutputs()
        .every(isPanel);
    }
  }
}

/** Bring a cell, and what was generated from it, to where the run's end would have left them. */
export function putIn(notebook: ISharedNotebook, outcome: IOutcome): void {
  const source = notebook.cells.find(cell => cell.id === outcome.cell);
  if (!source || source.cell_type !== 'code') {
    return;
  }
  const { cell, stream, text, heading, edited, checked } = outcome;
  const found = findStream(viewCells(notebook), stream);
  if (!found) {
    new StreamCell(notebook, cell, stream, heading).finish(text);
  } else {
    const present = withoutHeading(found.cell.source);
    // Unless a person went on with what there was.
    if (present !== text && text.startsWith(present)) {
      rewrite(notebook, found.cell.id, text);
    }
  }
  setHeading(notebook, {
    v: VERSION,
    op: 'head',
    source_cell: cell,
    session: '',
    stream,
    heading,
    edited,
    checked
  });
  showPanel(source as ISharedCodeCell, outcome.panel);
}

function showPanel(source: ISharedCodeCell, panel: JSONObject): void {
  const outputs = source.getOutputs();
  source.setOutputs([
    ...outputs.filter(output => !isPanel(output)),
    { output_type: 'display_data', data: panel, metadata: {} }
  ]);
}

function isPanel(output: IOutput): boolean {
  return PANEL_MIME in ((output.data ?? {}) as JSONObject);
}
