/**
 * Pictures: a video frame's samples as bytes, with what must survive every step: format, colour, time and rotation.
 */

/**
 * @typedef {object} Picture
 * @property {string} format as VideoFrame names it: I420, NV12, RGBA …
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} data all planes, one after another, without padding
 * @property {{timestamp: number, duration?: number, colorSpace?: object, rotation?: number, flip?: boolean,
 *   displayWidth: number, displayHeight: number}} meta
 */

// Planes of each format: channels, and by how much their width and height are divided.
const LUMA = [1, 1, 1];
const FORMATS = {
  I420: [LUMA, [1, 2, 2], [1, 2, 2]],
  I420A: [LUMA, [1, 2, 2], [1, 2, 2], LUMA],
  I422: [LUMA, [1, 2, 1], [1, 2, 1]],
  I422A: [LUMA, [1, 2, 1], [1, 2, 1], LUMA],
  I444: [LUMA, LUMA, LUMA],
  I444A: [LUMA, LUMA, LUMA, LUMA],
  NV12: [LUMA, [2, 2, 2]],
  RGBA: [[4, 1, 1]],
  RGBX: [[4, 1, 1]],
  BGRA: [[4, 1, 1]],
  BGRX: [[4, 1, 1]],
};
const NEUTRAL = 128;
const LINE_PER_WIDTH = 640;

/** Where each plane lies in a picture's bytes: {offset, channels, width, height}. */
export function planesOf(format, width, height) {
  let offset = 0;
  return FORMATS[format].map(([channels, across, down]) => {
    const plane = { offset, channels, width: Math.ceil(width / across), height: Math.ceil(height / down) };
    offset += bytesOf(plane);
    return plane;
  });
}

const isColor = (format) => FORMATS[format].length === 1;

const bytesOf = ({ channels, width, height }) => channels * width * height;

/** Memory for all planes. */
function memoryFor(planes) {
  const last = planes.at(-1);
  return new Uint8Array(last.offset + bytesOf(last));
}

/**
 * The visible samples of a frame, which stays open. Frames that live on a graphics card come as RGBA.
 * @param {VideoFrame} frame
 * @returns {Promise<Picture>}
 */
export async function readFrame(frame) {
  if (frame.format !== null && !FORMATS[frame.format]) {
    throw new TypeError(`got a frame in ${frame.format}; expected one of ${Object.keys(FORMATS).join(", ")}`);
  }
  const format = frame.format ?? "RGBA";
  const { width, height } = frame.visibleRect;
  const planes = planesOf(format, width, height);
  const data = memoryFor(planes);
  const layout = planes.map((plane) => ({ offset: plane.offset, stride: plane.channels * plane.width }));
  await frame.copyTo(data, frame.format === null ? { layout, format } : { layout });
  const { timestamp, duration, rotation, flip } = frame;
  // Frames are made with the size before they are turned, and tell the size after it.
  const turned = rotation === 90 || rotation === 270;
  const [displayWidth, displayHeight] = turned ? [frame.displayHeight, frame.displayWidth] : [frame.displayWidth, frame.displayHeight];
  // A card's frame was converted to sRGB by the copy.
  const colorSpace = frame.format === null ? undefined : frame.colorSpace?.toJSON();
  return { format, width, height, data, meta: { timestamp, duration, colorSpace, rotation, flip, displayWidth, displayHeight } };
}

/**
 * A frame from a picture, whose bytes it takes over.
 * @param {Picture} picture
 * @returns {VideoFrame}
 */
export function makeFrame({ format, width, height, data, meta }) {
  const { duration, ...rest } = meta;
  const init = { ...rest, format, codedWidth: width, codedHeight: height, transfer: [data.buffer] };
  if (duration != null) init.duration = duration;
  return new VideoFrame(data, init);
}

/**
 * The size of a `width` x `height` frame that, turned by `rotation`, fills `box` with its shape kept; its own where it is
 * larger already.
 */
