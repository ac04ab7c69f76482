// The sentences of a live translation, or of a long file, as a list.

import { drawUnits, FRAME_SECONDS } from "./pictures.js";
import { PlayQueue } from "./play_queue.js";
import { concatenate, decode, encodeWav } from "./waveform.js";

export class Answers {
  constructor(root) {
    this.root = root;
    this.list = root.querySelector("ol");
    this.download = root.querySelector("a");
    this.wavs = [];
    this.queue = null;
  }

  /** Begin an empty list; to be called by a click, as it opens the loudspeaker. */
  begin() {
    this.stop();
    this.queue = new PlayQueue();
    this.wavs = [];
    this.list.replaceChildren();
    URL.revokeObjectURL(this.download.href);
    this.download.hidden = true;
    this.root.hidden = false;
  }

  stop() {
    this.queue?.close();
    this.queue = null;
    this.root.hidden = true;
  }

  /** Add a sentence, its WAV, and whether it is to be played once those before it are. */
  add(answer, wav, played) {
    this.wavs.push(wav);
    const item = document.createElement("li");
    const text = document.createElement("span");
    text.textContent = `${answer.start.toFixed(1)} to ${answer.end.toFixed(1)} s`;
    const strip = document.createElement("canvas");
    const play = document.createElement("button");
    play.type = "button";
    play.className = "play";
    play.setAttribute("aria-label", `Play sentence ${this.wavs.length}`);
    play.append(document.createElement("span"));
    const enqueue = () => this.queue.add(wav, (playing) => item.classList.toggle("playing", playing));
    play.addEventListener("click", enqueue);
    item.append(play, text, strip);
    this.list.append(item);
    drawUnits(strip, answer.units, answer.durations, FRAME_SECONDS * answer.durations.reduce((a, b) => a + b, 0));
    if (played) enqueue();
  }

  /** Offer all sentences as one file. */
  async offerDownload(name) {
    if (!this.wavs.length) return;
    const whole = concatenate(await Promise.all(this.wavs.map(decode)));
    this.download.href = URL.createObjectURL(encodeWav(whole));
    this.download.download = name;
    this.download.hidden = false;
  }
}
