/** Counts and times of one stream; memory does not grow with it. */

const WINDOW = 120;

export class Stats {
  constructor() {
    this._counts = { framesIn: 0, framesOut: 0, dropped: 0, passed: 0, errors: 0 };
    this._sizes = { arriving: "", shown: "" };
    this._times = [];
    this._ends = [];
    this._error = "";
  }

  arrived(width, height, dropped) {
    this._counts.framesIn += 1 + dropped;
    this._counts.dropped += dropped;
    this._sizes.arriving = `${width}x${height}`;
  }

  passed() {
    this._counts.passed += 1;
  }

  left(now, took, width, height) {
    this._counts.framesOut += 1;
    this._sizes.shown = `${width}x${height}`;
    keep(this._times, took);
    keep(this._ends, now + took);
  }

  failed(message) {
    this._counts.errors += 1;
    this._error = message;
  }

  /**
   * @returns {{framesIn: number, framesOut: number, dropped: number, passed: number, errors: number, error: string,
   *   arriving: string, shown: string, fps: number, msP50: number, msP95: number, msP99: number}}
   */
  snapshot() {
    const sorted = [...this._times].sort((a, b) => a - b);
    const at = (share) => round(sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0);
    const span = this._ends.length > 1 ? this._ends.at(-1) - this._ends[0] : 0;
    const fps = span > 0 ? round(((this._ends.length - 1) * 1000) / span) : 0;
    return { ...this._counts, error: this._error, ...this._sizes, fps, msP50: at(0.5), msP95: at(0.95), msP99: at(0.99) };
  }
}

function keep(list, value) {
  list.push(value);
  if (list.length > WINDOW) list.shift();
}

function round(value) {
  return Math.round(value * 100) / 100;
}
