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
const unfold = () => {
  const target = location.hash.length > 1 && document.getElementById(location.hash.slice(1));
  if (!target) return;
  for (let fold = target; fold; fold = fold.parentElement.closest("details")) if (fold.tagName === "DETAILS") fold.open = true;
  target.scrollIntoView();
};
addEventListener("hashchange", unfold);
unfold();
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
});
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && document.activeElement.tagName === "ABBR") document.activeElement.blur();
});
