/**
 * keenframe's own engine: the whole frame, from luma to luma, in one WebAssembly module (web/kernel).
 *
 * Every engine has `run`, `reset` and `name`; one engine serves one stream.
 */

import { routeInputs } from "./model.js";

export const SIDE_MIN = 16;
export const SIDE_MAX = 4096;
export const STRENGTH_MAX = 2;
// As in web/kernel/keen.h.
const BLOCKS_MAX = 8;
const EXPERTS_MAX = 8;

/** Refuse what no engine takes. */
export function checkInput(luma, width, height, strength) {
  for (const side of [width, height]) {
    if (!Number.isInteger(side) || side < SIDE_MIN || side > SIDE_MAX) {
      throw new RangeError(`got a frame of ${width}x${height}; expected ${SIDE_MIN} to ${SIDE_MAX} pixels a side`);
    }
  }
  if (luma.length !== width * height) {
    throw new RangeError(`got ${luma.length} bytes of luma for ${width}x${height}; expected ${width * height}`);
  }
  if (!(strength >= 0 && strength <= STRENGTH_MAX)) {
    throw new RangeError(`strength is ${strength}; expected a number from 0 (off) over 1 (the model) to ${STRENGTH_MAX}`);
  }
}

// Two smallest modules, with a function that uses what is asked for: i8x16.splat, and f32x4.relaxed_madd.
const HEADER = [0, 97, 115, 109, 1, 0, 0, 0];
const SIMD = [...HEADER, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
const RELAXED = [...HEADER, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2,
  253, 133, 2, 11];

/** Whether this browser has what the engine needs: WebAssembly with SIMD. */
export function wasmSupported() {
  return typeof WebAssembly === "object" && WebAssembly.validate(new Uint8Array(SIMD));
}

/**
 * Compile the engine, the faster build where this browser takes it.
 * @param {string} base folder of keenframe.wasm and keenframe-fma.wasm
 * @returns {Promise<WebAssembly.Module>}
 */
export async function compileEngine(base) {
  if (!wasmSupported()) throw new Error("this browser has no WebAssembly SIMD, which keenframe needs: update it");
  const name = WebAssembly.validate(new Uint8Array(RELAXED)) ? "keenframe-fma.wasm" : "keenframe.wasm";
  return WebAssembly.compile(await download(new URL(name, base)));
}

/** The bytes behind an address, or an error that says which it was. */
export async function download(url) {
  const answer = await fetch(url).catch((error) => {
    throw new Error(`${url} cannot be loaded: ${error.message}`);
  });
  if (!answer.ok) throw new Error(`${url} cannot be loaded: the server says ${answer.status} ${answer.statusText}`);
  return answer.arrayBuffer();
}

/** An expert's shape as the engine wants it: Shape in web/kernel/network.c. */
function shapeOf({ head, trunk, stride, blocks, embedding, inner }) {
  const shape = new Int32Array(5 + BLOCKS_MAX);
  shape.set([head, trunk, stride, blocks, embedding, ...inner.slice(0, BLOCKS_MAX)]);
  return shape;
}

/** Tell the kernel a model's rule; returns how many numbers it has. */
export function setRoute(wasm, { route, experts, fullSize = 1, periodicity, leaves }) {
  if (!route) return 0;
  const at = wasm.model_route(route.length, experts.length, fullSize, routeInputs(periodicity), leaves ? 1 : 0);
  if (!at) throw new Error(`the engine knows no rule of ${route.length} numbers between ${experts.length} networks`);
  new Float32Array(wasm.memory.buffer, at, route.length).set(route);
  return route.length;
}

/** What `tell` of the kernel takes: 1 enlarged, 0 not, -1 not known. */
export const toldOf = (enlarged) => (enlarged === undefined ? -1 : Number(enlarged));

export class WasmEngine {
  /**
   * @param {import("./model.js").Model} model
   * @param {WebAssembly.Module} module from `compileEngine`
   */
  constructor(model, module) {
    this.name = "wasm";
    this.model = model;
    this._wasm = /** @type {any} */ (new WebAssembly.Instance(module).exports);
    model.experts.slice(0, EXPERTS_MAX).forEach((expert, index) => {
      const shape = shapeOf(expert);
      new Int32Array(this._wasm.memory.buffer, this._wasm.model_shape(index), shape.length).set(shape);
    });
    const made = this._wasm.model_new(model.experts.length);
    const count = made ? this._wasm.model_weight_count() : 0;
    if (!made || count !== model.weights.length) {
      throw new Error(`the engine cannot run model '${model.name}': networks of ${JSON.stringify(model.experts)} with ` +
        `${model.weights.length} weights (it counts ${count}); expected one that this version has exported`);
    }
    const at = this._wasm.model_weights();
    if (at) this._floats(at, count).set(model.weights);
    if (!at || !this._wasm.model_ready(setRoute(this._wasm, model))) throw new Error("no memory for the model's weights");
  }

  /**
   * Sharpen one luma plane.
   * @param {Uint8Array} luma width * height code values
   * @param {number} width
   * @param {number} height 16 to 4096 a side
   * @param {number} [strength] 0 gives the input, 1 the model's result, up to 2 goes further the same way
   * @param {{still?: boolean, steady?: boolean, enlarged?: boolean, out?: Uint8Array}} [options] still: on its own, and
   *   the stream begins anew after it; steady: false leaves the drawing towards the last result away; enlarged: what is
   *   known of the frame, where something is; out: memory for the result
   * @returns {Uint8Array} width * height code values
   */
  run(luma, width, height, strength = 1, { still = false, steady = this.model.steady, enlarged, out } = {}) {
    checkInput(luma, width, height, strength);
    out ??= new Uint8Array(luma.length);
    if (strength === 0) {
      out.set(luma);
      return out;
    }
    if (!this._wasm.resize(width, height)) throw new Error(`no memory for frames of ${width}x${height}`);
    this._bytes(this._wasm.input_at(), luma.length).set(luma);
    this._wasm.tell(toldOf(enlarged));
    this._wasm.run(strength, still ? 1 : 0, steady ? 1 : 0);
    out.set(this._bytes(this._wasm.output_at(), luma.length));
    return out;
  }

  /** Forget the stream seen so far. */
  reset() {
    this._wasm.reset();
  }

  _floats(at, count) {
    return new Float32Array(this._wasm.memory.buffer, at, count);
  }

  _bytes(at, count) {
    return new Uint8Array(this._wasm.memory.buffer, at, count);
  }
}
