// The bar of timings: where the server's time went.

const STEPS = ["decode", "encoder", "translator", "vocoder"]; // some models translate as a whole: translator alone

/** Show the seconds of each step, of the rest (queues, transport between models) and of all for `seconds` of speech. */
export function showTimings(root, timings, seconds) {
  const parts = STEPS.filter((step) => step in timings).map((step) => [step, timings[step]]);
  const rest = timings.total - parts.reduce((sum, [, time]) => sum + time, 0);
  parts.push(["rest", Math.max(0, rest)]);
  root.querySelector(".bar").replaceChildren(
    ...parts.map(([step, time]) => {
      const part = document.createElement("div");
      part.className = step;
      part.style.flexGrow = time / timings.total;
      return part;
    }),
  );
  root.querySelector("dl").replaceChildren(
    ...[...parts, ["total", timings.total]].map(([step, time]) => {
      const row = document.createElement("div");
      row.className = step;
      row.append(element("dt", step), element("dd", inMilliseconds(time)));
      return row;
    }),
  );
  root.querySelector(".speed").textContent =
    `${timings.total.toFixed(2)} s for ${seconds.toFixed(1)} s of speech`;
  root.hidden = false;
}

function element(tag, text) {
  const made = document.createElement(tag);
  made.textContent = text;
  return made;
}

function inMilliseconds(seconds) {
  return `${(1000 * seconds).toFixed(seconds < 0.01 ? 1 : 0)} ms`;
}
