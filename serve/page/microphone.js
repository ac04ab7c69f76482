// The microphone, as a stream of waveforms.

import { Resampler } from "./waveform.js";

const REASONS = {
  NotAllowedError: "The browser does not let this page hear the microphone; allow it, or choose a file.",
  NotFoundError: "No microphone was found; choose a file instead.",
  NotReadableError: "The microphone is in use elsewhere; close what uses it, or choose a file.",
};

/**
 * Listen; `onSound` gets each waveform as it comes. Gives a function that stops; its promise is kept after the last one.
 * With `echoes` off, the browser takes out what it plays itself.
 */
export async function listen(onSound, { echoes }) {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the microphone to pages over HTTPS or on localhost only; choose a file instead.");
  }
  const stream = await navigator.mediaDevices
    .getUserMedia({ audio: { channelCount: 1, echoCancellation: !echoes } })
    .catch((error) => {
      throw new Error(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    });
  const context = new AudioContext();
  const release = () => {
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
  await context.audioWorklet.addModule(new URL("capture.js", import.meta.url)).catch(() => {
    release();
    throw new Error("A part of this page could not be loaded; reload the page.");
  });
  const capture = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
  const resampler = new Resampler(context.sampleRate);
  const ended = new Promise((resolve) => {
    capture.port.onmessage = ({ data }) => (data ? onSound(resampler.push(data)) : resolve());
  }).then(() => {
    release();
    onSound(resampler.flush());
  });
  // Browsers run only what leads to the loudspeaker; this node gives silence.
  context.createMediaStreamSource(stream).connect(capture).connect(context.destination);
  return () => {
    capture.port.postMessage("end");
    return ended;
  };
}
