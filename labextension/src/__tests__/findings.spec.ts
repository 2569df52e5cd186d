import { codeOf, findLine, lineOf } from '../findings';

describe('findings', () => {
  const SOURCE = 'a = 1\nb = 2\n\nb = 2\nc = 3\n';

  it('tell their line by a class', () => {
    expect(lineOf(['kllm-jump', 'kllm-at-12'])).toBe(12);
    expect(lineOf(['kllm-jump', 'kllm-at-12x'])).toBeNull();
    expect(lineOf([])).toBeNull();
  });

  it('hold the code of the marked line', () => {
    expect(codeOf('>  9 |     x = y | z')).toBe('    x = y | z');
    expect(codeOf('')).toBe('');
  });

  it('are where they were while nothing changed', () => {
    expect(findLine(SOURCE, 4, 'b = 2')).toBe(4);
  });

  it('move with their line', () => {
    expect(findLine(`# one\n# two\n${SOURCE}`, 1, 'a = 1')).toBe(3);
    expect(findLine(SOURCE, 3, 'b = 2')).toBe(2);
  });

  it('stay at their number where the line is gone, within the cell', () => {
    expect(findLine(SOURCE, 3, 'gone = 1')).toBe(3);
    expect(findLine('x', 40, 'gone = 1')).toBe(1);
    expect(findLine('', 1, '')).toBe(1);
  });
});
