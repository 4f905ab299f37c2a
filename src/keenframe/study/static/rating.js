// Instructions, and the two ways of rating: one at a time (ACR), and the second against the first (CCR).

import { media } from "./api.js";
import { canFullScreen, card, el, key, onKey, show, sleep, toggleFullScreen } from "./ui.js";

const GRADES = {
  acr: [[1, "Bad"], [2, "Poor"], [3, "Fair"], [4, "Good"], [5, "Excellent"]],
  ccr: [[-3, "Much worse"], [-2, "Worse"], [-1, "Slightly worse"], [0, "About the same"], [1, "Slightly better"], [2, "Better"], [3, "Much better"]],
};
// Gray between two stimuli, so that nobody compares by flicker; and how long each is looked at before a grade.
const GAP_MS = 250;
const LOOK_MS = 700;

// The size at which a stimulus is shown. Whole screen pixels per stimulus pixel wherever that fills the room well.
// Returns CSS pixels, and the scale in screen pixels.
export function fit(width, height, roomWidth, roomHeight) {
  const ratio = devicePixelRatio || 1;
  const most = Math.max(0.05, Math.min((roomWidth * ratio) / width, (roomHeight * ratio) / height));
  const wanted = Math.min(most, Math.max(1, Math.round(ratio)));
  const whole = Math.floor(wanted);
  const scale = whole >= 1 && whole >= 0.75 * wanted ? whole : wanted;
  return { width: (width * scale) / ratio, height: (height * scale) / ratio, scale };
}

export function intro(step) {
  const pair = step.method === "ccr";
  const example = el("div", { className: "example" }, ...[...GRADES[step.method]].reverse().map(([value, name]) =>
    el("div", {}, el("b", {}, pair && value > 0 ? `+${value}` : `${value}`.replace("-", "−")), name)));
  const what = step.moving && step.still ? "picture or clip" : step.moving ? "clip" : "picture";
  const obey = ` Sometimes there are instructions in the ${what} itself: please do what they say.`;
  const text = pair
    ? [`${step.part > 1 ? "Now you" : "You"} see two versions of the same scene, one after the other. Look at the first, then at the second, and say how good the second one is, compared with the first.`,
       "You may go back and forth as often as you like. Sometimes there is no difference at all." + obey]
    : [`You see one ${what} at a time. Say how good its quality is: how clear, sharp and free of faults it looks. Whether you like the scene does not matter.`,
       "Follow your first impression, and use the whole scale." + obey];
  const heading = pair ? "Compare two versions" : "How to rate";
  return proceed(step.parts > 1 ? `Part ${step.part} of ${step.parts}: ${heading.toLowerCase()}` : heading, text, example,
    el("p", { className: "small keys" }, "Keys: ", key("1"), " to ", key(pair ? "7" : "5"), " to choose, ", key("Enter"), " to confirm",
      ...(pair ? [", ", key("←"), " ", key("→"), " for first and second"] : []),
      ...(step.moving ? [", ", key("R"), " to play again"] : []), ", ", key("P"), " for a pause."),
    "Begin with examples");
}

export function ready(step) {
  return proceed("That was practice", ["Now it counts. Take a short break whenever you like: there is a button for it. If the page gets closed, open it again in this browser and go on where you were."],
    null, null, "Start rating");
}

function proceed(heading, text, example, hint, label) {
  return new Promise((resolve) => {
    const go = () => {
      if (canFullScreen()) toggleFullScreen(true);
      resolve({ value: null });
    };
    card(heading, ...text.map((paragraph) => el("p", {}, paragraph)), example, hint,
      el("div", { className: "row" }, el("button", { type: "button", className: "main", "data-focus": "", onclick: go }, label)));
    onKey((pressed) => pressed === "Enter" && (go(), true));
  });
}

// One picture or clip in the room. play() ends when it has been seen; it shows nothing before everything is there.
async function stimulus(step, name) {
  const url = await media(name);
  if (!step.moving) {
    const image = el("img", { className: "stimulus", alt: "", draggable: false, src: url });
    await image.decode();
    return { element: image, async play() { await sleep(LOOK_MS); }, stop() {} };
  }
  const video = el("video", { className: "stimulus", muted: true, playsInline: true, preload: "auto", src: url });
  video.disablePictureInPicture = true;
  await new Promise((resolve, reject) => {
    video.addEventListener("canplaythrough", resolve, { once: true });
    video.addEventListener("error", () => reject(new Error("This browser cannot play the clips (H.264). Please try another one.")), { once: true });
    video.load();
  });
  let halt = () => {};
  return {
    element: video,
    async play() {
      halt();
      video.currentTime = 0;
      const ended = new Promise((resolve) => {
        halt = resolve;
        video.addEventListener("ended", resolve, { once: true });
      });
      await video.play();
      await ended;
    },
    stop() {
      video.pause();
      halt();
    },
  };
}

