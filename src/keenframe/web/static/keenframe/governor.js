/**
 * Which size of model a live stream goes through, so that its frames stay in time: the rules of keenframe.live.governor.
 *
 * Levels count from 0, the largest model; the last one passes frames through. Pure logic without a clock: every call
 * brings its time. All times are in milliseconds.
 */

// Weight of a new frame in the running mean of its time: six frames to notice that the machine has become slow.
const WEIGHT = 0.15;
// One frame counts for at most this many budgets: a single hiccup is no reason to step down.
const SPIKE = 2;
// A level is too slow when its frames take more than this share of the budget, and the next larger one is worth a try
// when its frames are expected to take less than that one. What is between keeps the levels from alternating.
const LATE = 0.9;
const ROOM = 0.75;
// Drops that count, as a share of frames, where the stream is slower than its target by this factor.
const DROPPED = 0.2;
const SLOWER = 1.05;
// Room for so long before a step up; doubled after each one that had to be taken back within TRIAL_MS or that wait.
const WAIT_MS = 2000;
const WAIT_MAX_MS = 120000;
const TRIAL_MS = 10000;
// A stream that paused for so long says nothing about its rate.
const PAUSE_MS = 1000;
const FPS_MIN = 1;
const FPS_MAX = 240;

export class Governor {
  /**
   * @param {number[]} costs what a frame takes on each model, largest first; only their ratios are relied on later
   * @param {number} [targetFps] 1 to 240
   * @param {number} [cpuShare] how much of the time may go into sharpening, above 0 up to 1
   */
  constructor(costs, targetFps = 30, cpuShare = 1) {
    this._pinned = null;
    this._cpuShare = checkedShare(cpuShare);
    this._targetFps = checkedFps(targetFps);
    this.begin(costs);
  }

  /** The level that the next frame is meant for: the pinned one, or the one that keeps up. */
  get level() {
    return this._pinned ?? this._level;
  }

  /** The last level, which passes frames through. */
  get passing() {
    return this._costs.length;
  }

  /** Milliseconds that a frame may take. */
  get budget() {
    return (1000 * this._cpuShare) / this._targetFps;
  }

  /** Start anew with frames of another size: on the largest model that should keep up. */
  begin(costs) {
    if (!costs.length || !costs.every((cost) => cost > 0)) {
      throw new RangeError(`costs are [${costs}]; expected positive milliseconds, one for each model`);
    }
    this._costs = [...costs];
    if (this._pinned > this.passing) this._pinned = null;
    const fitting = costs.findIndex((cost) => cost <= ROOM * this.budget);
    this._level = fitting < 0 ? costs.length - 1 : fitting;
    this._time = Math.min(costs[this._level], LATE * this.budget);
    this._last = null;
    this._interval = 1000 / this._targetFps;
    this._dropped = 0;
    this._forgetTrials();
  }

  /** Change the rate to hold from the next frame on. */
  retarget(targetFps) {
    if (targetFps === this._targetFps) return;
    this._targetFps = checkedFps(targetFps);
    this._interval = 1000 / this._targetFps;
    this._forgetTrials();
  }

  /** Stay on `level` whatever it takes; null lets the governor choose, from there on. */
  pin(level) {
    if (level !== null && !(Number.isInteger(level) && level >= 0 && level <= this.passing)) {
      throw new RangeError(`level is ${level}; expected 0 (largest model) to ${this.passing} (pass), or null`);
    }
    if (level === null && this._pinned !== null) this._move(this._pinned);
    this._pinned = level;
  }

  /** Milliseconds that a frame should take on `level` as fast as the machine is now. */
  predict(level) {
    if (level === this.passing) return 0;
    if (this._level === this.passing) return this._costs[level];
    return (this._time * this._costs[level]) / this._costs[this._level];
  }

  /**
   * One frame went through `level`: it came at `now` and took `took`; `dropped` were given up since the last one.
   */
  observe(now, took, dropped = 0) {
    if (this._last !== null && now - this._last < PAUSE_MS) {
      this._interval += WEIGHT * (now - this._last - this._interval);
      this._dropped += WEIGHT * (dropped / (dropped + 1) - this._dropped);
    }
    this._last = now;
    if (this._pinned !== null && this._pinned !== this._level) this._move(this._pinned);
    if (this._level < this.passing) {
      this._time += WEIGHT * (Math.min(took, SPIKE * this.budget) - this._time);
    }
    if (this._pinned !== null) return;
    if (this._level < this.passing && this._late()) this._stepDown(now);
    else if (this._level > 0) this._considerRise(now);
  }

  _late() {
    const starving = this._dropped > DROPPED && this._interval > (SLOWER * 1000) / this._targetFps;
    return starving || this._time > LATE * this.budget;
  }

  _stepDown(now) {
    const takenBack = this._trialEnds !== null && now < this._trialEnds;
    this._wait = takenBack ? Math.min(2 * this._wait, WAIT_MAX_MS) : WAIT_MS;
    this._trialEnds = null;
    this._move(this._level + 1);
  }

  /** Step up when there has been room for long enough. From the last level this is a guess, taken back soon. */
  _considerRise(now) {
    const guess = this._level === this.passing;
    if (!guess && this.predict(this._level - 1) > ROOM * this.budget) {
      this._roomSince = null;
    } else if (this._roomSince === null) {
      this._roomSince = now;
    } else if (now - this._roomSince >= this._wait) {
      this._trialEnds = now + Math.max(TRIAL_MS, this._wait);
      this._move(this._level - 1);
    }
  }

  /** Go on at `level`, with the time that it should take, or just fits, as what is known of it. */
  _move(level) {
    this._time = Math.min(this.predict(level), ROOM * this.budget);
    this._level = level;
    this._dropped = 0;
    this._roomSince = null;
  }

  _forgetTrials() {
    this._wait = WAIT_MS;
    this._trialEnds = null;
    this._roomSince = null;
  }
}

function checkedFps(targetFps) {
  if (!(targetFps >= FPS_MIN && targetFps <= FPS_MAX)) {
    throw new RangeError(`targetFps is ${targetFps}; expected ${FPS_MIN} to ${FPS_MAX} frames per second`);
  }
  return targetFps;
}

function checkedShare(cpuShare) {
  if (!(cpuShare > 0 && cpuShare <= 1)) {
    throw new RangeError(`cpuShare is ${cpuShare}; expected more than 0 up to 1 (all of the time)`);
  }
  return cpuShare;
}
