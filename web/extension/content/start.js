// Content scripts are no modules; what they import is. A second run, by the popup, changes nothing.
if (!globalThis.keenframeStarted) {
  globalThis.keenframeStarted = true;
  import(chrome.runtime.getURL("content/main.js")).catch((error) => console.error("keenframe cannot start:", error));
}
