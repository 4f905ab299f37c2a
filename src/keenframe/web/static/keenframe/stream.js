/**
 * One stream: pictures in, pictures with sharper luma out, on the largest model that keeps up.
 */

import { Governor } from "./governor.js";
import { PictureTools, drawLine, sizeWithin, splitColumn } from "./picture.js";
import { SIDE_MAX, SIDE_MIN, STRENGTH_MAX } from "./engine.js";
import { Stats } from "./stats.js";

// Sizes whose costs are remembered: a call that adapts its resolution comes back to the same few.
const KEPT_SIZES = 8;

/**
 * @typedef {object} StreamOptions
 * @property {number} [strength] 0 (off) over 1 (the model) to 2
 * @property {boolean | number} [compare] before on the left, after on the right; a number is where they meet, 0 to 1
 * @property {{width: number, height: number} | null} [size] smaller frames are enlarged to fill this, shape kept
 * @property {number} [targetFps] frames per second to hold, 1 to 240
 * @property {number} [cpuShare] part of the time that sharpening may take, above 0 up to 1
 * @property {number | null} [level] stay on this level (0 is the largest model); null lets the governor choose
 */

/** @type {Required<StreamOptions>} */
const DEFAULTS = { strength: 1, compare: false, size: null, targetFps: 30, cpuShare: 1, level: null };

/** The options, complete; RangeError or TypeError for what they cannot be. */
export function checkOptions(given = {}, levels) {
  const options = { ...DEFAULTS, ...given };
  const { strength, compare, size, level } = options;
  if (!(strength >= 0 && strength <= STRENGTH_MAX)) {
    throw new RangeError(`strength is ${strength}; expected a number from 0 (off) over 1 (the model) to ${STRENGTH_MAX}`);
  }
  if (typeof compare !== "boolean" && !(compare >= 0 && compare <= 1)) {
    throw new RangeError(`compare is ${compare}; expected true, false, or where the halves meet, 0 to 1`);
  }
  if (size && !(size.width >= SIDE_MIN && size.height >= SIDE_MIN && Math.max(size.width, size.height) <= SIDE_MAX)) {
    throw new RangeError(`size is ${JSON.stringify(size)}; expected {width, height} of ${SIDE_MIN} to ${SIDE_MAX}, or null`);
  }
  const governor = new Governor(Array(levels).fill(1), options.targetFps, options.cpuShare);
  governor.pin(level);
  return options;
}

export class Stream {
  /**
   * @param {any[]} engines largest model first
   * @param {WebAssembly.Module} module
   * @param {StreamOptions} [options]
   */
  constructor(engines, module, options) {
    this._engines = engines;
    this._tools = new PictureTools(module);
    this._options = checkOptions(options, engines.length);
    this._governor = null;
    this._size = "";
    this._costs = new Map();
    this._running = null;
    this._after = new Uint8Array(0);
    this.levels = [...engines.map((engine) => engine.model.name), "pass"];
    this.counts = new Stats();
  }

  /** Change options; the others stay as they are. */
  set(options) {
    const before = this._options;
    const next = checkOptions({ ...before, ...options }, this._engines.length);
    this._options = next;
    if (!this._governor) return;
    this._governor.retarget(next.targetFps);
    if (next.level !== before.level) this._governor.pin(next.level);
    if (next.cpuShare !== before.cpuShare) this._begin(this._costs.get(this._size));
  }

  /** What has happened so far, and how it stands. */
  stats() {
    const level = this._governor?.level ?? 0;
    return { level, levelName: this.levels[level], levels: this.levels, ...this.counts.snapshot() };
  }

  /**
   * Sharpen the stream's next picture, whose bytes are the result's where no enlarging is asked for.
   * @param {import("./picture.js").Picture} picture
   * @param {number} [dropped] pictures given up since the last one
   * @returns {Promise<import("./picture.js").Picture>}
   */
  async process(picture, dropped = 0) {
    const now = performance.now();
    const { strength, size } = this._options;
    const wanted = sizeWithin(picture.width, picture.height, size, picture.meta.rotation);
    this.counts.arrived(picture.width, picture.height, dropped);
    const shown = this._tools.enlarge(picture, wanted.width, wanted.height);
    const level = strength === 0 || !fits(shown) ? this._engines.length : await this._levelFor(shown);
    if (level < this._engines.length) await this._sharpen(this._engines[level], shown, shown === picture ? undefined : true);
    else this.counts.passed();
    const took = performance.now() - now;
    if (strength !== 0) this._governor?.observe(now, took, dropped);
    this.counts.left(now, took, shown.width, shown.height);
    return shown;
  }

  /**
   * Whether the stream's next frame needs nothing done, so that its samples need not be read; it counts as passed then.
   */
  skip(width, height, rotation, dropped = 0) {
    const { strength, size } = this._options;
    const wanted = sizeWithin(width, height, size, rotation);
    const passing = strength === 0 || (this._governor?.level === this._engines.length && this._size === `${width}x${height}`);
    if (!passing || wanted.width !== width || wanted.height !== height) return false;
    const now = performance.now();
    this.counts.arrived(width, height, dropped);
    this.counts.passed();
    if (strength !== 0) this._governor.observe(now, 0, dropped);
    this.counts.left(now, 0, width, height);
    return true;
  }

  /** enlarged: true when it was; a picture that comes at its size may have been enlarged by its sender. */
  async _sharpen(engine, picture, enlarged) {
    if (engine !== this._running) {
      // What this model last saw may be minutes old.
      engine.reset();
      this._running = engine;
    }
    const { width, height } = picture;
    const { strength, compare } = this._options;
    if (this._after.length !== width * height) this._after = new Uint8Array(width * height);
    const luma = this._tools.lumaOf(picture);
    await engine.run(luma, width, height, strength, { enlarged, out: this._after });
    const column = compare === false ? 0 : splitColumn(width, compare === true ? 0.5 : compare);
    this._tools.setLuma(picture, luma, this._after, column);
    if (compare !== false) drawLine(picture, column);
  }

  /** The level for pictures of this size; a new size is tried on every model first, the smallest before the others. */
  async _levelFor(picture) {
    const size = `${picture.width}x${picture.height}`;
    if (!this._costs.has(size)) {
      const luma = this._tools.lumaOf(picture);
      const costs = [];
      for (const engine of [...this._engines].reverse()) costs.unshift(await cost(engine, luma, picture));
      this._costs.set(size, costs);
      if (this._costs.size > KEPT_SIZES) this._costs.delete(this._costs.keys().next().value);
    }
    if (size !== this._size) this._begin(this._costs.get(size));
    this._size = size;
    return this._governor.level;
  }

  _begin(costs) {
    const { targetFps, cpuShare, level } = this._options;
    this._governor = new Governor(costs, targetFps, cpuShare);
    this._governor.pin(level);
  }
}

function fits({ width, height }) {
  return Math.min(width, height) >= SIDE_MIN && Math.max(width, height) <= SIDE_MAX;
}

/** Milliseconds that a picture takes once memory is there and code is compiled. */
async function cost(engine, luma, { width, height }) {
  let least = Infinity;
  for (let look = 0; look < 2; look++) {
    const start = performance.now();
    await engine.run(luma, width, height, 1, { still: true });
    least = Math.min(least, performance.now() - start);
  }
  engine.reset();
  return Math.max(least, 0.01);
}
