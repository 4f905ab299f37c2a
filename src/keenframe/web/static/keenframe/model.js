/**
 * Model files, NAME.kfm: what a network is and its weights. `keenframe-train export NAME.onnx --to web` writes them.
 */

const MAGIC = "KEENFRM1";
const FORMAT = 2;
const PREFIX_BYTES = 12;
const BYTES = { f32: 4, f16: 2, i8: 1 };
const CONDITION_SIZE = 128;
const PERIODICITY_SIZE = 31;
const ROUTE_UNITS_MAX = 32;

/**
 * @typedef {object} Model
 * @property {string} name
 * @property {string} version
 * @property {{head: number, trunk: number, stride: number, blocks: number, embedding: number, inner: number[]}[]}
 *   experts one network, or several of which `route` picks one for a frame: channels of head and trunk (0: the blocks run on
 *   the head's map), edge of the head's positions that become one of the trunk (1 or 2), blocks, size of the embedding, channels inside each block
 * @property {number} [fullSize] how many of them, the last, are for frames that were not enlarged; 1 where nothing is said
 * @property {number[] | null} route the rule on the condition: of one or two layers, with an output for each expert but the first
 * @property {boolean} [periodicity] whether the rule reads a frame's periodicity behind its condition
 * @property {boolean} [leaves] whether the rule has one more output, for leaving a frame as it is
 * @property {boolean} steady whether a result is drawn towards the last one where the picture stands still
 * @property {Float32Array} weights all tensors, one after another
 */

/**
 * Read a model file.
 * @param {ArrayBuffer} data the whole file
 * @param {string} [name] what to call it in errors
 * @returns {Model}
 */
export function parseModel(data, name = "the model") {
  const bytes = new Uint8Array(data);
  const magic = String.fromCharCode(...bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC) {
    throw new Error(`${name} (${bytes.length} bytes) is not a keenframe model for the browser; ` +
      "expected a .kfm file of `keenframe-train export NAME.onnx --to web`");
  }
  const view = new DataView(data);
  const length = bytes.length >= PREFIX_BYTES ? view.getUint32(MAGIC.length, true) : 0;
  const header = readHeader(bytes.subarray(PREFIX_BYTES, PREFIX_BYTES + length), length, name);
  const counts = header.tensors.map(({ shape }) => shape.reduce((product, edge) => product * edge, 1));
  const expected = PREFIX_BYTES + length + header.tensors.reduce((sum, t, i) => sum + storedBytes(t, counts[i]), 0);
  if (expected !== bytes.length) {
    throw new Error(`${name} has ${bytes.length} bytes where its header promises ${expected}; ` +
      "it is cut short or damaged: load or export it again");
  }
  const weights = new Float32Array(counts.reduce((sum, count) => sum + count, 0));
  let at = PREFIX_BYTES + length;
  let filled = 0;
  header.tensors.forEach((tensor, i) => {
    widen(view, at, tensor, weights.subarray(filled, filled + counts[i]));
    at += storedBytes(tensor, counts[i]);
    filled += counts[i];
  });
  return { ...header, weights };
}

function readHeader(text, length, name) {
  let header = null;
  try {
    header = text.length === length ? JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(text)) : null;
  } catch {
    // Said below.
  }
  if (!header || !Array.isArray(header.tensors) || !Array.isArray(header.experts) || !Number.isInteger(header.format)) {
    throw new Error(`${name} is cut short or damaged within its header: load or export it again`);
  }
  if (header.format !== FORMAT) {
    throw new Error(`${name} is of format ${header.format}; this keenframe.js knows ${FORMAT}: update it, or export again`);
  }
  const inputs = routeInputs(header.periodicity);
  const outputs = header.experts.length - (header.leaves ? 0 : 1);
  if (header.route && !routeFits(header.route.length, outputs, inputs)) {
    throw new Error(`${name} has a route of ${header.route.length} numbers for ${header.experts.length} experts; expected ` +
      `${(inputs + 1) * outputs}, or ${inputs + 1 + outputs} for each of up to ${ROUTE_UNITS_MAX} units of ` +
      `a layer between and ${outputs}`);
  }
  if (!header.tensors.every(({ shape, type, axis = 0 }) => BYTES[type] && shape.length && axis in shape)) {
    throw new Error(`${name} has tensors of a kind that this keenframe.js does not know: update it`);
  }
  return header;
}

/** How many numbers a rule reads of a frame. */
export const routeInputs = (periodicity) => CONDITION_SIZE + (periodicity ? PERIODICITY_SIZE : 0);

function routeFits(count, outputs, inputs) {
  const units = (count - outputs) / (inputs + 1 + outputs);
  return count === (inputs + 1) * outputs || (Number.isInteger(units) && units >= 1 && units <= ROUTE_UNITS_MAX);
}

function storedBytes({ shape, type, axis }, count) {
  return count * BYTES[type] + (type === "i8" ? shape[axis] * BYTES.f32 : 0);
}

function widen(view, at, { shape, type, axis }, out) {
  if (type === "f32") {
    for (let i = 0; i < out.length; i++) out[i] = view.getFloat32(at + 4 * i, true);
  } else if (type === "f16") {
    for (let i = 0; i < out.length; i++) out[i] = half(view.getUint16(at + 2 * i, true));
  } else {
    const inner = shape.slice(axis + 1).reduce((product, edge) => product * edge, 1);
    for (let i = 0; i < out.length; i++) {
      const step = view.getFloat32(at + out.length + 4 * (Math.floor(i / inner) % shape[axis]), true);
      out[i] = view.getInt8(at + i) * step;
    }
  }
}

/** The value of sixteen bits of IEEE 754 binary16. */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : fraction * 2 ** -24);
}
