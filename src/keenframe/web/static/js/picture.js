// A picture: its views at strength 0, 1 and 2 blended as the slider says, and its download.

import { Compare } from "./compare.js";
import { $, Problem, ask, fail, happened, fileSize, idle, isIdle, save, say, upload } from "./page.js";
import { Strength } from "./strength.js";

const UNSEEN = "The picture was sharpened, but this browser cannot show it.";

export class PictureView {
  constructor(section) {
    this.section = section;
    this.compare = new Compare($(".compare", section), $(".zoom", section), "The picture, before and after");
    this.slider = new Strength($(".strength", section), () => this.#blend());
    this.button = $("#picture-save");
    this.button.addEventListener("click", () => this.#save().catch(fail));
  }

  get strength() {
    return this.slider.value;
  }

  /** Upload `file` and show it, at first at `strength`; `busy(text, part)` tells how far it is. */
  async open(file, busy, signal, strength = 1) {
    const name = encodeURIComponent(file.name ?? "");
    this.picture = await upload(`/api/pictures?name=${name}`, file, (part) => {
      busy(part < 1 ? "Reading the file" : "Opening the picture", part < 1 ? part : null);
    }, signal);
    const { picture, section } = this;
    this.slider.value = strength;
    const before = this.#view(0);
    await happened(before, "load", UNSEEN);
    if (signal.aborted) return;
    $(".file", section).textContent = picture.name || "Untitled picture";
    $(".meta", section).textContent = `${picture.width} × ${picture.height} · ${picture.format} · ${fileSize(file.size)}`;
    // 0 again, as the bottom of the blend; the browser has it already.
    this.views = [before.cloneNode(), document.createElement("img"), document.createElement("img")];
    for (const view of this.views) view.alt = "";
    before.alt = "The picture as it was";
    this.views[1].alt = "The picture sharpened";
    section.hidden = false;
    this.compare.show({
      before: [before], after: this.views, blended: true, clear: picture.alpha,
      size: [before.naturalWidth, before.naturalHeight],
    });
    this.ready = [true, false, false];
    this.#blend();
    this.#load(1).then(() => say("The picture is sharpened."), (error) => this.#failed(error, picture));
  }

  #view(strength) {
    const image = document.createElement("img");
    image.decoding = "async";
    image.draggable = false;
    image.src = `/api/pictures/${this.picture.id}/view?strength=${strength}`;
    return image;
  }

  /** Load the view of a strength into the stack. */
  async #load(strength) {
    const { picture, views } = this;
    if (this.ready[strength] !== false) return;
    this.ready[strength] = null;
    this.#busy();
    // Fetched, and not left to <img>, so that the server's words are at hand when it refuses.
    const response = await ask(`/api/pictures/${picture.id}/view?strength=${strength}`);
    const url = URL.createObjectURL(await response.blob());
    const image = views[strength];
    image.src = url;
    image.draggable = false;
    await image.decode().catch(() => { throw new Problem(UNSEEN); });
    URL.revokeObjectURL(url);
    if (picture !== this.picture) return;
    this.ready[strength] = true;
    this.#busy();
    this.#blend();
  }

  #blend() {
    const { strength } = this;
    if (strength > 1) this.#load(2).catch((error) => this.#failed(error, this.picture));
    const high = this.ready[2] === true ? Math.max(0, strength - 1) : 0;
    const middle = this.ready[1] === true ? Math.min(1, strength) - high : 0;
    [1 - middle - high, middle, high].forEach((weight, index) => {
      const { style } = this.views[index];
      style.opacity = weight;
      style.visibility = weight > 0 ? "visible" : "hidden";
    });
    this.#busy();
  }

  #busy() {
    const missing = this.ready[1] !== true || (this.strength > 1 && this.ready[2] !== true);
    this.compare.wait(missing && this.ready.includes(null) ? "Sharpening …" : "");
    this.slider.busy = missing;
  }

  #failed(error, picture) {
    if (picture !== this.picture) return;
    this.ready = this.ready.map((state) => state === true);
    this.compare.wait("");
    fail(error);
  }

  async #save() {
    const { picture, button } = this;
    if (isIdle(button)) return;
    idle(button, true);
    button.textContent = "Preparing …";
    try {
      const response = await ask(`/api/pictures/${picture.id}/result?strength=${this.strength}`);
      const url = URL.createObjectURL(await response.blob());
      save(url, picture.saved_as);
      setTimeout(() => URL.revokeObjectURL(url), 60_000);
      say(`Saved as ${picture.saved_as}.`);
    } finally {
      idle(button, false);
      button.textContent = "Download";
    }
  }

  /** Forget the picture, here and on the server. */
  close() {
    if (this.picture) fetch(`/api/pictures/${this.picture.id}`, { method: "DELETE" }).catch(() => {});
    this.picture = null;
    this.section.hidden = true;
  }
}
