// What all pages share: finding elements, saying what happened, asking the server.

export const $ = (selector, within = document) => within.querySelector(selector);

$(`nav a[href="${location.pathname}"]`).setAttribute("aria-current", "page");
// Where the focus came from to the box for problems, and goes when that is closed.
let origin = null;
$("#problem").addEventListener("focusin", ({ relatedTarget }) => { origin = relatedTarget; });
$("#problem button").addEventListener("click", () => {
  showProblem(null);
  ($("#main").contains(origin) && origin.checkVisibility() ? origin : $("#main")).focus();
});

/** An error whose message is meant for the user. */
export class Problem extends Error {}

const AWAY = "keenframe does not answer. Is it still running in the terminal?";

/** Show a message in the box for problems, or take it away. */
export function showProblem(message) {
  const box = $("#problem");
  // A box that is filled while hidden is not read out: show it first.
  box.hidden = !message;
  $("p", box).textContent = message ?? "";
  if (message) box.scrollIntoView({ block: "nearest" });
}

/** Take a button out of use, or back; `disabled` would take the focus from it. Its action has to ask `isIdle`. */
export function idle(button, is) {
  button.setAttribute("aria-disabled", is);
}

export const isIdle = (button) => button.getAttribute("aria-disabled") === "true";

/** Tell screen readers, without moving the focus. */
export function say(text) {
  $("#news").textContent = text;
}

/** Show why something went wrong; what the user broke off is no problem. */
export function fail(error) {
  if (error.name === "AbortError") return;
  if (!(error instanceof Problem)) console.error(error);
  showProblem(error instanceof Problem ? error.message : `Something went wrong on this page: ${error.message}`);
}

/** fetch, with the server's message as a Problem when it refuses. */
export async function ask(url, options = {}) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(AWAY);
  }
  if (!response.ok) throw new Problem(await refusal(response));
  return response;
}

async function refusal(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return `keenframe answered with ${response.status} ${response.statusText}.`;
  }
}

/** POST a file as the body of a request; onPart(0 to 1) tells how much of it is there. Resolves to the answer. */
export function upload(url, file, onPart, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", url);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = (event) => event.lengthComputable && onPart(event.loaded / event.total);
    request.onload = () => {
      if (request.status < 300) resolve(request.response);
      else reject(new Problem(request.response?.error?.message ?? `keenframe answered with ${request.status}.`));
    };
    request.onerror = () => reject(new Problem(AWAY));
    const stop = () => {
      request.abort();
      reject(new DOMException("stopped", "AbortError"));
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    request.send(file);
  });
}

/** Save `url` under `name`; a blob: URL or one of this server. */
export function save(url, name) {
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
}

/** Resolves when `node` has had its event `good`, rejects with `message` at an "error". */
export function happened(node, good, message) {
  return new Promise((resolve, reject) => {
    node.addEventListener(good, resolve, { once: true });
    node.addEventListener("error", () => reject(new Problem(message)), { once: true });
  });
}

/** Say where the work is done: here, or on the computer that was named in the address. */
export function sayPlace() {
  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  for (const node of document.querySelectorAll("[data-place]")) {
    if (!here) node.textContent = location.hostname;
  }
  return here;
}

/** "58 kB", "1.2 MB", "340 MB" */
export function fileSize(bytes) {
  if (bytes < 1e6) return `${Math.ceil(bytes / 1e3)} kB`;
  const size = bytes / 1e6;
  return `${size < 10 ? size.toFixed(1) : Math.round(size).toLocaleString("en")} MB`;
}

/** "3 min 20 s" */
export function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
