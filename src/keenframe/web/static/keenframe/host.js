/**
 * Where a stream lives: on a thread of its own, or on the caller's. Both have
 *
 *   ready                     a promise of its levels' names
 *   closed                    a promise that is kept by `close`
  sharpen(frame, passing)   a promise of a new frame, with `passing` also of one that cannot be sharpened; one at a time
 *   pump(readable, writable)  a promise that is kept when the frames end
 *   set(options), stats(), stop(), close()
 */

import { makeEngines } from "./engines.js";
import { Pump, sharpenOne, sharpenOrPass } from "./pump.js";
import { Stream } from "./stream.js";

export class WorkerHost {
  constructor(base, setup, options) {
    this._worker = new Worker(new URL("worker.js", base), { type: "module" });
    this._calls = new Map();
    this._count = 0;
    this._closed = false;
    this._stats = null;
    this.ready = new Promise((resolve, reject) => this._calls.set("ready", { resolve, reject }));
    this.ended = new Promise((resolve, reject) => this._calls.set("ended", { resolve, reject }));
    this.ended.catch(() => {});
    this.closed = new Promise((resolve) => {
      this._tellClosed = resolve;
    });
    this._worker.onmessage = ({ data }) => this._heard(data);
    this._worker.onerror = (event) => {
      event.preventDefault();
      this._failAll(new Error(`keenframe's worker failed: ${event.message || `${new URL("worker.js", base)} cannot be run`}`));
    };
    this._worker.postMessage({ type: "begin", setup, options });
  }

  sharpen(frame, passing = false) {
    const copy = frame.clone();
    // Closed already where it was sent; where it was not, nobody else would.
    return this._call({ type: "sharpen", frame: copy, passing }, [copy]).finally(() => copy.close());
  }

  /** A promise of the picture sharpened, for where frames cannot be sent; its bytes go away. One at a time. */
  sharpenPicture(picture) {
    return this._call({ type: "sharpenPicture", picture }, [picture.data.buffer]);
  }

  pump(readable, writable) {
    this._worker.postMessage({ type: "pump", readable, writable }, [readable, writable]);
    return this.ended;
  }

  set(options) {
    this._worker.postMessage({ type: "set", options });
  }

  stats() {
    return this._stats;
  }

  stop() {
    this._worker.postMessage({ type: "stop" });
  }

  close() {
    this._closed = true;
    // Before what waits is broken: closing is no failure.
    this._tellClosed();
    this._worker.terminate();
    this._settle("ended", (call) => call.resolve());
    this._failAll(new Error("keenframe was closed"));
  }

  _call(message, transfer) {
    if (this._closed) return Promise.reject(new Error("keenframe was closed"));
    const id = ++this._count;
    return new Promise((resolve, reject) => {
      this._calls.set(id, { resolve, reject });
      this._worker.postMessage({ ...message, id }, transfer);
    });
  }

  _heard({ type, id, message, levels, result, stats }) {
    if (type === "stats") this._stats = stats;
    else if (type === "ready") this._settle("ready", (call) => call.resolve(levels));
    else if (type === "ended") this._settle("ended", (call) => call.resolve());
    else if (type === "sharpened") this._settle(id, (call) => call.resolve(result));
    else if (id) this._settle(id, (call) => call.reject(new Error(message)));
    else this._failAll(new Error(message));
  }

  _settle(name, how) {
    const call = this._calls.get(name);
    this._calls.delete(name);
    if (call) how(call);
  }

  _failAll(error) {
    for (const name of [...this._calls.keys()]) this._settle(name, (call) => call.reject(error));
  }
}

export class LocalHost {
  constructor(base, setup, options) {
    this._pump = null;
    this._stopped = false;
    this._stream = null;
    this.closed = new Promise((resolve) => {
      this._tellClosed = resolve;
    });
    this.ready = makeEngines(setup).then((engines) => {
      this._stream = new Stream(engines, setup.module, options);
      return this._stream.levels;
    });
  }

  async sharpen(frame, passing = false) {
    await this.ready;
    return (passing ? sharpenOrPass : sharpenOne)(this._stream, frame);
  }

  async pump(readable, writable) {
    await this.ready;
    this._pump = new Pump(this._stream, readable, writable);
    if (this._stopped) this._pump.stop();
    await this._pump.run();
  }

  set(options) {
    this.ready.then(() => this._stream.set(options), () => {});
  }

  stats() {
    return this._stream?.stats() ?? null;
  }

  stop() {
    this._stopped = true;
    this._pump?.stop();
  }

  close() {
    this._tellClosed();
    this.stop();
  }
}
