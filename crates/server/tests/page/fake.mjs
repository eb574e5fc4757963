// Stands in for `fetch` within the page, so that a test decides when each piece of an
// answer arrives. It runs in the browser and may use nothing from around it.

export function fakeServer(models) {
  const reply = (status, body) => new Response(JSON.stringify(body), { status });
  const server = {
    requests: [],
    key: "",
    loading: 0,
    push: (chunk) => server.stream.enqueue(new TextEncoder().encode(`data: ${JSON.stringify(chunk)}\r\n\r\n`)),
    end: () => {
      server.stream.enqueue(new TextEncoder().encode(": a comment\n\ndata: [DONE]\n\n"));
      server.stream.close();
      server.stream = null;
    },
    /** Resolves when an answer can be given. */
    started: async () => {
      while (!server.stream) await new Promise((wake) => setTimeout(wake, 5));
    },
  };
  window.fake = server;
  window.fetch = async (path, { headers = {}, body, signal } = {}) => {
    if (server.key && headers.authorization !== `Bearer ${server.key}`) return reply(401, { error: { message: "no key" } });
    if (server.loading-- > 0) return reply(503, { error: { message: "loading" } });
    if (path === "v1/models") return reply(200, { data: models.map((id) => ({ id })) });
    const request = { body: JSON.parse(body), aborted: false };
    server.requests.push(request);
    const stream = new ReadableStream({ start: (controller) => (server.stream = controller) });
    signal.addEventListener("abort", () => {
      request.aborted = true;
      server.stream.error(signal.reason);
      server.stream = null;
    });
    return new Response(stream);
  };
}
