// Body of a Bokeh callback that runs once all is drawn. Its arguments: panels (of each: plot, x, linear, log), scales and tickers
// by name, and colours by ground and learner, each ours and the paper's.
const dark = matchMedia("(prefers-color-scheme: dark)")
const within = (node, {plot}) => node.querySelector(`[data-root-id="${plot.id}"]`)

// The axes take their colours from style.css whenever they are drawn, the curves have them from here.
function paint() {
  const now = colours[dark.matches ? "dark" : "light"]
  for (const {plot} of panels)
    for (const {glyph, tags} of plot.renderers)
      for (const part of ["line_color", "fill_color"])
        if (part in glyph) glyph[part] = {value: now[tags[0]][tags.includes("paper") ? 1 : 0]}
}
dark.addEventListener("change", paint)
paint()

function spread(some, way) {
  const ends = () => some.forEach(panel => {
    const [start, end] = panel[way]
    panel.plot.x_range.setv({start, end, reset_start: start, reset_end: end})
  })
  const scale = () => some.forEach(({plot}) => {
    plot.x_scale = scales[way]
    plot.below[0].ticker = tickers[way]
  })
  // a logarithmic scale never sees the 0 at which a linear one starts
  for (const step of way == "log" ? [ends, scale] : [scale, ends]) step()
}

// Of the points nearest to the pointer along x, one of each curve there, the one nearest along y: a finger need not hit it.
function nearest({plot}, {sx, sy}) {
  const {x_scale, y_scale} = Bokeh.index.get_by_id(plot.id).frame
  let found = {away: Infinity}
  for (const {glyph, visible, data_source: {data}, name} of plot.renderers) {
    if (!visible || glyph.type != "Line" || !data.at?.length) continue
    const across = Array.from(data.x, x => x_scale.compute(x) - sx)
    if (!(across[0] < 12 && across.at(-1) > -12)) continue
    const i = across.reduce((best, one, at) => Math.abs(one) < Math.abs(across[best]) ? at : best, 0)
    const value = data[glyph.y.field][i], away = Math.abs(y_scale.compute(value) - sy)
    if (away < found.away) found = {away, name, value, data, i, own: glyph.y.field == "value"}
  }
  return found
}

const number = value => value.toFixed(2).replace("-", "\u2212")
function point(panel, event) {
  const {name, value, data, i, own} = nearest(panel, event)
  const node = within(document, panel).parentNode, output = node.querySelector("output")
  const seeds = own ? Object.keys(data).filter(key => key.startsWith("seed ") && isFinite(data[key][i])) : []
  panel.plot.select("cursor")[0].data_source.data = name ? {x: [data.x[i]], y: [value]} : {x: [], y: []}
  output.hidden = !name
  if (!name) return
  const title = Object.assign(document.createElement("b"), {textContent: name})
  output.replaceChildren(title, [` ${data.at[i]}: ${number(value)} nats`, ...seeds.map(key => `${key}: ${number(data[key][i])}`)].join(", "))
  output.classList.toggle("low", event.sy < node.clientHeight / 2)
}
for (const panel of panels) {
  for (const event of ["mousemove", "tap"]) panel.plot.on_event(event, at => point(panel, at))
  // a finger leaves the plot as soon as it is lifted
  within(document, panel).parentNode.addEventListener("pointerleave", ({pointerType}) => pointerType == "mouse" && point(panel, {}))
}

// Bokeh's canvas has no name and stops the keyboard for nothing; its tools do not say that they are buttons.
for (const panel of panels) {
  const {events_el, primary: {canvas}} = Bokeh.index.get_by_id(panel.plot.id).canvas_view
  const {ariaLabel} = within(document, panel).closest("figure")
  events_el.removeAttribute("tabindex")
  canvas.setAttribute("role", "img")
  canvas.setAttribute("aria-label", `${ariaLabel}: curves; their values are in the table below`)
  for (const {el} of Bokeh.index.find_one(panel.plot.toolbar).tool_button_views) el.setAttribute("role", "button")
}

for (const figure of document.querySelectorAll(".live")) {
  const mine = panels.filter(panel => within(figure, panel))
  const show = () => {
    const hidden = [...figure.querySelectorAll("button[aria-pressed=false]")].map(button => button.dataset.tag)
    hidden.push(figure.querySelector("[data-seeds]")?.checked ? "mean" : "seed")
    for (const {plot} of mine)
      for (const curve of plot.renderers) curve.visible = !curve.tags.some(tag => hidden.includes(tag))
  }
  for (const button of figure.querySelectorAll("button[data-tag]")) button.addEventListener("click", () => {
    button.setAttribute("aria-pressed", button.getAttribute("aria-pressed") == "false")
    show()
  })
  figure.querySelector("[data-seeds]")?.addEventListener("change", show)
  for (const box of figure.querySelectorAll("[data-x]")) box.addEventListener("change", () =>
    spread(mine.filter(({x}) => x == box.dataset.x), box.checked ? "log" : "linear"))
}
