import react from "@vitejs/plugin-react";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { constants, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

// The binary holds each file once, compressed: browsers take it as it is, and
// the server unpacks it for the rare client that does not. The time in gzip's
// head is 0, so that equal sources give equal bytes.
function compress(): Plugin {
  return {
    name: "compress",
    apply: "build",
    closeBundle() {
      const walk = (dir: string) => {
        for (const name of readdirSync(dir)) {
          const path = join(dir, name);
          if (statSync(path).isDirectory()) {
            walk(path);
          } else if (name !== ".keep" && !name.endsWith(".gz")) {
            writeFileSync(path + ".gz", gzipSync(readFileSync(path), { level: constants.Z_BEST_COMPRESSION }));
            rmSync(path);
          }
        }
      };
      walk(join(import.meta.dirname, "dist"));
      writeFileSync(join(import.meta.dirname, "dist", ".keep"), "");
    },
  };
}

export default defineConfig({
  plugins: [react(), compress()],
  build: {
    target: "es2022",
    // Browsers that know light-dark(): older targets would have it replaced by
    // something that does not follow the theme.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    // The content security policy allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 800,
  },
  server: {
    // `npm run dev` beside `solera server --listen 127.0.0.1:7654`.
    proxy: { "/api": "http://127.0.0.1:7654" },
  },
});
