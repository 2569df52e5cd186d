import { IEnd, IPiece } from './protocol';

/**
 * Puts the numbered pieces of one stream in order.
 *
 * A piece that comes early waits for those before it; a piece that never comes is made good by
 * the end, which carries the whole text. So `text` only ever grows by what truly comes next,
 * until the end settles it.
 */
export class Transcript {
  get text(): string {
    return this._text;
  }

  get done(): boolean {
    return this._done;
  }

  feed(message: IPiece | IEnd): void {
    if (this._done) {
      return;
    }
    if ('done' in message) {
      this._done = true;
      this._early.clear();
      this._text = message.text.replace(/\r\n?/g, '\n');
      return;
    }
    if (message.seq >= this._next) {
      this._early.set(message.seq, message.text);
    }
    let piece: string | undefined;
    while ((piece = this._early.get(this._next)) !== undefined) {
      this._early.delete(this._next);
      this._next += 1;
      // CodeMirror counts a line break as one character; "\r\n" would shift its positions.
      this._text += piece.replace(/\r/g, '');
    }
  }

  private _text = '';
  private _done = false;
  private _next = 0;
  private _early = new Map<number, string>();
}
