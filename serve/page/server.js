// What the page asks the server, and what the server's refusals mean. Addresses are relative to the page's.

const KEY = "s2st.key"; // in sessionStorage: forgotten when the tab closes

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

/** The models, {name, directions, languages}, and the limits, {bytes, seconds}. */
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

async function ask(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const headers = { Accept: "application/json", ...(key && { Authorization: `Bearer ${key}` }) };
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
  const told = typeof detail === "string" ? sentence(detail) : `The server answers with an error (${answer.status}).`;
  return new Refusal(told, answer.status);
}

export function sentence(text) {
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
