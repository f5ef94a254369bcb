// A DTLS 1.3 peer: node lemon.mjs server|client PORT OPTIONS. It echoes what it receives, and tells of it in JSON lines.
import fs from 'node:fs';
import { createDTLSServer, connectDTLS } from 'lemon-tls';

const [role, port, given] = process.argv.slice(2);
const options = JSON.parse(given);
const settings = { minVersion: 'DTLSv1.3', maxVersion: 'DTLSv1.3', rejectUnauthorized: false };
if (options.chain) {
  settings.cert = fs.readFileSync(options.chain);
  settings.key = fs.readFileSync(options.key);
}
if (options.ask) settings.requestCert = true;

const tell = (event, facts = {}) => console.log(JSON.stringify({ event, ...facts }));

function serve(socket) {
  socket.on('error', (error) => tell('error', { text: String(error.message || error) }));
  socket.on('close', () => tell('close'));
  socket.on('data', (data) => {
    tell('data', { text: Buffer.from(data).toString('latin1') });
    socket.send(data);
  });
}

if (role === 'server') {
  const server = createDTLSServer(settings, (socket) => {
    serve(socket);
    tell('connected', socket.getNegotiationResult());
  });
  server.on('listening', () => tell('listening', server.address()));
  server.listen(Number(port), '127.0.0.1');
} else {
  const socket = connectDTLS({ host: '127.0.0.1', port: Number(port), servername: 'localhost', ...settings });
  serve(socket);
  socket.on('connect', () => {
    tell('connected', socket.getNegotiationResult());
    socket.send(Buffer.from('from lemon\n'));
  });
}
