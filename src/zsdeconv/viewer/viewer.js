"use strict";
const find = (id) => document.getElementById(id);
const results = JSON.parse(find("about").textContent);
const stage = find("stage"), canvas = find("canvas"), pen = canvas.getContext("2d");
const MAX_CODES = 48e6; // pixels that stay decoded, 2 bytes each
const ZOOM_STEP = 1.25, MAX_ZOOM = 64, MOVE = 0.1, PLAY_MS = 160, BAR_SHARE = 0.25;
const NUDGE = { ArrowLeft: -0.02, ArrowDown: -0.02, ArrowRight: 0.02, ArrowUp: 0.02, PageDown: -0.1, PageUp: 0.1, Home: -1, End: 1 };
const ARROWS = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
let shown, view, ranges, sides = [], drawn = 0;

// ---- pixels: base64, deflate, low and high bytes of codes of 12 bits ----
const decoded = new Map();
let held = 0;
const bytesOf = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const letters = atob(text), bytes = new Uint8Array(letters.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = letters.charCodeAt(i);
  return bytes;
};
const unpack = async (text) => {
  const bytes = bytesOf(text);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  const halves = new Uint8Array(await new Response(stream).arrayBuffer());
  const codes = new Uint16Array(halves.length / 2);
  for (let i = 0; i < codes.length; i++) codes[i] = halves[i] | (halves[i + codes.length] << 8);
  return codes;
};
const codesOf = async (name) => {
  let codes = decoded.get(name);
  if (codes) decoded.delete(name);
  else {
    codes = await unpack(find("p" + name).textContent);
    held += codes.length;
    for (const [old, its] of decoded) {
      if (held <= MAX_CODES) break;
      decoded.delete(old);
      held -= its.length;
    }
  }
  decoded.set(name, codes); // the last one used comes last
  return codes;
};
const planeName = (layer, channel) => `${view.result}-${layer}-${channel}-${view.t}-${view.z}`;
const valueOf = (code, coding) => {
  const share = (code - 1) / (shown.top - 1);
  return code ? coding.low + (coding.high - coding.low) * share * share : NaN;
};

// ---- from intensities to colours ----
const rangeOf = (layer, channel) => {
  const about = shown.layers[layer];
  return find("own").checked || about.own_scale ? about.channels[channel].own : ranges[channel];
};
const tableOf = (layer, channel) => {
  const coding = shown.layers[layer].channels[channel], [low, high] = rangeOf(layer, channel);
  const colour = shown.channels[channel].colour.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const table = new Uint8ClampedArray(3 * (shown.top + 1));
  for (let code = 1; code <= shown.top; code++) {
    const shade = Math.min(1, Math.max(0, (valueOf(code, coding) - low) / (high - low)));
    for (let k = 0; k < 3; k++) table[3 * code + k] = colour[k] * shade;
  }
  return table;
};
const visible = () => shown.channels.map((_, c) => c).filter((c) => view.on[c]);
const paintOne = (out, codes, table) => { // four bytes at once
  const colours = new Uint8Array(4 * (shown.top + 1));
  for (let code = 1; code <= shown.top; code++) colours.set([...table.subarray(3 * code, 3 * code + 3), 255], 4 * code);
  const whole = new Uint32Array(colours.buffer);
  for (let i = 0; i < codes.length; i++) out[i] = whole[codes[i]];
};
const paintSum = (out, parts) => {
  for (const [codes, table] of parts) {
    for (let i = 0, j = 0; i < codes.length; i++, j += 4) {
      const code = codes[i];
      if (!code) continue;
      out[j] += table[3 * code];
      out[j + 1] += table[3 * code + 1];
      out[j + 2] += table[3 * code + 2];
      out[j + 3] = 255;
    }
  }
  if (!parts.length) for (let j = 3; j < out.length; j += 4) out[j] = 255;
};
const paint = async (layer, picture) => {
  const [fy, fx] = shown.layers[layer].factors, height = shown.height * fy, width = shown.width * fx;
  const parts = await Promise.all(visible().map((c) => Promise.all([codesOf(planeName(layer, c)), tableOf(layer, c)])));
  const image = new ImageData(width, height);
  if (parts.length === 1) paintOne(new Uint32Array(image.data.buffer), ...parts[0]);
  else paintSum(image.data, parts);
  picture.width = width;
  picture.height = height;
  picture.getContext("2d").putImageData(image, 0, 0);
};

