// A QUIC peer for Caesura's tests: deno's, which is quinn and rustls. deno run … peer.mts server|client OPTIONS, in JSON.
//
// An echo server, or a client that checks its echo. It reports in JSON, one object a line: {"listening": port} first by
// the server, then what each connection agreed on, or {"error": "..."}.

const [role, given] = Deno.args;
const options = JSON.parse(given);
const report = (facts: object) => console.log(JSON.stringify(facts));
const hostname = '127.0.0.1';

async function serveConnection(conn: Deno.QuicConn) {
  conn.handshake.then(() => report({ alpn: conn.protocol }), () => {});
  for await (const stream of conn.incomingBidirectionalStreams) {
    stream.readable.pipeTo(stream.writable).catch(() => {});
  }
}

async function serve() {
  const endpoint = new Deno.QuicEndpoint({ hostname, port: 0 });
  const listener = endpoint.listen({
    cert: Deno.readTextFileSync(options.chain),
    key: Deno.readTextFileSync(options.key),
    alpnProtocols: [options.alpn],
  });
  report({ listening: endpoint.addr.port });
  while (true) {
    const incoming = await listener.incoming();
    serveConnection(incoming.accept({ zeroRtt: true })).catch(() => {});
  }
}

async function exchange(conn: Deno.QuicConn, data: Uint8Array) {
  const stream = await conn.createBidirectionalStream({ waitUntilAvailable: true });
  const writer = stream.writable.getWriter();
  const sent = writer.write(data).then(() => writer.close());
  const got = new Uint8Array(await new Response(stream.readable).arrayBuffer());
  await sent;
  if (got.length !== data.length || got.some((byte, at) => byte !== data[at])) {
    throw new Error(`${got.length} bytes came back, not what was sent`);
  }
}

async function connect() {
  const endpoint = new Deno.QuicEndpoint({ hostname, port: 0 }); // tickets are kept with it
  const data = Uint8Array.from({ length: options.bytes }, (_, at) => at % 251);
  for (const port of options.ports) {
    const found = Deno.connectQuic({
      endpoint,
      hostname,
      port,
      serverName: 'localhost',
      alpnProtocols: [options.alpn],
      caCerts: [Deno.readTextFileSync(options.ca)],
      zeroRtt: true,
    });
    const early = !(found instanceof Promise);
    const conn = await found;
    const talk = () => Promise.all(Array.from({ length: options.streams }, () => exchange(conn, data)));
    await talk().catch(async (error) => {
      if (!String(error).includes('0-RTT rejected')) throw error;
      await conn.handshake;
      await talk();
    });
    report({ alpn: conn.protocol, early });
    conn.close({ closeCode: 0, reason: '' });
    await conn.closed;
  }
  endpoint.close();
}

try {
  await (role === 'server' ? serve() : connect());
} catch (error) {
  report({ error: String(error) });
}
