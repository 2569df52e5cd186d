import { YCodeCell, YNotebook } from '@jupyter/ydoc';
import { ICellView, isEdited, isStale, withoutHeading } from '../generated';
import {
  ICellMark,
  IHeadRequest,
  NAME,
  VERSION,
  asCellMark
} from '../protocol';
import { putIn } from '../recall';
import {
  StreamCell,
  accept,
  makeHeadingTrue,
  revert,
  setHeading,
  viewCells
} from '../streamCell';

const UNKNOWN = '# KernelLLM · m · 2026-01-02 · not checked';
const CORRECT = '# KernelLLM · m · 2026-01-02 · correct · record a';
const EDITED = '# KernelLLM · m · 2026-01-02 · edited, not checked · record a';
const CODE = 'import triton\nx = 1\n';

const notebooks: YNotebook[] = [];

/** A notebook with a source cell and what was streamed below it. */
function streamed(code = CODE): YNotebook {
  const notebook = new YNotebook({ disableDocumentWideUndoRedo: true });
  notebooks.push(notebook);
  notebook.addCell({ cell_type: 'code', id: 'source', source: 'ask' });
  new StreamCell(notebook, 'source', 's1', UNKNOWN).finish(code);
  return notebook;
}

function head(stream: string, checked: string | null): IHeadRequest {
  return {
    v: VERSION,
    op: 'head',
    source_cell: 'source',
    session: '',
    stream,
    heading: CORRECT,
    edited: EDITED,
    checked
  };
}

const generated = (notebook: YNotebook) => notebook.cells[1] as YCodeCell;
const viewOf = (notebook: YNotebook) => viewCells(notebook)[1] as ICellView;
const markOf = (notebook: YNotebook) =>
  asCellMark(generated(notebook).getMetadata(NAME)) as ICellMark;
const isOld = (notebook: YNotebook) =>
  isStale(viewOf(notebook), markOf(notebook));

beforeAll(() => {
  // Of the shared model's own: it reads cells before they have a document.
  jest.spyOn(console, 'warn').mockImplementation();
  // What a stream asks of a browser.
  Object.assign(globalThis, {
    document: { hidden: true },
    cancelAnimationFrame: () => undefined
  });
});

afterEach(() => {
  notebooks.splice(0).forEach(notebook => notebook.dispose());
});

describe('the heading', () => {
  it('stands over the code and is no part of it', () => {
    const notebook = streamed();
    expect(generated(notebook).source).toBe(`${UNKNOWN}\n${CODE}`);
    expect(withoutHeading(generated(notebook).source)).toBe(CODE);
    expect(isEdited(viewOf(notebook), markOf(notebook))).toBe(false);
  });

  it('is the first one again once edits that were checked are taken back', () => {
    const notebook = streamed();
    setHeading(notebook, head('s1', CODE));
    const cell = generated(notebook);
    cell.setSource(`${CORRECT}\nimport triton\nx = 2\n`);
    makeHeadingTrue(cell);
    expect(cell.source.split('\n', 1)[0]).toBe(EDITED);
    const wrong = '# KernelLLM · m · 2026-01-02 · edited, incorrect · record a';
    const request = head('s1', 'import triton\nx = 2\n');
    setHeading(notebook, { ...request, heading: wrong });
    expect(cell.source.split('\n', 1)[0]).toBe(wrong);
    revert(notebook, cell.id);
    expect(cell.source).toBe(`${CORRECT}\n${CODE}`);
  });

  it('says what the check found, in the undo step of the code', () => {
    const notebook = streamed();
    setHeading(notebook, head('s1', CODE));
    expect(generated(notebook).source).toBe(`${CORRECT}\n${CODE}`);
    expect(isEdited(viewOf(notebook), markOf(notebook))).toBe(false);
    expect(isOld(notebook)).toBe(false);
    generated(notebook).undo();
    expect(generated(notebook).source).toBe('');
    generated(notebook).redo();
    expect(generated(notebook).source).toBe(`${CORRECT}\n${CODE}`);
  });

  it('calls an edit one, and takes that back with it', () => {
    const notebook = streamed();
    setHeading(notebook, head('s1', CODE));
    const cell = generated(notebook);
    cell.updateSource(cell.source.length, cell.source.length, '# more\n');
    makeHeadingTrue(cell);
    expect(cell.source).toBe(`${EDITED}\n${CODE}# more\n`);
    expect(isOld(notebook)).toBe(true);
    cell.undo();
    expect(cell.source).toBe(`${CORRECT}\n${CODE}`);
    expect(isOld(notebook)).toBe(false);
    cell.redo();
    expect(cell.source).toBe(`${EDITED}\n${CODE}# more\n`);
    cell.updateSource(
      cell.source.length - '# more\n'.length,
      cell.source.length,
      ''
    );
    makeHeadingTrue(cell);
    expect(cell.source).toBe(`${CORRECT}\n${CODE}`);
  });

  it('is left alone where a person took it away or wrote another', () => {
    const notebook = streamed();
    generated(notebook).setSource(`# mine\n${CODE}`);
    setHeading(notebook, head('s1', CODE));
    expect(generated(notebook).source).toBe(`# mine\n${CODE}`);
    expect(isOld(notebook)).toBe(true);
    generated(notebook).setSource(CODE);
    expect(isOld(notebook)).toBe(false);
  });

  it('finds an edit made while the check ran', () => {
    const notebook = streamed();
    const cell = generated(notebook);
    cell.updateSource(cell.source.length, cell.source.length, 'y = 2\n');
    setHeading(notebook, head('s1', CODE));
    expect(cell.source).toBe(`${EDITED}\n${CODE}y = 2\n`);
    expect(isOld(notebook)).toBe(true);
  });

  it('without a verdict says nothing of edits', () => {
    const notebook = streamed();
    setHeading(notebook, head('s1', null));
    const cell = generated(notebook);
    cell.updateSource(cell.source.length, cell.source.length, 'y = 2\n');
    makeHeadingTrue(cell);
    expect(cell.source).toBe(`${CORRECT}\n${CODE}y = 2\n`);
    expect(isOld(notebook)).toBe(false);
  });
});

