import {
  ICellView,
  chooseTarget,
  commonPrefix,
  findGenerated,
  fingerprint
} from '../generated';

const plain = (id: string, source = ''): ICellView => ({
  id,
  cell_type: 'code',
  source,
  mark: undefined
});

const generated = (
  id: string,
  from: string,
  text: string,
  now = text
): ICellView => ({
  ...plain(id, now),
  mark: {
    source_cell: from,
    cell: id,
    stream: 's',
    fingerprint: fingerprint(text)
  }
});

describe('fingerprint', () => {
  it('is equal for equal texts only', () => {
    const texts = ['', 'a', 'b', 'ab', 'ba', 'a\n', 'aa', 'ü', '\u{1f600}'];
    expect(new Set(texts.map(fingerprint)).size).toBe(texts.length);
    expect(texts.map(fingerprint)).toEqual(texts.map(fingerprint));
  });

  it('notices any one changed character of a long text', () => {
    const text = 'x = tl.load(x_ptr + offsets, mask=mask)\n'.repeat(20);
    const seen = new Set([fingerprint(text)]);
    for (let at = 0; at < text.length; at++) {
      seen.add(fingerprint(`${text.slice(0, at)}#${text.slice(at + 1)}`));
    }
    expect(seen.size).toBe(text.length + 1);
  });
});

describe('chooseTarget', () => {
  it('makes a new cell directly below the source', () => {
    expect(chooseTarget([plain('a'), plain('b'), plain('c')], 'b')).toEqual({
      kind: 'insert',
      index: 2
    });
  });

  it('makes a new cell at the end where the source is gone', () => {
    expect(chooseTarget([plain('a')], 'gone')).toEqual({
      kind: 'insert',
      index: 1
    });
  });

  it('replaces the cell made before, wherever it has been moved', () => {
    const cells = [generated('g', 'b', 'x'), plain('a'), plain('b')];
    expect(chooseTarget(cells, 'b')).toEqual({ kind: 'replace', id: 'g' });
  });

  it('keeps an edited cell and makes a new one', () => {
    const cells = [plain('b'), generated('g', 'b', 'x', 'x # mine')];
    expect(chooseTarget(cells, 'b')).toEqual({ kind: 'insert', index: 1 });
  });

  it('replaces the newer, untouched cell where an edited one is kept', () => {
    const cells = [
      plain('b'),
      generated('new', 'b', 'y'),
      generated('old', 'b', 'x', 'x # mine')
    ];
    expect(chooseTarget(cells, 'b')).toEqual({ kind: 'replace', id: 'new' });
  });

  it("leaves another cell's code alone", () => {
    const cells = [plain('a'), generated('g', 'a', 'x'), plain('b')];
    expect(chooseTarget(cells, 'b')).toEqual({ kind: 'insert', index: 3 });
  });

  it('leaves a copy of a generated cell alone', () => {
    const copy = { ...generated('g', 'b', 'x'), id: 'copy' };
    expect(chooseTarget([plain('b'), copy], 'b')).toEqual({
      kind: 'insert',
      index: 1
    });
  });

  it('leaves a cell alone that was made a text cell', () => {
    const text = { ...generated('g', 'b', 'x'), cell_type: 'markdown' };
    expect(chooseTarget([plain('b'), text], 'b').kind).toBe('insert');
  });
});

describe('findGenerated', () => {
  it('finds nothing where nothing was generated', () => {
    expect(findGenerated([plain('a'), plain('b')], 'a')).toBeNull();
  });

  it('finds an edited cell and says so', () => {
    const cell = generated('g', 'a', 'x', 'y');
    expect(findGenerated([plain('a'), cell], 'a')).toEqual({
      cell,
      edited: true
    });
  });

  it('prefers the first below the source, which is the newest', () => {
    const cells = [
      generated('above', 'a', 'w'),
      plain('a'),
      generated('new', 'a', 'y'),
      generated('old', 'a', 'x', 'z')
    ];
    expect(findGenerated(cells, 'a')?.cell.id).toBe('new');
  });

  it('finds a cell that was moved above its source', () => {
    const cells = [generated('g', 'a', 'x'), plain('a')];
    expect(findGenerated(cells, 'a')?.cell.id).toBe('g');
  });
});

describe('commonPrefix', () => {
  it.each([
    ['', '', 0],
    ['abc', '', 0],
    ['abc', 'abd', 2],
    ['ab', 'abc', 2]
  ])('of %j and %j is %d', (one, other, length) => {
    expect(commonPrefix(one, other)).toBe(length);
  });
});
