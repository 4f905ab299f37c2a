/** What the popup sets and every page follows; `level` stays on one model, and has no place in the popup. */

export const DEFAULTS = { enabled: true, strength: 1, compare: false, level: null };

/** The settings as they are stored. */
export function readSettings() {
  return chrome.storage.local.get(DEFAULTS);
}

/** Calls `changed(settings)` whenever the popup has changed one. */
export function watchSettings(changed) {
  chrome.storage.local.onChanged.addListener(() => readSettings().then(changed));
}
