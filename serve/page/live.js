// Live translation: the microphone goes to the server as it speaks, and each sentence comes back.

import { listen } from "./microphone.js";
import { asSentence, openLive, Refusal } from "./server.js";
import { toInt16 } from "./waveform.js";

const MAX_WAITING_BYTES = 1 << 20; // half a minute that could not be sent
const CODES_OF_STATUSES = 4000; // 4401: what is 401 of HTTP

/** One talk over WebSocket. `onAnswer` gets {index, start, end, units, durations, seconds, ...} and its WAV. */
export class LiveTalk {
  constructor(choice, onAnswer) {
    this.choice = choice;
    this.onAnswer = onAnswer;
    this.finished = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    this.finished.catch(() => {}); // it may fail before anyone waits for it
    this.ended = false;
    this.stopListening = async () => {};
  }

  async start() {
    this.socket = await openLive(this.choice);
    if (this.ended) return this.#close(); // before the user was asked for the microphone
    this.socket.onmessage = ({ data }) => this.#receive(data);
    this.socket.onclose = ({ code }) => {
      const status = code > CODES_OF_STATUSES ? code - CODES_OF_STATUSES : 0;
      this.#end(new Refusal(this.refusal ?? "The connection to the server was lost.", status));
    };
    try {
      this.stopListening = await listen((samples) => this.#send(samples), { echoes: false });
    } catch (error) {
      this.#end(error);
    }
    if (this.ended) this.#close(); // while the user was asked for the microphone
  }

  /** Send no more; `finished` resolves to the number of sentences when all answers are here. */
  async stop() {
    await this.stopListening();
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send("end");
  }

  cancel() {
    this.#end(new DOMException("cancelled", "AbortError"));
  }

  #send(samples) {
    if (this.socket.readyState !== WebSocket.OPEN) return;
    if (this.socket.bufferedAmount > MAX_WAITING_BYTES) {
      this.#end(new Refusal("The connection is too slow for live translation; record and translate instead.", 0));
      return;
    }
    this.socket.send(toInt16(samples));
  }

  #receive(data) {
    if (data instanceof ArrayBuffer) {
      this.onAnswer(this.answer, new Blob([data], { type: "audio/wav" }));
      return;
    }
    const message = JSON.parse(data);
    if (message.error) this.refusal = asSentence(message.error); // the server hangs up next
    else if (message.done) this.#end(null, message.sentences);
    else this.answer = message;
  }

  /** The first end counts; closing the socket calls this again. */
  #end(error, sentences) {
    if (this.ended) return;
    this.ended = true;
    if (error) this.reject(error);
    else this.resolve(sentences);
    this.#close();
  }

  #close() {
    this.stopListening();
    this.socket?.close();
  }
}
