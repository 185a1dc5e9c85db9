// The main step of the action: a ready cluster, and what later steps need to know of it.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const runner = require("./runner.js");

// The binary, by its input, from PATH, or built from the source that this action came with; and whether later steps have
// its directory on their PATH already.
async function binary() {
  const given = runner.input("path");
  if (given !== "") {
    const file = path.resolve(given);
    if (!runner.isProgram(file)) throw new Error(`the input path is "${given}", and there is no program at ${file}`);
    // The post step needs it even if a later step builds it anew or cleans the workspace.
    const copy = path.join(fs.mkdtempSync(path.join(temporary(), "rcluster-bin-")), "rcluster");
    fs.copyFileSync(file, copy);
    return { program: copy, onPath: false };
  }
  const found = runner.which("rcluster");
  if (found !== undefined) return { program: found, onPath: true };
  if (runner.which("cargo") === undefined) {
    throw new Error("there is no rcluster on PATH and no cargo to build it with; give the input path, or install Rust in a step before");
  }
  const root = path.join(temporary(), "rcluster-cargo");
  const source = path.resolve(__dirname, "..", "..");
  const built = await runner.run("cargo", ["install", "--locked", "--path", source, "--root", root]);
  runner.group("cargo install rcluster", built.err);
  if (built.code !== 0) throw new Error(`cargo install failed (${built.failure ?? `exit ${built.code}`})`);
  return { program: path.join(root, "bin", "rcluster"), onPath: false };
}

function temporary() {
  const dir = process.env.RUNNER_TEMP;
  if (!dir) throw new Error("RUNNER_TEMP is not set: this runs only in GitHub Actions, or in something like it");
  return dir;
}

// The options of `up` that the inputs ask for. What is not given is left to rcluster and its files.
function options() {
  const asked = [];
  for (const name of ["primaries", "replicas", "port", "server"]) {
    const value = runner.input(name);
    // One word, so that a value cannot become an option.
    if (value !== "") asked.push(`--${name}=${value}`);
  }
  const tls = runner.choice("tls", ["both"]);
  if (tls !== false) asked.push(tls === "both" ? "--tls=both" : "--tls");
  if (runner.choice("ephemeral")) asked.push("--ephemeral");
  return [...asked, ...more()];
}

// The input args, without what this step must say itself: the post step ends the cluster that main was told of.
function more() {
  const words = runner.words(runner.input("args"));
  for (const word of words) {
    // A letter may stand among others: -qnNAME.
    if (/^(--name|--home)(=|$)|^-[a-zA-Z]*n/.test(word)) {
      const name = word.startsWith("--home") ? "home" : "name";
      throw new Error(`the input args has ${word}: give the input ${name} instead, so that the cluster is ended with the job`);
    }
    if (/^--foreground(=|$)/.test(word)) {
      throw new Error(`the input args has ${word}: this step would wait for the cluster's end; later steps see its logs with "rcluster logs"`);
    }
  }
  return words;
}

// An error document's sentence, its nodes, and its hint.
function reason(ran) {
  try {
    const { error } = JSON.parse(ran.err.trim().split("\n").at(-1));
    const nodes = error.nodes.map(({ node, message }) => `${node} ${message}`);
    const hint = error.hint ? [`hint: ${error.hint}`] : [];
    const logs = error.nodes.filter(({ log }) => log.length > 0);
    return { message: [error.message, ...nodes, ...hint].join("\n"), logs };
  } catch {
    return { message: ran.err.trim() || ran.failure || `exit ${ran.code}`, logs: [] };
  }
}

// A password, as it is and as it stands in a URL.
function hide(password) {
  runner.mask(password);
  runner.mask(encodeURIComponent(password).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`));
}

async function verb(program, global, args) {
  const ran = await runner.run(program, [...global, ...args]);
  if (ran.code === 0) return ran;
  const { message, logs } = reason(ran);
  for (const { node, log } of logs) runner.group(`log of ${node}`, log.join("\n"));
  const failed = new Error(message);
  failed.title = `rcluster ${args[0]}${ran.code === null ? "" : ` (exit ${ran.code})`}`;
  throw failed;
}

// What a Markdown table would take for its own.
const cell = (text) => String(text ?? "").replace(/[\r\n]+/g, " ").replace(/[\\`*_{}[\]<>|#!&]/g, (c) => `&#${c.charCodeAt(0)};`);

function summary(up) {
  const rows = up.nodes.map((node) => {
    const slots = node.slots.map(([first, last]) => `${first}-${last}`).join(", ");
    return [node.index, `${node.host}:${node.port}`, node.role, node.shard, slots].map(cell).join(" | ");
  });
  const server = `${up.server.kind} ${up.server.version}`;
  return [
    `### ${cell(up.name)}: ${cell(up.state)}, ${cell(server)}, ready after ${cell(up.elapsed_ms)} ms`, "",
    "| # | node | role | shard | slots |", "|---|---|---|---|---|",
    ...rows.map((row) => `| ${row} |`), "", "",
  ].join("\n");
}

async function main() {
  const name = runner.input("name") || "default";
  const home = path.resolve(runner.input("home") || path.join(temporary(), "rcluster"));
  const asked = options();
  const secrets = runner.choice("with-secrets") ? ["--with-secrets"] : [];
  const { program, onPath } = await binary();

  // Before anything is started: the post step must find it, however this step ends.
  for (const [key, value] of Object.entries({ program, name, home })) runner.put("GITHUB_STATE", key, value);
  for (const [key, value] of Object.entries({ name, home })) runner.put("GITHUB_OUTPUT", key, value);
  // So that `rcluster logs --export` in a later step means this cluster even if `up` failed.
  runner.put("GITHUB_ENV", "RCLUSTER_NAME", name);
  runner.put("GITHUB_ENV", "RCLUSTER_HOME", home);
  // A directory like /usr/local/bin would come before those that other steps put there, and hide their tools.
  if (!onPath) runner.append("GITHUB_PATH", `${path.dirname(program)}\n`);

  const global = ["--name", name, "--home", home];
  const install = runner.input("install-server");
  if (install !== "" && install !== "false") {
    const installed = JSON.parse((await verb(program, global, ["server", "install", ...(install === "true" ? [] : [install]), "--json"])).out);
    // Else the one on PATH would be taken, here and by the clusters of later steps.
    await verb(program, global, ["server", "use", installed.server.name, "--json"]);
  }
  const up = JSON.parse((await verb(program, global, ["up", "--json", ...asked])).out);
  if (up.password_file) hide(fs.readFileSync(up.password_file, "utf8").replace(/\r?\n$/, ""));
  const env = await verb(program, global, ["env", "--format", "github", ...secrets]);
  runner.append("GITHUB_ENV", env.out);
  // The outputs without the password, whatever later steps get.
  const plain = JSON.parse((await verb(program, global, ["env", "--format", "json"])).out);
  runner.put("GITHUB_OUTPUT", "nodes", plain.REDIS_CLUSTER_NODES);
  runner.put("GITHUB_OUTPUT", "ports", plain.RCLUSTER_PORTS);
  runner.put("GITHUB_OUTPUT", "url", plain.REDIS_URL);
  runner.put("GITHUB_OUTPUT", "ca", plain.RCLUSTER_TLS_CA ?? "");
  if (process.env.GITHUB_STEP_SUMMARY) runner.append("GITHUB_STEP_SUMMARY", summary(up));
  runner.quote(`${up.name}: ${up.state}, ${up.server.kind} ${up.server.version}, ${plain.REDIS_CLUSTER_NODES}`);
}

main().catch((failure) => {
  runner.error(failure.message, failure.title);
  process.exitCode = 1;
});
