// Asking the server: errors as sentences, the token, a second try where the server is busy.

const BUSY = 503;
const TRIES = 5;

/** What the server refused, or that it could not be reached. */
export class ApiError extends Error {
  constructor(code, status, message) {
    super(message);
    this.code = code;
    this.status = status;
  }
}

/**
 * Ask the server.
 *
 * `query` are the parameters, `files` pairs of a form's field and a file; with files the request is a POST.
 * Returns the answer's JSON, or for `as` "text" or "blob" just that.
 */
export async function ask(path, { query = {}, files = null, signal = null, as = "json" } = {}) {
  const parameters = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== "" && value != null));
  const address = parameters.size ? `${path}?${parameters}` : path;
  for (let attempt = 1; ; attempt += 1) {
    const token = sessionStorage.getItem("galvote-token");
    const response = await send(address, files, token, signal);
    if (response.ok) return response[as]();
    const body = await response.json().catch(() => ({}));
    if (body.galaxies) return body; // no image could be read, and the rows say why
    if (response.status === 401) {
      // Another request may have asked for it meanwhile.
      if (token === sessionStorage.getItem("galvote-token")) await askForToken();
      continue;
    }
    if (response.status === BUSY && attempt < TRIES) {
      await wait(1000 * (Number(response.headers.get("Retry-After")) || 2), signal);
      continue;
    }
    const message = body.error?.message ?? `The server answered ${response.status}. Try again in a while.`;
    throw new ApiError(response.status, body.error?.status ?? "failed", message);
  }
}

async function send(address, files, token, signal) {
  const request = { method: files ? "POST" : "GET", signal, headers: token ? { Authorization: `Bearer ${token}` } : {} };
  if (files) {
    request.body = new FormData();
    for (const [field, file] of files) request.body.append(field, file, file.name);
  }
  try {
    return await fetch(address, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server cannot be reached. See whether it still runs, then try again.");
  }
}

function wait(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    setTimeout(resolve, milliseconds);
    signal?.addEventListener("abort", () => reject(signal.reason));
  });
}

let asking = null;

/** Ask the reader for the token, once for all requests that wait for it. */
function askForToken() {
  asking ??= new Promise((resolve, reject) => {
    const dialog = document.getElementById("token-dialog");
    const form = document.getElementById("token-form");
    const field = document.getElementById("token");
    if (sessionStorage.getItem("galvote-token")) {
      document.getElementById("token-text").textContent = "The server does not know that token. Try again, or ask whoever runs it.";
    }
    let given = false;
    field.value = "";
    form.onsubmit = (event) => {
      event.preventDefault();
      sessionStorage.setItem("galvote-token", field.value.trim());
      given = true;
      dialog.close();
    };
    document.getElementById("token-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      asking = null;
      if (given) resolve();
      else reject(new ApiError(401, "unauthorized", "This server answers only those who bear a token. Try again when you have one."));
    };
    dialog.showModal();
  });
  return asking;
}
