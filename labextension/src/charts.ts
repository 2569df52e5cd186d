import { IRenderMimeRegistry, MimeModel } from '@jupyterlab/rendermime';
import type { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import type { JSONObject } from '@lumino/coreutils';

const VEGA_MIME = 'application/vnd.vegalite.v5+json';

/**
 * A panel's charts, drawn by the front end's own Vega-Lite in place of the static drawings.
 *
 * The HTML around them is replaced whenever the panel shows something new, so they are put back
 * into their figures each time. Without Vega-Lite the static drawings stay.
 */
export class Charts {
  constructor(private readonly rendermime: IRenderMimeRegistry) {}

  /** Take specifications by the names of their figures; the same ones change nothing. */
  take(specifications: Record<string, JSONObject>): void {
    const key = JSON.stringify(specifications);
    if (key === this.key) {
      return;
    }
    this.key = key;
    this.dispose();
    if (this.rendermime.getFactory(VEGA_MIME)) {
      for (const [name, specification] of Object.entries(specifications)) {
        this.drawn.set(name, {
          renderer: this.rendermime.createRenderer(VEGA_MIME),
          specification,
          begun: false
        });
      }
    }
  }

  /** Put each chart into its figure in `node`, which has to be in the page. */
  place(node: HTMLElement): void {
    for (const [name, chart] of this.drawn) {
      const figure = node.querySelector(`.kllm-chart-${CSS.escape(name)}`);
      const { node: drawing } = chart.renderer;
      if (!figure || figure.contains(drawing)) {
        continue;
      }
      figure.replaceChildren(drawing);
      if (!chart.begun) {
        // Only now, as it takes the width of its figure.
        chart.begun = true;
        void chart.renderer.renderModel(
          new MimeModel({
            data: { [VEGA_MIME]: chart.specification },
            metadata: {
              [VEGA_MIME]: {
                embed_options: { actions: false, renderer: 'svg' }
              }
            }
          })
        );
      }
    }
  }

  dispose(): void {
    for (const { renderer } of this.drawn.values()) {
      renderer.dispose();
    }
    this.drawn.clear();
  }

  private key = '{}';
  private readonly drawn = new Map<string, IChart>();
}

interface IChart {
  renderer: IRenderMime.IRenderer;
  specification: JSONObject;
  /** Whether it has been told to draw. */
  begun: boolean;
}
