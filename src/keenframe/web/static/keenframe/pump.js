/**
 * Frames from a readable stream through a `Stream` into a writable one. The newest frame wins: at most one waits while
 * another is worked on.
 */

import { makeFrame, readFrame } from "./picture.js";

export class Pump {
  /**
   * @param {import("./stream.js").Stream} stream
   * @param {ReadableStream<VideoFrame>} readable
   * @param {WritableStream<VideoFrame>} writable
   */
  constructor(stream, readable, writable) {
    this._stream = stream;
    this._reader = readable.getReader();
    this._writer = writable.getWriter();
    this._waiting = null;
    this._dropped = 0;
    this._ended = false;
    this._wake = () => {};
  }

  /** Work until the frames end or `stop` is called. */
  async run() {
    const reading = this._read();
    try {
      for (let frame = await this._next(); frame; frame = await this._next()) {
        await this._one(frame);
        await turn();
      }
      await this._writer.close();
    } catch {
      // Nobody takes the frames any more.
      await this._reader.cancel().catch(() => {});
    } finally {
      await reading;
      this._waiting?.close();
      this._waiting = null;
    }
  }

  /** End after the frame at hand. */
  async stop() {
    await this._reader.cancel().catch(() => {});
  }

  async _read() {
    for (;;) {
      const { value, done } = await this._reader.read().catch(() => ({ value: undefined, done: true }));
      if (value && this._waiting) {
        this._waiting.close();
        this._dropped += 1;
      }
      if (value) this._waiting = value;
      this._ended = done;
      this._wake();
      if (done) return;
    }
  }

  async _next() {
    while (!this._waiting && !this._ended) {
      await new Promise((resolve) => {
        this._wake = resolve;
      });
    }
    const frame = this._waiting;
    this._waiting = null;
    return frame;
  }

  async _one(frame) {
    const dropped = this._dropped;
    this._dropped = 0;
    const result = await sharpenOrPass(this._stream, frame, dropped);
    frame.close();
    await this._writer.write(result);
  }
}

/** A frame sharpened into a new one; it stays open. */
export async function sharpenOne(stream, frame, dropped = 0) {
  const { width, height } = frame.visibleRect;
  if (stream.skip(width, height, frame.rotation, dropped)) return frame.clone();
  return makeFrame(await stream.process(await readFrame(frame), dropped));
}

/** As `sharpenOne`; what cannot be sharpened goes on as it is, and is counted. */
export async function sharpenOrPass(stream, frame, dropped = 0) {
  try {
    return await sharpenOne(stream, frame, dropped);
  } catch (error) {
    stream.counts.failed(error.message);
    return frame.clone();
  }
}

const channel = new MessageChannel();

/** Let messages that came meanwhile be heard, so that a newer frame takes the place of the one that waits. */
function turn() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}
