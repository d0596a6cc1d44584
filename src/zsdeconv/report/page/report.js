"use strict";
const tabs = document.querySelectorAll("[data-tab]");
const choose = (chosen) => {
  for (const tab of tabs) {
    const here = tab === chosen;
    tab.setAttribute("aria-pressed", here);
    document.getElementById(tab.dataset.tab).hidden = !here;
  }
};
for (const tab of tabs) tab.addEventListener("click", () => choose(tab));
if (tabs.length) {
  tabs[0].parentElement.hidden = false;
  choose(tabs[0]);
}
for (const figure of document.querySelectorAll("[data-compare]")) {
  const slider = figure.querySelector("input");
  const move = () => figure.style.setProperty("--split", slider.value + "%");
  slider.addEventListener("input", move);
  for (const hidden of figure.querySelectorAll("[hidden]")) hidden.hidden = false;
  move();
}
