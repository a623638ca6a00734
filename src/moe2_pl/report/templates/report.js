// Draws the figures in the page's own ink, again when the colour scheme, the width or the paper changes.
const specs = JSON.parse(document.getElementById("specs").textContent);
const config = {
  responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtons: [["toImage", "resetScale2d"]],
};
const root = document.documentElement;
const schemes = matchMedia("(prefers-color-scheme: dark)");
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
  const narrow = !paper && box.clientWidth < 600;
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
  Plotly.react(box, spec.data, layout, config);
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

function isDark() {
  return root.dataset.theme ? root.dataset.theme === "dark" : schemes.matches;
}

function label() {
  toggle.textContent = isDark() ? "Light" : "Dark";
  toggle.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
}

// The library comes compressed, so that the file stays small enough to send around.
async function loadLibrary() {
  const packed = Uint8Array.from(atob(document.getElementById("library").textContent), (c) => c.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
}

function start() {
  drawAll(false);
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
  addEventListener("beforeprint", () => drawAll(true));
  addEventListener("afterprint", () => drawAll(false));
  root.dataset.drawn = "";
}

loadLibrary().then(start, () => {
  document.getElementById("trouble").hidden = false;
});
