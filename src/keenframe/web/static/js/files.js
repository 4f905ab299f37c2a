// The page of pictures and videos: takes a file however it comes, and hands it to its view.

import { $, Problem, ask, fail, fileSize, sayPlace, showProblem } from "./page.js";
import { PictureView } from "./picture.js";
import { VideoView } from "./video.js";

const TITLE = document.title;
const VIDEO_NAMES = /\.(mp4|m4v|mov|mkv|webm|avi|ts|mts|m2ts|mpe?g|flv|og[gv]|wmv|asf|3gp)$/i;

/** The card that shows what is under way. */
const busy = {
  show({ name, text, part, more, cancel }) {
    showProblem(null);
    $("#start").hidden = true;
    $("#busy").hidden = false;
    if (name !== undefined) $("#busy-title").textContent = name;
    if (text !== undefined) $("#busy-say").textContent = text;
    $("#busy-more").textContent = more ?? "";
    if (cancel) $("#busy-cancel").onclick = cancel;
    const bar = $("#busy-bar");
    if (part === null || part === undefined) bar.removeAttribute("value");
    else bar.value = part;
    document.title = part ? `${Math.floor(part * 100)} % – ${$("#busy-title").textContent}` : TITLE;
  },
  hide() {
    $("#busy").hidden = true;
    document.title = TITLE;
  },
  home() {
    $("#start").hidden = false;
    $("#choose").focus();
  },
};

const picture = new PictureView($("#picture"));
const video = new VideoView($("#video"), busy, tryFrame);
let opening = null;
let about = null;

async function open(files) {
  const file = files[0];
  if (!file) return;
  opening?.abort();
  opening = new AbortController();
  const { signal } = opening;
  showProblem(null);
  picture.close();
  video.close();
  $("#start").hidden = $("#picture-back").hidden = true;
  try {
    const moving = file.type.startsWith("video/") || VIDEO_NAMES.test(file.name ?? "");
    await checkSize(file, moving);
    if (moving) {
      video.open(file);
    } else {
      busy.show({ name: file.name || "Pasted picture", text: "Reading the file", part: 0, cancel: home });
      await picture.open(file, (text, part) => busy.show({ text, part }), signal);
    }
    if (signal.aborted) return;
    busy.hide();
    $("section:not([hidden]) h1").focus();
    if (files.length > 1) showProblem(`One file at a time: this is “${file.name}”.`);
  } catch (error) {
    if (signal.aborted) return;
    home();
    fail(error);
  }
}

/** Say that a file is too large before it is sent. */
async function checkSize(file, moving) {
  about ??= await (await ask("/api/about")).json();
  const limit = moving ? about.video_bytes : about.picture_bytes;
  if (file.size > limit) {
    throw new Problem(`“${file.name}” has ${fileSize(file.size)}; expected at most ${fileSize(limit)}.`);
  }
  if (file.size === 0) throw new Problem(`“${file.name}” is empty.`);
}

function home() {
  opening?.abort();
  picture.close();
  video.close();
  busy.hide();
  busy.home();
}

/** Show what a strength does to one frame of the video. */
async function tryFrame(frame, strength) {
  showProblem(null);
  opening = new AbortController();
  const { signal } = opening;
  try {
    busy.show({ name: frame.name, text: "Reading the frame", part: null, cancel: () => back(strength) });
    await picture.open(frame, (text, part) => busy.show({ text, part }), signal, strength);
    busy.hide();
    $("#picture-back").hidden = false;
    $("#picture h1").focus();
  } catch (error) {
    if (signal.aborted) return;
    back(strength);
    throw error;
  }
}

function back(strength) {
  opening?.abort();
  picture.close();
  busy.hide();
  $("#picture-back").hidden = true;
  video.resumeAt(strength);
}

const SAMPLES = { picture: "a picture held into a bad call.jpg", video: "a bad call.webm" };

async function sample(kind) {
  const blob = await (await ask(`/samples/${kind}`)).blob();
  await open([new File([blob], SAMPLES[kind], { type: blob.type })]);
}

const input = $("#file");
// Each kind by its name: phones then hand over JPEG in the place of HEIC.
input.accept = "image/png,image/jpeg,image/webp,image/tiff,image/bmp,video/*,.mkv,.ts,.m2ts,.flv,.wmv";
input.addEventListener("change", () => {
  open([...input.files]);
  // So that the same file can be chosen again.
  input.value = "";
});
$("#choose").addEventListener("click", () => input.click());
for (const button of document.querySelectorAll("[data-sample]")) {
  button.addEventListener("click", () => sample(button.dataset.sample).catch(fail));
}
$("#picture-back").addEventListener("click", () => back(picture.strength));
for (const button of document.querySelectorAll("[data-again]")) button.addEventListener("click", () => input.click());

document.addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) open(files);
});

const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");
document.addEventListener("dragover", (event) => {
  if (!carriesFiles(event)) return;
  event.preventDefault();
  $("#veil").hidden = false;
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("#veil").hidden = true;
});
document.addEventListener("drop", (event) => {
  $("#veil").hidden = true;
  if (!carriesFiles(event)) return;
  event.preventDefault();
  open([...event.dataTransfer.files]);
});

sayPlace();
ask("/api/about").then((response) => response.json()).then((facts) => {
  about = facts;
  for (const node of document.querySelectorAll("[data-about]")) node.textContent = facts[node.dataset.about];
  $("[data-about=videos]").append(`, up to ${fileSize(facts.video_bytes)} and ${facts.video_minutes} minutes`);
}).catch(fail);
video.resume().then((there_is_one) => {
  if (there_is_one) $("#start").hidden = true;
});
