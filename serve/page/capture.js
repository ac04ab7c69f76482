// Runs in the browser's audio thread: hands on what the microphone hears, in blocks.

const BLOCK = 2048; // samples; the browser gives 128 at a time

class Capture extends AudioWorkletProcessor {
  block = new Float32Array(BLOCK);
  filled = 0;
  ended = false;

  constructor() {
    super();
    this.port.onmessage = () => this.#end();
  }

  process([[channel]]) {
    if (this.ended) return false;
    if (!channel) return true; // nothing is connected yet
    this.block.set(channel, this.filled);
    this.filled += channel.length;
    if (this.filled === BLOCK) {
      this.port.postMessage(this.block);
      this.filled = 0;
    }
    return true;
  }

  /** Hand on what is left, and nothing after it. */
  #end() {
    if (this.ended) return;
    this.ended = true;
    this.port.postMessage(this.block.slice(0, this.filled));
    this.port.postMessage(null);
  }
}

registerProcessor("capture", Capture);
