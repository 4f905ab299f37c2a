/**
 * keenframe in the browser: sharpens what a call receives, or sends, on this machine. No build step, no dependencies.
 *
 *   import { Keenframe } from "./keenframe/keenframe.js";
 *   const keenframe = await Keenframe.load();
 *   const handle = keenframe.attach(receivedTrack, { size: { width: 1280, height: 720 } });
 *   video.srcObject = new MediaStream([handle.track]);
 */

import { attachCanvas, attachNative, trackOf, trackSupport } from "./attach.js";
import { compileEngine, download, wasmSupported } from "./engine.js";
import { LocalHost, WorkerHost } from "./host.js";
import { parseModel } from "./model.js";
import { checkOptions } from "./stream.js";

/** Models that a stream steps through when nobody says, largest first. */
export const DEFAULT_MODELS = ["keen", "keen-nano"];
// Frames that may wait in `process`.
const WAITING_MAX = 4;

/**
 * @typedef {object} LoadOptions
 * @property {string} [base] folder of this module's files, when they are served from elsewhere
 * @property {"wasm" | "onnxruntime"} [engine] keenframe's own, or onnxruntime-web
 * @property {string} [onnxruntime] folder of onnxruntime-web's files; for that engine
 * @property {string} [onnx] folder of the models' .onnx files; for that engine
 * @property {boolean} [worker] false works on this thread, for where no worker may be started
 */

/**
 * @typedef {object} Handle
 * @property {MediaStreamTrack} track the sharpened video
 * @property {Promise<void>} done kept when the frames end or `stop` is called, broken with what went wrong
 * @property {() => object | null} stats counts, times and level, at most a quarter of a second old; null at first
 * @property {(strength: number) => void} setStrength 0 (off) over 1 (the model) to 2
 * @property {(compare: boolean | number) => void} setCompare before on the left; a number is where the halves meet, 0 to 1
 * @property {(options: import("./stream.js").StreamOptions) => void} set any of the stream's options
 * @property {() => void} stop end, and free everything; the source goes on
 */

export class Keenframe {
  /**
   * Load models and engine.
   * @param {string | string[]} [model] names or addresses of .kfm files, the largest first: the governor steps from one
   *   to the next, and last to passing frames through
   * @param {LoadOptions & import("./stream.js").StreamOptions} [options] the stream's options hold for `process` and, where
   *   `attach` is not given others, for what is attached
   * @returns {Promise<Keenframe>}
   */
  static async load(model = DEFAULT_MODELS, options = {}) {
    const { base = import.meta.url, engine = "wasm", onnxruntime, onnx, worker = true, ...stream } = options;
    const folder = new URL(base, document.baseURI);
    const names = typeof model === "string" ? [model] : [...model];
    if (!names.length) throw new TypeError("model is an empty list; expected names or addresses of models, largest first");
    checkOptions(stream, names.length);
    const addresses = { onnxruntime: absolute(onnxruntime), onnx: absolute(onnx) };
    const [module, ...models] = await Promise.all([compileEngine(folder), ...names.map((name) => loadModel(name, folder))]);
    const made = new Keenframe(folder, { engine, module, models, ...addresses }, stream, worker);
    await made._host().ready;
    return made;
  }

  /** What this browser can do: {wasm, native, canvas}; the last two list what is missing for each way of `attach`. */
  static support() {
    return { wasm: wasmSupported(), ...trackSupport() };
  }

  constructor(folder, setup, options, worker) {
    this._folder = folder;
    this._setup = setup;
    this._options = options;
    this._worker = worker;
    this._own = null;
    this._spare = null;
    this._hosts = new Set();
    this._last = Promise.resolve();
    this._waiting = 0;
  }

  /** Names of the levels: the models, largest first, and "pass". */
  get levels() {
    return [...this._setup.models.map(({ name }) => name), "pass"];
  }

  /**
   * Sharpen one frame of a stream, in the order of the calls. Chroma, time, colour and rotation stay.
   * @param {VideoFrame} frame stays open: close it yourself
   * @returns {Promise<VideoFrame>} yours to close
   */
  process(frame) {
    if (!(frame instanceof VideoFrame)) {
      return Promise.reject(new TypeError(`got ${frame?.constructor?.name ?? frame}; expected a VideoFrame`));
    }
    if (this._waiting >= WAITING_MAX) {
      return Promise.reject(new Error(`${WAITING_MAX} frames are being worked on; wait for \`process\` before the next`));
    }
    this._own ??= this._take();
    this._waiting += 1;
    const result = this._last.then(() => this._own.sharpen(frame)).finally(() => {
      this._waiting -= 1;
    });
    this._last = result.catch(() => {});
    return result;
  }

  /**
   * Sharpen a track, or what a video element shows, frame by frame, into a track that is yours to show.
   * @param {HTMLVideoElement | MediaStreamTrack} source
   * @param {import("./stream.js").StreamOptions & {transport?: "native" | "canvas"}} [options]
   * @returns {Handle}
   */
  attach(source, { transport, ...options } = {}) {
    const track = trackOf(source);
    const { native, canvas } = trackSupport();
    const way = transport ?? (native.length ? "canvas" : "native");
    const missing = way === "native" ? native : canvas;
    if (missing.length) {
      throw new Error(`this browser cannot put a track through keenframe: it has no ${missing.join(", no ")}`);
    }
    const chosen = { ...this._options, ...options };
    checkOptions(chosen, this._setup.models.length);
    const host = this._take();
    host.set(chosen);
    const { track: result, done, stop } = (way === "native" ? attachNative : attachCanvas)(track, host);
    const over = done.finally(() => this._drop(host));
    over.catch(() => {});
    const set = (changes) => {
      checkOptions({ ...chosen, ...changes }, this._setup.models.length);
      host.set(Object.assign(chosen, changes));
    };
    return {
      track: result,
      done: over,
      stats: () => host.stats(),
      setStrength: (strength) => set({ strength }),
      setCompare: (compare) => set({ compare }),
      set,
      stop,
    };
  }

  /** End everything that this object does. */
  close() {
    for (const host of [...this._hosts]) this._drop(host);
  }

  /** A stream's place: the one that `load` has tried, or a new one. */
  _take() {
    const host = this._spare ?? this._host();
    this._spare = null;
    return host;
  }

  _host() {
    const host = new (this._worker ? WorkerHost : LocalHost)(this._folder, this._setup, this._options);
    host.ready.catch(() => this._drop(host));
    this._hosts.add(host);
    this._spare = host;
    return host;
  }

  _drop(host) {
    if (host === this._spare) this._spare = null;
    this._hosts.delete(host);
    host.close();
  }
}

function absolute(address) {
  return address === undefined ? undefined : new URL(address.endsWith("/") ? address : `${address}/`, document.baseURI).href;
}

async function loadModel(name, folder) {
  const address = name.endsWith(".kfm") ? new URL(name, document.baseURI) : new URL(`models/${name}.kfm`, folder);
  return parseModel(await download(address), `model '${address}'`);
}
