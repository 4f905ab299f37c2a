// Building elements, keys, full screen and the pause.

export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name in element && name !== "role") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

export const key = (name) => el("kbd", {}, name);
export const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
export const $ = (id) => document.getElementById(id);

// What is on the screen now. Everything that a page has set up ends with its signal.
let current = new AbortController();

export function show(...children) {
  current.abort();
  current = new AbortController();
  pressed = null;
  const stage = $("stage");
  stage.replaceChildren(...children);
  stage.scrollTop = 0;
  (stage.querySelector("[data-focus]") ?? stage).focus({ preventScroll: true });
  return current.signal;
}

export function card(heading, ...children) {
  document.body.classList.remove("dark");
  return show(el("div", { className: "page" }, el("section", { className: "card" }, el("h1", {}, heading), ...children)));
}

export function notice(text) {
  $("notice").textContent = text;
  $("notice").hidden = !text;
}

// One handler of keys at a time, the page's own; P and F work everywhere but in text fields.
let pressed = null;
export function onKey(handler) {
  pressed = handler;
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const typing = event.target instanceof HTMLInputElement && event.target.type === "text";
  if (!typing && !$("bar").hidden) {
    if (event.key === "p" || event.key === "P") return void pause();
    if (event.key === "f" || event.key === "F") return void toggleFullScreen();
  }
  if (document.querySelector(".veil")) return;
  // Enter and the space bar belong to the button that has the focus; but Enter on a grade confirms it.
  const onButton = event.target instanceof HTMLButtonElement &&
    (event.key === " " || (event.key === "Enter" && event.target.getAttribute("role") !== "radio"));
  if (!onButton && pressed?.(event.key, typing)) event.preventDefault();
});

// Time during which nobody looked: the page was paused or hidden.
let hiddenMs = 0;
let hiddenSince = null;

function looked(away) {
  if (away && hiddenSince === null) hiddenSince = performance.now();
  if (!away && hiddenSince !== null && !document.hidden && !document.querySelector(".veil")) {
    hiddenMs += performance.now() - hiddenSince;
    hiddenSince = null;
  }
}
document.addEventListener("visibilitychange", () => looked(document.hidden));

export function hiddenTime() {
  return hiddenMs;
}

export function pause() {
  if (document.querySelector(".veil")) return;
  const before = document.activeElement;
  const go = el("button", { type: "button", className: "main", onclick: end }, "Go on");
  const veil = el("div", { className: "veil", role: "dialog", "aria-modal": "true", "aria-label": "Pause" },
    el("section", { className: "card" }, el("h1", {}, "Pause"),
      el("p", {}, "Take your time. Everything you have answered is stored. You can also close this page and come back later in the same browser."),
      el("div", { className: "row" }, go)));
  function end() {
    veil.remove();
    looked(false);
    before?.focus?.();
    dispatchEvent(new Event("resumed"));
  }
  document.body.append(veil);
  looked(true);
  dispatchEvent(new Event("paused"));
  go.focus();
}

export function canFullScreen() {
  return document.fullscreenEnabled === true;
}

export async function toggleFullScreen(on = !document.fullscreenElement) {
  try {
    if (on && !document.fullscreenElement) await document.documentElement.requestFullscreen({ navigationUI: "hide" });
    if (!on && document.fullscreenElement) await document.exitFullscreen();
  } catch {
    // Refused by browser or person: the study works without.
  }
}

export function setUpBar() {
  $("pause").addEventListener("click", pause);
  $("full").addEventListener("click", () => toggleFullScreen());
  $("full").hidden = !canFullScreen();
  document.addEventListener("fullscreenchange", () => {
    $("full").textContent = document.fullscreenElement ? "Leave full screen" : "Full screen";
  });
}

export function place(title, done, total) {
  document.title = title;
  $("bar").hidden = false;
  $("title").textContent = title;
  $("place").textContent = `${Math.min(done + 1, total)} of ${total}`;
  $("progress").style.width = `${(100 * done) / total}%`;
}
