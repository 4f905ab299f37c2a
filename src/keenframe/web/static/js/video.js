// A video: shown as it is, sent to the queue, watched on its way, compared and saved.

import { Compare } from "./compare.js";
import { $, Problem, ask, duration, fail, happened, fileSize, save, say, upload } from "./page.js";
import { Pair } from "./pair.js";
import { Strength } from "./strength.js";

const POLL_MS = 500;
// A server that does not answer so often in a row is said to be away.
const PATIENCE = 6;
// Spoken at each of these parts of the whole, not at every frame.
const SPOKEN = [0.25, 0.5, 0.75];
const KEY = "keenframe-video";

export class VideoView {
  /** busy: the card for what is under way; onTry(file, strength) shows a frame as a picture. */
  constructor(section, busy, onTry) {
    this.section = section;
    this.busy = busy;
    this.onTry = onTry;
    this.compare = new Compare($(".compare", section), $(".zoom", section), "The video, before and after");
    this.pair = new Pair(section);
    this.source = $("#video-source");
    this.slider = new Strength($(".strength", section));
    this.source.addEventListener("error", () => {
      if (this.url) this.#unplayable(true);
    });
    $("#video-go").addEventListener("click", () => this.#start().catch((error) => this.#failed(error)));
    $("#video-try").addEventListener("click", () => this.#try().catch(fail));
    $("#video-again").addEventListener("click", () => this.#choose());
    $("#video-save").addEventListener("click", () => this.#save().catch(fail));
  }

  /** Show `file` as it is. */
  open(file) {
    this.file = file;
    this.url = URL.createObjectURL(file);
    this.#title(file.name || "Untitled video", fileSize(file.size));
    this.#unplayable(false);
    this.source.src = this.url;
    this.source.addEventListener("loadedmetadata", () => {
      const { videoWidth, videoHeight, duration: length } = this.source;
      const parts = [`${videoWidth} × ${videoHeight}`, Number.isFinite(length) ? duration(length) : "", fileSize(file.size)];
      $(".meta", this.section).textContent = parts.filter(Boolean).join(" · ");
    }, { once: true });
    this.#choose();
  }

  /** Come back from trying a frame, with the strength that was found. */
  resumeAt(strength) {
    this.slider.value = strength;
    this.section.hidden = false;
    $("#video-try").focus();
  }

  /** Go on with the video that was on its way before the page was loaded anew; false when there is none. */
  async resume() {
    const id = sessionStorage.getItem(KEY);
    if (!id) return false;
    const response = await fetch(`/api/videos/${id}`).catch(() => null);
    if (!response?.ok) {
      sessionStorage.removeItem(KEY);
      return false;
    }
    this.job = await response.json();
    this.#follow(new AbortController()).catch((error) => this.#failed(error));
    return true;
  }

  /** Forget the video, here and on the server. */
  close() {
    this.controller?.abort();
    this.pair.stop();
    this.#discard();
    this.file = null;
    this.source.removeAttribute("src");
    this.source.load();
    this.compare.show({ before: [], after: [], size: [16, 9] });
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.section.hidden = true;
  }

  /** Hand over the frame that is shown. */
  async #try() {
    const { source } = this;
    source.pause();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [source.videoWidth, source.videoHeight];
    canvas.getContext("2d").drawImage(source, 0, 0);
    const frame = await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    if (!frame) throw new Problem("This browser does not hand out frames of this video.");
    const name = `${this.file.name}, frame at ${source.currentTime.toFixed(1)} s.png`;
    this.section.hidden = true;
    await this.onTry(new File([frame], name, { type: frame.type }), this.slider.value);
  }

  #title(name, meta) {
    $(".file", this.section).textContent = name;
    $(".meta", this.section).textContent = meta;
  }

  #unplayable(it_is) {
    $("#video-unplayable").hidden = !it_is;
    this.source.hidden = $("#video-try").hidden = it_is;
  }

  #choose() {
    this.pair.stop();
    this.section.hidden = false;
    $("#video-choose").hidden = false;
    $("#video-done").hidden = true;
  }

