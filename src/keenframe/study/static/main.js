// The course of a session: consent, then one step after the other as the server gives them.

import { Refused, fetchAhead, forget, get, keep, kept, post, randomHex } from "./api.js";
import { about, acuity, plate, ramp, screen } from "./checks.js";
import { acr, ccr, intro, ready } from "./rating.js";
import { $, card, el, hiddenTime, notice, place, setUpBar, toggleFullScreen } from "./ui.js";

const SCREENS = { about, screen, ramp, acuity, plate, intro, ready, acr, ccr };

function fatal(heading, text) {
  $("bar").hidden = true;
  card(heading, el("p", {}, text));
}

async function welcome(token) {
  const { title, consent, minutes } = await get("api/welcome");
  document.title = title;
  await new Promise((resolve) => {
    const start = el("button", { type: "submit", className: "main", disabled: true }, "Start");
    const box = el("input", { type: "checkbox", "data-focus": "", onchange: () => (start.disabled = !box.checked) });
    const form = el("form", { onsubmit: (event) => { event.preventDefault(); if (box.checked) resolve(); } },
      el("label", { className: "agree" }, box, el("span", {}, "I have read this, and I take part of my own free will.")),
      el("div", { className: "row" }, start, el("span", { className: "small" }, `About ${minutes} minutes`)));
    card(title, ...consent.map((paragraph) => el("p", {}, paragraph)), form);
  });
  // The browser makes the session's secret, so a start that was not acknowledged can simply be repeated. Until it
  // is, a session that goes on in this browser is left alone.
  const secret = kept.starting?.token === token ? kept.starting.secret : randomHex(32);
  keep({ starting: { token, secret } });
  let state;
  try {
    state = await post("api/start", { token, secret, agreed: true });
  } catch (error) {
    keep({ starting: null });
    throw error;
  }
  keep({ token, secret, pending: null, starting: null });
  history.replaceState(null, "", location.pathname);
  return state;
}

async function begin() {
  const token = location.hash.slice(1);
  if (token && token !== kept.token) return welcome(token);
  if (!kept.secret) return null;
  try {
    if (kept.pending) await send(kept.pending);
    const state = await get("api/state");
    history.replaceState(null, "", location.pathname);
    return state;
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    forget();
    return token ? welcome(token) : null;
  }
}

// An answer is written down in the browser before it is sent, and sent again after a reload.
async function send(answer) {
  keep({ pending: answer });
  try {
    return await post("api/answers", answer);
  } catch (error) {
    // Another tab was faster, or the page was reloaded between answer and acknowledgement.
    if (error instanceof Refused && error.status === 409) return await get("api/state");
    throw error;
  } finally {
    keep({ pending: null });
  }
}

async function course() {
  let state = await begin();
  if (!state) {
    fatal("An invitation is needed", "Please open the link that you were sent. Each link works once, in one browser.");
    return;
  }
  while (state.step) {
    const step = state.step;
    place(state.title, state.done, state.total);
    const hiddenBefore = hiddenTime();
    const started = performance.now();
    const work = SCREENS[step.kind](step);
    fetchAhead(state.ahead);
    const given = await work;
    state = await send({
      id: randomHex(16),
      step: step.number,
      ms: Math.round(performance.now() - started),
      hidden_ms: Math.round(hiddenTime() - hiddenBefore),
      ...given,
    });
  }
  await toggleFullScreen(false);
  forget();
  notice("");
  $("bar").hidden = true;
  card("Thank you!", el("p", {}, `That was the last one. All your answers are stored, and you can close this page.`),
    el("p", { className: "small" }, "Your link has been used up; nothing of this study stays in your browser."));
}

setUpBar();
// A link pasted over this page is another rater's.
addEventListener("hashchange", () => location.hash.length > 1 && location.reload());
course().catch((error) => {
  const known = error instanceof Refused;
  if (known && (error.status === 401 || error.status === 403)) {
    fatal("This link does not work here", "It is not valid, or it was used in another browser already. Please ask for a new one.");
  } else {
    fatal("Something went wrong", `${error.message} Please reload this page; what you have answered is stored.`);
  }
});
