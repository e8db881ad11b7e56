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
