// Body of a Bokeh callback that runs once all is drawn; its arguments: id (of the element of one model), plot, cursor, tiles.
const node = document.getElementById(id)
const {height, width, tiles: rows, ...packed} = JSON.parse(node.querySelector("script").textContent)
const bytes = name => Uint8Array.from(atob(packed[name]), letter => letter.charCodeAt(0)).buffer
const floats = name => new Float32Array(bytes(name))
const [w1, b1, b2, step, w2] = [...["hidden.weight", "hidden.bias", "output.bias", "step"].map(floats), new Int8Array(bytes("output.weight"))]
const [hidden, pixels] = [b1.length, b2.length]

// The decoder's mean at z, appendix C: a tanh layer, then a sigmoid.
function decode(z1, z2) {
  const sums = new Float32Array(pixels)
  for (let j = 0; j < hidden; j++) {
    const unit = Math.tanh(b1[j] + z1 * w1[j] + z2 * w1[hidden + j])
    for (let k = 0, at = j * pixels; k < pixels; k++, at++) sums[k] += unit * w2[at]
  }
  return sums.map((sum, k) => 1 / (1 + Math.exp(-(b2[k] + step[k] * sum))))
}

function paint(canvas, means, left = 0, top = 0) {
  const image = new ImageData(width, height)
  means.forEach((mean, k) => image.data.set([255 * mean, 255 * mean, 255 * mean, 255], 4 * k))
  canvas.getContext("2d").putImageData(image, left, top)
}

// The plane as decoded pictures, each at its own middle.
const reach = plot.x_range.end
const columns = Math.round(rows * height / width)
const behind = Object.assign(document.createElement("canvas"), {width: columns * width, height: rows * height})
for (let row = 0; row < rows; row++)
  for (let column = 0; column < columns; column++)
    paint(behind, decode(reach * ((2 * column + 1) / columns - 1), reach * (1 - (2 * row + 1) / rows)), column * width, row * height)
tiles.data = {url: [behind.toDataURL()], x: [0], y: [0], side: [2 * reach]}

const [picture, text] = [node.querySelector("canvas"), node.querySelector("output")]
let z = [0, 0]
function show(...wanted) {
  z = wanted.map(value => Math.max(-reach, Math.min(reach, value)))
  cursor.data = {x: [z[0]], y: [z[1]]}
  paint(picture, decode(...z))
  node.dataset.z = z
  text.textContent = "z = (" + z.map(value => value.toFixed(2).replace("-", "\u2212")).join(", ") + ")"
}
for (const event of ["mousemove", "tap", "panstart", "pan"]) plot.on_event(event, ({x, y}) => show(x, y))

const directions = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1]}
node.querySelector(".map").addEventListener("keydown", event => {
  const direction = directions[event.key]
  if (!direction) return
  event.preventDefault()
  show(...direction.map((sign, axis) => z[axis] + sign * (event.shiftKey ? 0.5 : 0.1)))
})
show(0, 0)
