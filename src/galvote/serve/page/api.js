// Asks the server; whatever it refuses becomes an Error whose message says what to do.

const TOKEN = "galvote-token";

export class Refusal extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
}

export async function get(path) {
  return read(await send(path, {}));
}

export async function getPicture(path, name) {
  const response = await send(path, {});
  if (!response.ok) await read(response);
  return new File([await response.blob()], name, { type: "image/jpeg" });
}

// Rows that cannot be read are an answer, too, even if there are no others.
export async function post(path, files, query, signal) {
  const form = new FormData();
  for (const file of files) form.append("files", file);
  const given = Object.entries(query).filter(([, value]) => value !== undefined);
  return read(await send(`${path}?${new URLSearchParams(given)}`, { method: "POST", body: form, signal }));
}

async function send(path, options) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  try {
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, "The server does not answer. See whether it runs, then try again.");
  }
}

async function read(response) {
  const said = await response.json().catch(() => ({}));
  if (response.ok || said.galaxies) return said;
  throw new Refusal(response.status, said.error?.message ?? `The server answered ${response.status}; try again.`);
}
