// Two videos of one length that play as one: the first leads and is heard, the second follows.

import { $ } from "./page.js";

// Apart by more than FAR seconds the follower jumps, by more than NEAR it plays faster or slower for a while.
const FAR = 0.25;
const NEAR = 0.02;
const CATCH_UP = 0.08;

export class Pair {
  /** Controls in `root`, for the videos given to `show`. */
  constructor(root) {
    this.play = $("#video-play", root);
    this.seek = $("#video-seek", root);
    this.time = $("#video-time", root);
    this.mute = $("#video-mute", root);
    this.play.addEventListener("click", () => (this.leader.paused ? this.leader.play() : this.leader.pause()));
    this.mute.addEventListener("click", () => {
      this.leader.muted = !this.leader.muted;
      this.#draw();
    });
    this.seek.addEventListener("input", () => {
      this.leader.currentTime = Number(this.seek.value) * (this.leader.duration || 0);
    });
  }

  show(leader, follower) {
    this.stop();
    this.leader = leader;
    this.follower = follower;
    if (follower) follower.muted = true;
    leader.loop = false;
    for (const event of ["play", "pause", "ended", "seeked", "timeupdate", "durationchange", "volumechange"]) {
      leader.addEventListener(event, () => leader === this.leader && this.#draw());
    }
    leader.addEventListener("play", () => this.#tick());
    for (const event of ["pause", "seeking", "ended"]) {
      leader.addEventListener(event, () => leader === this.leader && this.#meet());
    }
    this.#draw();
  }

  stop() {
    this.leader?.pause();
    this.follower?.pause();
    this.leader = this.follower = null;
  }

  /** Follow, as long as it plays. */
  #tick() {
    const { leader, follower } = this;
    if (!leader || leader.paused || leader.ended) return;
    this.#draw();
    if (follower && !follower.error) {
      const late = leader.currentTime - follower.currentTime;
      if (follower.paused && leader.currentTime < follower.duration) follower.play().catch(() => {});
      if (Math.abs(late) > FAR) follower.currentTime = leader.currentTime;
      follower.playbackRate = Math.abs(late) > NEAR ? 1 + Math.sign(late) * CATCH_UP : 1;
    }
    requestAnimationFrame(() => this.#tick());
  }

  /** Put both on the same frame. */
  #meet() {
    const { leader, follower } = this;
    if (!follower || follower.error) return;
    if (leader.paused || leader.ended) follower.pause();
    follower.currentTime = Math.min(leader.currentTime, follower.duration || 0);
  }

  #draw() {
    const { leader } = this;
    const length = leader.duration || 0;
    this.play.textContent = leader.paused ? "Play" : "Pause";
    this.play.setAttribute("aria-pressed", !leader.paused);
    this.mute.textContent = leader.muted ? "Unmute" : "Mute";
    this.mute.setAttribute("aria-pressed", leader.muted);
    this.seek.value = length ? leader.currentTime / length : 0;
    // Browsers say a frame more or less of the length, as they come to know the file: three seconds stay three.
    const [at, end] = [clock(leader.currentTime), clock(Math.round(length))];
    this.time.textContent = `${at} / ${end}`;
    this.seek.setAttribute("aria-valuetext", `${at} of ${end}`);
  }
}

function clock(seconds) {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}
