// Before and after under one divider, in a stage that zooms and pans. What is compared are two stacks of elements
// of one size: pictures or videos.

const MARKUP = `
  <div class="stage" tabindex="0" role="group">
    <div class="canvas"><div class="layer before"></div><div class="layer after"></div></div>
  </div>
  <span class="chip before" aria-hidden="true">Before</span>
  <span class="chip after" aria-hidden="true">After</span>
  <div class="divider" role="slider" tabindex="0" aria-label="Divider between before and after"
    aria-orientation="horizontal" aria-valuemin="0" aria-valuemax="100">
    <span class="grip"><svg viewBox="0 0 24 24"><path d="m9 6-6 6 6 6M15 6l6 6-6 6"/></svg></span>
  </div>
  <p class="wait" hidden></p>`;
const STEP = 2;
const PAGE = 10;
const ZOOMS = [0.1, 0.25, 0.5, 1, 2, 4, 8];
// Small pictures are enlarged to fill the stage, but not beyond this.
const FIT_MAX = 2;
const CHIP_PX = 90;

export class Compare {
  /** root: an empty element; zoomRoot: another one, for the zoom buttons; label: what is compared. */
  constructor(root, zoomRoot, label) {
    root.append(document.createRange().createContextualFragment(MARKUP));
    this.root = root;
    this.stage = root.querySelector(".stage");
    this.canvas = root.querySelector(".canvas");
    this.before = root.querySelector(".layer.before");
    this.after = root.querySelector(".layer.after");
    this.divider = root.querySelector(".divider");
    this.chips = [...root.querySelectorAll(".chip")];
    this.waiting = root.querySelector(".wait");
    this.stage.setAttribute("aria-label", label);
    this.size = [16, 9];
    this.position = 50;
    this.zoom = "fit";
    this.#buildZoom(zoomRoot);
    this.#listen();
    new ResizeObserver(() => this.layout()).observe(root);
  }

  /** Compare anew. before, after: elements; size: [width, height] of both in pixels; clear: whether they have
   * alpha; blended: whether `after` is a stack whose opacities add up to 1. */
  show({ before, after, size, clear = false, blended = false }) {
    this.before.replaceChildren(...before);
    this.after.replaceChildren(...after);
    this.after.classList.toggle("blended", blended);
    this.canvas.classList.toggle("clear", clear);
    this.size = size;
    this.position = 50;
    this.setZoom("fit");
  }

  /** The same, in another size. */
  resize(size) {
    this.size = size;
    this.layout();
  }

  /** Whether there is but one side to see: without a divider then. */
  only(one) {
    this.root.classList.toggle("single", one);
    if (one) this.#move(0);
  }

  /** Say what is being waited for, or nothing any more. */
  wait(text) {
    this.waiting.hidden = !text;
    this.waiting.textContent = text ?? "";
  }

  /** zoom: "fit", or screen pixels for each pixel of the picture; at: the point of the stage that stays. */
  setZoom(zoom, at = [this.stage.clientWidth / 2, this.stage.clientHeight / 2]) {
    const old = this.scale;
    const point = [this.stage.scrollLeft + at[0], this.stage.scrollTop + at[1]];
    this.zoom = zoom;
    this.layout();
    if (old) {
      this.stage.scrollLeft = (point[0] * this.scale) / old - at[0];
      this.stage.scrollTop = (point[1] * this.scale) / old - at[1];
    }
    this.#drawDivider();
  }

  layout() {
    const [width, height] = this.size;
    const room = this.root.clientWidth;
    if (!room) return;
    const tallest = parseFloat(getComputedStyle(this.stage).maxHeight) || room;
    const fit = Math.min(room / width, tallest / height, FIT_MAX);
    this.scale = this.zoom === "fit" ? fit : this.zoom / devicePixelRatio;
    this.canvas.style.width = `${width * this.scale}px`;
    this.canvas.style.height = `${height * this.scale}px`;
    const pans = width * this.scale > room + 1 || height * this.scale > tallest + 1;
    this.stage.classList.toggle("pans", pans);
    this.canvas.classList.toggle("large", this.scale * devicePixelRatio >= 3);
    this.#drawZoom();
    this.#drawDivider();
  }