  async #start() {
    const controller = new AbortController();
    const query = `name=${encodeURIComponent(this.file.name ?? "")}&strength=${this.slider.value}`;
    await this.#discard();
    this.source.pause();
    this.section.hidden = true;
    this.#watch(controller, { text: "Reading the file", part: 0 });
    this.job = await upload(`/api/videos?${query}`, this.file, (part) => {
      this.busy.show({ text: part < 1 ? "Reading the file" : "Looking at the video", part: part < 1 ? part : null });
    }, controller.signal);
    sessionStorage.setItem(KEY, this.job.id);
    await this.#follow(controller);
  }

  #watch(controller, state) {
    this.controller = controller;
    this.busy.show({ name: this.file?.name || this.job?.name || "Untitled video", ...state, cancel: () => this.#cancel() });
  }

  async #follow(controller) {
    this.#watch(controller, {});
    const { signal } = controller;
    let silent = 0;
    let spoken = 0;
    while (!signal.aborted) {
      const job = this.job;
      if (job.state === "done") return this.#finished();
      if (job.state === "failed") throw new Problem(job.message);
      this.busy.show(describe(job));
      const part = job.expected ? job.frames / job.expected : 0;
      if (spoken < SPOKEN.length && part >= SPOKEN[spoken]) {
        say(`${SPOKEN[spoken] * 100} % sharpened`);
        spoken += 1;
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
      try {
        this.job = await (await ask(`/api/videos/${job.id}`, { signal })).json();
        silent = 0;
      } catch (error) {
        if (error.name === "AbortError") return;
        silent += 1;
        if (silent >= PATIENCE) throw error;
      }
    }
  }

  async #finished() {
    const { job, section } = this;
    this.busy.hide();
    section.hidden = false;
    $("#video-choose").hidden = true;
    $("#video-done").hidden = false;
    this.#title(job.name || "Untitled video", [
      `${job.frames.toLocaleString("en")} frames in ${duration(job.seconds)}`,
      `strength ${job.strength.toFixed(2)}`, fileSize(job.bytes),
    ].join(" · "));
    this.#kept();
    $("#video-again").hidden = !this.file;
    $("#video-warnings").replaceChildren(...job.warnings.map((text) => {
      const line = document.createElement("li");
      line.textContent = text;
      return line;
    }));
    const after = document.createElement("video");
    const before = document.createElement("video");
    for (const video of [before, after]) {
      video.playsInline = true;
      video.preload = "auto";
    }
    before.setAttribute("aria-label", "The video as it was");
    after.setAttribute("aria-label", "The video sharpened");
    const readable = happened(after, "loadedmetadata", "The video is sharpened, but this browser cannot play it. Download it to see it.");
    after.src = `/api/videos/${job.id}/result`;
    if (this.url) before.src = this.url;
    const playable = Boolean(this.url) && $("#video-unplayable").hidden;
    this.pair.show(after, playable ? before : null);
    this.compare.show({ before: playable ? [before] : [], after: [after], size: [job.width, job.height] });
    this.compare.only(!playable);
    document.title = `Done – ${job.name}`;
    say("The video is sharpened.");
    $("h1", section).focus();
    // What cannot be played here can be saved all the same.
    await readable.then(
      () => this.compare.resize([after.videoWidth, after.videoHeight]),
      (error) => this.job === job && fail(error),
    );
  }

  #kept() {
    const until = new Date(this.job.expires * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    $("#video-kept").textContent = `Kept until ${until}, then removed.`;
  }

  async #save() {
    const url = `/api/videos/${this.job.id}/result?save=1`;
    await ask(url, { method: "HEAD" });
    save(url, this.job.saved_as);
    say(`Saving ${this.job.saved_as}.`);
  }

  #cancel() {
    this.controller.abort();
    this.#discard();
    this.#back();
    say("Cancelled.");
  }

  /** Forget what came of the video, here and on the server. */
  async #discard() {
    const { job } = this;
    this.job = null;
    sessionStorage.removeItem(KEY);
    if (job) await fetch(`/api/videos/${job.id}`, { method: "DELETE" }).catch(() => {});
  }

  #failed(error) {
    if (error.name === "AbortError") return;
    sessionStorage.removeItem(KEY);
    this.#back();
    fail(error);
  }

  /** To where the user can try again: the video as it is, or the start. */
  #back() {
    this.busy.hide();
    if (this.file) this.#choose();
    else this.busy.home();
  }
}

function describe(job) {
  if (job.state !== "running") {
    const place = job.position > 1 ? `${job.position - 1} before it` : "it is next";
    return { text: `Waiting for another video: ${place}`, part: null, more: "" };
  }
  if (!job.frames) return { text: "Starting", part: null, more: "" };
  const count = job.frames.toLocaleString("en");
  const of = job.expected ? ` of ${job.expected.toLocaleString("en")}` : "";
  const more = [`${count}${of} frames`];
  if (job.fps) more.push(`${job.fps < 10 ? job.fps.toFixed(1) : Math.round(job.fps)} frames a second`);
  if (job.eta_s !== null) more.push(`about ${duration(job.eta_s)} left`);
  return {
    text: "Sharpening", more: more.join(" · "),
    part: job.expected ? Math.min(1, job.frames / job.expected) : null,
  };
}
