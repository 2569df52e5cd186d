import type {
  JupyterFrontEnd,
  JupyterFrontEndPlugin
} from '@jupyterlab/application';
import { ICommandPalette, IToolbarWidgetRegistry } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { addCommands, addToolbarButton } from './commands';
import { addLinkCommands } from './linkCommands';
import { Notebooks } from './notebooks';
import { showPanels } from './panelView';
import { followSettings } from './settings';
import { interruptOnStop } from './stopButton';

const ID = 'kernelllm-jupyter:plugin';

/** Streams Triton kernels into notebook cells, and offers the translation of a cell. */
const plugin: JupyterFrontEndPlugin<void> = {
  id: ID,
  description: 'Translates PyTorch cells to Triton kernels.',
  autoStart: true,
  requires: [INotebookTracker],
  optional: [
    ICommandPalette,
    ITranslator,
    ISettingRegistry,
    IToolbarWidgetRegistry
  ],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker,
    palette: ICommandPalette | null,
    translator: ITranslator | null,
    registry: ISettingRegistry | null,
    toolbars: IToolbarWidgetRegistry | null
  ) => {
    const trans = (translator ?? nullTranslator).load('kernelllm_jupyter');
    new Notebooks(tracker, followSettings(registry, ID, trans));
    showPanels(tracker, trans);
    interruptOnStop(tracker);
    addCommands(app, tracker, palette, trans);
    addToolbarButton(app, toolbars, trans);
    addLinkCommands(app, tracker, palette, trans);
  }
};

export default plugin;
