"use strict";

const element = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token");
const headers = token ? { Authorization: `Bearer ${token}` } : {};
const REFUSED = {
  NotAllowedError: "The browser was not given the camera. Allow it beside the address, then start again.",
  NotFoundError: "No camera was found. Plug one in, then start again.",
  NotReadableError: "The camera is in use by another program. Close that one, then start again.",
};
const SILENT = "The relay does not answer. Is it still running in the terminal?";
const PATIENCE_MS = 5000;
let call = null;

function say(text, bad = false) {
  element("status").textContent = text;
  element("status").className = bad ? "bad" : "";
}

async function gathered(pc) {
  while (pc.iceGatheringState !== "complete") {
    await new Promise((resolve) => pc.addEventListener("icegatheringstatechange", resolve, { once: true }));
  }
}

// Takes a button out of use, or back; `disabled` would take the keyboard's focus from it.
function idle(id, is) {
  element(id).setAttribute("aria-disabled", is);
}

function onClick(id, action) {
  element(id).addEventListener("click", ({ currentTarget }) => {
    if (currentTarget.getAttribute("aria-disabled") !== "true") action();
  });
}

async function exchange(mine) {
  const { pc } = mine;
  await pc.setLocalDescription(await pc.createOffer());
  await gathered(pc);
  const { type, sdp } = pc.localDescription;
  const response = await fetch("/offer", {
    method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ type, sdp }),
  }).catch(() => {
    throw new Error(SILENT);
  });
  const answer = await response.json().catch(() => ({ error: `the relay answered with status ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  // The place is taken from here on, also where nobody waits for it any more.
  mine.id = answer.id;
  await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
}

async function start() {
  idle("start", true);
  element("size").disabled = true;
  const pc = new RTCPeerConnection();
  const mine = (call = { pc, id: null, stream: null });
  try {
    say("Asking for the camera …");
    const [width, height] = element("size").value.split("x").map(Number);
    const video = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: 30 } };
    mine.stream = await openCamera(video);
    element("sent").srcObject = mine.stream;
    for (const track of mine.stream.getTracks()) pc.addTrack(track, mine.stream);
    pc.ontrack = ({ receiver, streams }) => {
      // As soon as it comes: this is a mirror.
      if ("jitterBufferTarget" in receiver) receiver.jitterBufferTarget = 0;
      element("back").srcObject = streams[0];
    };
    pc.onconnectionstatechange = () => {
      if (pc.connectionState === "failed") stop("The connection failed. Start again.", true);
    };
    say("Connecting …");
    idle("stop", false);
    await exchange(mine);
    if (call !== mine) return leave(mine);
    watch(mine);
  } catch (error) {
    if (call === mine) stop(REFUSED[error.name] ?? String(error.message ?? error), true);
    else leave(mine);
  }
}

async function openCamera(video) {
  if (!navigator.mediaDevices) throw new Error("Browsers open a camera only on https pages and on this computer.");
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: true });
  } catch (error) {
    if (error.name !== "NotFoundError") throw error;
    return navigator.mediaDevices.getUserMedia({ video });
  }
}

// The relay's numbers; an Error in words for the user when there are none.
async function numbers() {
  const options = { headers, signal: AbortSignal.timeout(PATIENCE_MS) };
  const response = await fetch("/stats.json", options).catch(() => {
    throw new Error(SILENT);
  });
  if (response.ok) return response.json();
  throw new Error((await response.json().catch(() => ({}))).error ?? SILENT);
}

async function watch(mine) {
  while (call === mine) {
    try {
      const found = (await numbers()).participants[mine.id];
      if (call !== mine) return;
      if (!found) return stop("The relay ended the call. Start it again.", true);
      show(mine.pc.connectionState, found);
    } catch (error) {
      if (call === mine) stop(error.message, true);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

function show(state, { size_out, fps_out, latency_ms, level_name, ready }) {
  if (state !== "connected" || !size_out) return;
  // Said once: what a screen reader reads out is not to change every second.
  if (element("status").textContent !== "Connected.") say("Connected.");
  const how = level_name === "pass" ? "not sharpened: this computer is too busy"
    : ready ? `sharpened by ${level_name}` : "not sharpened yet: the model is being made ready";
  element("numbers").textContent = [
    size_out.join(" × "), `${fps_out.toFixed(0)} frames a second`,
    `${(latency_ms.p50 ?? 0).toFixed(0)} ms in the relay`, how,
  ].join(", ");
}

function leave(mine) {
  const { id, pc, stream } = mine;
  mine.id = null;
  pc.close();
  for (const track of stream?.getTracks() ?? []) track.stop();
  if (id) fetch(`/peers/${id}`, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

function stop(text = "Stopped.", bad = false) {
  if (call) leave(call);
  call = null;
  element("sent").srcObject = element("back").srcObject = null;
  idle("start", false);
  element("size").disabled = false;
  idle("stop", true);
  element("numbers").textContent = "";
  say(text, bad);
}

onClick("start", start);
onClick("stop", () => stop());
element("hear").addEventListener("change", (event) => (element("back").muted = !event.target.checked));
addEventListener("pagehide", () => call && stop());
// Whoever has no token learns it before the camera goes on.
numbers().then(() => (element("start").disabled = false), (error) => say(error.message, true));
