import { Notification } from '@jupyterlab/apputils';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { IRenderMimeRegistry, MimeModel } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { Kernel, Session } from '@jupyterlab/services';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Message } from '@lumino/messaging';
import { Panel, Widget } from '@lumino/widgets';
import { CellLink } from './cellLink';
import { Charts } from './charts';
import { goToLine } from './jump';
import { askedLine, refine } from './panelDetails';
import { asPanelMark } from './protocol';
import { forgetViews } from './widgetViews';

const PANEL_MIME = 'application/vnd.kernelllm.panel+json';
const WIDGET_MIME = 'application/vnd.jupyter.widget-view+json';

/** Before the widgets' own -10, so that our form wins where an output offers both. */
const RANK = -20;

const ENDED: readonly Kernel.Status[] = [
  'restarting',
  'autorestarting',
  'terminating',
  'dead'
];

/** Render our panels in every notebook: live while the Jupyter kernel has them, else static. */
export function showPanels(
  tracker: INotebookTracker,
  trans: TranslationBundle
): void {
  const register = (panel: NotebookPanel) =>
    // The notebook's own registry, since only that one knows the notebook's widgets.
    panel.content.rendermime.addFactory(
      {
        safe: true,
        mimeTypes: [PANEL_MIME],
        createRenderer: () => new PanelView(panel, trans)
      },
      RANK
    );
  tracker.forEach(register);
  tracker.widgetAdded.connect((_, panel) => {
    register(panel);
  });
}

/**
 * The panel under a cell: its ipywidgets view where there is one, else the static form.
 *
 * Without the widget's model (a notebook opened anew, a restarted kernel) the widgets' renderer
 * says "model not found"; it stays hidden until it really holds a view.
 */
class PanelView extends Panel implements IRenderMime.IRenderer {
  constructor(
    private readonly panel: NotebookPanel,
    private readonly trans: TranslationBundle
  ) {
    super();
    this.addClass('kllm-output');
    this.rendermime = panel.content.rendermime;
    this.fixed = this.rendermime.createRenderer('text/html');
    this.addWidget(this.fixed);
    this.link = new CellLink(panel, trans);
    this.addWidget(this.link);
    this.addWidget(this.announcer);
    this.charts = new Charts(this.rendermime);
    this.contents.observe(this.node, { childList: true, subtree: true });
    const { sessionContext } = panel;
    sessionContext.connectionStatusChanged.connect(this.onConnection);
    sessionContext.statusChanged.connect(this.onStatus);
    sessionContext.kernelChanged.connect(this.onKernel);
  }

  async renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    // Never trusted: the static form is sanitised wherever it comes from.
    const data = { 'text/html': model.data['text/html'] ?? '' };
    await this.fixed.renderModel(new MimeModel({ data, trusted: false }));
    const mark = asPanelMark(model.data[PANEL_MIME]);
    if (mark) {
      // What a notebook shows when it is opened is no news.
      if (this.turn !== null && this.turn !== mark.turn) {
        this.announcer.say(mark.said);
      }
      this.turn = mark.turn;
      this.charts.take(mark.charts);
    }
    const id = JSON.stringify(model.data[WIDGET_MIME] ?? null);
    if (id !== this.shownId || !this.isLive) {
      this.shownId = id;
      this.model = model.trusted && id !== 'null' ? model : null;
      this.renderLive();
    }
  }

  override dispose(): void {
    this.observer.disconnect();
    this.contents.disconnect();
    this.charts.dispose();
    const { sessionContext } = this.panel;
    sessionContext.connectionStatusChanged.disconnect(this.onConnection);
    sessionContext.statusChanged.disconnect(this.onStatus);
    sessionContext.kernelChanged.disconnect(this.onKernel);
    if (this.live) {
      forgetViews(this.live);
    }
    super.dispose();
  }

  handleEvent(event: Event): void {
    const isKey = event instanceof KeyboardEvent;
    const asked = askedLine(event.target);
    if (!asked || (isKey && event.key !== 'Enter' && event.key !== ' ')) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    void goToLine(this.panel, this.node, asked.line, asked.text).then(found => {
      if (!found) {
        Notification.info(
          this.trans.__('The generated cell is not there any more.'),
          { autoClose: 5000 }
        );
      }
    });
  }

  protected override onAfterAttach(message: Message): void {
    super.onAfterAttach(message);
    this.node.addEventListener('click', this);
    this.node.addEventListener('keydown', this);
    this.refine();
  }

  protected override onBeforeDetach(message: Message): void {
    this.node.removeEventListener('click', this);
    this.node.removeEventListener('keydown', this);
    super.onBeforeDetach(message);
  }

  protected override onResize(message: Widget.ResizeMessage): void {
    super.onResize(message);
    this.refine();
  }

  private get isLive(): boolean {
    return this.live instanceof Panel && this.live.widgets.length > 0;
  }

  private renderLive(): void {
    this.dropLive();
    if (this.model && this.rendermime.getFactory(WIDGET_MIME)) {
      const live = this.rendermime.createRenderer(WIDGET_MIME);
      this.live = live;
      // Before what is said of the cell, which stays below.
      this.insertWidget(1, live);
      this.observer.observe(live.node, { childList: true });
      void live.renderModel(this.model);
    }
    this.choose();
  }

  private dropLive(): void {
    this.observer.disconnect();
    if (this.live) {
      forgetViews(this.live);
      this.live.dispose();
    }
    this.live = null;
    this.choose();
  }

  /** The kernel that had the widgets is gone; their views would stand there with broken links. */
  private giveUp(): void {
    this.model = null;
    this.dropLive();
  }

  private readonly onStatus = (_: unknown, status: Kernel.Status): void => {
    if (ENDED.includes(status)) {
      this.giveUp();
    }
  };

  private readonly onKernel = (
    _: unknown,
    { oldValue }: Session.ISessionConnection.IKernelChangedArgs
  ): void => {
    if (oldValue) {
      this.giveUp();
    }
  };

  private readonly onConnection = (_: unknown, status: string): void => {
    // A renderer of widgets made without a kernel does not notice the kernel that comes later.
    if (status === 'connected' && !this.isLive) {
      this.renderLive();
    }
  };

  private choose(): void {
    this.fixed.setHidden(this.isLive);
    this.live?.setHidden(!this.isLive);
    this.refine();
  }

  private refine(): void {
    refine(this.node, this.trans);
    this.link.place(this.isLive && this.live ? this.live.node : null);
    const shown = this.isLive ? this.live : this.fixed;
    if (shown && this.isAttached) {
      this.charts.place(shown.node);
    }
  }

  private readonly rendermime: IRenderMimeRegistry;
  private readonly fixed: IRenderMime.IRenderer & Widget;
  private readonly charts: Charts;
  private readonly link: CellLink;
  private readonly announcer = new Announcer();
  private readonly contents = new MutationObserver(() => this.refine());
  /** Number of the last thing said. */
  private turn: number | null = null;
  private live: (IRenderMime.IRenderer & Widget) | null = null;
  private model: IRenderMime.IMimeModel | null = null;
  private shownId = '';
  private readonly observer = new MutationObserver(() => this.choose());
}

/** Says things to screen readers, when they have nothing else to say. Not to be seen. */
class Announcer extends Widget {
  constructor() {
    super();
    this.addClass('kllm-announcer');
    this.node.setAttribute('role', 'status');
  }

  say(words: string): void {
    // A change is what is announced: the same words again have to be new.
    this.node.textContent = '';
    window.setTimeout(() => {
      this.node.textContent = words;
    });
  }
}