// ---- drawing ----
const hatch = (() => {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const ink = tile.getContext("2d");
  ink.fillStyle = "#22262c";
  ink.fillRect(0, 0, 8, 8);
  ink.strokeStyle = "#4b525d";
  for (const x of [-8, 0, 8]) {
    ink.moveTo(x, 8);
    ink.lineTo(x + 8, 0);
  }
  ink.stroke();
  return tile;
})();
const aspect = () => (shown.um.y && shown.um.x ? shown.um.y / shown.um.x : 1);
const box = () => ({ width: stage.clientWidth, height: stage.clientHeight });
const fitZoom = () => Math.min(box().width / shown.width, box().height / (shown.height * aspect()));
const place = () => { // of the images on the stage, CSS pixels
  const { width, height } = box(), w = shown.width * view.zoom, h = shown.height * aspect() * view.zoom;
  return { x: width / 2 - view.x * w, y: height / 2 - view.y * h, w, h };
};
const draw = () => {
  const { width, height } = box(), ratio = window.devicePixelRatio || 1, { x, y, w, h } = place();
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  const split = view.split * width;
  sides.forEach((side, n) => {
    if (!side.picture.width) return;
    pen.save();
    pen.beginPath();
    pen.rect(n ? split : 0, 0, n ? width - split : split, height);
    pen.clip();
    pen.fillStyle = pen.createPattern(hatch, "repeat");
    pen.fillRect(x, y, w, h);
    pen.imageSmoothingEnabled = (w * ratio) / side.picture.width < 1;
    pen.imageSmoothingQuality = "high";
    pen.drawImage(side.picture, x, y, w, h);
    pen.restore();
  });
  find("edge").style.left = find("handle").style.left = `${split}px`;
  const share = Math.round(100 * view.split);
  find("handle").setAttribute("aria-valuenow", share);
  find("handle").setAttribute("aria-valuetext", `${share} % ${shown.layers[view.left].title}, ${100 - share} % ${shown.layers[view.right].title}`);
  find("zoom").textContent = `${Number((100 * view.zoom).toPrecision(3))} %`;
  drawBar(width);
};
const roundLength = (most) => {
  const decade = 10 ** Math.floor(Math.log10(most));
  return decade * (most >= 5 * decade ? 5 : most >= 2 * decade ? 2 : 1);
};
const drawBar = (width) => {
  const um = shown.um.x;
  find("bar").hidden = !um;
  if (!um) return;
  const length = roundLength((BAR_SHARE * width * um) / view.zoom);
  find("bar").style.width = `${(length * view.zoom) / um}px`;
  find("bar").firstElementChild.textContent = length >= 1 ? `${Number(length.toPrecision(1))} µm` : `${Number((1000 * length).toPrecision(1))} nm`;
};
const number = (value) => {
  if (!Number.isFinite(value)) return "no data";
  const size = Math.abs(value);
  return Number(size >= 1000 ? value.toFixed(0) : value.toPrecision(3)).toString().replace("-", "−");
};
const rangeWord = (layer, channel) => rangeOf(layer, channel).map(number).join(" to ");
const label = () => {
  for (const [name, layer] of [["left", view.left], ["right", view.right]]) {
    const tag = stage.querySelector(`.on-${name}`), only = visible();
    tag.children[0].textContent = shown.layers[layer].title;
    tag.children[1].textContent = only.length === 1 ? `${rangeWord(layer, only[0])} ADU` : "";
  }
  const sentences = [...new Set([view.left, view.right])].map((layer) => `${shown.layers[layer].title}: ${shown.layers[layer].words}`);
  find("words").textContent = sentences.join(" ");
  const own = find("own").checked, apart = shown.layers.filter((each) => each.own_scale).map((each) => each.title);
  const [left, right] = [view.left, view.right];
  const each = (layer) => visible().map((c) => rangeWord(layer, c)).join(", ");
  find("scale-word").textContent = own
    ? `${shown.layers[left].title} ${each(left)}; ${shown.layers[right].title} ${each(right)}`
    : "One scale for all images, in ADU above the camera offset" + (apart.length ? `; ${apart.join(" and ").toLowerCase()} has its own.` : ".");
};
let working = null, wanted = 0;
const refresh = () => { // one drawing at a time; of choices that come meanwhile the last one counts
  wanted++;
  working ??= (async () => {
    while (drawn < wanted) {
      const turn = wanted, layers = [view.left, view.right], own = view;
      const pictures = layers.map(() => document.createElement("canvas"));
      await Promise.all(layers.map((layer, n) => paint(layer, pictures[n])));
      drawn = turn;
      if (own !== view) continue; // of another result
      sides = layers.map((layer, n) => ({ layer, picture: pictures[n] }));
      label();
      draw();
      stage.dataset.drawn = drawn;
    }
  })().catch((fault) => alarm(`The images could not be drawn (${fault.message}).`)).finally(() => (working = null));
  return working;
};
const alarm = (text) => {
  find("alarm").textContent = text;
  find("alarm").hidden = false;
};

