/**
 * Decisions about generated cells, from what stands in the notebook alone: which cell a new
 * stream goes to, and whether a person changed a cell. Nothing else is remembered, so they come
 * out the same after a reload or a restart of the Jupyter kernel.
 */
import { ICellMark, asCellMark } from './protocol';

/** What the decisions need to know of a cell. */
export interface ICellView {
  id: string;
  cell_type: string;
  source: string;
  /** The cell's metadata under our name. */
  mark: unknown;
}

export type Target =
  { kind: 'replace'; id: string } | { kind: 'insert'; index: number };

/**
 * A short name for a text, equal for equal texts.
 *
 * FNV-1a over the UTF-16 units, twice with different starts, and the length. It tells "as
 * generated" from "edited by a person"; it is no protection against anybody. (The browser's own
 * SHA-256 is asynchronous and missing on plain http.)
 */
export function fingerprint(text: string): string {
  let low = 0x811c9dc5;
  let high = 0x1b873593;
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ (unit + at), 0x01000193);
  }
  const hex = (word: number) => (word >>> 0).toString(16).padStart(8, '0');
  return `${hex(high)}${hex(low)}-${text.length.toString(16)}`;
}

/** Whether a generated cell's text differs from what was generated. */
export function isEdited(cell: ICellView, mark: ICellMark): boolean {
  return fingerprint(cell.source) !== mark.fingerprint;
}

function generatedFrom(
  cells: readonly ICellView[],
  source: string
): { cell: ICellView; edited: boolean }[] {
  return cells.flatMap(cell => {
    const mark = asCellMark(cell.mark);
    return cell.cell_type === 'code' &&
      mark?.source_cell === source &&
      mark.cell === cell.id
      ? [{ cell, edited: isEdited(cell, mark) }]
      : [];
  });
}

/**
 * Where the next translation of the cell `source` goes: into the cell made for it before, unless
 * a person edited that one; else into a new cell directly below the source.
 */
export function chooseTarget(
  cells: readonly ICellView[],
  source: string
): Target {
  const earlier = generatedFrom(cells, source).find(found => !found.edited);
  if (earlier) {
    return { kind: 'replace', id: earlier.cell.id };
  }
  const at = cells.findIndex(cell => cell.id === source);
  return { kind: 'insert', index: at < 0 ? cells.length : at + 1 };
}

/**
 * The cell whose code the panel of `source` speaks of: the last one written, which stands first
 * below its source as new ones are put directly under it.
 */
export function findGenerated(
  cells: readonly ICellView[],
  source: string
): { cell: ICellView; edited: boolean } | null {
  const found = generatedFrom(cells, source);
  const at = cells.findIndex(cell => cell.id === source);
  const below = found.find(one => cells.indexOf(one.cell) > at);
  return below ?? found[0] ?? null;
}

/** Length of the longest common beginning of two texts. */
export function commonPrefix(one: string, other: string): number {
  const end = Math.min(one.length, other.length);
  let at = 0;
  while (at < end && one[at] === other[at]) {
    at++;
  }
  return at;
}
