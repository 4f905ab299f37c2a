// The live page: a camera or a window, sharpened by the relay or in the browser, compared as it runs.

import { Compare } from "./compare.js";
import { $, Problem, ask, fail, happened, idle, isIdle, sayPlace, say, showProblem } from "./page.js";
import { Strength } from "./strength.js";
import { browserObstacle, inBrowser, throughRelay } from "./ways.js";

const STATS_MS = 1000;
const CAMERA = { video: { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } } };
const REFUSED = {
  NotAllowedError: "The browser was not allowed to take the picture. Allow it beside the address, then start again.",
  NotFoundError: "No camera was found. Plug one in, then start again.",
  NotReadableError: "The camera is in use by another program. Close that one, then start again.",
  OverconstrainedError: "The camera has no picture of a usable size.",
};

const compare = new Compare($(".compare"), $(".zoom"), "Live picture, before and after");
const slider = new Strength($(".strength"), () => running?.result.setStrength(slider.value));
const chosen = (name) => $(`input[name=${name}]:checked`).value;
let about = null;
let running = null;

async function start() {
  showProblem(null);
  idle($("#go"), true);
  $("#go").textContent = "Starting …";
  let source = null;
  try {
    source = await take(chosen("source"));
    const way = chosen("way") === "relay" ? throughRelay : inBrowser;
    const result = await way(source, slider.value, (message) => stop(message), about.browser);
    running = { source, result };
    await show(running);
  } catch (error) {
    stop();
    for (const track of source?.getTracks() ?? []) track.stop();
    fail(REFUSED[error.name] ? new Problem(REFUSED[error.name]) : error);
  } finally {
    idle($("#go"), false);
    $("#go").textContent = "Start";
  }
}

async function take(kind) {
  if (!navigator.mediaDevices) {
    throw new Problem("Browsers open a camera only for pages on their own computer or over https. Open this page on the computer that keenframe runs on, or reach it through a tunnel (ssh -L).");
  }
  const stream = kind === "camera"
    ? await navigator.mediaDevices.getUserMedia(CAMERA)
    : await navigator.mediaDevices.getDisplayMedia({ video: { frameRate: { ideal: 30 } }, audio: false });
  const [track] = stream.getVideoTracks();
  track.contentHint = "motion";
  track.addEventListener("ended", () => stop(kind === "camera" ? "The camera is gone." : null));
  return stream;
}

async function show(mine) {
  const { source, result } = mine;
  const left = new Promise((resolve) => { mine.left = resolve; });
  const [before, after] = [source, result.stream].map((stream) => {
    const video = document.createElement("video");
    Object.assign(video, { srcObject: stream, muted: true, playsInline: true, autoplay: true });
    return video;
  });
  before.setAttribute("aria-label", "The picture as it comes");
  after.setAttribute("aria-label", "The picture sharpened");
  const fit = () => {
    if (after.videoWidth) compare.resize([after.videoWidth, after.videoHeight]);
  };
  after.addEventListener("resize", fit);
  await Promise.race([
    left,
    happened(after, "loadeddata", "The sharpened picture cannot be shown."),
    new Promise((_, reject) => setTimeout(() => reject(new Problem("No sharpened picture came back. Try the other way.")), 20_000)),
  ]);
  if (running !== mine) return;
  const camera = source.getVideoTracks()[0].label || "Live picture";
  $("#show-title").textContent = camera;
  $("#setup").hidden = true;
  $("#show").hidden = false;
  compare.show({ before: [before], after: [after], size: [after.videoWidth, after.videoHeight] });
  $("#show-title").focus();
  say("Running.");
  measure(mine);
}

async function measure(mine) {
  while (running === mine) {
    const stats = await mine.result.stats().catch(() => ({}));
    if (running !== mine) return;
    if (stats.ended) return stop("The relay ended the call. Start it again.");
    const video = $(".layer.after video");
    const [width, height] = stats.size ?? [video?.videoWidth, video?.videoHeight];
    const parts = [
      width ? [`${width} × ${height}`, ""] : null,
      stats.fps !== undefined ? [Math.round(stats.fps), "frames a second"] : null,
      stats.delay_ms !== undefined ? [stats.delay_ms.toFixed(1), "ms a frame"] : null,
      stats.note ? ["", stats.note] : null,
    ];
    $("#stats").replaceChildren(...parts.filter(Boolean).map(([number, unit]) => {
      const part = document.createElement("span");
      const bold = document.createElement("b");
      bold.textContent = number;
      part.append(bold, number !== "" && unit ? ` ${unit}` : unit);
      return part;
    }));
    await new Promise((resolve) => setTimeout(resolve, STATS_MS));
  }
}

function stop(message) {
  const was = running;
  running = null;
  if (was) {
    was.left();
    was.result.stop();
    for (const track of was.source.getTracks()) track.stop();
    compare.show({ before: [], after: [], size: [16, 9] });
    $("#show").hidden = true;
    $("#setup").hidden = false;
    $("#go").focus();
    say("Stopped.");
  }
  if (message) showProblem(message);
}

/** Close what is not there, with the reason in the place of the hint. */
function close(way, reason) {
  const input = $(`input[value=${way}]`);
  input.disabled = true;
  $(`#${way}-hint`).textContent = reason;
  const other = $("input[name=way]:not(:disabled)");
  if (other) other.checked = true;
}

async function look() {
  about = await (await ask("/api/about")).json();
  if (!about.relay) close("relay", about.no_relay);
  const obstacle = await browserObstacle(about.browser);
  if (obstacle) close("browser", obstacle);
  $("#go").disabled = !$("input[name=way]:not(:disabled)");
}

$("#go").addEventListener("click", () => !isIdle($("#go")) && start());
$("#stop").addEventListener("click", () => stop());
addEventListener("pagehide", () => stop());
sayPlace();
look().catch(fail);
