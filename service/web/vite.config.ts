import { readFile, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

// Smaller files gain less than the headers of an answer take.
const WORTH_COMPRESSING = 1_000;
const TEXT = /\.(js|css|html|svg)$/;

/** Writes each text file also as .br and .gz, so that the service compresses nothing while it answers. */
function compressed(): Plugin {
  let folder = "";
  return {
    name: "compressed",
    apply: "build",
    configResolved: (config) => void (folder = config.build.outDir),
    async writeBundle() {
      for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
        const path = join(entry.parentPath, entry.name);
        if (!entry.isFile() || !TEXT.test(entry.name)) continue;
        const content = await readFile(path);
        if (content.length < WORTH_COMPRESSING) continue;
        const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: constants.BROTLI_MAX_QUALITY } };
        await writeFile(`${path}.br`, await promisify(brotliCompress)(content, quality));
        await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [svelte(), compressed()],
  base: "/web/",
  resolve: { alias: { $: fileURLToPath(new URL("src", import.meta.url)) } },
  build: {
    outDir: "built",
    emptyOutDir: true,
    // The Content-Security-Policy of the page allows files of its own alone, no data in them.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2023",
  },
  server: {
    // `npm run dev` serves the sources beside a running service.
    proxy: Object.fromEntries(
      [
        "/jobs",
        "/datasets",
        "/models",
        "/signals",
        "/connections",
        "/deliveries",
        "/networks",
        "/session",
        "/sign-in",
        "/sign-out",
        "/events",
        "/openapi.json",
        "/docs",
      ].map((path) => [path, process.env["SUSPECTS_URL"] ?? "http://127.0.0.1:8000"]),
    ),
  },
});
