// Enhancements only: every page works without this file.
"use strict";

// The heat map is one stop for Tab; arrow keys move inside it, as in a grid.
for (const table of document.querySelectorAll("table.heat")) {
  const rows = [...table.tBodies].flatMap((body) => [...body.rows]).map((row) => [...row.querySelectorAll("td")]);
  const links = rows.flat().map((cell) => cell.querySelector("a")).filter(Boolean);
  if (links.length === 0) continue;
  for (const link of links) link.tabIndex = -1;
  let current = links[links.length - 1];
  current.tabIndex = 0;
  const focus = (link) => {
    current.tabIndex = -1;
    current = link;
    current.tabIndex = 0;
    current.focus();
    current.scrollIntoView({ block: "nearest", inline: "nearest" });
  };
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
  table.addEventListener("keydown", (event) => {
    if (!(event.key in step) || !(event.target instanceof HTMLAnchorElement)) return;
    const cell = event.target.closest("td");
    let y = rows.findIndex((row) => row.includes(cell));
    let x = y < 0 ? -1 : rows[y].indexOf(cell);
    if (x < 0) return;
    event.preventDefault();
    const [down, right] = step[event.key];
    do {
      y += down;
      x += right;
    } while (rows[y]?.[x] && !rows[y][x].querySelector("a"));
    const found = rows[y]?.[x]?.querySelector("a");
    if (found) focus(found);
  });
  for (const help of document.querySelectorAll(".keys")) help.hidden = false;
}

// The newest days are at the end.
for (const box of document.querySelectorAll(".heat-scroll")) box.scrollLeft = box.scrollWidth;

// On a phone the navigation is wider than the screen: where one is, is to be seen.
for (const pages of document.querySelectorAll("nav.pages")) {
  const here = pages.querySelector("[aria-current]")?.getBoundingClientRect();
  const box = pages.getBoundingClientRect();
  // Not scrollIntoView: the first Tab of the page would begin there.
  if (here) pages.scrollLeft += here.left + here.width / 2 - box.left - box.width / 2;
}

// Filters with lists show their result at once.
for (const choice of document.querySelectorAll("form.filter select")) {
  choice.addEventListener("change", () => choice.form.requestSubmit());
}

// A form is sent once; a download leaves the page where it is, and can be asked for again.
for (const form of document.querySelectorAll('form[method="post"]:not(.download)')) {
  form.addEventListener("submit", () => {
    for (const button of form.querySelectorAll("button")) setTimeout(() => { button.disabled = true; }, 0);
  });
}

// Labelling: one key is one answer. Single keys can be switched off: whoever speaks to the machine presses many.
for (const place of document.querySelectorAll("[data-keys]")) {
  const off = "tidewatch.shortcuts.off";
  const button = place.querySelector(".shortcuts");
  const kept = {
    get off() { try { return localStorage.getItem(off) !== null; } catch { return false; } },
    set off(value) { try { value ? localStorage.setItem(off, "1") : localStorage.removeItem(off); } catch { /* for this page only */ } },
  };
  let on = !kept.off;
  let answered = false;
  button.hidden = false;
  button.setAttribute("aria-pressed", String(on));
  button.addEventListener("click", () => {
    on = !on;
    kept.off = !on;
    button.setAttribute("aria-pressed", String(on));
  });
  document.addEventListener("keydown", (event) => {
    // A key that is held down answers once: what follows is not on the screen yet.
    if (!on || answered || event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.target instanceof Element && event.target.closest("input, select, textarea")) return;
    const key = event.key.normalize("NFKC").toLowerCase();
    const chosen = [...place.querySelectorAll("[data-key]")].find((each) => each.dataset.key === key);
    if (!chosen) return;
    event.preventDefault();
    answered = true;
    chosen.click();
  });
  place.querySelector(".post").focus({ preventScroll: true });
}
