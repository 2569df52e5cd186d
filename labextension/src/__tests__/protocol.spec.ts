import {
  VERSION,
  asCellMark,
  asRequest,
  asStreamMessage,
  executeMark
} from '../protocol';

const opening = { v: VERSION, source_cell: 'a', session: 's' };

describe('asRequest', () => {
  it.each([
    { ...opening, op: 'stream', stream: 'x' },
    { ...opening, op: 'read' }
  ])('takes %j', request => {
    expect(asRequest(request)).toEqual(request);
  });

  it.each([
    null,
    'stream',
    [],
    {},
    { ...opening, op: 'stream' },
    { ...opening, op: 'head', stream: 'x' },
    { ...opening, op: 'delete' },
    { ...opening, op: 'read', v: VERSION + 1 },
    { ...opening, op: 'read', session: 7 },
    { op: 'read', v: VERSION, session: 's' }
  ])('leaves %j alone', request => {
    expect(asRequest(request)).toBeNull();
  });
});

describe('asStreamMessage', () => {
  it.each([
    { seq: 0, text: '' },
    { seq: 3, text: 'a', done: true, status: 'stopped' }
  ])('takes %j', message => {
    expect(asStreamMessage(message)).toEqual(message);
  });

  it.each([
    undefined,
    { text: 'a' },
    { seq: 1 },
    { seq: 0.5, text: 'a' },
    { seq: 1, text: 'a', done: 'yes', status: 'complete' },
    { seq: 1, text: 'a', done: true },
    { seq: 1, text: 'a', done: true, status: 'perhaps' }
  ])('leaves %j alone', message => {
    expect(asStreamMessage(message)).toBeNull();
  });
});

describe('asCellMark', () => {
  const mark = { source_cell: 'a', cell: 'b', stream: 's', fingerprint: 'f' };

  it('takes a whole mark', () => {
    expect(asCellMark(mark)).toEqual(mark);
  });

  it.each(Object.keys(mark))('takes no mark without %s', key => {
    expect(asCellMark({ ...mark, [key]: undefined })).toBeNull();
  });
});

describe('executeMark', () => {
  it('carries the version only where comms arrive, and the settings always', () => {
    expect(executeMark(true, { k: 2 })).toEqual({
      v: VERSION,
      settings: { k: 2 }
    });
    expect(executeMark(false, { k: 2 })).toEqual({ settings: { k: 2 } });
  });
});
