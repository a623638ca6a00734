// Draws the figures in the page's own ink, again when the colour scheme, the width or the paper changes.
const specs = JSON.parse(document.getElementById("specs").textContent);
const config = {
  responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtons: [["toImage", "resetScale2d"]],
};
const root = document.documentElement;
const schemes = matchMedia("(prefers-color-scheme: dark)");
const phones = matchMedia("(max-width: 640px)");
const toggle = document.getElementById("theme");

// The computed value, because a custom property itself reads as the text that was written.
function colour(name) {
  const probe = document.body.appendChild(document.createElement("i"));
  probe.style.color = `var(${name})`;
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

function draw(key, paper) {
  const box = document.getElementById("plot-" + key);
  const spec = structuredClone(specs[key]);
  const ink = paper ? "#1f2328" : colour("--ink");
  const grid = paper ? "#e3e7eb" : colour("--grid");
  const narrow = !paper && phones.matches;
  const { layout } = spec;
  layout.font = { ...layout.font, color: ink, size: narrow ? 12 : 13 };
  for (const name of Object.keys(layout).filter((name) => /^[xy]axis/.test(name))) {
    Object.assign(layout[name], { gridcolor: grid, linecolor: grid });
    if (narrow) thinOut(layout[name]);
  }
  layout.modebar = { bgcolor: "rgba(0,0,0,0)", color: grid, activecolor: ink };
  for (const slider of layout.sliders ?? []) slider.font = { color: ink };
  for (const trace of spec.data) {
    if (trace.textfont?.color) trace.textfont.color = ink;
    if (narrow && trace.colorbar) {
      // cells of a phone are too small for text
      delete trace.texttemplate;
      Object.assign(trace.colorbar, { orientation: "h", y: -0.22, yanchor: "top", thickness: 10 });
    }
  }
  if (narrow) layout.margin = { ...layout.margin, l: 40, r: 8 };
  if (paper) layout.width = 680;
  // Not react: it keeps margins of the former figure, and a legend or a scale may then push the axes out of sight.
  Plotly.newPlot(box, spec.data, layout, config);
}

// A phone has room for every other of many numbers, upright.
function thinOut(axis) {
  if (!(axis.tickvals?.length > 7) || !axis.ticktext.every((text) => /^[\d,.]+$/.test(text))) return;
  axis.tickvals = axis.tickvals.filter((_, i) => i % 2 === 0);
  axis.ticktext = axis.ticktext.filter((_, i) => i % 2 === 0);
}

function drawAll(paper) {
  for (const key of Object.keys(specs)) draw(key, paper);
}

// Plotly's sliders cannot be reached by keys.
function steer(box) {
  if (!box.layout.sliders) return;
  box.tabIndex = 0;
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", "Figure with a slider: the left and right arrow keys move it");
  box.addEventListener("keydown", (event) => {
    const [slider] = box.layout.sliders;
    const at = slider.active + ({ ArrowLeft: -1, ArrowRight: 1 }[event.key] ?? 0);
    if (at === slider.active || !slider.steps[at]) return;
    event.preventDefault();
    Plotly.update(box, ...slider.steps[at].args, { "sliders[0].active": at });
  });
}

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : schemes.matches;
}

function label() {
  toggle.textContent = isDark() ? "Light" : "Dark";
  toggle.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
}

// The library comes compressed, so that the file stays small enough to send around.
async function loadLibrary() {
  const text = atob(document.getElementById("library").textContent);
  const packed = new Uint8Array(text.length);
  // Uint8Array.from takes ten times as long.
  for (let i = 0; i < text.length; i++) packed[i] = text.charCodeAt(i);
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function start() {
  drawAll(false);
  document.querySelectorAll(".plot").forEach(steer);
  label();
  toggle.hidden = false;
  toggle.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    label();
    drawAll(false);
  });
  schemes.addEventListener("change", () => {
    label();
    drawAll(false);
  });
  let printing = false;
  phones.addEventListener("change", () => printing || drawAll(false));
  for (const [event, on] of [["beforeprint", true], ["afterprint", false]]) {
    addEventListener(event, () => drawAll((printing = on)));
  }
  root.dataset.drawn = "";
}

loadLibrary().then(start, () => {
  document.getElementById("trouble").hidden = false;
});
