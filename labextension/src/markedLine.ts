import { StateEffect, StateField } from '@codemirror/state';
import { Decoration, DecorationSet, EditorView } from '@codemirror/view';
import type { CodeMirrorEditor } from '@jupyterlab/codemirror';

/** How long a line stays marked. */
const SHOWN_MS = 6000;

const DECORATION = Decoration.line({ class: 'kllm-shown-line' });

/** Marks the line that begins at this position; null ends it. */
const setMark = StateEffect.define<number | null>();

const marks = StateField.define<DecorationSet>({
  create: () => Decoration.none,
  update: (shown, transaction) => {
    let next = shown.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(setMark)) {
        next =
          effect.value === null
            ? Decoration.none
            : Decoration.set([DECORATION.range(effect.value)]);
      }
    }
    return next;
  },
  provide: field => EditorView.decorations.from(field)
});

const timers = new WeakMap<EditorView, number>();

/** Mark a line (from 1) of an editor for a while. */
export function markLine(editor: CodeMirrorEditor, line: number): void {
  const view = editor.editor;
  if (!view.state.field(marks, false)) {
    editor.injectExtension(marks);
  }
  window.clearTimeout(timers.get(view));
  const { from } = view.state.doc.line(line);
  view.dispatch({ effects: setMark.of(from) });
  timers.set(
    view,
    window.setTimeout(
      () => view.dispatch({ effects: setMark.of(null) }),
      SHOWN_MS
    )
  );
}
