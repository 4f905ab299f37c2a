"use strict";

const element = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token");
const headers = token ? { Authorization: `Bearer ${token}` } : {};
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

async function exchange(pc) {
  await pc.setLocalDescription(await pc.createOffer());
  await gathered(pc);
  const { type, sdp } = pc.localDescription;
  const response = await fetch("/offer", {
    method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ type, sdp }),
  });
  const answer = await response.json().catch(() => ({ error: `the relay answered with status ${response.status}` }));
  if (!response.ok) throw new Error(answer.error);
  await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  return answer.id;
}

async function start() {
  element("start").disabled = true;
  const pc = new RTCPeerConnection();
  const mine = (call = { pc, id: null, stream: null, timer: null });
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
    mine.id = await exchange(pc);
    if (call !== mine) return leave(mine);
    element("stop").disabled = false;
    mine.timer = setInterval(() => show(mine), 1000);
  } catch (error) {
    if (call === mine) stop(String(error.message ?? error), true);
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

async function show({ id, pc }) {
  const response = await fetch("/stats.json", { headers }).catch(() => null);
  const numbers = response?.ok ? (await response.json()).participants[id] : null;
  if (call?.id !== id) return;
  if (!numbers) return stop(response ? "The relay ended the call." : "The relay does not answer.", true);
  const size = numbers.size_out ? numbers.size_out.join(" × ") : "–";
  const delay = numbers.latency_ms.p50 ?? 0;
  const level = numbers.level_name;
  const how = level === "pass" ? "not sharpened: this computer is too busy" : level ? `sharpened by ${level}` : "";
  say([`${pc.connectionState}: ${size}`, `${numbers.fps_out.toFixed(0)} frames a second`,
       `${delay.toFixed(0)} ms in the relay`, how].filter(Boolean).join(", "));
}

function leave({ id, pc, stream, timer }) {
  clearInterval(timer);
  pc.close();
  for (const track of stream?.getTracks() ?? []) track.stop();
  if (id) fetch(`/peers/${id}`, { method: "DELETE", headers, keepalive: true }).catch(() => {});
}

function stop(text = "Stopped.", bad = false) {
  if (call) leave(call);
  call = null;
  element("sent").srcObject = element("back").srcObject = null;
  element("start").disabled = false;
  element("stop").disabled = true;
  say(text, bad);
}

element("start").addEventListener("click", start);
element("stop").addEventListener("click", () => stop());
element("hear").addEventListener("change", (event) => (element("back").muted = !event.target.checked));
addEventListener("pagehide", () => call && stop());
