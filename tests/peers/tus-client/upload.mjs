// Uploads a file by tus-js-client in chunks, like an app would: node upload.mjs URL TOKEN FILE PAGE CHUNK_BYTES PROTOCOL
import { createReadStream, readFileSync, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, token, file, page, chunkSize, protocol] = process.argv.slice(2);
const [station, form, number] = page.split("/");
let retries = 0;
// By the draft from memory: of a file's stream in parts tus-js-client 4.3.1 never marks the last part as such.
const source = protocol === "tus-v1" ? createReadStream(file) : readFileSync(file);
const upload = new Upload(source, {
  endpoint,
  protocol,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { station, form, page: number },
  uploadSize: statSync(file).size,
  chunkSize: Number(chunkSize),
  retryDelays: [50, 100, 200, 400, 800],
  onShouldRetry: () => { retries += 1; return true; },
  onError: (error) => { console.error(String(error)); process.exit(1); },
  onSuccess: () => {
    console.log(JSON.stringify({ url: upload.url, retries }));
    process.exit(0); // an idle connection must not keep us here
  },
});
upload.start();
