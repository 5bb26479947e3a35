// What the page does beyond links and forms. Everything works without it but dropping files and live news.
"use strict";

document.documentElement.classList.add("js");

const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// times in the reader's own zone, and clocks that run

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

function tellTimes(root = document) {
  for (const time of all("time[datetime]:not([data-told])", root)) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.dataset.told = "yes";
    time.title = at.toString();
    time.textContent = "clock" in time.dataset
      ? at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" })
      : at.toLocaleString([], { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" });
  }
}

function runClocks() {
  for (const clock of all("[data-since]")) {
    const text = span(Date.now() / 1000 - Number(clock.dataset.since));
    clock.textContent = clock.dataset.say ? `${text} ${clock.dataset.say}` : text;
  }
}

// a run: the server's event stream says that there is news, htmx fetches what changed

const KINDS = ["step_started", "progress", "step_finished", "loss", "notice", "fallback", "run", "end"];
const line = { source: null, run: null, last: null, pending: null, retry: null, wait: 500, asked: 0 };

function sayLine(state, text) {
  const spot = document.getElementById("line");
  if (!spot || (spot.dataset.state === state && spot.textContent === text)) return;
  spot.dataset.state = state;
  spot.textContent = text;
}

function liveRun() {
  const run = document.getElementById("run");
  return run && run.dataset.final === "no" ? run : null;
}

function askForNews() {
  const run = liveRun();
  if (!run || line.pending) return;
  const wait = Math.max(0, 900 - (Date.now() - line.asked));
  line.pending = setTimeout(() => {
    line.pending = null;
    line.asked = Date.now();
    htmx.trigger(run, "run-news");
  }, wait);
}

function hangUp() {
  clearTimeout(line.retry);
  if (line.source) line.source.close();
  line.source = null;
}

function connect() {
  const run = liveRun();
  hangUp();
  if (!run || document.hidden) return;
  if (line.run !== run.dataset.run) Object.assign(line, { run: run.dataset.run, last: null });
  const after = line.last === null ? "" : `?after=${encodeURIComponent(line.last)}`;
  const source = new EventSource(`/v1/runs/${run.dataset.run}/events${after}`);
  line.source = source;
  const heard = (event) => {
    if (/^[0-9]+$/.test(event.lastEventId)) line.last = event.lastEventId;
    askForNews();
  };
  for (const kind of KINDS) source.addEventListener(kind, heard);
  source.addEventListener("end", () => { hangUp(); askForNews(); });
  source.addEventListener("open", () => {
    line.wait = 500;
    sayLine("live", "Live");
    askForNews();
  });
  source.addEventListener("error", () => {
    if (!liveRun()) return hangUp();
    sayLine("lost", "The connection is lost. Reconnecting …");
    if (source.readyState === EventSource.CLOSED) {  // the browser has given up: go on by ourselves
      hangUp();
      line.retry = setTimeout(connect, line.wait);
      line.wait = Math.min(line.wait * 2, 5000);
    }
  });
}

// what is the same as before stays: focus, selection and scrolling with it

function unchanged(old, fresh) {
  const plain = (element) => {
    const copy = element.cloneNode(true);
    copy.removeAttribute("hx-swap-oob");
    for (const spot of [copy, ...all("*", copy)]) {
      spot.removeAttribute("class");
      spot.removeAttribute("title");
      if (spot.matches("[data-since], time")) spot.replaceChildren();
      spot.removeAttribute("data-told");
    }
    return copy.innerHTML;
  };
  if (old.dataset.v || fresh.dataset?.v) return old.dataset.v === fresh.dataset.v;
  return plain(old) === plain(fresh);
}

// a method's fields: what has been typed since they were asked for stays

function sameParams(old, fresh) {
  const shown = (root) => root.querySelector("input[name=shown]")?.value;
  if (shown(old) === shown(fresh)) return true;
  for (const field of all("input[id], select[id], textarea[id]", fresh)) {
    const before = old.querySelector(`#${CSS.escape(field.id)}`);
    if (!before || before.type !== field.type) continue;
    if (field.type === "checkbox") field.checked = before.checked;
    else if (field.tagName !== "SELECT" || [...field.options].some((o) => o.value === before.value)) field.value = before.value;
  }
  const open = all("details", old).some((d) => d.open);
  if (open) all("details", fresh).slice(-1).forEach((d) => { d.open = true; });
  return false;
}

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const old = event.detail.target;
  const fresh = event.detail.fragment.firstElementChild;
  if (fresh && old && old.id === "params" && sameParams(old, fresh)) event.detail.shouldSwap = false;
  else if (fresh && old && old.id && unchanged(old, fresh)) event.detail.shouldSwap = false;
  const log = old && old.querySelector?.(".log");
  event.detail.scrolled = log ? log.scrollTop : 0;
});

document.addEventListener("htmx:oobAfterSwap", (event) => {
  const fresh = document.getElementById(event.detail.target?.id);
  const log = fresh && fresh.querySelector(".log");
  if (log && event.detail.scrolled) log.scrollTop = event.detail.scrolled;
  if (fresh && fresh.matches(".error")) markInvalid(fresh);
});

function markInvalid(error) {
  for (const field of all(`[aria-describedby~="${CSS.escape(error.id)}"]`)) {
    if (error.hidden) field.removeAttribute("aria-invalid");
    else field.setAttribute("aria-invalid", "true");
  }
}

// uploads

function tellUpload(form, text) {
  const spot = document.getElementById("upload-error");
  if (spot) {
    spot.textContent = text;
    spot.hidden = !text;
  }
  if (text) {
    all("[data-bar]", form).forEach((bar) => { bar.hidden = true; });
    all("[data-said]", form).forEach((said) => { said.textContent = ""; });
  }
}

