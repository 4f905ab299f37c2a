/** The popup: settings for all pages, and how the page in front stands. */

import { readSettings } from "../content/settings.js";

const REFRESH_MS = 500;
// Why the browser did not let us into the page.
let refusal = null;
const SCRIPT = "content/start.js";
const element = (id) => document.getElementById(id);

// As a page of its own it speaks of the tab that its address names.
const named = Number(new URLSearchParams(location.search).get("tab"));
const tab = named ? await chrome.tabs.get(named) : (await chrome.tabs.query({ active: true, currentWindow: true }))[0];
const origin = /^https?:/.test(tab?.url ?? "") ? `${new URL(tab.url).origin}/*` : null;

async function showSettings() {
  const { enabled, strength, compare } = await readSettings();
  element("enabled").checked = enabled;
  element("controls").disabled = !enabled;
  element("strength").value = strength;
  element("strength-value").value = strength.toFixed(1);
  element("compare").checked = compare;
}

function change(id, value) {
  element(id).addEventListener("input", () => chrome.storage.local.set({ [id]: value(element(id)) }).then(showSettings));
}

/** What the page says, or null where keenframe is not in it. */
function ask() {
  return chrome.tabs.sendMessage(tab.id, "status").catch(() => null);
}

// Where the extension's files may be loaded: https pages, and pages of this computer.
const REACHABLE = /^https:|^http:\/\/(localhost|127\.0\.0\.1)[:/]/;

const plural = (count, name) => `${count} ${name}${count === 1 ? "" : "s"}`;

function inWords({ videos, sharpened, streams, problem }, strength) {
  if (strength === 0 && streams.length) return "Strength 0: the videos show as they arrive.";
  if (sharpened) return `${plural(sharpened, "video")} sharpened.`;
  if (problem) return `Not sharpened: ${problem}.`;
  if (!videos) return "No video on this page.";
  if (streams.some(({ levelName }) => levelName === "pass")) return "This computer is busy: the videos show as they arrive.";
  return "No video of a call to sharpen here at the moment.";
}

async function showStatus() {
  const found = await ask();
  const foreign = found === null;
  const { enabled, strength } = await readSettings();
  const reachable = REACHABLE.test(tab?.url ?? "https:");
  element("site").hidden = !foreign || !reachable;
  element("always").hidden = !origin;
  element("forget").hidden = foreign || !(await isOwn());
  let text = foreign ? "keenframe is not on this page yet." : inWords(found, strength);
  if (!reachable) text = "keenframe cannot work on this page, only on https pages and on pages of this computer.";
  if (!enabled && !foreign) text = "Switched off.";
  if (foreign && refusal) text = refusal;
  // A screen reader hears changes only.
  if (element("status").textContent !== text) element("status").textContent = text;
  element("streams").replaceChildren(...(found?.streams ?? []).map(lineOf));
}

function lineOf({ arriving, shown, fps, msP50, levelName }) {
  const line = document.createElement("li");
  const size = arriving === shown ? shown : `${arriving} → ${shown}`;
  // With a hyphen at which the line does not break.
  const model = levelName === "pass" ? "as it arrives" : levelName.replaceAll("-", "\u2011");
  line.textContent = `${size.replaceAll("x", "×")} · ${Math.round(fps)} fps · ${msP50.toFixed(0)} ms · ${model}`;
  return line;
}

/** Whether the user has added this site. */
async function isOwn() {
  return Boolean(origin) && (await chrome.scripting.getRegisteredContentScripts({ ids: [origin] })).length > 0;
}

async function start() {
  try {
    await chrome.scripting.executeScript({ target: { tabId: tab.id, allFrames: true }, files: [SCRIPT] });
    refusal = null;
  } catch {
    refusal = "The browser lets no extension work on this page.";
  }
  await showStatus();
}

element("once").addEventListener("click", start);
element("always").addEventListener("click", async () => {
  if (!(await chrome.permissions.request({ origins: [origin] }))) return;
  const script = { id: origin, matches: [origin], js: [SCRIPT], allFrames: true, runAt: "document_idle" };
  // From another tab the site may have been added already.
  if (!(await isOwn())) await chrome.scripting.registerContentScripts([script]);
  await start();
});
element("forget").addEventListener("click", async () => {
  await chrome.scripting.unregisterContentScripts({ ids: [origin] });
  await chrome.permissions.remove({ origins: [origin] });
  element("status").textContent = "Removed; it ends when the page is loaded again.";
});
change("enabled", (input) => input.checked);
change("compare", (input) => input.checked);
change("strength", (input) => Number(input.value));
await showSettings();
await showStatus();
setInterval(showStatus, REFRESH_MS);
