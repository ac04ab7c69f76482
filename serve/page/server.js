// What the page asks the server, and what the server's refusals mean. Addresses are relative to the page's.

const KEY = "s2st.key"; // in sessionStorage: forgotten when the tab closes
const LINES = "application/x-ndjson";

/** The server said no; `message` is one sentence, `status` the HTTP status (0: no answer). */
export class Refusal extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export function rememberKey(key) {
  sessionStorage.setItem(KEY, key);
}

/** The models, {name, directions, languages}, and the limits, {bytes, seconds, stream_bytes, stream_seconds}. */
export async function models() {
  return (await ask("v1/models")).json();
}

/** Translate an audio file; the choice has model, from, to and perhaps voice. Gives the JSON of /v1/translate. */
export async function translate(file, choice, signal) {
  const body = new FormData();
  body.append("file", file);
  const answer = await ask(`v1/translate?${new URLSearchParams(choice)}`, { method: "POST", body, signal });
  return answer.json();
}

/** Translate a long audio file: gives the JSON of each sentence as it comes. */
export async function* translateLong(file, choice, signal) {
  const body = new FormData();
  body.append("file", file);
  const query = new URLSearchParams({ ...choice, stream: true });
  const answer = await ask(`v1/translate?${query}`, { method: "POST", body, signal }, LINES);
  for await (const line of linesOf(answer.body)) {
    const sentence = JSON.parse(line);
    if (sentence.error) throw new Refusal(asSentence(sentence.error), 0);
    if (sentence.done) return;
    yield sentence;
  }
  throw new Refusal("The connection to the server was lost.", 0);
}

async function* linesOf(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    yield* lines;
  }
}

async function ask(path, options = {}, accept = "application/json") {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: accept, ...(key && { Authorization: `Bearer ${key}` }) };
  const answer = await fetch(path, { ...options, headers }).catch((error) => {
    if (error.name === "AbortError") throw error;
    throw new Refusal("The server does not answer; is it still running?", 0);
  });
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  const seconds = Number(answer.headers.get("Retry-After"));
  if (answer.status === 503 && seconds) {
    return new Refusal(`The server is busy. Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`, 503);
  }
  const { detail } = await answer.json().catch(() => ({}));
  const told = typeof detail === "string" ? asSentence(detail) : `The server answers with an error (${answer.status}).`;
  return new Refusal(told, answer.status);
}

export function asSentence(text) {
  return text.charAt(0).toUpperCase() + text.slice(1).replace(/([^.!?])$/, "$1.");
}

/** Open /v1/live; resolves when it takes sound. */
export async function openLive(choice) {
  const key = sessionStorage.getItem(KEY);
  const address = new URL(`v1/live?${new URLSearchParams(choice)}`, document.baseURI);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = connect(address, key ? ["bearer", key] : []); // pages cannot set a WebSocket's headers
  socket.binaryType = "arraybuffer";
  try {
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
  } catch {
    await models(); // the browser hides why; the server may say it here
    throw new Refusal("The server refuses live translation.", 0);
  }
  return socket;
}

function connect(address, protocols) {
  try {
    return new WebSocket(address, protocols);
  } catch {
    throw new Refusal("Live translation takes no API key with / or = in it; ask for another key.", 0);
  }
}
