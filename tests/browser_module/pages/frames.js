/** Frames made and read in tests. */

import { planesOf, readFrame } from "/keenframe/picture.js";

/** A frame of `format` with soft edges everywhere, which are sharpened, and a little noise, the same for the same seed. */
export function softFrame(format, width, height, { seed = 1, timestamp = 0, ...init } = {}) {
  const planes = planesOf(format, width, height);
  const last = planes.at(-1);
  const data = new Uint8Array(last.offset + last.channels * last.width * last.height);
  let state = seed;
  for (const { offset, channels, width: columns, height: rows } of planes) {
    for (let i = 0; i < channels * columns * rows; i++) {
      const [x, y] = [(i / channels) % columns, i / channels / columns];
      state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
      const edge = Math.tanh(4 * Math.sin(x / 6 + seed) * Math.cos(y / 7));
      data[offset + i] = 126 + 70 * edge + ((state >> 16) & 3) + 10 * (i % channels);
    }
  }
  return new VideoFrame(data, { format, codedWidth: width, codedHeight: height, timestamp, ...init });
}

export const bytesOf = async (frame) => (await readFrame(frame)).data;

/** What a frame says of itself. */
export function tagsOf(frame) {
  const { format, codedWidth, codedHeight, displayWidth, displayHeight, timestamp, duration, rotation, flip } = frame;
  const colorSpace = frame.colorSpace.toJSON();
  return { format, codedWidth, codedHeight, displayWidth, displayHeight, timestamp, duration, rotation, flip, colorSpace };
}

/** The largest difference of two arrays, and how many samples differ. */
export function difference(a, b) {
  if (a.length !== b.length) throw new Error(`${a.length} samples against ${b.length}`);
  let [largest, differing] = [0, 0];
  a.forEach((value, i) => {
    const step = Math.abs(value - b[i]);
    largest = Math.max(largest, step);
    differing += step > 0;
  });
  return { largest, differing };
}

/** A moving picture from a canvas, as a track. */
export function canvasTrack(width = 320, height = 240, fps = 30) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  let count = 0;
  const draw = () => {
    context.fillStyle = `hsl(${count % 360}, 60%, 50%)`;
    context.fillRect(0, 0, width, height);
    context.fillStyle = "white";
    context.fillRect((5 * count) % width, height / 3, 40, 40);
    count += 1;
  };
  draw();
  const timer = setInterval(draw, 1000 / fps);
  const [track] = canvas.captureStream(fps).getVideoTracks();
  return { track, stop: () => (clearInterval(timer), track.stop()) };
}

/** Wait until `check` gives something, for at most `patience` milliseconds. */
export async function until(check, patience = 60000) {
  const end = performance.now() + patience;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (performance.now() > end) throw new Error(`waited ${patience} ms for ${check}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
