/** Finds the videos of a call page and keeps the largest of them sharpened. */

import { EngineLink } from "./engine.js";
import { isCandidate, sizeOnScreen } from "./layout.js";
import { Overlay } from "./overlay.js";
import { readSettings, watchSettings } from "./settings.js";

// More videos than this at once are left as they are, the smallest first.
const VIDEOS_MAX = 6;
const LOOK_MS = 1000;
// How long other frames have to say how they stand, before a page without a call of its own does.
const OTHERS_MS = 200;
// Part of the processor that sharpening may take, shared by the videos.
const CPU_SHARE = 0.5;

const link = new EngineLink();
/** @type {Map<HTMLVideoElement, Overlay>} */
const overlays = new Map();
let settings = await readSettings();
let waiting = false;

const area = (video) => video.offsetWidth * video.offsetHeight;

function wanted() {
  if (!settings.enabled || document.hidden) return [];
  const videos = [...document.querySelectorAll("video")].filter((video) => isCandidate(video) && sizeOnScreen(video));
  return videos.sort((a, b) => area(b) - area(a)).slice(0, VIDEOS_MAX);
}

function options(count) {
  const { strength, compare, level } = settings;
  const cores = Math.max(1, navigator.hardwareConcurrency * CPU_SHARE);
  return { strength, compare, level, cpuShare: Math.min(1, cores / Math.max(1, count)) };
}

async function look() {
  const videos = wanted();
  const before = overlays.size;
  for (const [video, overlay] of overlays) {
    if (videos.includes(video)) continue;
    overlay.end();
    overlays.delete(video);
  }
  if (videos.length) await link.open().catch(() => videos.splice(0));
  for (const video of videos) {
    if (!overlays.has(video)) overlays.set(video, new Overlay(video, link, options(videos.length)));
  }
  if (overlays.size !== before) apply();
  // What was switched off takes no memory.
  if (!settings.enabled) link.close();
}

function apply() {
  for (const overlay of overlays.values()) overlay.set(options(overlays.size));
}

/** Look soon, and once for many changes at the same time. */
function lookSoon() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    running = running.then(look, look);
  }, 100);
}

function status() {
  const found = [...overlays.values()];
  const streams = found.map(({ stats }) => stats).filter(Boolean);
  return {
    videos: document.querySelectorAll("video").length,
    sharpened: found.filter((overlay) => overlay.showing).length,
    streams: streams.map(({ arriving, shown, fps, msP50, levelName }) => ({ arriving, shown, fps, msP50, levelName })),
    problem: link.problem,
  };
}

let running = Promise.resolve();
new MutationObserver(lookSoon).observe(document.documentElement, { childList: true, subtree: true });
for (const name of ["playing", "loadeddata", "emptied", "ended", "resize"]) document.addEventListener(name, lookSoon, true);
for (const name of ["resize", "scroll", "fullscreenchange"]) addEventListener(name, lookSoon, { passive: true, capture: true });
document.addEventListener("visibilitychange", lookSoon);
setInterval(lookSoon, LOOK_MS);
watchSettings((changed) => {
  settings = changed;
  apply();
  lookSoon();
});
chrome.runtime.onMessage.addListener((message, _sender, respond) => {
  // Of a page of several frames the first answer counts: the one that has the call gives it, the page itself waits.
  if (message !== "status" || (window !== top && !overlays.size)) return false;
  setTimeout(() => respond(status()), overlays.size ? 0 : OTHERS_MS);
  return true;
});
lookSoon();
