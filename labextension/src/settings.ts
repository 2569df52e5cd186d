import type { ISettingRegistry } from '@jupyterlab/settingregistry';
import type { TranslationBundle } from '@jupyterlab/translation';
import type { Settings } from './protocol';

/**
 * Follows the settings of plugin `id`; the returned function gives those of the moment, and none
 * as long as they are not loaded.
 *
 * What they mean is the Jupyter kernel's business: it knows the options that they stand in for.
 */
export function followSettings(
  registry: ISettingRegistry | null,
  id: string,
  trans: TranslationBundle
): () => Settings {
  let loaded: ISettingRegistry.ISettings | null = null;
  // Connected before anyone has settings of this plugin, so that all of them find it translated.
  registry?.pluginChanged.connect((_, changed) => {
    if (changed === id) {
      translateSchema(registry.plugins[id]?.schema, trans);
    }
  });
  registry?.load(id).then(
    settings => {
      translateSchema(settings.schema, trans);
      loaded = settings;
    },
    // Broken settings: JupyterLab says so itself, and translating works without them.
    () => undefined
  );
  return () => (loaded ? chosen(loaded) : {});
}

/**
 * Put what the settings editor shows into the user's language, in place. JupyterLab's server
 * translates a schema from its language packs only, which know no extension like this one; it
 * sends the schema anew with every change.
 */
function translateSchema(
  schema: ISettingRegistry.ISchema | undefined,
  trans: TranslationBundle
): void {
  for (const entry of schema
    ? [schema, ...Object.values(schema.properties ?? {})]
    : []) {
    if (entry.title) {
      entry.title = trans.gettext(entry.title);
    }
    if (entry.description) {
      entry.description = trans.gettext(entry.description);
    }
  }
}

/** The values without JupyterLab's own entries (shortcuts, toolbars, menus). */
function chosen(settings: ISettingRegistry.ISettings): Settings {
  const names = Object.keys(settings.schema.properties ?? {});
  return Object.fromEntries(
    Object.entries(settings.composite).filter(([name]) => names.includes(name))
  ) as Settings;
}
