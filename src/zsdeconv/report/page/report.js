"use strict";
for (const figure of document.querySelectorAll("[data-compare]")) {
  const slider = figure.querySelector("input");
  const move = () => figure.style.setProperty("--split", slider.value + "%");
  slider.addEventListener("input", move);
  for (const hidden of figure.querySelectorAll("[hidden]")) hidden.hidden = false;
  move();
}
