// The microphone, as a stream of waveforms.

import { Resampler } from "./waveform.js";

const REASONS = {
  NotAllowedError: "The browser does not let this page hear the microphone; allow it, or choose a file.",
  NotFoundError: "No microphone was found; choose a file instead.",
  NotReadableError: "The microphone is in use elsewhere; close what uses it, or choose a file.",
};

/**
 * Listen; `onSound` gets each waveform as it comes. Gives a function that stops.
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
  const resampler = new Resampler(context.sampleRate);
  await context.audioWorklet.addModule(new URL("capture.js", import.meta.url));
  const capture = new AudioWorkletNode(context, "capture", { channelCount: 1, channelCountMode: "explicit" });
  capture.port.onmessage = ({ data }) => onSound(resampler.push(data));
  // Browsers run only what leads to the loudspeaker; this node gives silence.
  context.createMediaStreamSource(stream).connect(capture).connect(context.destination);
  return () => {
    capture.port.onmessage = null;
    stream.getTracks().forEach((track) => track.stop());
    context.close();
    onSound(resampler.flush());
  };
}
