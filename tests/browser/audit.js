() => {
  const wrong = [];
  const shown = (e) => {
    if (e.closest("[hidden], noscript, script, style, head")) return false;
    const box = e.getBoundingClientRect();
    const style = getComputedStyle(e);
    return style.visibility !== "hidden" && style.display !== "none" && box.width > 0 && box.height > 0;
  };
  const brief = (e) => e.outerHTML.replace(/\s+/g, " ").slice(0, 110);
  const text = (e) => (e ? e.textContent.trim() : "");
  const name = (e) => {
    const by = (e.getAttribute("aria-labelledby") || "").split(/\s+/).filter(Boolean);
    if (by.length) return by.map((id) => text(document.getElementById(id))).join(" ").trim();
    if (e.getAttribute("aria-label")) return e.getAttribute("aria-label").trim();
    if (e.labels && e.labels.length) return [...e.labels].map(text).join(" ").trim();
    if (["BUTTON", "A", "SUMMARY"].includes(e.tagName)) return text(e);
    return e.getAttribute("title") || "";
  };

  // the page itself
  if (!document.documentElement.lang) wrong.push("the page has no language");
  if (!document.title.trim()) wrong.push("the page has no title");
  if (document.querySelectorAll("main").length !== 1) wrong.push("there must be one main");
  if (document.querySelectorAll("h1").length !== 1) wrong.push("there must be one h1");
  const first = document.querySelector("a[href], button, input:not([type=hidden])");
  if (!first || !first.matches(".skip")) wrong.push("the skip link is not the first to be reached");

  // ids and what points to them
  const ids = new Map();
  for (const e of document.querySelectorAll("[id]")) ids.set(e.id, (ids.get(e.id) || 0) + 1);
  for (const [id, n] of ids) if (n > 1) wrong.push(`id ${id} stands ${n} times`);
  for (const attribute of ["aria-labelledby", "aria-describedby", "for"]) {
    for (const e of document.querySelectorAll(`[${attribute}]`)) {
      for (const id of e.getAttribute(attribute).split(/\s+/).filter(Boolean)) {
        if (!ids.has(id)) wrong.push(`${attribute} names ${id}, which is not there: ${brief(e)}`);
      }
    }
  }

  // everything that can be used has a name; groups of choices too
  for (const e of document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, progress")) {
    if (!name(e)) wrong.push(`no name: ${brief(e)}`);
  }
  for (const e of document.querySelectorAll("svg")) {
    const hidden = e.getAttribute("aria-hidden") === "true" || e.closest("[aria-hidden=true]");
    if (!hidden && !e.querySelector("title") && !e.getAttribute("aria-label")) wrong.push(`picture without words: ${brief(e)}`);
  }
  for (const e of document.querySelectorAll("[tabindex]")) {
    if (e.tabIndex > 0) wrong.push(`out of order: ${brief(e)}`);
  }
  for (const e of document.querySelectorAll("table")) {
    if (shown(e) && !e.querySelector("th")) wrong.push(`table without headers: ${brief(e)}`);
  }
  for (const e of document.querySelectorAll("*")) {  // what scrolls can be reached by keyboard
    const style = getComputedStyle(e);
    const scrolls = /(auto|scroll)/.test(style.overflowX + style.overflowY) &&
      (e.scrollWidth > e.clientWidth + 1 || e.scrollHeight > e.clientHeight + 1);
    if (scrolls && shown(e) && e !== document.documentElement && e !== document.body && e.tabIndex < 0 &&
        !e.querySelector("a[href], button, input, select, textarea, [tabindex]")) wrong.push(`scrolls by mouse alone: ${brief(e)}`);
  }
  let level = 0;
  for (const e of document.querySelectorAll("h1, h2, h3, h4")) {
    const own = Number(e.tagName[1]);
    if (own > level + 1) wrong.push(`heading jumps from ${level} to ${own}: ${brief(e)}`);
    level = own;
  }

  // targets large enough for fingers, unless they stand in a sentence or a list of links
  for (const e of document.querySelectorAll("button, select, input[type=text], input[type=checkbox], input[type=radio]")) {
    if (!shown(e)) continue;
    const box = (e.closest("label") || e).getBoundingClientRect();
    if (box.height < 24 || box.width < 24) wrong.push(`too small (${Math.round(box.width)}×${Math.round(box.height)}): ${brief(e)}`);
  }

  // contrast, computed
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      pen.clearRect(0, 0, 1, 1);
      pen.fillStyle = colour;
      pen.fillRect(0, 0, 1, 1);
      const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
      known.set(colour, [r, g, b, a / 255]);
    }
    return known.get(colour);
  };
  const over = (top, under) => top.slice(0, 3).map((c, i) => c * top[3] + under[i] * (1 - top[3]));
  const background = (e) => {
    const layers = [];
    for (let at = e; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] > 0) layers.push(colour);
      if (colour[3] === 1) break;
    }
    const paper = matchMedia("(prefers-color-scheme: dark)").matches ? [20, 24, 29] : [255, 255, 255];
    return layers.reverse().reduce((under, top) => over(top, under), paper);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => {
      const s = c / 255;
      return s <= 0.03928 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const told = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !shown(e) || e.closest(".unseen, .skip, [disabled], option")) continue;
    if (e.closest(".drop input")) continue;
    const style = getComputedStyle(e);
    const under = background(e);
    const ink = e.closest("svg") ? style.fill : style.color;
    const faded = Number(style.opacity) * rgba(ink)[3];
    if (e.closest(".htmx-indicator")) continue;
    const a = light(over([...rgba(ink).slice(0, 3), faded], under));
    const b = light(under);
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const say = `contrast ${ratio.toFixed(2)}: ${style.color} in ${e.tagName}.${e.getAttribute("class") || ""}`;
    if (ratio < (large ? 3 : 4.5) && !told.has(say)) {
      told.add(say);
      wrong.push(`${say}: “${walker.currentNode.textContent.trim().slice(0, 40)}”`);
    }
  }
  for (const e of document.querySelectorAll("input[type=text], select, textarea")) {  // edges of fields
    if (!shown(e)) continue;
    const a = light(rgba(getComputedStyle(e).borderTopColor).slice(0, 3));
    const b = light(background(e.parentElement));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 3) { wrong.push(`edge of a field ${ratio.toFixed(2)}: ${brief(e)}`); break; }
  }
  return wrong;
}
