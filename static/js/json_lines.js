// Reading JSON objects that come one a line (application/x-ndjson), each as soon as its line is whole.

/**
 * @param {ReadableStream<Uint8Array>} stream
 * @yields {object} Each line, parsed; an empty line is passed over.
 */
export async function* jsonLines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      const lines = (rest + (value ?? "")).split("\n");
      rest = done ? "" : lines.pop();
      for (const line of lines) if (line) yield JSON.parse(line);
      if (done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // whoever stops reading early hangs up
  }
}
