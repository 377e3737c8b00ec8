// The page of latent planes. Bokeh calls startPlane for each model once all is drawn.

const types = {"<f4": Float32Array, "|i1": Int8Array, "|u1": Uint8Array}
const clamp = (value, low, high) => Math.max(low, Math.min(high, value))

// The arrays of a model by name, see packed in shipped.py.
async function unpacked({arrays, bytes}) {
  const deflated = Uint8Array.from(atob(bytes), letter => letter.charCodeAt(0))
  const inflated = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"))
  const whole = await new Response(inflated).arrayBuffer()
  const found = {}
  let at = 0
  for (const [name, type, size] of arrays) found[name] = new types[type](whole.slice(at, at += size))
  return found
}

// The networks of appendix C: a tanh layer each. Large matrices have 8 bits, and a step per output.
function networks(part) {
  const [w1, b1, w2, b2, step] = ["hidden.weight", "hidden.bias", "output.weight", "output.bias", "step"].map(name => part[`decoder.${name}`])
  const [v1, c1, v2, c2, tread] = ["hidden.weight", "hidden.bias", "output.weight", "output.bias", "step"].map(name => part[`encoder.${name}`])
  // The decoder's mean at z: a sigmoid of the logits.
  function decode([z1, z2]) {
    const sums = new Float32Array(b2.length)
    for (let j = 0; j < b1.length; j++) {
      const unit = Math.tanh(b1[j] + z1 * w1[j] + z2 * w1[b1.length + j])
      for (let k = 0, at = j * b2.length; k < b2.length; k++, at++) sums[k] += unit * w2[at]
    }
    return sums.map((sum, k) => 1 / (1 + Math.exp(-(b2[k] + step[k] * sum))))
  }
  // The mean of q(z|x), equation 9.
  function encode(x) {
    const sums = new Float32Array(c1.length)
    x.forEach((grey, k) => {
      if (grey) for (let j = 0, at = k * c1.length; j < c1.length; j++, at++) sums[j] += grey * v1[at]
    })
    return [0, 1].map(axis => sums.reduce((z, sum, j) => z + Math.tanh(c1[j] + tread[j] * sum) * v2[2 * j + axis], c2[axis]))
  }
  return {decode, encode}
}

// Grey values from 0 to 1 onto a canvas; none: nothing.
function paint(canvas, width, greys, left = 0, top = 0) {
  const image = new ImageData(width, greys.length / width)
  greys.forEach((grey, k) => image.data.set([255 * grey, 255 * grey, 255 * grey, 255], 4 * k))
  canvas.getContext("2d").putImageData(image, left, top)
}

const wipe = canvas => canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height)
const listed = z => "(" + z.map(value => (Math.round(100 * value) / 100 + 0).toFixed(2).replace("-", "\u2212")).join(", ") + ")"

