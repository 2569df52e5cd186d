/**
 * Decisions about generated cells, from what stands in the notebook alone: which cell a new
 * stream goes to, and whether a person changed a cell. Nothing else is remembered, so they come
 * out the same after a reload or a restart of the Jupyter kernel.
 */
import { ICellMark, IGeneration, IHeadRequest, asCellMark } from './protocol';

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

/** How the first line of a generated cell begins: a comment on how it came about. */
const HEADING = '# KernelLLM · ';

/** A cell's text without its heading, which is no part of the code. */
export function withoutHeading(source: string): string {
  if (!source.startsWith(HEADING)) {
    return source;
  }
  const end = source.indexOf('\n');
  return end < 0 ? '' : source.slice(end + 1);
}

export function firstLine(source: string): string {
  return source.split('\n', 1)[0] ?? '';
}

/** `code` under `heading`; without one where that is empty, or there is no code. */
export function underHeading(heading: string, code: string): string {
  return heading && code ? `${heading}\n${code}` : code;
}

/** The name of a cell's code, by which marks speak of it. */
export function codeFingerprint(source: string): string {
  return fingerprint(withoutHeading(source));
}

/** Whether a generated cell's code differs from what was generated. */
export function isEdited(cell: ICellView, mark: ICellMark): boolean {
  return codeFingerprint(cell.source) !== mark.fingerprint;
}

/** Whether the verdict in the panel speaks of other code than the cell has now. */
export function isStale(cell: ICellView, mark: ICellMark): boolean {
  return (
    mark.checked !== undefined && codeFingerprint(cell.source) !== mark.checked
  );
}

/**
 * The cell's text with the heading that its code deserves: the verdict's own, or the one that
 * calls it edited. A heading that a person took away or rewrote stays as it is.
 */
export function withTrueHeading(source: string, mark: ICellMark): string {
  const { heading, edited, headed, plain } = mark;
  const first = firstLine(source);
  if (!heading || !edited || !isHeading(first, mark)) {
    return source;
  }
  const code = fingerprint(withoutHeading(source));
  let deserved = edited;
  if (headed === undefined || code === headed) {
    deserved = heading;
  } else if (plain && code === mark.fingerprint) {
    deserved = plain;
  }
  return `${deserved}${source.slice(first.length)}`;
}

/** Whether a cell's first line is one of the headings that its mark knows. */
export function isHeading(line: string, mark: ICellMark): boolean {
  return line === mark.heading || line === mark.edited || line === mark.plain;
}

/** What {@link reverted} would make of a cell. */
export type Revertible = 'edits' | 'previous' | null;

/** The mark once it is known what stands over the code, and which code was checked. */
export function headed(mark: ICellMark, request: IHeadRequest): ICellMark {
  const { checked, heading, edited } = request;
  const known = { ...unchecked(mark), heading, edited };
  if (checked === null) {
    delete known.headed;
    return { ...known, plain: heading };
  }
  const name = fingerprint(checked);
  if (name === mark.fingerprint) {
    known.plain = heading;
  }
  return { ...known, checked: name, headed: name };
}

/** The mark while there is no verdict on the cell's code. */
export function unchecked(mark: ICellMark): ICellMark {
  const known = { ...mark };
  delete known.checked;
  return known;
}

/** What can be taken back: a person's edits, else the generation before this one. */
export function revertible(cell: ICellView, mark: ICellMark): Revertible {
  if (mark.generated !== undefined && isEdited(cell, mark)) {
    return 'edits';
  }
  return mark.previous ? 'previous' : null;
}

/** The cell's text and mark after going back; going back to a generation can be undone likewise. */
export function reverted(
  cell: ICellView,
  mark: ICellMark
): { source: string; mark: ICellMark } | null {
  const kind = revertible(cell, mark);
  if (kind === 'edits') {
    const source = underHeading(mark.heading ?? '', mark.generated ?? '');
    return { source: withTrueHeading(source, mark), mark };
  }
  const { previous } = mark;
  if (!previous) {
    return null;
  }
  const present = mark.generated ?? withoutHeading(cell.source);
  return {
    source: underHeading(previous.heading ?? '', previous.generated),
    mark: {
      // Neither heading nor verdict of the present one goes along; what the panel says stays.
      ...defined({ checked: mark.checked }),
      source_cell: mark.source_cell,
      cell: mark.cell,
      stream: mark.stream,
      ...previous,
      fingerprint: fingerprint(previous.generated),
      previous: generationOf(mark, present)
    }
  };
}

/** `code` with what a mark says of it. */
export function generationOf(mark: ICellMark, code: string): IGeneration {
  const { heading, edited, headed, plain } = mark;
  return { generated: code, ...defined({ heading, edited, headed, plain }) };
}

/** Without the fields that are not there, which metadata cannot hold. */
function defined<T extends object>(fields: T): Partial<T> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== undefined)
  ) as Partial<T>;
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

/** The cell that a stream was written to; where it needed two, the one that has it whole. */
export function findStream(
  cells: readonly ICellView[],
  stream: string
): { cell: ICellView; mark: ICellMark } | null {
  const found = cells.flatMap(cell => {
    const mark = asCellMark(cell.mark);
    return mark?.stream === stream && mark.cell === cell.id
      ? [{ cell, mark }]
      : [];
  });
  return found[found.length - 1] ?? null;
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
