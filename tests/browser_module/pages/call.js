/** A call from this page to itself, and what of it arrives, before and after keenframe. */

import { compileEngine } from "/keenframe/engine.js";
import { PictureTools, readFrame } from "/keenframe/picture.js";

// A frame's number in the clip, painted into its top rows as light and dark squares: eight bits, then their inverse.
const SQUARE = 16;
const BITS = 8;

function paintNumber(luma, width, number) {
  for (let bit = 0; bit < 2 * BITS; bit++) {
    const set = ((number >> (bit % BITS)) & 1) ^ (bit >= BITS ? 1 : 0);
    for (let y = 0; y < SQUARE; y++) luma.fill(set ? 235 : 16, y * width + bit * SQUARE, y * width + (bit + 1) * SQUARE);
  }
}

/** The number in a picture of the clip's size, or null where it cannot be read. */
function readNumber(luma, width) {
  let number = 0;
  for (let bit = 0; bit < 2 * BITS; bit++) {
    let sum = 0;
    for (let y = 4; y < 12; y++) for (let x = 4; x < 12; x++) sum += luma[y * width + bit * SQUARE + x];
    const set = sum / 64 > 128 ? 1 : 0;
    if (bit < BITS) number |= set << bit;
    else if (set === ((number >> (bit - BITS)) & 1)) return null;
  }
  return number;
}

/** A track that plays luma frames there and back, at `fps`. */
function play(clip, { width, height, frames, fps }) {
  const generator = new MediaStreamTrackGenerator({ kind: "video" });
  const writer = generator.writable.getWriter();
  const size = width * height;
  const begun = performance.now();
  let sent = 0;
  const timer = setInterval(() => {
    // Timers are late now and then: catch up by the clock.
    const due = Math.floor(((performance.now() - begun) * fps) / 1000);
    if (sent > due) return;
    sent = due + 1;
    const turn = due % (2 * frames - 2);
    const number = turn < frames ? turn : 2 * frames - 2 - turn;
    const data = new Uint8Array((size * 3) / 2).fill(128);
    data.set(clip.subarray(number * size, (number + 1) * size));
    paintNumber(data, width, number);
    const timestamp = Math.round((due * 1e6) / fps);
    const colorSpace = { matrix: "smpte170m", primaries: "smpte170m", transfer: "smpte170m", fullRange: false };
    writer.write(new VideoFrame(data, { format: "I420", codedWidth: width, codedHeight: height, timestamp, colorSpace }));
  }, 1000 / fps / 4);
  return {
    track: generator,
    stop() {
      clearInterval(timer);
      generator.stop();
    },
  };
}

async function connect(track, codec, kbps, shrink) {
  const [near, far] = [new RTCPeerConnection(), new RTCPeerConnection()];
  near.onicecandidate = ({ candidate }) => far.addIceCandidate(candidate);
  far.onicecandidate = ({ candidate }) => near.addIceCandidate(candidate);
  const received = new Promise((resolve) => {
    far.ontrack = (event) => resolve(event.track);
  });
  const transceiver = near.addTransceiver(track, { direction: "sendonly" });
  const { codecs } = RTCRtpSender.getCapabilities("video");
  transceiver.setCodecPreferences(codecs.filter(({ mimeType }) => mimeType === `video/${codec}`));
  await near.setLocalDescription();
  await far.setRemoteDescription(near.localDescription);
  await far.setLocalDescription();
  await near.setRemoteDescription(far.localDescription);
  const parameters = transceiver.sender.getParameters();
  parameters.encodings[0].maxBitrate = kbps * 1000;
  parameters.encodings[0].scaleResolutionDownBy = shrink;
  await transceiver.sender.setParameters(parameters);
  return { track: await received, close: () => [near, far].forEach((end) => end.close()) };
}

/** Calls `look(picture)` with every frame of a track until it is stopped. */
function watch(track, look) {
  const reader = new MediaStreamTrackProcessor({ track }).readable.getReader();
  (async () => {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      await look(await readFrame(value));
      value.close();
    }
  })();
  return () => reader.cancel();
}

/**
 * Send a clip, wait `settleMs` for the rate control, and keep `wanted` received frames before and after keenframe, both at
 * the clip's size, in `window.kept`: [{number, size, before, after}].
 * @returns {Promise<object>} keenframe's stats, and the sizes that arrived
 */
export async function call(keenframe, { clip, width, height, frames, fps, codec, kbps, shrink, settleMs, wanted, patienceMs }) {
  const source = play(new Uint8Array(await (await fetch(clip)).arrayBuffer()), { width, height, frames, fps });
  const connection = await connect(source.track, codec, kbps, shrink);
  const handle = keenframe.attach(connection.track, { size: { width, height } });
  const tools = new PictureTools(await compileEngine(`${location.origin}/keenframe/`));
  const begun = performance.now();
  const [before, kept] = [new Map(), []];
  const stops = [
    watch(connection.track, (picture) => {
      const { data } = tools.enlarge(picture, width, height);
      before.set(picture.meta.timestamp, { size: `${picture.width}x${picture.height}`, luma: data.slice(0, width * height) });
      if (before.size > 30) before.delete(before.keys().next().value);
    }),
  ];
  await new Promise((resolve, reject) => {
    const give = setTimeout(() => reject(new Error(`only ${kept.length} frames came: ${JSON.stringify(handle.stats())}`)), patienceMs);
    stops.push(watch(handle.track, ({ data, meta }) => {
      const old = before.get(meta.timestamp);
      if (performance.now() - begun < settleMs || !old || kept.length >= wanted) return;
      const number = readNumber(old.luma, width);
      if (number === null || number >= frames) return;
      kept.push({ number, size: old.size, before: old.luma, after: data.slice(0, width * height) });
      if (kept.length === wanted) {
        clearTimeout(give);
        resolve();
      }
    }));
  });
  window.kept = kept;
  const stats = handle.stats();
  stops.forEach((stop) => stop());
  handle.stop();
  await handle.done;
  connection.close();
  source.stop();
  return { ...stats, sizes: [...new Set(kept.map(({ size }) => size))], seconds: (performance.now() - begun) / 1000 };
}

/** A kept plane as base64, because bytes do not pass to the test otherwise. */
export function planeOf(index, which) {
  const bytes = window.kept[index][which];
  let text = "";
  for (let at = 0; at < bytes.length; at += 32768) text += String.fromCharCode(...bytes.subarray(at, at + 32768));
  return btoa(text);
}
