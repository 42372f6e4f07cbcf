// Uploads a file by tus-js-client in chunks, like an app would: node upload.mjs URL TOKEN FILE PAGE CHUNK_BYTES
import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, token, file, page, chunkSize] = process.argv.slice(2);
const [station, form, number] = page.split("/");
let retries = 0;
const upload = new Upload(createReadStream(file), {
  endpoint,
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
