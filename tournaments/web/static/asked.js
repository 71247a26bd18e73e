// What the scripts of all pages ask the server for: JSON, or an error with a sentence and the answer's status.
export async function asked(url, body) {
  const options = body === undefined ? {} : { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(url, options);
  } catch {
    throw Object.assign(new Error("The server does not answer. Is `marl web` still running?"), { status: 0 });
  }
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw Object.assign(new Error(data.error ?? `The server answered ${answer.status}.`), { status: answer.status });
  return data;
}
