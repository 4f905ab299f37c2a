// What can be told of a page from outside, as sentences about something that is wrong: names, roles, references,
// sizes, and the contrast of every text with what is behind it.
() => {
  const wrong = [];
  const shown = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const all = (selector) => [...document.querySelectorAll(selector)].filter(shown);
  const say = (e, what) => wrong.push(`${what}: ${e.outerHTML.slice(0, 120)}`);
  const text = (id) => document.getElementById(id)?.textContent.trim() ?? "";
  const label = (e) => (e.getAttribute("aria-labelledby") ?? "").split(" ").map(text).join(" ");
  const labels = (e) => [...(e.labels ?? [])].map((l) => l.textContent).join(" ");
  const name = (e) => (e.getAttribute("aria-label") || label(e) || labels(e) || e.textContent || e.alt || "").trim();
  if (document.documentElement.lang !== "en") wrong.push("the page's language is not told");
  if (!document.title) wrong.push("no title");
  if (all("main").length !== 1 || all("header").length !== 1 || all("nav").length !== 1) wrong.push("landmarks");
  if (all("h1").length !== 1) wrong.push(`${all("h1").length} main headings`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  if (new Set(ids).size !== ids.length) wrong.push("an id twice");
  for (const e of document.querySelectorAll("[aria-labelledby], [for]")) {
    const id = e.getAttribute("aria-labelledby") ?? e.getAttribute("for");
    if (!document.getElementById(id)) say(e, "refers to nothing");
  }
  const named = "a, button, input, [role=slider], [role=group], fieldset, section, video, progress, nav, ul[aria-label]";
  for (const e of all(named)) {
    if (!name(e)) say(e, "has no name");
  }
  for (const e of all("img")) if (!e.hasAttribute("alt")) say(e, "has no alt");
  for (const e of all("svg")) if (!e.closest("[aria-hidden=true], [role=slider]")) say(e, "a drawing that is read out");
  for (const e of all("[role=slider]")) {
    for (const a of ["aria-valuemin", "aria-valuemax", "aria-valuenow", "aria-valuetext"]) {
      if (!e.hasAttribute(a)) say(e, `lacks ${a}`);
    }
  }
  for (const e of document.querySelectorAll("[tabindex]")) if (e.tabIndex > 0) say(e, "jumps the queue");
  for (const e of all("[aria-hidden=true] :is(a, button, input, [tabindex='0'])")) say(e, "reached but hidden");
  for (const e of all("button, a, input:not([type=radio]), [role=slider]")) {
    const box = e.getBoundingClientRect();
    if (!e.matches(".skip") && (box.width < 24 || box.height < 24)) say(e, "is too small for a finger");
  }

  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => (c * a) / 255 + below[i] * (1 - a / 255));
  const light = (rgb) => rgb.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (e) => {
    const stack = [];
    for (let at = e; at; at = at.parentElement) stack.unshift(rgba(getComputedStyle(at).backgroundColor));
    return stack.reduce((below, colour) => over(colour, below), [255, 255, 255]);
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const style = getComputedStyle(e);
    const seen = e.checkVisibility({ opacityProperty: true, visibilityProperty: true });
    const passed = e.closest(".unseen, .skip, .chip, .wait, :disabled, script, noscript, svg");
    if (!walker.currentNode.data.trim() || !seen || passed) continue;
    const below = ground(e);
    const [a, b] = [light(over(rgba(style.color), below)), light(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) wrong.push(`${ratio.toFixed(2)} : ${e.textContent.trim().slice(0, 40)}`);
  }
  return wrong;
}
