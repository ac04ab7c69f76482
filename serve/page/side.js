// One side of the translation: its sound, its units, and a player that moves through both.

import { drawSpectrogram, drawUnits, drawWaveform, FRAME_SECONDS } from "./pictures.js";
import { logMel } from "./spectrogram.js";
import { SAMPLE_RATE } from "./waveform.js";

export class Side {
  constructor(root, name) {
    root.append(document.getElementById("side").content.cloneNode(true));
    this.root = root;
    for (const part of root.querySelectorAll("[data-part]")) this[part.dataset.part] = part;
    this.title.textContent = name;
    this.slider.setAttribute("aria-label", `Position in the ${name.toLowerCase()}`);
    this.play.setAttribute("aria-label", `Play the ${name.toLowerCase()}`);
    this.audio = new Audio();
    this.clear();
    this.#listen();
  }

  #listen() {
    this.play.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => this.seek(this.slider.valueAsNumber));
    this.slider.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      this.toggle();
    });
    const timeAt = (event) => {
      const { left, width } = this.stack.getBoundingClientRect();
      return Math.max(0, Math.min(1, (event.clientX - left) / width)) * this.seconds;
    };
    this.stack.addEventListener("pointerdown", (event) => this.seek(timeAt(event)));
    this.stack.addEventListener("pointermove", (event) => {
      if (event.buttons) this.seek(timeAt(event));
      else this.#tell(timeAt(event));
    });
    this.stack.addEventListener("pointerleave", () => this.#tell(this.slider.valueAsNumber));
    for (const change of ["play", "pause", "ended"]) this.audio.addEventListener(change, () => this.#follow());
    new ResizeObserver(() => this.draw()).observe(this.stack);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  clear() {
    this.audio.pause();
    URL.revokeObjectURL(this.audio.src);
    this.audio.removeAttribute("src");
    this.samples = this.levels = null;
    this.units = this.durations = [];
    this.seconds = 0;
    this.download.hidden = true;
    this.#show();
  }

  /** Show a sound: its samples, or null where the browser cannot read the file, and the file that is played. */
  showSound(samples, file) {
    this.clear();
    this.samples = samples;
    this.levels = samples && logMel(samples);
    this.seconds = samples ? samples.length / SAMPLE_RATE : 0;
    if (samples) this.audio.src = URL.createObjectURL(file);
    this.#show();
  }

  /** Show a sound that is not finished: its waveform alone. */
  showGrowing(samples) {
    this.samples = samples;
    this.seconds = samples.length / SAMPLE_RATE;
    this.#show();
  }

  showUnits(units, durations) {
    this.units = units;
    this.durations = durations;
    this.seconds ||= FRAME_SECONDS * durations.reduce((sum, frames) => sum + frames, 0);
    this.#show();
  }

  offerDownload(name) {
    this.download.href = this.audio.src;
    this.download.download = name;
    this.download.hidden = false;
  }

  #show() {
    this.stack.hidden = !this.seconds;
    this.nothing.hidden = Boolean(this.seconds);
    this.waveform.hidden = !this.samples;
    this.spectrogram.hidden = !this.levels;
    this.strip.hidden = this.numbers.hidden = !this.units.length;
    this.play.disabled = !this.audio.src;
    this.slider.max = this.seconds;
    this.slider.step = FRAME_SECONDS;
    this.summary.textContent = `${this.units.length} units`;
    this.list.textContent = this.units.join(" ");
    this.length.textContent = this.seconds ? `${this.seconds.toFixed(2)} s` : "";
    this.draw();
    this.seek(0);
  }

  draw() {
    if (this.stack.hidden) return;
    if (this.samples) drawWaveform(this.waveform, this.samples);
    if (this.units.length) drawUnits(this.strip, this.units, this.durations, this.seconds);
    if (this.levels) drawSpectrogram(this.spectrogram, this.levels);
  }

  toggle() {
    if (!this.audio.src) return;
    if (this.audio.paused) this.audio.play();
    else this.audio.pause();
  }

  seek(seconds) {
    if (this.audio.src) this.audio.currentTime = seconds;
    this.#moveTo(seconds);
  }

  /** Keep the position in step with the sound for as long as it plays. */
  #follow() {
    this.root.classList.toggle("playing", !this.audio.paused);
    this.#moveTo(this.audio.ended ? 0 : this.audio.currentTime);
    if (!this.audio.paused) requestAnimationFrame(() => this.#follow());
  }

  #moveTo(seconds) {
    this.slider.value = seconds;
    this.stack.style.setProperty("--at", this.seconds ? seconds / this.seconds : 0);
    this.#tell(seconds);
  }

  /** Name the unit at a time, and frame its block. */
  #tell(seconds) {
    let end = 0;
    const place = this.durations.findIndex((frames) => (end += frames * FRAME_SECONDS) > seconds + 1e-6);
    const start = place < 0 ? 0 : end - this.durations[place] * FRAME_SECONDS;
    const unit = place < 0 ? "" : `unit ${this.units[place]}, ${start.toFixed(2)} to ${end.toFixed(2)} s`;
    this.here.hidden = place < 0;
    this.here.style.left = `${(100 * start) / this.seconds}%`;
    this.here.style.width = `${(100 * (end - start)) / this.seconds}%`;
    this.reading.textContent = unit || (this.seconds ? `${seconds.toFixed(2)} s` : "");
    if (this.audio.paused) {
      const position = `${seconds.toFixed(2)} of ${this.seconds.toFixed(2)} seconds`;
      this.slider.setAttribute("aria-valuetext", unit ? `${position}, ${unit}` : position);
    }
  }
}