// ---- zoom, movement, divider ----
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const zoomBy = (factor, at) => {
  const { width, height } = box(), x = at ? at.x : width / 2, y = at ? at.y : height / 2, old = place();
  const u = (x - old.x) / old.w, v = (y - old.y) / old.h;
  view.zoom = clamp(view.zoom * factor, Math.min(fitZoom(), 1) / 2, MAX_ZOOM);
  const now = place();
  move(x - (now.x + u * now.w), y - (now.y + v * now.h));
};
const move = (dx, dy) => {
  const { w, h } = place();
  view.x = clamp(view.x - dx / w, 0, 1);
  view.y = clamp(view.y - dy / h, 0, 1);
  draw();
};
const fit = () => {
  view.zoom = view.fitted = fitZoom();
  view.x = view.y = 0.5;
  draw();
};
const split = (share) => {
  view.split = clamp(share, 0, 1);
  draw();
};
const pointers = new Map();
const at = (event) => {
  const { left, top } = stage.getBoundingClientRect();
  return { x: event.clientX - left, y: event.clientY - top };
};
stage.addEventListener("pointerdown", (event) => {
  pointers.set(event.pointerId, { ...at(event), divides: event.target.id === "handle" });
  stage.setPointerCapture(event.pointerId);
  event.target.focus({ preventScroll: true });
  event.preventDefault();
});
stage.addEventListener("pointermove", (event) => {
  const last = pointers.get(event.pointerId), now = at(event);
  tellValues(now);
  if (!last) return;
  pointers.set(event.pointerId, { ...now, divides: last.divides });
  if (last.divides) return split(now.x / box().width);
  const other = [...pointers].find(([id, each]) => id !== event.pointerId && !each.divides);
  if (!other) return move(now.x - last.x, now.y - last.y);
  const distance = (each) => Math.hypot(each.x - other[1].x, each.y - other[1].y);
  zoomBy(distance(now) / Math.max(1, distance(last)), { x: (now.x + other[1].x) / 2, y: (now.y + other[1].y) / 2 });
});
for (const kind of ["pointerup", "pointercancel"]) stage.addEventListener(kind, (event) => pointers.delete(event.pointerId));
stage.addEventListener("pointerleave", () => (find("cursor").textContent = resting()));
stage.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoomBy(Math.exp(-clamp(event.deltaY * (event.deltaMode ? 30 : 1), -240, 240) / 400), at(event));
}, { passive: false });
find("handle").addEventListener("keydown", (event) => {
  if (!(event.key in NUDGE)) return;
  event.preventDefault();
  split(view.split + NUDGE[event.key]);
});
canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = { "+": () => zoomBy(ZOOM_STEP), "=": () => zoomBy(ZOOM_STEP), "-": () => zoomBy(1 / ZOOM_STEP), 0: fit, 1: () => zoomBy(1 / view.zoom) };
  const arrow = ARROWS[event.key];
  if (!arrow && !keys[event.key]) return;
  event.preventDefault();
  if (arrow) move(arrow[0] * MOVE * box().width, arrow[1] * MOVE * box().height);
  else keys[event.key]();
});
find("in").addEventListener("click", () => zoomBy(ZOOM_STEP));
find("out").addEventListener("click", () => zoomBy(1 / ZOOM_STEP));
find("fit").addEventListener("click", fit);
find("one").addEventListener("click", () => zoomBy(1 / view.zoom));

