import { LabIcon } from '@jupyterlab/ui-components';

/** A triangle (Triton, and "run") with the arrow of a translation; drawn in the theme's colour. */
export const translateIcon = new LabIcon({
  name: 'kernelllm:translate',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
  <g class="jp-icon3" style="fill: none" stroke="#616161" stroke-width="1.4" stroke-linejoin="round" stroke-linecap="round">
    <path d="M2.2 3.2h5M2.2 6.4h3.2M2.2 9.6h2.2" />
    <path d="M10 4.6l4.3 8H5.7z" />
    <path d="M9.6 1.9h3.2M11.5 .6l1.3 1.3-1.3 1.3" />
  </g>
</svg>`
});
