// The two ways to sharpen a live picture. Each takes a stream and resolves to
// { stream, setStrength, stats, stop }: stats() resolves to { size, fps, delay_ms, note, ended }, any of them absent.

import { Problem, ask } from "./page.js";

const MODULE = "/static/keenframe/keenframe.js";
const GATHERING_MS = 2000;
const CONNECTING_MS = 15_000;
const SETTLING_MS = 200;

/** Why the browser's way is not open, or "". models: what the server has for it. */
export async function browserObstacle(models) {
  if (!models.length) return "not part of this installation";
  const { wasm, native, canvas } = (await loaded()).support();
  if (!wasm) return "needs a newer browser, one with SIMD in WebAssembly";
  return native.length && canvas.length ? "needs a newer browser: Chrome, Edge, Firefox or Safari of today" : "";
}

async function loaded() {
  const module = await import(MODULE).catch(() => {
    throw new Problem("The part that sharpens within the browser could not be loaded.");
  });
  return module.Keenframe;
}

/** Sharpen within this page. models: names, the largest first; onEnd(message) when it breaks. */
export async function inBrowser(stream, strength, onEnd, models) {
  const keenframe = await (await loaded()).load(models, { strength });
  const handle = keenframe.attach(stream.getVideoTracks()[0]);
  let wanted = strength;
  let stopped = false;
  handle.done.catch((error) => stopped || onEnd(`Sharpening in the browser broke off: ${error.message}`));
  return {
    stream: new MediaStream([handle.track]),
    setStrength: (value) => handle.setStrength((wanted = value)),
    stats: async () => {
      const stats = handle.stats();
      if (!stats) return {};
      return { fps: stats.fps, ...described(stats.levelName, stats.msP50, wanted) };
    },
    stop: () => {
      stopped = true;
      handle.stop();
      keenframe.close();
    },
  };
}

/** Send it to the relay and take what comes back; onEnd(message) when the connection breaks. */
export async function throughRelay(stream, strength, onEnd) {
  const peer = new RTCPeerConnection();
  let call = null;
  let wanted = strength;
  let left = false;
  const leave = () => {
    left = true;
    peer.close();
    // keepalive: also when the page is being closed.
    if (call) fetch(`/api/relay/${call}`, { method: "DELETE", keepalive: true }).catch(() => {});
  };
  try {
    for (const track of stream.getTracks()) peer.addTrack(track, stream);
    const arrived = new Promise((resolve) => {
      peer.addEventListener("track", ({ track, receiver }) => {
        // As soon as it comes: who looks at themselves notices every delay.
        if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
        if (track.kind === "video") resolve(new MediaStream([track]));
      });
    });
    await peer.setLocalDescription();
    await gathered(peer);
    const response = await ask("/api/relay/offer", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ sdp: peer.localDescription.sdp }),
    });
    const answer = await response.json();
    call = answer.id;
    const send = later(async (value) => {
      if (!left) await ask(`/api/relay/${call}/strength?strength=${value}`, { method: "POST" });
    });
    const setStrength = (value) => send((wanted = value));
    if (strength !== 1) setStrength(strength);
    await peer.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    await connected(peer);
    peer.addEventListener("connectionstatechange", () => {
      if (peer.connectionState === "failed") onEnd("The connection to the relay broke.");
    });
    return { stream: await arrived, setStrength, stats: () => received(peer, call, wanted), stop: leave };
  } catch (error) {
    leave();
    throw error;
  }
}

/** `send` called with the newest value only, one call at a time, and not for every step of a slider. */
function later(send) {
  let newest;
  let busy = false;
  return async (value) => {
    newest = value;
    if (busy) return;
    busy = true;
    while (newest !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, SETTLING_MS));
      const sent = newest;
      newest = undefined;
      await send(sent).catch(() => {});
    }
    busy = false;
  };
}

/** Resolves when all ways to reach this page are in the offer, or after a while. */
function gathered(peer) {
  return new Promise((resolve) => {
    const check = () => peer.iceGatheringState === "complete" && resolve();
    peer.addEventListener("icegatheringstatechange", check);
    setTimeout(resolve, GATHERING_MS);
    check();
  });
}

function connected(peer) {
  return new Promise((resolve, reject) => {
    const late = new Problem("No connection to the relay came about. A firewall or a VPN may be in its way.");
    const timer = setTimeout(() => reject(late), CONNECTING_MS);
    const check = () => {
      if (peer.connectionState === "connected") resolve();
      else if (peer.connectionState === "failed") reject(late);
      else return;
      clearTimeout(timer);
    };
    peer.addEventListener("connectionstatechange", check);
    check();
  });
}

/** What came back of a call, and what the relay says of it. */
async function received(peer, call, strength) {
  const answer = await fetch(`/api/relay/${call}`).catch(() => null);
  if (answer?.status === 404) return { ended: true };
  const found = {};
  for (const report of (await peer.getStats()).values()) {
    if (report.type !== "inbound-rtp" || report.kind !== "video") continue;
    found.fps = report.framesPerSecond;
    if (report.frameWidth) found.size = [report.frameWidth, report.frameHeight];
  }
  if (!answer?.ok) return found;
  const { level, ready, processing_ms } = await answer.json();
  if (!ready) return { ...found, note: "the model is being made ready: frames pass as they are" };
  return { ...found, ...described(level, processing_ms, strength) };
}

/** The level in words; a frame's time where one is sharpened. */
function described(level, delay_ms, strength) {
  if (strength === 0) return { note: "frames pass as they are" };
  if (level !== "pass") return { delay_ms: delay_ms ?? undefined, note: `model ${level}` };
  return { note: "too slow or too busy here: frames pass as they are" };
}