export function sizeWithin(width, height, box, rotation = 0) {
  const [across, down] = rotation % 180 ? [height, width] : [width, height];
  const factor = box ? Math.min(box.width / across, box.height / down) : 1;
  if (!(factor > 1)) return { width, height };
  // Even, so that chroma keeps its place.
  return { width: 2 * Math.round((width * factor) / 2), height: 2 * Math.round((height * factor) / 2) };
}

/** What is done to pictures around the network, in a WebAssembly instance of its own. */
export class PictureTools {
  /** @param {WebAssembly.Module} module from `compileEngine` */
  constructor(module) {
    this._wasm = /** @type {any} */ (new WebAssembly.Instance(module).exports);
  }

  /** The picture enlarged bilinearly; the picture itself where that is its size. */
  enlarge(picture, width, height) {
    if (width === picture.width && height === picture.height) return picture;
    const { format, meta } = picture;
    const large = planesOf(format, width, height);
    const data = memoryFor(large);
    planesOf(format, picture.width, picture.height).forEach((plane, i) => {
      const [bytes, count] = [bytesOf(plane), bytesOf(large[i])];
      // Chroma at half the width lies on the left one of its two luma samples, but for full range.
      const leftSited = plane.width < picture.width && !meta.colorSpace?.fullRange;
      const at = this._room(bytes + count);
      this._bytes(at, bytes).set(picture.data.subarray(plane.offset, plane.offset + bytes));
      this._wasm.enlarge(at, plane.width, plane.height, plane.channels, at + bytes, large[i].width, large[i].height,
        leftSited ? -1 : 0);
      data.set(this._bytes(at + bytes, count), large[i].offset);
    });
    const displayWidth = Math.round((meta.displayWidth * width) / picture.width);
    const displayHeight = Math.round((meta.displayHeight * height) / picture.height);
    return { format, width, height, data, meta: { ...meta, displayWidth, displayHeight } };
  }

  /** The picture's luma: its first plane, or what its colours make. */
  lumaOf({ format, width, height, data }) {
    const count = width * height;
    if (!isColor(format)) return data.subarray(0, count);
    const at = this._room(5 * count);
    this._bytes(at, 4 * count).set(data);
    this._wasm.luma_of_rgba(at, count, format.startsWith("B") ? 1 : 0, at + 4 * count);
    return this._bytes(at + 4 * count, count).slice();
  }

  /** Give the picture another luma, from column `from` on. `before` is what `lumaOf` gave. */
  setLuma({ format, width, height, data }, before, after, from = 0) {
    for (let row = 0; from && row < height; row++) {
      after.set(before.subarray(row * width, row * width + from), row * width);
    }
    if (!isColor(format)) {
      data.set(after);
      return;
    }
    const count = width * height;
    const at = this._room(6 * count);
    this._bytes(at, 4 * count).set(data);
    this._bytes(at + 4 * count, count).set(before);
    this._bytes(at + 5 * count, count).set(after);
    this._wasm.add_to_rgba(at, count, at + 4 * count, at + 5 * count);
    data.set(this._bytes(at, 4 * count));
  }

  _room(count) {
    const at = this._wasm.room(count);
    if (!at) throw new Error(`no memory for ${count} bytes of a picture`);
    return at;
  }

  _bytes(at, count) {
    return new Uint8Array(this._wasm.memory.buffer, at, count);
  }
}

/** The column, on a whole chroma sample, where a split view turns from before to after. */
export function splitColumn(width, position) {
  return 2 * Math.round((width * position) / 2);
}

/** A thin light line at `column`. */
export function drawLine({ format, width, height, data, meta }, column) {
  const line = Math.max(2, 2 * Math.floor(width / LINE_PER_WIDTH / 2));
  const white = isColor(format) || meta.colorSpace?.fullRange ? 255 : 235;
  planesOf(format, width, height).forEach((plane, i) => {
    const scale = plane.width / width;
    const first = Math.floor(column * scale) * plane.channels;
    const last = Math.min(Math.floor((column + line) * scale), plane.width) * plane.channels;
    const value = i === 0 ? white : i === 3 ? 255 : NEUTRAL;
    for (let row = 0; row < plane.height; row++) {
      const at = plane.offset + row * plane.width * plane.channels;
      data.fill(value, at + first, at + last);
    }
  });
}