// A pad to draw on; `drawn` gets what is there, fitted as the test images are (framed in shipped.py): greys (D,), or null.
function pad(canvas, {height, width, binary, frame}, drawn) {
  const fine = Math.ceil(224 / Math.max(height, width))
  const [rows, columns] = [height * fine, width * fine]
  Object.assign(canvas, {width: columns, height: rows})
  const ink = new Float32Array(rows * columns)
  const radius = 0.045 * Math.max(rows, columns)

  function stroke([x1, y1], [x2, y2]) {
    const [dx, dy] = [x2 - x1, y2 - y1]
    for (let y = Math.max(0, Math.floor(Math.min(y1, y2) - radius)); y < Math.min(rows, Math.max(y1, y2) + radius + 1); y++)
      for (let x = Math.max(0, Math.floor(Math.min(x1, x2) - radius)); x < Math.min(columns, Math.max(x1, x2) + radius + 1); x++) {
        const along = clamp(((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1), 0, 1)
        const distance = Math.hypot(x - x1 - along * dx, y - y1 - along * dy)
        ink[y * columns + x] = Math.max(ink[y * columns + x], clamp(radius + 0.5 - distance, 0, 1))
      }
    paint(canvas, columns, ink)
    drawn(fitted())
  }

  function fitted() {
    let [mass, right, down, left, top, last, foot] = [0, 0, 0, columns, rows, 0, 0]
    ink.forEach((value, at) => {
      if (!value) return
      const [x, y] = [at % columns, Math.floor(at / columns)]
      mass += value, right += value * (x + 0.5), down += value * (y + 0.5)
      left = Math.min(left, x), last = Math.max(last, x), top = Math.min(top, y), foot = Math.max(foot, y)
    })
    if (!mass) return null
    // A pixel of the image is a square of the pad, of which 8 x 8 places are looked at.
    const size = (Math.max(last - left, foot - top) + 1) / frame.side
    const place = (k, middle, mean) => Math.floor(mean + ((k + 0.5) / 8 - middle) * size)
    const image = new Float32Array(height * width)
    for (let k = 0; k < 8 * height; k++)
      for (let l = 0; l < 8 * width; l++) {
        const [y, x] = [place(k, frame.down, down / mass), place(l, frame.right, right / mass)]
        if (y >= 0 && y < rows && x >= 0 && x < columns) image[Math.floor(k / 8) * width + Math.floor(l / 8)] += ink[y * columns + x] / 64
      }
    return image.map(value => binary ? (value >= 0.5 ? 1 : 0) : value * frame.white)
  }

  let last = null
  const point = event => [event.offsetX * columns / canvas.clientWidth, event.offsetY * rows / canvas.clientHeight]
  canvas.addEventListener("pointerdown", event => {
    canvas.setPointerCapture(event.pointerId)
    stroke(last = point(event), last)
  })
  canvas.addEventListener("pointermove", event => last && stroke(last, last = point(event)))
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => last = null)

  function clear() {
    ink.fill(0)
    paint(canvas, columns, ink)
    drawn(null)
  }
  paint(canvas, columns, ink)
  return clear
}

// The slider through training: decoded pictures of the plane after so many samples, and test points upon them.
function unfold(node, {height, width, unfolding}, arrays) {
  const {steps, rows, columns, colours} = unfolding
  const find = name => node.querySelector(`.${name}`)
  find("unfolding").hidden = false
  const [canvas, slider, text, play] = ["plane-then", "step", "then", "play"].map(find)
  const scale = Math.ceil(600 / (rows * height))
  const [across, down] = [columns * width * scale, rows * height * scale]
  Object.assign(canvas, {width: across, height: down})
  const behind = Object.assign(document.createElement("canvas"), {width: columns * width, height: rows * height})

  function show() {
    const step = +slider.value, pen = canvas.getContext("2d")
    const tiles = arrays[`tiles.${step}`], places = arrays[`places.${step}`]
    for (let k = 0; k < rows * columns; k++) {
      const greys = Float32Array.from(tiles.subarray(k * height * width, (k + 1) * height * width), value => 0.7 + 0.3 * value / 255) // as behind the map
      paint(behind, width, greys, k % columns * width, Math.floor(k / columns) * height)
    }
    pen.imageSmoothingEnabled = false
    pen.drawImage(behind, 0, 0, across, down)
    colours.forEach((colour, k) => {
      pen.fillStyle = colour
      pen.beginPath()
      pen.arc((1 + places[2 * k] / 127) * across / 2, (1 - places[2 * k + 1] / 127) * down / 2, across / 180, 0, 2 * Math.PI)
      pen.fill()
    })
    text.textContent = steps[step]
    slider.setAttribute("aria-valuetext", steps[step])
    canvas.setAttribute("aria-label", `The latent plane after ${steps[step]}`)
  }
  let timer
  const stop = () => (clearInterval(timer), timer = null, play.textContent = "Play")
  slider.addEventListener("input", () => (stop(), show()))
  play.addEventListener("click", () => {
    if (timer) return stop()
    if (+slider.value == steps.length - 1) slider.value = 0
    show()
    play.textContent = "Stop"
    timer = setInterval(() => {
      slider.value = +slider.value + 1
      show()
      if (+slider.value == steps.length - 1) stop()
    }, 900)
  })
  show()
}

