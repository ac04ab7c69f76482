// A queue of sounds.

/** Plays sounds one after another, in the order in which they were given. */
export class PlayQueue {
  constructor() {
    this.context = new AudioContext(); // to be made by a click: browsers keep other pages silent
    this.last = Promise.resolve();
    this.source = null;
  }

  /** Play a WAV after those before it; `onChange` is told true when it starts and false when it ends. */
  add(wav, onChange) {
    this.last = this.last.then(() => this.#play(wav, onChange));
  }

  async #play(wav, onChange) {
    if (this.context.state === "closed") return;
    const sound = await this.context.decodeAudioData(await wav.arrayBuffer());
    this.source = this.context.createBufferSource();
    this.source.buffer = sound;
    this.source.connect(this.context.destination);
    onChange(true);
    await new Promise((resolve) => {
      this.source.onended = resolve;
      this.source.start();
    });
    onChange(false);
  }

  close() {
    this.source?.stop();
    this.context.close();
  }
}
