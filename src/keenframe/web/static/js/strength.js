// The slider for the strength, with its number beside it: of pictures, of videos, of what is live.

const MARKUP = `
  <label for="ID">Strength</label>
  <input type="range" id="ID" min="0" max="2" step="0.05" value="1">
  <output aria-live="off" for="ID">1.00</output>`;
let count = 0;

export class Strength {
  /** root: an empty element; onInput: called when the user has moved the slider. */
  constructor(root, onInput = () => {}) {
    root.append(document.createRange().createContextualFragment(MARKUP.replaceAll("ID", `strength-${++count}`)));
    this.slider = root.querySelector("input");
    this.output = root.querySelector("output");
    this.slider.addEventListener("input", () => {
      this.#draw();
      onInput();
    });
  }

  get value() {
    return Number(this.slider.value);
  }

  set value(strength) {
    this.slider.value = strength;
    this.#draw();
  }

  /** Whether what is shown is not yet of this strength. */
  set busy(is) {
    this.output.setAttribute("aria-busy", is);
  }

  #draw() {
    this.output.textContent = this.value.toFixed(2);
  }
}
