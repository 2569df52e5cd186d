import type { Widget } from '@lumino/widgets';

/** An ipywidgets view, as far as it is known here; all of it may be missing in other versions. */
interface IView {
  layoutPromise?: Promise<IView | undefined>;
  stylePromise?: Promise<IView | undefined>;
  model?: { off?(event: string): unknown };
  remove?(): unknown;
}

/**
 * Let go of what the views of ipywidgets below `widget` leave behind; call it before their end.
 *
 * A view makes views of its widget's layout and style, and listens to custom messages, and ends
 * neither (seen in ipywidgets 8.1), so that the models, which live as long as the widget, hold
 * every view there ever was. Ours get no custom messages: those only move the focus.
 */
export function forgetViews(widget: Widget): void {
  for (const child of widget.children()) {
    forgetViews(child);
  }
  const view = (widget as unknown as { _view?: IView | null })._view;
  view?.model?.off?.('msg:custom');
  for (const part of [view?.layoutPromise, view?.stylePromise]) {
    part?.then(
      found => {
        found?.model?.off?.('msg:custom');
        found?.remove?.();
      },
      () => undefined
    );
  }
}
