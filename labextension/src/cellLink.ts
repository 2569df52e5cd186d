import type { NotebookPanel } from '@jupyterlab/notebook';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Widget } from '@lumino/widgets';
import { ICellView, findGenerated, isStale, revertible } from './generated';
import { linkWatch } from './linkWatch';
import { asCellMark } from './protocol';
import { accept, revert } from './streamCell';

/** The row of a live panel's buttons. */
const BUTTONS = '.kllm-buttons';

/**
 * What a panel says of the generated cell as it is now: that its verdict is about other code, and
 * the buttons to keep the code or to go back.
 *
 * The notebook alone decides it, so it holds after a reload, and without a Jupyter kernel. Added to
 * a panel's widget, which gets the class `kllm-mod-stale` as long as its verdict is not to be
 * relied on. Where the panel is live, its buttons are among that panel's own.
 */
export class CellLink extends Widget {
  constructor(
    private readonly panel: NotebookPanel,
    trans: TranslationBundle
  ) {
    super();
    this.addClass('kllm-link');
    this.note.className = 'kllm-stale-note';
    this.note.setAttribute('role', 'status');
    this.stale = trans.__(
      'This verdict is not about the code that the cell holds now.'
    );
    this.again = trans.__('Check it again.');
    this.acceptButton = this.button(
      'bookmark',
      trans.__('Accept'),
      trans.__('Keep the code as yours: nothing replaces it any more')
    );
    this.revertButton = this.button(
      'undo',
      trans.__('Revert'),
      trans.__('Take back your edits, or go back to the code before this one')
    );
    this.buttons.className = 'kllm-link-buttons';
    this.buttons.append(this.acceptButton, this.revertButton);
    this.place(null);
    this.buttons.hidden = true;
  }

  /** Stand with the buttons of a live panel, which `live` holds, or below the static form. */
  place(live: HTMLElement | null): void {
    const row = live?.querySelector(BUTTONS);
    if (this.buttons.parentElement !== (row ?? this.node)) {
      if (row) {
        row.before(this.note);
        row.append(this.buttons);
      } else {
        this.node.append(this.note, this.buttons);
      }
      this.tell();
    }
    this.setHidden(!!row || this.buttons.hidden);
  }

  handleEvent(event: Event): void {
    const { sharedModel } = this.panel.context.model;
    if (this.linked === null) {
      return;
    }
    if (event.currentTarget === this.acceptButton) {
      accept(sharedModel, this.linked);
    } else {
      revert(sharedModel, this.linked);
    }
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    linkWatch(this.panel)?.listen(this.onLook);
  }

  protected override onBeforeDetach(message: Message): void {
    linkWatch(this.panel)?.leave(this.onLook);
    super.onBeforeDetach(message);
  }

  private readonly onLook = (cells: readonly ICellView[]): void => {
    const source = this.panel.content.widgets.find(cell =>
      cell.node.contains(this.node)
    );
    const found = source && findGenerated(cells, source.model.sharedModel.id);
    const mark = asCellMark(found?.cell.mark);
    const isOld = !!found && !!mark && isStale(found.cell, mark);
    this.linked = found?.cell.id ?? null;
    this.buttons.hidden = !found;
    this.setHidden(!found || this.buttons.parentElement !== this.node);
    this.parent?.toggleClass('kllm-mod-stale', isOld);
    this.isOld = isOld;
    this.tell();
    this.revertButton.disabled =
      !found || !mark || revertible(found.cell, mark) === null;
  };

  private tell(): void {
    // Without a live panel there is no button for it.
    const isLive = this.buttons.parentElement !== this.node;
    const stale = isLive ? `${this.stale} ${this.again}` : this.stale;
    const words = this.isOld ? stale : '';
    if (this.note.textContent !== words) {
      this.note.textContent = words;
    }
  }

  private button(
    icon: string,
    label: string,
    title: string
  ): HTMLButtonElement {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'kllm-link-button';
    // Drawn where the widgets' own icons are, beside which it stands.
    const image = document.createElement('i');
    image.className = `fa fa-${icon}`;
    image.setAttribute('aria-hidden', 'true');
    button.append(image, label);
    button.title = title;
    button.addEventListener('click', this);
    return button;
  }

  private readonly note = document.createElement('div');
  private readonly buttons = document.createElement('div');
  private readonly acceptButton: HTMLButtonElement;
  private readonly revertButton: HTMLButtonElement;
  private readonly stale: string;
  private readonly again: string;
  private isOld = false;
  /** The cell that the buttons act on. */
  private linked: string | null = null;
}
