// Puts the libraries of the page into tune_jobs/dashboard/static: Preact and jsdiff as they are
// published, TanStack Virtual as one module, and so the part of Plotly that plotly_entry.js names,
// with the licenses of what is in it.
//
//   node javascript/vendor.js            writes the files
//   node javascript/vendor.js --check    fails if they differ from what would be written

import { readFile, writeFile } from "node:fs/promises";
import { build } from "esbuild";

const STATIC = "tune_jobs/dashboard/static";

const STRING = String.raw`(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")`;
const DESCRIPTION = new RegExp(
  String.raw`\bdescription:\s*(?:${STRING}|\[(?:${STRING}|[\s,])*\]\.join\(\s*${STRING}\s*\))(?=\s*[,}])`,
  "g",
);

/**
 * Leaves out the texts that describe Plotly's attributes, which only its documentation shows.
 *
 * @type {import("esbuild").Plugin}
 */
const withoutDescriptions = {
  name: "without-descriptions",
  setup({ onLoad }) {
    onLoad({ filter: /plotly\.js\/src\/.*\.js$/ }, async ({ path }) => ({
      contents: (await readFile(path, "utf8")).replace(DESCRIPTION, "description: ''"),
      loader: "js",
    }));
  },
};

/** Build Plotly; return the module, and the folders of the packages in it. */
async function buildPlotly() {
  const { outputFiles, metafile } = await build({
    entryPoints: ["javascript/plotly_entry.js"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    charset: "utf8",
    legalComments: "none",
    // As Plotly builds itself: its own regl for all who use it, and styles that it adds by script.
    alias: { regl: "@plotly/regl" },
    define: { global: "window", "define.amd": "false" },
    loader: { ".css": "empty" },
    banner: { js: "/* plotly.js and its dependencies, see plotly.LICENSE. */" },
    plugins: [withoutDescriptions],
    metafile: true,
    write: false,
    logLevel: "warning",
  });
  const inputs = Object.values(metafile.outputs).flatMap((output) => Object.entries(output.inputs));
  const folders = inputs
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => path.match(/^.*node_modules\/(@[^/]+\/)?[^/]+/)?.[0] ?? "");
  return { module: outputFiles[0].contents, folders: [...new Set(folders)].filter(Boolean).sort() };
}

/**
 * Return the license of a package with its name and version.
 *
 * @param {string} folder
 */
async function readLicense(folder) {
  const { name, version, license } = JSON.parse(await readFile(`${folder}/package.json`, "utf8"));
  for (const file of ["LICENSE", "LICENSE.md", "LICENSE.txt", "license", "License.md"]) {
    const text = await readFile(`${folder}/${file}`, "utf8").catch(() => null);
    if (text !== null) return `${name} ${version}\n\n${text.trim()}\n`;
  }
  if (!license) throw new Error(`${folder} has no license`);
  return `${name} ${version}\n\nLicense: ${license}\n`;
}

/** Build the module that decides which rows of a long table are in the document. */
async function buildVirtual() {
  const { outputFiles } = await build({
    entryPoints: ["node_modules/@tanstack/virtual-core/dist/esm/index.js"],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
    logLevel: "warning",
  });
  return outputFiles[0].contents;
}

async function vendoredFiles() {
  const { module, folders } = await buildPlotly();
  const licenses = await Promise.all(folders.map(readLicense));
  return {
    "preact.js": await readFile("node_modules/preact/dist/preact.mjs"),
    "preact.LICENSE": await readFile("node_modules/preact/LICENSE"),
    "diff.js": await readFile("node_modules/diff/dist/diff.min.js"),
    "diff.LICENSE": await readFile("node_modules/diff/LICENSE"),
    "virtual.js": Buffer.from(await buildVirtual()),
    "virtual.LICENSE": await readFile("node_modules/@tanstack/virtual-core/LICENSE"),
    "plotly.js": Buffer.from(module),
    "plotly.LICENSE": Buffer.from(licenses.join(`\n${"-".repeat(80)}\n\n`)),
  };
}

const isCheck = process.argv.includes("--check");
for (const [name, content] of Object.entries(await vendoredFiles())) {
  const path = `${STATIC}/${name}`;
  if (!isCheck) {
    await writeFile(path, content);
  } else if (!content.equals(await readFile(path).catch(() => Buffer.alloc(0)))) {
    console.error(`${path} is not what the packages give: run npm run vendor`);
    process.exitCode = 1;
  }
}
