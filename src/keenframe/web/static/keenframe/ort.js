/**
 * onnxruntime-web as the engine, for comparing and for models that keenframe's own does not run. Its files are not part
 * of keenframe: `npm install` in web/ fetches them, and `onnxruntime` says where they are served from.
 */

import { checkInput, download, setRoute, toldOf } from "./engine.js";

const BLOCK = 4;
const CONDITION_SIZE = 128;

export class OrtEngine {
  /**
   * @param {import("./model.js").Model} model what the .onnx file is: its route, and whether it is steady
   * @param {WebAssembly.Module} module
   * @param {string} folder of onnxruntime-web's files
   * @param {string} models folder of the .onnx files
   */
  static async create(model, module, folder, models) {
    if (!folder || !models) {
      throw new TypeError("the engine 'onnxruntime' needs the options `onnxruntime`, the folder of onnxruntime-web's files, " +
        "and `onnx`, the folder of the models' .onnx files");
    }
    const address = new URL("ort.wasm.min.mjs", folder);
    const ort = await import(address.href).catch((error) => {
      throw new Error(`onnxruntime-web is not at ${address}: ${error.message}; \`npm install\` in web/, and serve its dist folder`);
    });
    ort.env.wasm.wasmPaths = folder;
    // Threads need a page that is cross-origin isolated.
    ort.env.wasm.numThreads = globalThis.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
    const data = await download(new URL(`${model.name}.onnx`, models));
    const session = await ort.InferenceSession.create(new Uint8Array(data), { executionProviders: ["wasm"] });
    return new OrtEngine(model, module, ort, session);
  }

  constructor(model, module, ort, session) {
    this.name = "onnxruntime";
    this.model = model;
    this._ort = ort;
    this._session = session;
    // Condition, route and steadying are keenframe's own.
    this._wasm = /** @type {any} */ (new WebAssembly.Instance(module).exports);
    this._wasm.model_ready(setRoute(this._wasm, model));
    this._previous = null;
  }

  /** As `WasmEngine.run`, but a promise. */
  async run(luma, width, height, strength = 1, { still = false, steady = this.model.steady, enlarged, out } = {}) {
    checkInput(luma, width, height, strength);
    out ??= new Uint8Array(luma.length);
    if (strength === 0) {
      out.set(luma);
      return out;
    }
    const wasm = this._wasm;
    if (!wasm.resize(width, height)) throw new Error(`no memory for frames of ${width}x${height}`);
    this._view(Uint8Array, wasm.input_at(), luma.length).set(luma);
    wasm.tell(toldOf(enlarged));
    const expert = wasm.look(strength, still ? 1 : 0, steady ? 1 : 0);
    if (this.model.leaves && expert === this.model.experts.length) {
      out.set(luma);
      return out;
    }
    const [columns, rows] = [wasm.plane_width() / BLOCK, wasm.plane_height() / BLOCK];
    const count = rows * columns;
    if (this._previous?.length !== count * BLOCK * BLOCK) this._previous = new Uint8Array(count * BLOCK * BLOCK);
    const { Tensor } = this._ort;
    const name = `${this.model.steady ? "steady" : "blocks"}${expert ? `.${expert}` : ""}`;
    const feeds = {
      luma: new Tensor("uint8", this._view(Uint8Array, wasm.plane_at(), 16 * count).slice(), [1, 1, 4 * rows, 4 * columns]),
      condition: new Tensor("float32", this._view(Float32Array, wasm.condition_at(), CONDITION_SIZE).slice(), [1, CONDITION_SIZE]),
      strength: new Tensor("float32", Float32Array.of(strength), [1]),
    };
    if (this.model.steady) {
      feeds.previous = new Tensor("uint8", this._previous, [1, rows, columns, BLOCK * BLOCK]);
      feeds.keep = new Tensor("float32", this._view(Float32Array, wasm.keep_at(), count).slice(), [1, 1, rows, columns]);
    }
    const results = await this._session.run(feeds, [name]);
    this._previous = results[name].data;
    if (!still) wasm.remember(strength);
    unfold(this._previous, columns, width, height, out);
    return out;
  }

  /** Forget the stream seen so far. */
  reset() {
    this._wasm.reset();
  }

  _view(Kind, at, count) {
    return new Kind(this._wasm.memory.buffer, at, count);
  }
}

/** Blocks of 4x4 pixels, (rows, columns, 16), into a plane of (height, width). */
function unfold(blocks, columns, width, height, out) {
  for (let y = 0; y < height; y++) {
    const row = (y >> 2) * columns * 16 + (y & 3) * BLOCK;
    for (let x = 0; x < width; x++) out[y * width + x] = blocks[row + (x >> 2) * 16 + (x & 3)];
  }
}
