// Questions about the rater where the study has any, and the checks of screen and eyes.

import { media } from "./api.js";
import { fit } from "./rating.js";
import { $, canFullScreen, card, el, key, onKey, toggleFullScreen } from "./ui.js";

export function about(step) {
  return new Promise((resolve) => {
    const form = el("form", {
      onsubmit(event) {
        event.preventDefault();
        resolve({ value: Object.fromEntries(new FormData(form)) });
      },
    });
    step.questions.forEach((question, index) => {
      form.append(el("fieldset", {}, el("legend", {}, question.text),
        ...question.choices.map((choice, position) => {
          const input = el("input", { type: "radio", name: question.id, value: choice, required: true });
          if (index === 0 && position === 0) input.setAttribute("data-focus", "");
          return el("label", { className: "choice" }, input, choice);
        })));
    });
    form.append(el("div", { className: "row" }, el("button", { type: "submit", className: "main" }, "Continue")));
    card("About you", form);
  });
}

// Zoom as far as a page can know it: pinched, or a window that holds fewer pixels than it is wide.
function zoom() {
  const pinched = window.visualViewport?.scale ?? 1;
  const fine = matchMedia("(pointer: fine)").matches;
  const ratio = fine && outerWidth > 0 ? outerWidth / innerWidth : 1;
  return pinched * (ratio > 1.08 || ratio < 0.92 ? ratio : 1);
}

export function screen(step) {
  return new Promise((resolve) => {
    const list = el("ul", { className: "checks" });
    const signal = card("Your screen",
      el("p", {}, "Please use the largest screen you have, sit at arm's length, avoid light shining on it, and make it bright enough to read comfortably. Switch off night mode and any setting that changes colours."),
      list,
      el("div", { className: "row" },
        el("button", { type: "button", className: "main", "data-focus": "", onclick: done }, "Continue"),
        canFullScreen()
          ? el("button", { type: "button", className: "other", onclick: () => toggleFullScreen() }, "Full screen ", key("F"))
          : null));
    function line(good, text) {
      return el("li", { className: good ? "good" : "warn" }, el("span", { className: "mark" }, good ? "✓" : "!"), el("span", {}, text));
    }
    function measure() {
      const { scale } = fit(step.width, step.height, innerWidth, innerHeight - (innerWidth > 620 ? 215 : 340));
      const zoomed = zoom();
      list.replaceChildren(
        scale >= 1
          ? line(true, `Your window is large enough: ${innerWidth} × ${innerHeight}.`)
          : line(false, `Your window is small (${innerWidth} × ${innerHeight}), so everything is shown smaller than it is. Please enlarge it, use full screen, or turn your phone.`),
        Math.abs(zoomed - 1) < 0.08
          ? line(true, "The page is not zoomed.")
          : line(false, `The page seems to be zoomed (${Math.round(100 * zoomed)} %). Please set it back: Ctrl+0, or Cmd+0 on a Mac.`));
    }
    function done() {
      resolve({ value: {
        width: innerWidth, height: innerHeight, screen_width: window.screen.width, screen_height: window.screen.height,
        ratio: devicePixelRatio || 1, full_screen: document.fullscreenElement !== null,
      } });
    }
    measure();
    addEventListener("resize", measure, { signal });
    onKey((pressed) => pressed === "Enter" && (done(), true));
  });
}

async function digits(step, heading, text, length, none) {
  const url = await media(step.media[0]);
  return new Promise((resolve) => {
    const input = el("input", {
      type: "text", className: "digits", inputMode: "numeric", autocomplete: "off", maxLength: length, "data-focus": "",
      "aria-label": heading, oninput: () => { input.value = input.value.replace(/\D/g, ""); },
    });
    const form = el("form", { className: "row", onsubmit(event) { event.preventDefault(); if (input.value) resolve({ value: input.value }); } },
      input, el("button", { type: "submit", className: "main" }, "Continue"),
      el("button", { type: "button", className: "other", onclick: () => resolve({ value: "" }) }, none));
    card(heading, el("p", {}, text), el("img", { className: "sheet", src: url, alt: "", width: step.width, height: step.height }), form);
  });
}

export const ramp = (step) => digits(step, "Brightness",
  "Type the digits you can read below, from left to right, the upper row first. Some are very faint, and you need not see them all.",
  6, "I see none");

export const plate = (step) => digits(step, "Colours",
  "Which digit do you see in the dots? If you see none, that is fine too: just say so.", 1, "I see none");

const ARROWS = { ArrowUp: "up", ArrowDown: "down", ArrowLeft: "left", ArrowRight: "right", " ": "none" };
const SIGNS = { up: "↑", left: "←", right: "→", down: "↓", none: "?" };

// A letter E of five by five strokes, in whole pixels of the screen, its arms to the right, then turned.
function letter(strokeCss, turn) {
  const ratio = devicePixelRatio || 1;
  const stroke = Math.max(1, Math.round(strokeCss * ratio));
  const side = 5 * stroke;
  const canvas = el("canvas", { width: side, height: side, role: "img", "aria-label": "letter E" });
  canvas.style.width = canvas.style.height = `${side / ratio}px`;
  const context = canvas.getContext("2d");
  context.translate(side / 2, side / 2);
  context.rotate({ right: 0, down: Math.PI / 2, left: Math.PI, up: -Math.PI / 2 }[turn]);
  context.translate(-side / 2, -side / 2);
  context.fillStyle = "#000";
  context.fillRect(0, 0, stroke, side);
  for (const row of [0, 2, 4]) context.fillRect(0, row * stroke, side, stroke);
  return canvas;
}

export function acuity(step) {
  return new Promise((resolve) => {
    const given = [];
    const box = el("div", { className: "letter" });
    const count = el("span");
    function next() {
      box.replaceChildren(letter(step.strokes[given.length], step.turns[given.length]));
      count.textContent = `Letter ${given.length + 1} of ${step.turns.length}`;
    }
    function answer(turn) {
      if (given.length === step.turns.length) return;
      given.push(turn);
      $("stage").focus();
      if (given.length === step.turns.length) resolve({ value: given });
      else next();
    }
    const pad = el("div", { className: "pad" }, ...Object.entries(SIGNS).map(([turn, sign]) =>
      el("button", { type: "button", className: turn, "aria-label": turn === "none" ? "cannot tell" : turn, onclick: () => answer(turn) }, sign)));
    card("Eyesight",
      el("p", {}, "Which way do the arms of the E point? The letters get smaller. Keep your usual distance; choose ? when you cannot tell."),
      el("div", { className: "letters" }, box, pad),
      el("p", { className: "small" }, count, el("span", { className: "keys" }, " · Keys: ", key("←"), " ", key("↑"), " ", key("↓"), " ", key("→"), ", ", key("Space"), " for ?")));
    next();
    onKey((pressed) => pressed in ARROWS && (answer(ARROWS[pressed]), true));
  });
}
