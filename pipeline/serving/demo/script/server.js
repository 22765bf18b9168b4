// Asks the server. A request makes an earlier one of the same name stale.

class ServerFault extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0 where the server does not answer
  }
}

const pending = new Map();

// Returns the answer, or null if a newer request has taken the place of this one.
async function ask(name, body = {}, slot = name) {
  pending.get(slot)?.abort();
  const controller = new AbortController();
  pending.set(slot, controller);
  try {
    const response = await fetch(`api/${name}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: controller.signal,
    });
    const content = await response.json().catch(() => null);
    if (response.ok && content !== null) return content;
    throw new ServerFault(
      content?.error ?? `The server answers with status ${response.status}.`,
      response.status,
    );
  } catch (fault) {
    if (controller.signal.aborted) return null;
    if (fault instanceof ServerFault) throw fault;
    throw new ServerFault("The server does not answer.", 0);
  } finally {
    if (pending.get(slot) === controller) pending.delete(slot);
  }
}

// Stops a request whose answer is no longer wanted.
function forget(slot) {
  pending.get(slot)?.abort();
  pending.delete(slot);
}

function later(milliseconds, run) {
  let timer = 0;
  const call = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(run, milliseconds, ...values);
  };
  call.cancel = () => clearTimeout(timer);
  return call;
}
