// The page: what its buttons do, and which of them can be used when.

import { Answers } from "./answers.js";
import { Choices } from "./choices.js";
import { LiveTalk } from "./live.js";
import { listen } from "./microphone.js";
import * as server from "./server.js";
import { Side } from "./side.js";
import { showTimings } from "./timings.js";
import { concatenate, decode, encodeWav, SAMPLE_RATE } from "./waveform.js";

const REDRAW_SAMPLES = SAMPLE_RATE / 4; // of a recording that grows
const UNREAD_BY_SERVER = /\.(m4a|mp4|aac|webm|weba|3gp)$/i; // libsndfile has none of these; browsers have

const find = (id) => document.getElementById(id);
const choices = new Choices(find("request"));
const source = new Side(find("source"), "Source");
const translation = new Side(find("translation"), "Translation");
const answers = new Answers(find("answers"));

let limits = { bytes: Infinity, seconds: Infinity, stream_bytes: Infinity };
let file = null; // that Translate sends
let long = false; // whether it is translated sentence by sentence
let reading = Promise.resolve(); // until a new file is read
let stop = null; // what Stop does, while the microphone is open
let cancel = null; // what Cancel does, while there is something to cancel

// --- state: idle, recording, working or done ---

function enter(state, told = "") {
  const busy = state === "recording" || state === "working";
  const live = find("live").checked;
  document.body.dataset.state = state;
  document.body.classList.toggle("live", live);
  find("status").textContent = told;
  find("record-text").textContent = state === "recording" ? "Stop" : live ? "Start talking" : "Record";
  find("translate").textContent = busy ? "Cancel" : "Translate";
  find("record").setAttribute("aria-disabled", state === "working"); // a disabled button would lose the focus
  if (live && !busy && document.activeElement === find("translate")) find("record").focus();
  find("translate").hidden = live && !busy;
  find("choose").disabled = find("live").disabled = find("request").querySelector("fieldset").disabled = busy;
  find("choose").hidden = find("chosen").hidden = live;
  find("sides").hidden = live || !(file || busy);
  find("translation").hidden = long;
  if (live) find("timings").hidden = true;
}

/** Do something that may fail: its failure is one sentence, or the question for a key, after which it is done again. */
async function attempt(action) {
  find("error").textContent = "";
  find("key-form").hidden = true;
  try {
    await action();
  } catch (error) {
    enter("idle", error.name === "AbortError" ? "Cancelled." : "");
    if (error.name === "AbortError") return;
    find("error").textContent = error.message;
    if (error.status === 401) askForKey(() => attempt(action));
  }
}

function askForKey(then) {
  const form = find("key-form");
  form.hidden = false;
  form.elements.key.value = "";
  form.elements.key.focus();
  form.onsubmit = (event) => {
    event.preventDefault();
    server.rememberKey(form.elements.key.value);
    then();
  };
}

async function loadModels() {
  const known = await server.models();
  choices.fill(known.models);
  limits = known.limits;
}

// --- the source ---

function checkSize({ size }) {
  const megabytes = (bytes) => `${(bytes / 2 ** 20).toFixed(0)} MB`;
  const most = megabytes(limits.stream_bytes);
  if (size > limits.stream_bytes) throw new Error(`The file has ${megabytes(size)}; this server takes at most ${most}.`);
}

async function take(chosen) {
  checkSize(chosen);
  const samples = await decode(chosen);
  file = chosen;
  if (samples && UNREAD_BY_SERVER.test(chosen.name)) {
    file = new File([encodeWav(samples)], chosen.name.replace(UNREAD_BY_SERVER, ".wav"));
    checkSize(file);
  }
  long = file.size > limits.bytes || (samples?.length ?? 0) > limits.seconds * SAMPLE_RATE;
  source.showSound(samples, chosen);
  translation.clear();
  answers.stop();
  find("timings").hidden = true;
  find("chosen").textContent = chosen.name;
  enter("idle", samples ? "" : "This browser cannot play the file; the server may be able to read it.");
}

