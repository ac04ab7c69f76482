// Log-mel spectrograms, to look at: 25 ms windows, mel bands from 0 Hz to half the sample rate.

import { SAMPLE_RATE } from "./waveform.js";

export const BANDS = 80;
const WINDOW = 400; // samples: 25 ms
const SIZE = 512; // of the Fourier transform
const MIN_HOP = 80; // samples: 5 ms
const MAX_FRAMES = 1600; // more than a screen shows; longer sounds take longer hops
const RANGE_DB = 70; // under the loudest band; what is quieter looks like silence

/** Loudness of each band in [0, 1], a Float32Array (frames, BANDS); band 0 is the lowest. */
export function logMel(samples) {
  const hop = Math.max(MIN_HOP, Math.ceil(samples.length / MAX_FRAMES));
  const frames = Math.max(1, Math.ceil(samples.length / hop));
  const hann = Float32Array.from({ length: WINDOW }, (_, i) => Math.sin((Math.PI * (i + 0.5)) / WINDOW) ** 2);
  const bands = triangles();
  const levels = new Float32Array(frames * BANDS);
  for (let frame = 0; frame < frames; frame++) {
    const power = powers(samples, frame * hop - WINDOW / 2, hann);
    bands.forEach(({ first, weights }, band) => {
      const sum = weights.reduce((total, weight, i) => total + weight * power[first + i], 0);
      levels[frame * BANDS + band] = 10 * Math.log10(sum + 1e-10);
    });
  }
  const loudest = levels.reduce((most, level) => Math.max(most, level), -60);
  return levels.map((level) => Math.max(0, 1 + (level - loudest) / RANGE_DB));
}

function powers(samples, start, window) {
  const real = new Float32Array(SIZE);
  const imaginary = new Float32Array(SIZE);
  for (let i = 0; i < WINDOW; i++) real[i] = window[i] * (samples[start + i] ?? 0);
  transform(real, imaginary);
  return Float32Array.from({ length: SIZE / 2 + 1 }, (_, i) => real[i] ** 2 + imaginary[i] ** 2);
}

/** Fourier transform in place (Cooley and Tukey, radix 2); the length must be a power of two. */
export function transform(real, imaginary) {
  const size = real.length;
  for (let i = 1, j = 0; i < size; i++) {
    let bit = size >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit; // j is now i with its bits reversed
    if (i < j) {
      [real[i], real[j]] = [real[j], real[i]];
      [imaginary[i], imaginary[j]] = [imaginary[j], imaginary[i]];
    }
  }
  for (let half = 1; half < size; half *= 2) {
    for (let k = 0; k < half; k++) {
      const cosine = Math.cos((Math.PI * k) / half);
      const sine = -Math.sin((Math.PI * k) / half);
      for (let even = k; even < size; even += 2 * half) {
        const odd = even + half;
        const turnedReal = real[odd] * cosine - imaginary[odd] * sine;
        const turnedImaginary = real[odd] * sine + imaginary[odd] * cosine;
        real[odd] = real[even] - turnedReal;
        imaginary[odd] = imaginary[even] - turnedImaginary;
        real[even] += turnedReal;
        imaginary[even] += turnedImaginary;
      }
    }
  }
}

/** Triangular filters, evenly spaced in mel (2595 log10(1 + f / 700)); of each its first bin and its weights. */
function triangles() {
  const toMel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
  const step = toMel(SAMPLE_RATE / 2) / (BANDS + 1);
  const mels = Array.from({ length: SIZE / 2 + 1 }, (_, bin) => toMel((bin * SAMPLE_RATE) / SIZE));
  return Array.from({ length: BANDS }, (_, band) => {
    const middle = (band + 1) * step;
    const weights = mels.map((mel) => Math.max(0, 1 - Math.abs(mel - middle) / step));
    const nearest = mels.reduce((best, mel, i) => (Math.abs(mel - middle) < Math.abs(mels[best] - middle) ? i : best), 0);
    weights[nearest] ||= 1; // the lowest bands are narrower than a bin
    const first = weights.findIndex(Boolean);
    return { first, weights: weights.slice(first, weights.findLastIndex(Boolean) + 1) };
  });
}