async function rate(step, method) {
  const shown = await Promise.all(step.media.map((name) => stimulus(step, name)));
  return new Promise((resolve, reject) => {
    const pair = shown.length > 1;
    const seen = shown.map(() => false);
    let value = null, firstMs = null, replays = 0, turn = 0, scale = 1, started = null, finished = false;

    const resting = el("div", { className: "resting", hidden: true }, "");
    const room = el("div", { className: "room" }, ...shown.map((item) => item.element), resting);
    const buttons = GRADES[method].map(([grade, name], index) =>
      el("button", { type: "button", role: "radio", "aria-checked": "false", disabled: true, onclick: () => choose(grade) }, key(`${index + 1}`), el("span", {}, name)));
    const go = el("button", { type: "button", className: "go", disabled: true, onclick: confirm }, "Next ", key("Enter"));
    const again = el("button", { type: "button", hidden: !step.moving, disabled: true, onclick: replay }, "Play again ", key("R"));
    const tabs = !pair ? null : ["First", "Second"].map((name, index) =>
      el("button", { type: "button", "aria-pressed": "false", disabled: index === 1, onclick: () => present(index) },
        ...(index ? [name, " ", key("→")] : [key("←"), " ", name])));
    const asked = `${step.practice ? "Practice: " : ""}${pair ? "Compared with the first, the second is …" : "How good is the quality?"}`;
    const panel = el("div", { className: "panel" }, el("p", { className: "asked" }, asked),
      el("div", { className: "scale", role: "radiogroup", "aria-label": asked }, ...buttons),
      el("div", { className: "below" }, again, go));
    const signal = show(el("div", { className: "rating" }, pair ? el("div", { className: "tabs" }, ...tabs) : null, room, panel));

    function layOut() {
      const size = fit(step.width, step.height, room.clientWidth, room.clientHeight);
      scale = size.scale;
      for (const { element } of shown) {
        element.style.width = `${size.width}px`;
        element.style.height = `${size.height}px`;
      }
    }
    new ResizeObserver((_, observer) => (signal.aborted ? observer.disconnect() : layOut())).observe(room);
    layOut();

    // Shows one of the stimuli, after a moment of gray; every showing after the first of each is a replay.
    async function present(index) {
      if (finished) return;
      const mine = ++turn;
      for (const item of shown) {
        item.stop();
        item.element.classList.remove("on");
      }
      resting.hidden = true;
      tabs?.forEach((tab, position) => tab.setAttribute("aria-pressed", `${position === index}`));
      await sleep(GAP_MS);
      if (mine !== turn || signal.aborted) return;
      if (seen[index]) replays++;
      started ??= performance.now();
      const item = shown[index];
      item.element.classList.add("on");
      try {
        await item.play();
      } catch (error) {
        if (mine === turn) reject(error);
        return;
      }
      if (mine !== turn || signal.aborted) return;
      seen[index] = true;
      if (step.moving) {
        item.element.classList.remove("on");
        resting.textContent = pair && !seen[1] ? "Now the second" : "Please rate";
        resting.hidden = false;
      }
      if (tabs) tabs[1].disabled = !seen[0];
      if (seen.every(Boolean)) {
        again.disabled = false;
        buttons.forEach((button) => (button.disabled = false));
      } else if (step.moving) {
        present(index + 1);
      }
    }

    function choose(grade) {
      if (finished || buttons[0].disabled) return;
      value = grade;
      firstMs ??= performance.now() - started;
      GRADES[method].forEach(([other], index) => buttons[index].setAttribute("aria-checked", `${other === grade}`));
      go.disabled = false;
    }
    function confirm() {
      if (value === null || finished) return;
      finished = true;
      for (const item of shown) {
        item.stop();
        item.element.classList.remove("on");
      }
      for (const button of [...buttons, again, go, ...(tabs ?? [])]) button.disabled = true;
      resolve({ value, ms: Math.round(performance.now() - started), first_ms: Math.round(firstMs), replays, scale });
    }
    function replay() {
      if (!again.disabled) present(pair && tabs[1].getAttribute("aria-pressed") === "true" ? 1 : 0);
    }
    onKey((pressed) => {
      const index = Number(pressed) - 1;
      if (pressed === "Enter") confirm();
      else if (index >= 0 && index < buttons.length) choose(GRADES[method][index][0]);
      else if (pressed === "r" || pressed === "R") replay();
      else if (pair && pressed === "ArrowLeft") present(0);
      else if (pair && pressed === "ArrowRight" && !tabs[1].disabled) present(1);
      else return false;
      return true;
    });
    // What plays under the pause is not seen: it starts again.
    addEventListener("paused", () => { turn++; shown.forEach((item) => item.stop()); }, { signal });
    addEventListener("resumed", () => seen.every(Boolean) || present(seen.indexOf(false)), { signal });
    present(0);
  });
}

export const acr = (step) => rate(step, "acr");
export const ccr = (step) => rate(step, "ccr");
