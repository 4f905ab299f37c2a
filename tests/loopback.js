// A browser's end of a call to itself: sends numbered frames to the relay and reads the numbers of those that return.
// The number is a barcode of 16 squares along the top of the luma plane: 12 bits of Gray code and 4 bits of check.
"use strict";

const BITS = 16;
const NUMBERS = 4096;
const state = { pc: null, sent: [], received: [], sound: null, running: false, error: null, frames: 0 };

function barcode(number) {
  const gray = number ^ (number >> 1);
  return gray | (((gray ^ (gray >> 4) ^ (gray >> 8)) & 15) << 12);
}

const numberOf = new Map(Array.from({ length: NUMBERS }, (_, number) => [barcode(number), number]));

function paint(plane, width, number) {
  const side = (width / 40) | 0;
  const code = barcode(number);
  for (let bit = 0; bit < BITS; bit++) {
    for (let row = 0; row < side; row++) {
      const start = row * width + bit * side;
      plane.fill((code >> bit) & 1 ? 210 : 40, start, start + side);
    }
  }
}

function read(plane, stride, width) {
  const side = width / 40;
  let code = 0;
  for (let bit = 0; bit < BITS; bit++) {
    const column = ((bit + 0.5) * side) | 0;
    const row = (0.5 * side) | 0;
    let sum = 0;
    for (let y = -1; y <= 1; y++) for (let x = -1; x <= 1; x++) sum += plane[(row + y) * stride + column + x];
    if (sum > 9 * 125) code |= 1 << bit;
  }
  return numberOf.get(code) ?? -1;
}

async function readBack(track, options) {
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  for (;;) {
    const { value: frame, done } = await reader.read();
    if (done) return;
    const now = performance.now();
    const { width, height } = frame.visibleRect;
    const sample = options.sampleEvery && state.received.length % options.sampleEvery === 0;
    const top = { x: 0, y: 0, width, height: Math.ceil(height / 20 / 2) * 2 };
    const rect = sample ? { x: 0, y: 0, width, height } : top;
    const buffer = new Uint8Array(frame.allocationSize({ rect }));
    const layout = await frame.copyTo(buffer, { rect });
    frame.close();
    const number = read(buffer.subarray(layout[0].offset), layout[0].stride, width);
    state.received.push([number, now - (state.sent[number] ?? NaN), width, height, now]);
    if (sample && number >= 0 && layout[0].stride === width) {
      const luma = buffer.subarray(layout[0].offset, layout[0].offset + width * height);
      fetch(`/frame?number=${number}&width=${width}&height=${height}`, { method: "POST", body: luma }).catch(() => {});
    }
  }
}

async function send(writer, options) {
  const { width, height, fps } = options;
  const size = (width * height * 3) / 2;
  const source = new Uint8Array(await (await fetch("/source")).arrayBuffer());
  const count = source.length / size;
  const start = performance.now();
  for (let index = 0; state.running; index++) {
    const at = index % (2 * count);
    const place = at < count ? at : 2 * count - 1 - at;
    const buffer = source.slice(place * size, (place + 1) * size);
    const number = index % NUMBERS;
    paint(buffer, width, number);
    const due = start + (index * 1000) / fps;
    const wait = due - performance.now();
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
    const now = performance.now();
    const frame = new VideoFrame(buffer, {
      format: "I420", codedWidth: width, codedHeight: height, timestamp: Math.round(now * 1000),
    });
    state.sent[number] = now;
    state.frames = index + 1;
    await writer.write(frame);
  }
}

async function start(options) {
  const pc = (state.pc = new RTCPeerConnection());
  state.running = true;
  const generator = new MediaStreamTrackGenerator({ kind: "video" });
  const stream = new MediaStream([generator]);
  const transceiver = pc.addTransceiver(generator, { direction: "sendrecv", streams: [stream] });
  const known = RTCRtpReceiver.getCapabilities("video").codecs;
  const wanted = (codec) => codec.mimeType === `video/${options.codec}`;
  transceiver.setCodecPreferences([...known.filter(wanted), ...known.filter((codec) => !wanted(codec))]);
  if (options.sound) {
    const context = new AudioContext();
    const tone = context.createOscillator();
    const end = context.createMediaStreamDestination();
    tone.connect(end);
    tone.start();
    pc.addTransceiver(end.stream.getAudioTracks()[0], { direction: "sendrecv", streams: [stream] });
  }
  pc.ontrack = ({ track, receiver, streams }) => {
    receiver.jitterBufferTarget = 0;
    if (track.kind === "video") readBack(track, options).catch((error) => (state.error = String(error)));
    // Sound that nobody plays is not decoded.
    if (track.kind === "audio") {
      state.sound = new Audio();
      state.sound.srcObject = options.play ? streams[0] : new MediaStream([track]);
      state.sound.play();
    }
  };
  await pc.setLocalDescription(await pc.createOffer());
  while (pc.iceGatheringState !== "complete") {
    await new Promise((resolve) => pc.addEventListener("icegatheringstatechange", resolve, { once: true }));
  }
  const body = JSON.stringify({ type: "offer", sdp: pc.localDescription.sdp });
  const response = await fetch("/offer", { method: "POST", body });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  await pc.setRemoteDescription({ type: "answer", sdp: answer.sdp });
  if (options.maxKbps) {
    const parameters = transceiver.sender.getParameters();
    parameters.encodings[0].maxBitrate = options.maxKbps * 1000;
    await transceiver.sender.setParameters(parameters);
  }
  send(generator.writable.getWriter(), options).catch((error) => (state.error = String(error)));
}

async function statistics() {
  const report = [...(await state.pc.getStats()).values()];
  const of = (type, kind) => report.find((entry) => entry.type === type && entry.kind === kind) ?? {};
  return {
    connection: state.pc.connectionState,
    error: state.error,
    frames: state.frames,
    inbound: of("inbound-rtp", "video"),
    outbound: of("outbound-rtp", "video"),
    sound: of("inbound-rtp", "audio"),
  };
}

function stop() {
  state.running = false;
  state.pc.close();
}

window.loopback = {
  start, statistics, stop,
  peer: () => state.pc,
  received: (from) => state.received.slice(from),
  // Gone without a word, as when a laptop is shut: the connection is left to itself.
  freeze: () => (state.running = false),
};
