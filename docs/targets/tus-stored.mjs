// What @tus/file-store holds, a JSON line a photo that is whole: node tus-stored.mjs FOLDER
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [folder] = process.argv.slice(2);
for (const name of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  const { size, metadata } = JSON.parse(readFileSync(join(folder, name)));
  const content = readFileSync(join(folder, name.slice(0, -".json".length)));
  if (content.length === size) {
    const { station, form, page, reading } = metadata;
    const sha256 = createHash("sha256").update(content).digest("hex");
    console.log(JSON.stringify({ station, form, page: Number(page), reading: reading ?? "", sha256, size_bytes: size }));
  }
}
