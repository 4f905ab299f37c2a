/** One video of the page with its sharpened picture over it. */

import { makeFrame, readFrame } from "../keenframe/picture.js";
import { follow, isCandidate, sizeOnScreen } from "./layout.js";

// Without a new picture for so long what is drawn is out of date, and the video itself shows again.
const STALE_MS = 1000;
// Layout and style are looked at so often at most.
const LOOK_MS = 200;

export class Overlay {
  /**
   * @param {HTMLVideoElement} video
   * @param {import("./engine.js").EngineLink} link an open one
   * @param {object} options of the stream
   */
  constructor(video, link, options) {
    this.video = video;
    this.stats = null;
    this._link = link;
    this._size = sizeOnScreen(video);
    this._stream = link.begin({ ...options, size: this._size });
    this._canvas = document.createElement("canvas");
    this._canvas.setAttribute("aria-hidden", "true");
    this._canvas.dataset.keenframe = "";
    this._context = this._canvas.getContext("2d", { alpha: false });
    this._drawn = 0;
    this._looked = 0;
    this._ended = false;
    this._hide();
    this._watch = setInterval(() => this._check(), STALE_MS / 2);
    this._resized = new ResizeObserver(() => {
      this._looked = 0;
    });
    this._resized.observe(video);
    this._ask();
  }

  /** Whether the sharpened picture is what is seen. */
  get showing() {
    return !this._ended && this._canvas.style.visibility === "visible";
  }

  set(options) {
    this._link.set(this._stream, options);
  }

  end() {
    this._ended = true;
    clearInterval(this._watch);
    this._resized.disconnect();
    this._canvas.remove();
    this._link.end(this._stream);
  }

  _ask() {
    if (!this._ended) this.video.requestVideoFrameCallback(() => this._next());
  }

  async _next() {
    try {
      if (this._ended || !isCandidate(this.video) || !this._look()) {
        this._hide();
        // Looked at again when the page has changed; until then nothing is read.
        if (!this._ended) setTimeout(() => this._ask(), LOOK_MS);
        return;
      }
      const frame = new VideoFrame(this.video);
      const picture = await readFrame(frame).finally(() => frame.close());
      const { picture: sharp, stats } = await this._link.sharpen(this._stream, picture);
      this.stats = stats;
      if (!this._ended) this._draw(sharp, stats);
    } catch {
      this._hide();
      if (!this._ended) setTimeout(() => this._ask(), STALE_MS);
      return;
    }
    this._ask();
  }

  /** Follow the page's layout; false where the video has become too small. */
  _look() {
    const now = performance.now();
    if (now - this._looked < LOOK_MS) return this._size !== null;
    this._looked = now;
    const size = sizeOnScreen(this.video);
    if (size && (size.width !== this._size?.width || size.height !== this._size?.height)) this.set({ size });
    this._size = size;
    return size !== null;
  }

  _draw(picture, stats) {
    if (stats && stats.level === stats.levels.length - 1) {
      // Passed through: the video itself shows the same.
      this._hide();
      return;
    }
    const frame = makeFrame(picture);
    if (this._canvas.width !== frame.displayWidth || this._canvas.height !== frame.displayHeight) {
      this._canvas.width = frame.displayWidth;
      this._canvas.height = frame.displayHeight;
    }
    this._context.drawImage(frame, 0, 0, frame.displayWidth, frame.displayHeight);
    frame.close();
    follow(this.video, this._canvas);
    this._canvas.style.setProperty("visibility", "visible", "important");
    this._drawn = performance.now();
  }

  _hide() {
    this._canvas.style.setProperty("visibility", "hidden", "important");
  }

  _check() {
    if (performance.now() - this._drawn > STALE_MS) this._hide();
    else if (this.showing) follow(this.video, this._canvas);
  }
}