// The view in the address, as #ID&z=...; written when nothing has changed for a while, for browsers limit how often.
let due
function remember(id, view) {
  clearTimeout(due)
  const text = Object.entries(view).map(([name, value]) => `&${name}=${value}`).join("")
  due = setTimeout(() => history.replaceState(null, "", `#${id}${text}`), 400)
}
function remembered(id) {
  const [first, ...rest] = location.hash.slice(1).split("&")
  if (first != id || !rest.length) return null
  const found = new URLSearchParams(rest.join("&"))
  const numbers = name => (found.get(name) ?? "").split(",").map(Number)
  const pair = values => values.length == 2 && values.every(Number.isFinite) ? values : [0, 0]
  return {z: pair(numbers("z")), zoom: numbers("zoom")[0] || 1, centre: pair(numbers("centre")), point: numbers("point")[0] || 0}
}

const directions = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1]}
const zooms = {"+": 1.5, "=": 1.5, "-": 1 / 1.5, "0": 0}

async function startPlane(id, plot, {tiles, near, drawn, classes, cursor}) {
  const node = document.getElementById(id)
  const about = JSON.parse(node.querySelector("script").textContent)
  const {height, width, reach, grey} = about
  const find = name => node.querySelector(`.${name}`)
  const [picture, image, again, text, number] = ["picture", "image", "again", "said", "number"].map(find)
  if (!window.DecompressionStream) return text.textContent = "This page needs a browser of 2023 or later."
  const arrays = await unpacked(about)
  const {decode, encode} = networks(arrays)
  if (about.unfolding) unfold(node, about, arrays)

  // The test points: where they are, and what they show.
  const groups = plot.renderers.filter(renderer => renderer.name == "points")
  const points = []
  for (const group of groups) {
    const {z1, z2, label, row} = group.data_source.data
    row.forEach((k, at) => points[k] = {k, group, z: [z1[at], z2[at]], label: label[at]})
  }
  const greys = ({k}) => arrays.images?.subarray(k * height * width, (k + 1) * height * width)
  const named = ({k, label}) => `test point ${k + 1}` + (Number.isNaN(label) ? "" : `, ${about.what} ${label}` + (about.along && ` of ${about.along}`))

  // Classes by their names, each at the median of its points, but no two upon each other.
  function name() {
    const shown = about.along ? [] : groups.filter(group => group.visible)
    const labels = [...new Set(points.filter(point => shown.includes(point.group)).map(point => point.label))].filter(label => !Number.isNaN(label))
    const middle = (label, axis) => {
      const sorted = points.filter(point => point.label == label).map(point => point.z[axis]).sort((a, b) => a - b)
      return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2
    }
    const places = labels.map(label => [middle(label, 0), middle(label, 1)])
    for (let turn = 0; turn < 60; turn++)
      for (const [k, one] of places.entries())
        for (const other of places.slice(0, k)) {
          const [dx, dy] = [one[0] - other[0], one[1] - other[1]]
          const distance = Math.hypot(dx, dy) || 1e-9
          const push = Math.max(0, pixels(20) / distance - 1) / 2
          one[0] += push * dx, one[1] += push * dy, other[0] -= push * dx, other[1] -= push * dy
        }
    classes.data = {x: places.map(place => place[0]), y: places.map(place => place[1]), text: labels.map(String)}
  }
  for (const group of groups) group.connect(group.properties.visible.change, name)

  // What part of the plane is in sight, with decoded pictures behind it, each at its own middle.
  let [zoom, centre] = [1, [0, 0]]
  const pixels = count => count * 2 * reach / zoom / (plot.inner_width || 400) // as a distance on the plane
  const rows = about.tiles, columns = Math.round(rows * height / width)
  const behind = Object.assign(document.createElement("canvas"), {width: columns * width, height: rows * height})
  function look(wanted, middle) {
    zoom = clamp(wanted, 1, 40)
    const half = reach / zoom
    centre = middle.map(value => clamp(value, half - reach, reach - half))
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++)
        paint(behind, width, decode([centre[0] + half * ((2 * column + 1) / columns - 1), centre[1] + half * (1 - (2 * row + 1) / rows)]), column * width, row * height)
    tiles.data = {url: [behind.toDataURL()], x: [centre[0]], y: [centre[1]], side: [2 * half]}
    plot.x_range.setv({start: centre[0] - half, end: centre[0] + half})
    plot.y_range.setv({start: centre[1] - half, end: centre[1] + half})
    name()
  }

  let [z, beside] = [[0, 0], null]
  function nearest() {
    let [best, least] = [null, pixels(14)]
    for (const point of points) {
      const distance = point.group.visible ? Math.hypot(point.z[0] - z[0], point.z[1] - z[1]) : Infinity
      if (distance < least) [best, least] = [point, distance]
    }
    return best
  }

  // z with what it decodes to. `shown`: what is beside it, a test point or a drawing {x, z}; unless given, the nearest point.
  function show(wanted, shown) {
    z = wanted.map(value => clamp(value, -reach, reach))
    if (z.some((value, axis) => Math.abs(value - centre[axis]) > 1.0001 * reach / zoom)) look(zoom, z)
    beside = shown ??= nearest()
    const point = shown?.x ? null : shown
    cursor.data = {x: [z[0]], y: [z[1]]}
    near.data = point ? {x: [point.z[0]], y: [point.z[1]]} : {x: [], y: []}
    paint(picture, width, decode(z))
    const x = shown?.x ?? (point && greys(point) && Float32Array.from(greys(point), value => value / grey))
    if (image) x ? paint(image, width, x) : wipe(image)
    if (again) shown ? paint(again, width, decode(shown.z)) : wipe(again)
    image?.setAttribute("aria-label", shown?.x ? "Your drawing, as the encoder gets it" : point ? `Image of ${named(point)}` : "No test image: no point is near")
    if (number && point) number.value = point.k + 1
    node.dataset.z = z
    node.dataset.point = point ? point.k + 1 : ""
    text.textContent = `z = ${listed(z)}` + (shown ? `, ${point ? named(point) : "your drawing"} at ${listed(shown.z)}` : "")
  }
  function kept() {
    const chosen = beside?.k !== undefined && beside.z.every((value, axis) => value == z[axis])
    const short = values => values.map(value => +value.toFixed(3))
    remember(id, {z: short(z), zoom: +zoom.toFixed(2), centre: short(centre), ...(chosen && {point: beside.k + 1})})
  }
  const move = (...wanted) => (show(wanted), kept())
  function magnify(factor) {
    // z stays where it is in sight
    const next = clamp(zoom * factor, 1, 40)
    look(next, z.map((value, axis) => value + (centre[axis] - value) * zoom / next))
    show(z, beside)
    kept()
  }
  function choose(k) {
    const point = points[clamp(Math.round(k), 1, points.length) - 1]
    if (!point) return
    show(point.z, point)
    kept()
  }

  for (const event of ["mousemove", "tap", "panstart", "pan"]) plot.on_event(event, ({x, y}) => move(x, y))
  find("map").addEventListener("keydown", event => {
    const direction = directions[event.key]
    if (event.ctrlKey || event.metaKey || event.altKey || !(direction || event.key in zooms)) return
    event.preventDefault()
    if (direction) move(...direction.map((sign, axis) => z[axis] + sign * (event.shiftKey ? 0.5 : 0.1) / zoom))
    else magnify(zooms[event.key])
  })
  for (const button of node.querySelectorAll("[data-zoom]")) button.addEventListener("click", () => magnify(zooms[button.dataset.zoom]))
  number?.addEventListener("input", () => number.value && choose(number.value))
  const canvas = find("pad")
  if (canvas) {
    const clear = pad(canvas, about, x => {
      if (!x) return drawn.data = {x: [], y: []}
      const at = encode(x)
      drawn.data = {x: [at[0]], y: [at[1]]}
      show(at, {x, z: at})
      kept()
    })
    find("clear").addEventListener("click", () => (clear(), show(z)))
  }

  function restore() {
    const view = remembered(id)
    if (!view) return false
    look(view.zoom, view.centre)
    view.point ? choose(view.point) : show(view.z)
    node.scrollIntoView()
    return true
  }
  addEventListener("hashchange", restore)
  if (!restore()) {
    look(1, [0, 0])
    show(z)
  }
}