// ---- the value under the cursor ----
const resting = () => "Point at the images to read their values.";
const tellValues = ({ x, y }) => {
  const spot = place(), u = (x - spot.x) / spot.w, v = (y - spot.y) / spot.h;
  if (u < 0 || u >= 1 || v < 0 || v >= 1) return void (find("cursor").textContent = resting());
  const row = Math.floor(v * shown.height), column = Math.floor(u * shown.width), [top, left] = shown.corner;
  const um = shown.um.x && shown.um.y ? ` (${((u * shown.width + left) * shown.um.x).toFixed(2)}, ${((v * shown.height + top) * shown.um.y).toFixed(2)} µm)` : "";
  const values = sides.map(({ layer }) => {
    const about = shown.layers[layer], [fy, fx] = about.factors;
    const index = Math.floor(v * shown.height * fy) * shown.width * fx + Math.floor(u * shown.width * fx);
    const each = visible().map((c) => {
      const codes = decoded.get(planeName(layer, c));
      return codes ? number(valueOf(codes[index], about.channels[c])) : "…";
    });
    return `${about.title} ${each.join(", ")}`;
  });
  find("cursor").textContent = `x ${column + left}, y ${row + top}${um}: ${values.join("; ")} ADU`;
};

// ---- controls ----
const select = (id, words, chosen, change) => {
  const list = find(id);
  list.replaceChildren(...words.map((word, n) => new Option(word, n)));
  list.value = chosen;
  list.onchange = () => change(Number(list.value));
};
const slide = (id, frame, entries, word, set) => {
  find(frame).hidden = entries.length < 2;
  const input = find(id), tell = () => {
    find(`${id}-word`).textContent = word(entries[input.value]);
    input.setAttribute("aria-valuetext", word(entries[input.value]));
  };
  input.max = entries.length - 1;
  input.value = 0;
  input.oninput = () => {
    set(Number(input.value));
    tell();
    refresh();
  };
  tell();
};
const of = (total, unit, key, digits) => (entry) =>
  `${entry.number} of ${total}` + (entry[key] === null ? "" : ` · ${entry[key].toFixed(digits)} ${unit}`);
