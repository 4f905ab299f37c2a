// Talking to the server so that nothing gets lost: every request is repeated until there is an answer.

import { notice, sleep } from "./ui.js";

const STORE = "keenframe.study";
const TIMEOUT_MS = 20000;
const MEDIA_TIMEOUT_MS = 180000;
const WAITS_MS = [400, 800, 1600, 3200, 6000];

// {token, secret, pending, starting}: kept in the browser so that a reload goes on where it was.
export let kept = read();

function read() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}

export function keep(changes) {
  kept = { ...kept, ...changes };
  try {
    localStorage.setItem(STORE, JSON.stringify(kept));
  } catch {
    // Storage is off: the session works until the page is closed.
  }
}

export function forget() {
  kept = {};
  try {
    localStorage.removeItem(STORE);
  } catch {
    // See above.
  }
}

export function randomHex(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function request(path, options, timeoutMs) {
  const headers = kept.secret ? { Authorization: `Bearer ${kept.secret}` } : {};
  if (options.body) headers["Content-Type"] = "application/json";
  return fetch(path, { ...options, headers, cache: options.cache ?? "no-store", signal: AbortSignal.timeout(timeoutMs) });
}

// The parsed answer. Refused when the server says that it will not; else tries again for as long as it takes.
async function insistent(path, options, timeoutMs, parse) {
  for (let attempt = 0; ; attempt++) {
    let waitMs = WAITS_MS[Math.min(attempt, WAITS_MS.length - 1)];
    try {
      const response = await request(path, options, timeoutMs);
      if (response.ok) {
        const parsed = await parse(response);
        if (attempt) notice("");
        return parsed;
      }
      const temporary = response.status >= 500 || response.status === 408 || response.status === 429;
      if (!temporary) {
        notice("");
        const said = await response.json().catch(() => ({}));
        throw new Refused(response.status, said.error ?? `The server answered ${response.status}.`);
      }
      waitMs = Math.max(waitMs, 1000 * Number(response.headers.get("Retry-After") ?? 0));
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    if (attempt >= 1) notice("No connection to the server. Your answer is kept; trying again …");
    await sleep(waitMs);
  }
}

export const get = (path) => insistent(path, {}, TIMEOUT_MS, (response) => response.json());
export const post = (path, body) =>
  insistent(path, { method: "POST", body: JSON.stringify(body) }, TIMEOUT_MS, (response) => response.json());

// Media as blobs: complete before they are shown, so a slow line is never seen as a bad picture.
const blobs = new Map();
const BLOBS_MAX = 12;

export function media(name) {
  let url = blobs.get(name);
  blobs.delete(name);
  url ??= insistent(`media/${name}`, { cache: "default" }, MEDIA_TIMEOUT_MS, async (response) =>
    URL.createObjectURL(await response.blob()));
  blobs.set(name, url);
  url.catch(() => blobs.delete(name));
  for (const [old, promise] of blobs) {
    if (blobs.size <= BLOBS_MAX) break;
    blobs.delete(old);
    promise.then(URL.revokeObjectURL, () => {});
  }
  return url;
}

export async function fetchAhead(names) {
  for (const name of names) await media(name).catch(() => {});
}
