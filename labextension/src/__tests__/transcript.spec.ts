import { Transcript } from '../transcript';

const WHOLE = 'import triton\n\n@triton.jit\ndef relu():\n    pass\n';

function pieces(size: number): { seq: number; text: string }[] {
  const made = [];
  for (let at = 0; at < WHOLE.length; at += size) {
    made.push({ seq: made.length, text: WHOLE.slice(at, at + size) });
  }
  return made;
}

const end = (seq: number, text = WHOLE) => ({
  seq,
  done: true as const,
  text,
  status: 'complete' as const
});

describe('Transcript', () => {
  it.each([1, 3, 7, 1000])('joins pieces of %d characters', size => {
    const transcript = new Transcript();
    pieces(size).forEach(piece => {
      transcript.feed(piece);
      expect(WHOLE.startsWith(transcript.text)).toBe(true);
    });
    expect(transcript.text).toBe(WHOLE);
    expect(transcript.done).toBe(false);
  });

  it('puts pieces that come out of order in order', () => {
    const transcript = new Transcript();
    const all = pieces(10);
    const feed = (some: typeof all) =>
      some.forEach(piece => transcript.feed(piece));
    feed(all.slice(1, 3).reverse());
    expect(transcript.text).toBe('');
    feed(all.slice(0, 1));
    expect(transcript.text).toBe(WHOLE.slice(0, 30));
    feed(all.slice(3));
    expect(transcript.text).toBe(WHOLE);
  });

  it('stops at a lost piece and is made whole by the end', () => {
    const transcript = new Transcript();
    const all = pieces(5);
    all
      .filter(piece => piece.seq !== 2)
      .forEach(piece => {
        transcript.feed(piece);
      });
    expect(transcript.text).toBe(WHOLE.slice(0, 10));
    transcript.feed(end(all.length));
    expect(transcript.text).toBe(WHOLE);
    expect(transcript.done).toBe(true);
  });

  it('takes no piece twice', () => {
    const transcript = new Transcript();
    for (const piece of pieces(8)) {
      transcript.feed(piece);
      transcript.feed(piece);
    }
    expect(transcript.text).toBe(WHOLE);
  });

  it('takes nothing after the end', () => {
    const transcript = new Transcript();
    transcript.feed(end(0, 'a'));
    transcript.feed({ seq: 0, text: 'b' });
    transcript.feed(end(1, 'c'));
    expect(transcript.text).toBe('a');
  });

  it('knows one kind of line break only', () => {
    const transcript = new Transcript();
    transcript.feed({ seq: 0, text: 'a\r' });
    transcript.feed({ seq: 1, text: '\nb' });
    expect(transcript.text).toBe('a\nb');
    transcript.feed(end(2, 'a\r\nb\rc\n'));
    expect(transcript.text).toBe('a\nb\nc\n');
  });
});