let playing = 0;
const play = (on) => {
  clearTimeout(playing);
  playing = 0;
  find("play").setAttribute("aria-pressed", on);
  find("play").textContent = on ? "Pause" : "Play";
  if (on) playing = setTimeout(async () => {
    const input = find("t");
    input.value = (Number(input.value) + 1) % (Number(input.max) + 1);
    view.t = Number(input.value);
    find("t-word").textContent = timeWord(shown.times[view.t]);
    await refresh();
    if (playing) play(true);
  }, PLAY_MS);
};
const timeWord = (entry) => of(shown.sizes.T, "s", "s", 2)(entry);
find("play").addEventListener("click", () => play(!playing));
const element = (tag, properties, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const limitRow = (channel, end, word) => {
  // The position of the slider grows with the square root, so that dim ends can be set.
  const [low, high] = shown.channels[channel].limits, steps = 1000;
  const name = `${shown.channels.length > 1 ? `${shown.channels[channel].name}: ` : ""}${word}`;
  const slider = element("input", { type: "range", min: 0, max: steps, ariaLabel: name });
  const field = element("input", { type: "number", step: "any", ariaLabel: `${name}, ADU` });
  const tell = () => {
    const value = ranges[channel][end];
    slider.value = steps * Math.sqrt(clamp((value - low) / (high - low), 0, 1));
    slider.ariaValueText = `${number(value)} ADU`;
    field.value = Number(value.toPrecision(4));
  };
  const set = (value) => {
    if (!Number.isFinite(value)) return tell();
    const least = (high - low) * 1e-4, other = ranges[channel][1 - end];
    ranges[channel][end] = end ? Math.max(value, other + least) : Math.min(value, other - least);
    tell();
    refresh();
  };
  slider.oninput = () => set(low + (high - low) * (slider.value / steps) ** 2);
  field.onchange = () => set(field.valueAsNumber);
  tell();
  const row = element("div", { className: "limit" }, element("span", { textContent: word }), slider, field);
  row.tell = tell;
  return row;
};
const channelBlock = (about, channel) => {
  const rows = [limitRow(channel, 0, "Min"), limitRow(channel, 1, "Max")];
  if (shown.channels.length < 2) return element("div", { className: "channel" }, ...rows);
  const on = element("input", { type: "checkbox", checked: view.on[channel] }), chip = element("span", { className: "chip" });
  chip.style.background = about.colour;
  on.onchange = () => {
    view.on[channel] = on.checked;
    refresh();
  };
  const name = element("label", {}, on, chip, element("bdi", { textContent: about.name }));
  return element("div", { className: "channel" }, name, ...rows);
};
const startRanges = () => shown.channels.map((channel) => [...channel.range]);
const showChannels = () => find("channels").replaceChildren(...shown.channels.map(channelBlock));
find("own").addEventListener("change", () => {
  for (const input of find("channels").querySelectorAll(".limit input")) input.disabled = find("own").checked;
  refresh();
});
find("reset").addEventListener("click", () => {
  ranges = startRanges();
  find("own").checked = false;
  showChannels();
  refresh();
});

// ---- a result ----
const showResult = (result) => {
  play(false);
  shown = results[result];
  const titles = shown.layers.map((layer) => layer.title), after = shown.layers.findIndex((layer) => layer.kind === "deconvolved");
  view = { result, left: 0, right: after < 0 ? titles.length - 1 : after, t: 0, z: Math.floor((shown.planes.length - 1) / 2), split: 0.5, x: 0.5, y: 0.5 };
  view.on = shown.channels.map(() => true);
  view.zoom = view.fitted = fitZoom();
  ranges = startRanges();
  sides = [];
  find("name").textContent = shown.name;
  find("facts").replaceChildren(...shown.facts.map((fact) => element("span", { textContent: fact })));
  find("notes").replaceChildren(...shown.notes.map((note) => element("li", { textContent: note })));
  find("notes").hidden = !shown.notes.length;
  find("offset").textContent = shown.offset;
  find("report").hidden = !shown.report;
  if (shown.report) find("report").href = shown.report;
  find("own").checked = false;
  select("left", titles, view.left, (n) => { view.left = n; refresh(); });
  select("right", titles, view.right, (n) => { view.right = n; refresh(); });
  slide("t", "time", shown.times, timeWord, (n) => { view.t = n; play(false); });
  slide("z", "depth", shown.planes, of(shown.sizes.Z, "µm", "um", 2), (n) => { view.z = n; });
  find("z").value = view.z;
  find("z-word").textContent = of(shown.sizes.Z, "µm", "um", 2)(shown.planes[view.z]);
  find("cursor").textContent = resting();
  showChannels();
  refresh();
};
if (typeof DecompressionStream === "undefined") alarm("This browser is too old to unpack the images: one of 2023 or later is needed.");
else {
  find("result").hidden = results.length < 2;
  find("name").hidden = results.length > 1;
  select("result", results.map((result) => result.name), 0, showResult);
  showResult(0);
  new ResizeObserver(() => (view.zoom === view.fitted ? fit() : draw())).observe(stage);
}