describe('revert', () => {
  it('takes back edits, and not more', () => {
    const notebook = streamed();
    setHeading(notebook, head('s1', CODE));
    const cell = generated(notebook);
    cell.setSource('something else');
    expect(revert(notebook, cell.id)).toBe(true);
    expect(cell.source).toBe(`${CORRECT}\n${CODE}`);
    expect(revert(notebook, cell.id)).toBe(false);
    cell.undo();
    expect(cell.source).toBe('something else');
  });

  it('goes to the generation before, and back', () => {
    const notebook = streamed();
    setHeading(notebook, head('s1', CODE));
    const next = 'import triton\nx = 2\n';
    new StreamCell(notebook, 'source', 's2', UNKNOWN).finish(next);
    const cell = generated(notebook);
    expect(notebook.cells.length).toBe(2);
    expect(cell.source).toBe(`${UNKNOWN}\n${next}`);
    expect(isOld(notebook)).toBe(false);
    const second = { ...head('s2', next), heading: `${CORRECT}2` };
    setHeading(notebook, second);
    expect(revert(notebook, cell.id)).toBe(true);
    expect(cell.source).toBe(`${CORRECT}\n${CODE}`);
    expect(isEdited(viewOf(notebook), markOf(notebook))).toBe(false);
    // The panel's verdict is about the second one.
    expect(isOld(notebook)).toBe(true);
    expect(revert(notebook, cell.id)).toBe(true);
    expect(cell.source).toBe(`${CORRECT}2\n${next}`);
    expect(isOld(notebook)).toBe(false);
  });
});

describe('accept', () => {
  it('keeps the code and ends the link', () => {
    const notebook = streamed();
    accept(notebook, generated(notebook).id);
    expect(generated(notebook).getMetadata(NAME)).toBeUndefined();
    new StreamCell(notebook, 'source', 's2', UNKNOWN).finish('x = 3\n');
    expect(notebook.cells.map(cell => cell.source)).toEqual([
      'ask',
      `${UNKNOWN}\nx = 3\n`,
      `${UNKNOWN}\n${CODE}`
    ]);
  });
});

describe('what a page missed', () => {
  const PANEL = 'application/vnd.kernelllm.panel+json';
  const outcome = {
    cell: 'source',
    stream: 's1',
    text: CODE,
    heading: CORRECT,
    edited: EDITED,
    checked: CODE,
    panel: { [PANEL]: { turn: 1 }, 'text/html': 'Correct' },
    ended_s: 1
  };
  const asked = () => {
    const notebook = new YNotebook({ disableDocumentWideUndoRedo: true });
    notebooks.push(notebook);
    notebook.addCell({ cell_type: 'code', id: 'source', source: 'ask' });
    return notebook;
  };

  it('is put in where nothing of it was saved', () => {
    const notebook = asked();
    putIn(notebook, outcome);
    expect(generated(notebook).source).toBe(`${CORRECT}\n${CODE}`);
    expect(isOld(notebook)).toBe(false);
    const [output] = (notebook.cells[0] as YCodeCell).getOutputs();
    expect(output?.data).toEqual(outcome.panel);
  });

  it('completes what was saved, once', () => {
    const notebook = streamed('import tri');
    const source = notebook.cells[0] as YCodeCell;
    source.setOutputs([
      { output_type: 'stream', name: 'stdout', text: 'mine' },
      { output_type: 'display_data', data: { [PANEL]: {} }, metadata: {} }
    ]);
    putIn(notebook, outcome);
    putIn(notebook, outcome);
    expect(generated(notebook).source).toBe(`${CORRECT}\n${CODE}`);
    expect(isEdited(viewOf(notebook), markOf(notebook))).toBe(false);
    expect(notebook.cells).toHaveLength(2);
    expect(source.getOutputs().map(one => one.output_type)).toEqual([
      'stream',
      'display_data'
    ]);
  });

  it("leaves a person's text alone, and cells that are gone", () => {
    const notebook = streamed('import tri');
    generated(notebook).setSource('# mine');
    putIn(notebook, outcome);
    expect(generated(notebook).source).toBe('# mine');
    putIn(notebook, { ...outcome, cell: 'gone', stream: 's2' });
    expect(notebook.cells).toHaveLength(2);
  });
});