function startUploads() {
  for (const form of all("form[data-upload]")) {
    const file = form.querySelector("input[type=file]");
    const zone = form.querySelector("[data-drop]");
    const bar = form.querySelector("[data-bar]");
    const said = form.querySelector("[data-said]");
    file.addEventListener("change", () => {
      if (!file.files.length) return;
      const chosen = form.querySelector("[data-chosen]");
      chosen.textContent = file.files[0].name;
      chosen.hidden = false;
      tellUpload(form, "");
      form.requestSubmit();
    });
    for (const kind of ["dragenter", "dragover"]) zone.addEventListener(kind, () => zone.classList.add("over"));
    for (const kind of ["dragleave", "drop"]) zone.addEventListener(kind, () => zone.classList.remove("over"));
    form.addEventListener("htmx:xhr:progress", (event) => {
      if (!event.detail.lengthComputable || !event.detail.total) return;
      bar.hidden = false;
      bar.value = (100 * event.detail.loaded) / event.detail.total;
      said.textContent = event.detail.loaded < event.detail.total ? "Uploading …" : "Reading the table …";
    });
    form.addEventListener("htmx:afterRequest", () => {
      bar.hidden = true;
      if (!form.querySelector("#upload-error")?.hidden) said.textContent = "";
    });
  }
}

// errors of requests that htmx makes

function offerAgain(desk) {  // nothing is being read any more
  const again = document.createElement("a");
  again.className = "button";
  again.href = location.href;
  again.textContent = "Try again";
  desk.replaceChildren(again);
}

async function tellProblem(event) {
  const xhr = event.detail.xhr;
  let text = "The server cannot be reached. Try again when it is there.";
  if (xhr && xhr.status) {
    text = `The server answered ${xhr.status}.`;
    try {
      const problem = JSON.parse(xhr.responseText);
      if (problem.detail) text = problem.detail[0].toUpperCase() + problem.detail.slice(1);
    } catch {
      // not a problem+json: the status must do
    }
  }
  const form = event.detail.elt.closest("form[data-upload]");
  if (form) return tellUpload(form, text);
  if (event.detail.elt.id === "run") return sayLine("lost", "The connection is lost. Reconnecting …");
  if (event.detail.elt.id === "desk") offerAgain(event.detail.elt);
  const flash = document.getElementById("flash");
  if (flash) {
    const box = document.createElement("p");
    box.className = "alert";
    box.textContent = text;
    flash.replaceChildren(box);
  }
}

for (const kind of ["htmx:responseError", "htmx:sendError"]) document.addEventListener(kind, tellProblem);

// the form of a run

document.addEventListener("input", (event) => {
  if (!event.target.matches("[data-find]")) return;
  const wanted = event.target.value.trim().toLowerCase();
  let shown = 0;
  for (const row of all(".schema tbody tr")) {
    row.hidden = !row.dataset.name.includes(wanted);
    shown += row.hidden ? 0 : 1;
  }
  const none = document.querySelector("[data-none]");
  if (none) none.hidden = shown > 0;
});

document.addEventListener("change", (event) => {
  const kind = event.target;
  if (kind.matches('.schema select[name$=".kind"]')) {
    const order = document.getElementById(kind.name.replace(".kind", "-order"));
    if (order) order.hidden = kind.value !== "ordered" || !order.querySelector("textarea").value.trim();
  }
  if (kind.closest("[data-compare]")) countTicks();
});

document.addEventListener("submit", (event) => {  // twice is once
  const form = event.target;
  if (!form.matches(".run-form")) return;
  if (form.dataset.sent) return event.preventDefault();
  form.dataset.sent = "yes";
  all(".go button", form).forEach((button) => { button.textContent = "Queueing …"; });
});

window.addEventListener("pageshow", (event) => {
  if (event.persisted) all(".run-form").forEach((form) => { delete form.dataset.sent; });
});

function countTicks() {
  const form = document.querySelector("[data-compare]");
  if (!form) return;
  const n = all("input[name=run]:checked", form).length;
  const fits = n >= 2 && n <= 10;
  form.querySelector("[data-compare-go]").disabled = !fits;
  form.querySelector("[data-compare-said]").textContent =
    fits ? `${n} runs ticked.` : n > 10 ? "Ten at most." : "Tick two to ten runs that succeeded.";
}

// beginnings

function settle(root) {
  tellTimes(root);
  for (const figure of all(".wide", root)) {  // what scrolls sideways can be scrolled by keyboard
    if (figure.scrollWidth > figure.clientWidth) figure.tabIndex = 0;
  }
  runClocks();
  const focus = document.querySelector("[data-focus]");
  if (focus && !focus.dataset.focused) {
    focus.dataset.focused = "yes";
    focus.focus();
  }
}

document.addEventListener("htmx:afterSettle", () => settle(document));
document.addEventListener("htmx:oobAfterSwap", () => settle(document));
document.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target.id !== "run") return;
  connect();
  if (document.activeElement === document.body) document.getElementById("title")?.focus({ preventScroll: true });
});
document.addEventListener("visibilitychange", () => (document.hidden ? hangUp() : connect()));
window.addEventListener("online", connect);
window.addEventListener("offline", () => liveRun() && sayLine("lost", "The connection is lost. Reconnecting …"));
window.addEventListener("pagehide", hangUp);
document.addEventListener("DOMContentLoaded", () => {
  settle(document);
  startUploads();
  countTicks();
  connect();
  setInterval(runClocks, 1000);
});
