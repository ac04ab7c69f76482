// Pictures of sound on canvases, all on one axis of time: waveform, units, spectrogram. Colours come from page.css.

import { BANDS } from "./spectrogram.js";

export const FRAME_SECONDS = 0.02; // of speech in one unit
const GOLDEN_ANGLE = 137.508; // degrees: hues of neighbouring numbers lie far apart
const MIN_NUMBERED = 20; // pixels of a block that has room for its number

/** Make the canvas as fine as the screen; gives its context, width and height in CSS pixels. */
function prepare(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  return { context, width, height };
}

function colour(canvas, name) {
  return getComputedStyle(canvas).getPropertyValue(name).trim();
}

export function drawWaveform(canvas, samples) {
  const { context, width, height } = prepare(canvas);
  const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0.05);
  const reach = height / 2 - 1; // of the loudest sample, from the middle
  const columns = Math.floor(width);
  context.fillStyle = colour(canvas, "--s0");
  for (let column = 0; column < columns; column++) {
    const end = Math.ceil(((column + 1) * samples.length) / columns);
    let low = 0;
    let high = 0;
    for (let i = Math.floor((column * samples.length) / columns); i < end; i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    context.fillRect(column, height / 2 - (high / peak) * reach, 1, Math.max(1, ((high - low) / peak) * reach));
  }
}

/** Blocks coloured by unit and as wide as they last; `seconds` is the width of the whole picture. */
export function drawUnits(canvas, units, durations, seconds) {
  const { context, width, height } = prepare(canvas);
  const lightness = colour(canvas, "--unit-lightness");
  context.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  let frames = 0;
  units.forEach((unit, i) => {
    const left = ((frames * FRAME_SECONDS) / seconds) * width;
    frames += durations[i];
    const right = ((frames * FRAME_SECONDS) / seconds) * width;
    const gap = right - left > 3 ? 0.75 : 0;
    context.fillStyle = `hsl(${(unit * GOLDEN_ANGLE) % 360} 55% ${lightness})`;
    context.fillRect(left, 0, right - left - gap, height);
    if (right - left >= MIN_NUMBERED) {
      context.fillStyle = colour(canvas, "--unit-ink");
      context.fillText(unit, (left + right - gap) / 2, height / 2 + 0.5);
    }
  });
}

/** Bands from low (bottom) to high; `levels` is (frames, BANDS) in [0, 1]. */
export function drawSpectrogram(canvas, levels) {
  const { context, width, height } = prepare(canvas);
  const shades = ["--quiet", "--middling", "--loud"].map((name) => channels(colour(canvas, name)));
  const image = new ImageData(levels.length / BANDS, BANDS);
  levels.forEach((level, i) => {
    const pixel = (BANDS - 1 - (i % BANDS)) * image.width + Math.floor(i / BANDS);
    const [from, to] = level < 0.5 ? shades.slice(0, 2) : shades.slice(1);
    const share = (level * 2) % 1 || (level === 1 ? 1 : 0);
    for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = from[c] + (to[c] - from[c]) * share;
    image.data[4 * pixel + 3] = 255;
  });
  const picture = new OffscreenCanvas(image.width, image.height);
  picture.getContext("2d").putImageData(image, 0, 0);
  context.drawImage(picture, 0, 0, width, height);
}

/** Red, green and blue of #rrggbb. */
function channels(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