  #drawDivider() {
    const { stage, canvas } = this;
    // The divider keeps its place on the screen while the picture moves under it.
    const left = Math.max(0, canvas.offsetLeft - stage.scrollLeft);
    const width = Math.min(stage.clientWidth, canvas.offsetWidth);
    const x = left + (width * this.position) / 100;
    const cut = x + stage.scrollLeft - canvas.offsetLeft;
    this.divider.style.left = `${x}px`;
    this.divider.style.height = `${stage.clientHeight}px`;
    this.before.style.clipPath = `inset(0 ${canvas.offsetWidth - cut}px 0 0)`;
    this.after.style.clipPath = `inset(0 0 0 ${cut}px)`;
    this.chips[0].style.left = `${left}px`;
    this.chips[1].style.right = `${this.root.clientWidth - left - width}px`;
    this.chips[0].classList.toggle("faint", x - left < CHIP_PX);
    this.chips[1].classList.toggle("faint", left + width - x < CHIP_PX);
    const whole = Math.round(this.position);
    this.divider.setAttribute("aria-valuenow", whole);
    this.divider.setAttribute("aria-valuetext", `${whole} % before, ${100 - whole} % after`);
  }

  #move(position) {
    this.position = Math.min(100, Math.max(0, position));
    this.#drawDivider();
  }

  #moveTo(event) {
    const { stage, canvas } = this;
    const left = Math.max(0, canvas.offsetLeft - stage.scrollLeft);
    const width = Math.min(stage.clientWidth, canvas.offsetWidth);
    this.#move(((event.clientX - stage.getBoundingClientRect().left - left) / width) * 100);
  }

  #listen() {
    const { divider, stage } = this;
    divider.addEventListener("pointerdown", (event) => this.#drag(event, divider, (e) => this.#moveTo(e)));
    stage.addEventListener("pointerdown", (event) => {
      if (!stage.classList.contains("pans")) {
        this.#moveTo(event);
        this.#drag(event, stage, (e) => this.#moveTo(e));
      } else if (event.pointerType === "mouse") {
        const from = [event.clientX + stage.scrollLeft, event.clientY + stage.scrollTop];
        stage.classList.add("moving");
        this.#drag(event, stage, (e) => stage.scrollTo(from[0] - e.clientX, from[1] - e.clientY));
      }
    });
    stage.addEventListener("scroll", () => this.#drawDivider());
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("keydown", (event) => this.#stageKey(event));
    divider.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? PAGE : STEP;
      const moves = {
        ArrowLeft: -step, ArrowDown: -step, ArrowRight: step, ArrowUp: step,
        PageDown: -PAGE, PageUp: PAGE, Home: -100, End: 100,
      };
      if (!(event.key in moves) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.#move(this.position + moves[event.key]);
    });
  }

  #drag(event, node, onMove) {
    if (event.button !== 0) return;
    node.setPointerCapture(event.pointerId);
    const stop = () => {
      node.removeEventListener("pointermove", onMove);
      this.stage.classList.remove("moving");
    };
    node.addEventListener("pointermove", onMove);
    node.addEventListener("lostpointercapture", stop, { once: true });
  }

  #wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.stage.getBoundingClientRect();
    const factor = Math.exp(-event.deltaY / 300);
    const zoom = Math.min(ZOOMS.at(-1), Math.max(ZOOMS[0], this.#screenPixels() * factor));
    this.setZoom(zoom, [event.clientX - box.left, event.clientY - box.top]);
  }

  #stageKey(event) {
    const actions = { "+": () => this.#step(1), "=": () => this.#step(1), "-": () => this.#step(-1),
      0: () => this.setZoom("fit"), 1: () => this.setZoom(1) };
    if (!(event.key in actions) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    actions[event.key]();
  }

  #screenPixels() {
    return this.scale * devicePixelRatio;
  }

  #step(direction) {
    const now = this.#screenPixels();
    const next = direction > 0 ? ZOOMS.find((z) => z > now * 1.01) : ZOOMS.findLast((z) => z < now * 0.99);
    if (next) this.setZoom(next);
  }

  #buildZoom(root) {
    root.setAttribute("role", "group");
    root.setAttribute("aria-label", "Size on the screen");
    const button = (text, label, action) => {
      const node = document.createElement("button");
      node.type = "button";
      node.textContent = text;
      if (label) node.setAttribute("aria-label", label);
      node.addEventListener("click", action);
      root.append(node);
      return node;
    };
    this.fitButton = button("Fit", "", () => this.setZoom("fit"));
    this.fullButton = button("100 %", "", () => this.setZoom(1));
    button("−", "Smaller", () => this.#step(-1));
    this.zoomOutput = document.createElement("output");
    root.append(this.zoomOutput);
    button("+", "Larger", () => this.#step(1));
  }

  #drawZoom() {
    this.fitButton.setAttribute("aria-pressed", this.zoom === "fit");
    this.fullButton.setAttribute("aria-pressed", this.zoom === 1);
    this.zoomOutput.textContent = `${Math.round(this.#screenPixels() * 100)} %`;
  }
}
