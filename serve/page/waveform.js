// Waveforms: Float32Array, mono, in [-1, 1], at SAMPLE_RATE, as the server hears them.

export const SAMPLE_RATE = 16000; // Hz
const ZERO_CROSSINGS = 16; // of the low-pass filter, to each side
const ROLLOFF = 0.94; // the filter passes this share of what the lower of the two rates can hold

/** Brings blocks of sound to SAMPLE_RATE by a windowed sinc; the result is the same however the sound is cut. */
export class Resampler {
  constructor(rate) {
    const common = greatestCommonDivisor(rate, SAMPLE_RATE);
    this.up = SAMPLE_RATE / common;
    this.down = rate / common;
    const cutoff = ROLLOFF * Math.min(1, this.up / this.down);
    this.reach = Math.ceil(ZERO_CROSSINGS / cutoff);
    this.kernels = Array.from({ length: this.up }, (_, phase) => lowPass(cutoff, this.reach, phase / this.up));
    this.held = new Float32Array(this.reach); // silence before the sound, so that the first sample has neighbours
    this.next = this.reach * this.up; // place of the next sample in `held`, in steps of 1 / up
  }

  /** Give the samples that are certain after this block of sound. */
  push(block) {
    const input = concatenate([this.held, block]);
    const ready = (input.length - this.reach) * this.up - this.next;
    const output = new Float32Array(Math.max(0, Math.ceil(ready / this.down)));
    for (let i = 0; i < output.length; i++, this.next += this.down) {
      const first = Math.floor(this.next / this.up) - this.reach;
      const kernel = this.kernels[this.next % this.up];
      for (let k = 0; k < kernel.length; k++) output[i] += kernel[k] * input[first + k];
    }
    const done = Math.max(0, Math.floor(this.next / this.up) - this.reach);
    this.held = input.slice(done);
    this.next -= done * this.up;
    return output;
  }

  /** Give the last samples. */
  flush() {
    return this.push(new Float32Array(this.reach));
  }
}

function greatestCommonDivisor(a, b) {
  return b ? greatestCommonDivisor(b, a % b) : a;
}

/** Taps around a point that lies `fraction` of a sample after the middle one; they sum to 1. */
function lowPass(cutoff, reach, fraction) {
  const taps = Float32Array.from({ length: 2 * reach + 1 }, (_, k) => {
    const time = k - reach - fraction;
    const angle = Math.PI * cutoff * time;
    const sinc = angle ? Math.sin(angle) / angle : 1;
    return sinc * Math.cos((Math.PI * time) / (2 * (reach + 1))) ** 2;
  });
  const sum = taps.reduce((total, tap) => total + tap);
  return taps.map((tap) => tap / sum);
}

export function concatenate(blocks) {
  const whole = new Float32Array(blocks.reduce((total, block) => total + block.length, 0));
  let filled = 0;
  for (const block of blocks) {
    whole.set(block, filled);
    filled += block.length;
  }
  return whole;
}

/** 16-bit samples, as s2st.audio.to_int16 makes them. */
export function toInt16(samples) {
  return Int16Array.from(samples, (sample) => Math.max(-32768, Math.min(32767, Math.round(sample * 32768))));
}

/** A WAV file of 16-bit samples. */
export function encodeWav(samples) {
  const data = toInt16(samples);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, letters) => [...letters].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + data.byteLength, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true); // bytes of this chunk
  header.setUint16(20, 1, true); // integers
  header.setUint16(22, 1, true); // channel
  header.setUint32(24, SAMPLE_RATE, true);
  header.setUint32(28, 2 * SAMPLE_RATE, true); // bytes a second
  header.setUint16(32, 2, true); // bytes a sample
  header.setUint16(34, 16, true); // bits a sample
  text(36, "data");
  header.setUint32(40, data.byteLength, true);
  return new Blob([header, data], { type: "audio/wav" });
}

/** The waveform of an audio file, or null where the browser cannot read its format. */
export async function decode(blob) {
  try {
    const context = new OfflineAudioContext(1, 1, SAMPLE_RATE); // decodes to its own rate
    const sound = await context.decodeAudioData(await blob.arrayBuffer());
    const mono = new Float32Array(sound.length);
    for (let channel = 0; channel < sound.numberOfChannels; channel++) {
      sound.getChannelData(channel).forEach((sample, i) => (mono[i] += sample / sound.numberOfChannels));
    }
    return mono;
  } catch (error) {
    if (error.name !== "EncodingError") throw error;
    return null;
  }
}
