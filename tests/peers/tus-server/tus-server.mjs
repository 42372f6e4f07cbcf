// A tus server as its authors ship it, behind a login: node tus-server.mjs FOLDER PATH CUTS CUT_BYTES
// The first CUTS connections that carry more than CUT_BYTES are reset. Says its port; ends with its input.
import http from "node:http";
import { FileStore } from "@tus/file-store";
import { Server } from "@tus/server";

const [directory, path, cuts, cutBytes] = process.argv.slice(2);
let left = Number(cuts);
const tus = new Server({ path, datastore: new FileStore({ directory }) });
const server = http.createServer((request, response) => {
  if (request.url !== "/v1/login") {
    tus.handle(request, response);
    return;
  }
  request.resume();
  response.setHeader("Content-Type", "application/json");
  response.end(JSON.stringify({ token: "anyone" }));
});
server.on("connection", (socket) => {
  const watch = setInterval(() => {
    if (left > 0 && socket.bytesRead > Number(cutBytes)) {
      left -= 1;
      socket.resetAndDestroy();
    }
  }, 1);
  socket.on("close", () => clearInterval(watch));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