async function record() {
  const blocks = [];
  let samples = 0;
  let drawn = 0;
  let recording = false;
  file = null;
  long = false;
  source.clear();
  translation.clear();
  answers.stop();
  find("timings").hidden = true;
  const hear = (block) => {
    blocks.push(block);
    samples += block.length;
    if (!recording) return; // the last of it comes after Stop
    if (samples >= drawn + REDRAW_SAMPLES) {
      source.showGrowing(concatenate(blocks));
      drawn = samples;
    }
    if (samples > limits.seconds * SAMPLE_RATE) stop();
  };
  enter("working", "Waiting for the microphone.");
  const listening = listen(hear, { echoes: true });
  const cancelled = new Promise((_, reject) => {
    cancel = () => {
      listening.then((close) => close(), () => {}); // the user may still allow it
      reject(new DOMException("cancelled", "AbortError"));
    };
  });
  const close = await Promise.race([listening, cancelled]);
  recording = true;
  stop = () => {
    recording = false;
    cancel = null;
    enter("working", "Reading the recording.");
    reading = attempt(async () => {
      await close();
      if (!samples) throw new Error("Nothing was recorded; talk a little longer.");
      const kept = concatenate(blocks).subarray(0, limits.seconds * SAMPLE_RATE);
      await take(new File([encodeWav(kept)], "recording.wav", { type: "audio/wav" }));
    });
  };
  cancel = () => {
    recording = false;
    close();
    source.clear();
    enter("idle", "Cancelled.");
  };
  enter("recording", "Recording.");
}

// --- translation ---

async function translate() {
  await reading;
  if (!file) throw new Error("Record something or choose a file first.");
  if (!choices.models.length) await loadModels();
  const controller = new AbortController();
  cancel = () => controller.abort();
  translation.clear();
  enter("working", "Translating.");
  if (long) return translateLong(controller.signal);
  const answer = await server.translate(file, choices.query, controller.signal);
  const wav = wavOf(answer);
  source.showUnits(answer.source_units, answer.source_durations);
  translation.showSound(await decode(wav), wav);
  translation.showUnits(answer.units, answer.durations);
  translation.offerDownload(`${stem(file)}.${answer.to}.wav`);
  showTimings(find("timings"), answer.timings, answer.seconds);
  enter("done", `Translated.${doubts(answer)}`);
}

async function translateLong(signal) {
  answers.begin();
  let count = 0;
  for await (const answer of server.translateLong(file, choices.query, signal)) {
    answers.add(answer, wavOf(answer), false);
    count += 1;
    find("status").textContent = `Translating: ${answer.end.toFixed(0)} s are done.`;
  }
  await answers.offerDownload(`${stem(file)}.${choices.query.to}.wav`);
  enter("done", countOf(count));
}

function wavOf(answer) {
  return new Blob([Uint8Array.from(atob(answer.audio), (c) => c.charCodeAt(0))], { type: "audio/wav" });
}

function stem({ name }) {
  return name.replace(/\.\w+$/, "");
}

function countOf(sentences) {
  return sentences === 1 ? "1 sentence." : `${sentences} sentences.`;
}

/** What the server itself doubts of its answer. */
function doubts({ finished, loops }) {
  if (loops) return " The answer repeats itself; it may be wrong.";
  return finished ? "" : " The answer reached its greatest length; its end is missing.";
}

async function talk() {
  answers.begin();
  const session = new LiveTalk(choices.query, (answer, wav) => {
    answers.add(answer, wav, true);
    showTimings(find("timings"), answer.timings, answer.end - answer.start);
  });
  cancel = () => {
    answers.stop();
    session.cancel();
  };
  stop = () => {
    session.stop();
    enter("working", "Waiting for the last sentences.");
  };
  enter("working", "Waiting for the server and the microphone.");
  await Promise.race([session.start(), session.finished]); // cancelled, it may never start
  enter("recording", "Listening: pause after each sentence. With headphones it does not hear itself.");
  const sentences = await session.finished;
  await answers.offerDownload(`live.${choices.query.to}.wav`);
  enter("done", countOf(sentences));
}

// --- what the user does ---

find("record").addEventListener("click", () => {
  const { state } = document.body.dataset;
  if (state === "recording") stop();
  else if (state !== "working") attempt(find("live").checked ? talk : record);
});
find("choose").addEventListener("click", () => find("file").click());
find("file").addEventListener("change", ({ target }) => {
  const [chosen] = target.files;
  if (chosen) reading = attempt(() => take(chosen));
  target.value = ""; // the same file may be chosen again
});
find("live").addEventListener("change", () => {
  answers.stop();
  enter("idle");
});
find("request").addEventListener("submit", (event) => {
  event.preventDefault();
  if (["recording", "working"].includes(document.body.dataset.state)) cancel?.();
  else attempt(translate);
});
document.addEventListener("dragover", (event) => event.preventDefault());
document.addEventListener("drop", (event) => {
  event.preventDefault();
  const idle = !find("choose").disabled && !find("live").checked;
  const [dropped] = event.dataTransfer.files;
  if (idle && dropped) reading = attempt(() => take(dropped));
});
for (const [kind, over] of [["dragenter", true], ["dragleave", false], ["drop", false]]) {
  document.addEventListener(kind, (event) => {
    if (over || !event.relatedTarget || kind === "drop") document.body.classList.toggle("dropping", over);
  });
}

enter("idle");
attempt(loadModels);
