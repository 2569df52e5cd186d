import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { Settings } from './protocol';

/**
 * Follows the settings of plugin `id`; the returned function gives those of the moment, and none
 * as long as they are not loaded.
 *
 * What they mean is the Jupyter kernel's business: it knows the options that they stand in for.
 */
export function followSettings(
  registry: ISettingRegistry | null,
  id: string
): () => Settings {
  let loaded: ISettingRegistry.ISettings | null = null;
  registry?.load(id).then(
    settings => {
      loaded = settings;
    },
    // Broken settings: JupyterLab says so itself, and translating works without them.
    () => undefined
  );
  return () => (loaded ? chosen(loaded) : {});
}

/** The values without JupyterLab's own entries (shortcuts, toolbars, menus). */
function chosen(settings: ISettingRegistry.ISettings): Settings {
  const names = Object.keys(settings.schema.properties ?? {});
  return Object.fromEntries(
    Object.entries(settings.composite).filter(([name]) => names.includes(name))
  ) as Settings;
}
