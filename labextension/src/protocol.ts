/**
 * What the Jupyter kernel and the front end say to each other about a generated cell.
 *
 * `kernelllm_jupyter/notebook/cell.py` is the other side: change both together. This file knows
 * no JupyterLab; everything that comes over the wire passes one of the guards below.
 */

import type { JSONObject } from '@lumino/coreutils';

/** Name of the comm target, of the marker in execute metadata and of the cell metadata. */
export const NAME = 'kernelllm';

/** Version of this protocol; the kernel falls back to plain output where it differs. */
export const VERSION = 1;

/** What stands in the settings editor, by the names of the schema's properties. */
export type Settings = JSONObject;

/**
 * Our entry in the metadata of each execute request. `hears` says whether comms arrive here, so
 * that a cell can be written: only then does it carry the protocol's version.
 */
export function executeMark(hears: boolean, settings: Settings): JSONObject {
  return hears ? { v: VERSION, settings } : { settings };
}

/** What the opening data of all our comms have in common. */
interface IOpening {
  v: number;
  /** The cell that asked for the translation. */
  source_cell: string;
  /** The front end whose message the Jupyter kernel is working on: one tab of perhaps several. */
  session: string;
}

/** A generated cell's text is about to come. */
export interface IStreamRequest extends IOpening {
  op: 'stream';
  stream: string;
  /** A comment line that stands over the text, and is no part of it. */
  heading?: string;
}

/** The kernel asks for the present text of a generated cell. */
export interface IReadRequest extends IOpening {
  op: 'read';
}

/** What is known by now of a stream's code: its heading, and the verdict's reach. */
export interface IHeadRequest extends IOpening {
  op: 'head';
  stream: string;
  heading: string;
  /** The heading for the time when a person has changed the code. */
  edited: string;
  /** The code that the panel's verdict speaks of; null where there is no verdict. */
  checked: string | null;
}

export type Request = IStreamRequest | IReadRequest | IHeadRequest;

/** Some more text. Pieces are numbered from 0. */
export interface IPiece {
  seq: number;
  text: string;
}

export type Status = 'complete' | 'stopped' | 'failed';

/** The end of the text, with the whole of it, since the server may drop pieces. */
export interface IEnd {
  seq: number;
  done: true;
  text: string;
  status: Status;
}

export type StreamMessage = IPiece | IEnd;

/** The answer to a read request; `source` is null where there is no such cell (any more). */
export interface IReadReply {
  source: string | null;
  cell: string | null;
  edited: boolean;
}

/** What a generated cell remembers in its notebook metadata, under {@link NAME}. */
export interface ICellMark extends Partial<IGeneration> {
  /** The cell that asked for the translation. */
  source_cell: string;
  /** The marked cell itself: a copy of it takes the metadata along, but is a person's cell. */
  cell: string;
  stream: string;
  fingerprint: string;
  /** Names the code that the panel's verdict speaks of; absent where there is no verdict. */
  checked?: string;
  /** What stood in the cell before it was generated anew. */
  previous?: IGeneration;
}

/** Code as it was generated, and its heading. */
export interface IGeneration {
  generated: string;
  heading?: string;
  /** The heading for the time when a person has changed the code. */
  edited?: string;
  /** Names the code that the heading's verdict speaks of. */
  headed?: string;
  /** The heading that the code had as it was generated. */
  plain?: string;
}

/** What came of a run, for a page that was not there at its end. */
export interface IOutcome {
  /** The cell that ran. */
  cell: string;
  stream: string;
  /** The code as it was generated; empty where there is none. */
  text: string;
  heading: string;
  edited: string;
  checked: string | null;
  /** The panel's output, by MIME types. */
  panel: JSONObject;
  /** Seconds since 1970. */
  ended_s: number;
}

/** Opens the comm on which the Jupyter kernel tells what came of its runs. */
export const RECALL = { v: VERSION, op: 'recall' };

type Fields = Record<string, unknown>;

function fields(value: unknown): Fields | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Fields)
    : null;
}

/** The request in a comm's opening data, or null where it is not one that we know. */
export function asRequest(value: unknown): Request | null {
  const found = fields(value);
  if (
    !found ||
    found.v !== VERSION ||
    typeof found.source_cell !== 'string' ||
    typeof found.session !== 'string'
  ) {
    return null;
  }
  switch (found.op) {
    case 'stream':
      return typeof found.stream === 'string'
        ? (found as unknown as IStreamRequest)
        : null;
    case 'read':
      return found as unknown as IReadRequest;
    case 'head':
      return typeof found.stream === 'string' &&
        typeof found.heading === 'string' &&
        typeof found.edited === 'string' &&
        (found.checked === null || typeof found.checked === 'string')
        ? (found as unknown as IHeadRequest)
        : null;
    default:
      return null;
  }
}

const STATUSES: readonly unknown[] = ['complete', 'stopped', 'failed'];

/** A message of an open stream, or null where it is not one that we know. */
export function asStreamMessage(value: unknown): StreamMessage | null {
  const found = fields(value);
  if (
    !found ||
    typeof found.text !== 'string' ||
    !Number.isInteger(found.seq)
  ) {
    return null;
  }
  if (found.done === undefined) {
    return found as unknown as IPiece;
  }
  return found.done === true && STATUSES.includes(found.status)
    ? (found as unknown as IEnd)
    : null;
}

/** The outcomes in a message on a recalling comm; what is none is left out. */
export function asOutcomes(value: unknown): IOutcome[] {
  const found = fields(value)?.outcomes;
  return Array.isArray(found) ? (found.filter(isOutcome) as IOutcome[]) : [];
}

function isOutcome(value: unknown): boolean {
  const found = fields(value);
  return (
    !!found &&
    ['cell', 'stream', 'text', 'heading', 'edited'].every(
      name => typeof found[name] === 'string'
    ) &&
    (found.checked === null || typeof found.checked === 'string') &&
    typeof found.ended_s === 'number' &&
    fields(found.panel) !== null
  );
}

/** The mark of a generated cell, or null for any other cell. */
export function asCellMark(value: unknown): ICellMark | null {
  const found = fields(value);
  return found &&
    typeof found.source_cell === 'string' &&
    typeof found.cell === 'string' &&
    typeof found.stream === 'string' &&
    typeof found.fingerprint === 'string'
    ? (found as unknown as ICellMark)
    : null;
}

/** What a panel's output says to this extension, beside its HTML. */
export interface IPanelMark {
  /** Counts what the panel has settled on. */
  turn: number;
  /** What to tell a screen reader at this turn. */
  said: string;
  /** Vega-Lite specifications by the names of their figures in the HTML. */
  charts: Record<string, JSONObject>;
}

/** The mark in a panel's output, or null where it is of another version. */
export function asPanelMark(value: unknown): IPanelMark | null {
  const found = fields(value);
  const charts = fields(found?.charts ?? {});
  return found &&
    Number.isInteger(found.turn) &&
    typeof found.said === 'string' &&
    charts &&
    Object.values(charts).every(fields)
    ? ({ ...found, charts } as unknown as IPanelMark)
    : null;
}
