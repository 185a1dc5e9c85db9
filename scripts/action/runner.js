// What the runner of GitHub Actions says to an action and is told by it: inputs, files, workflow commands.
// Written by hand, so that the action has no dependency and nothing to bundle.
"use strict";
const { randomUUID } = require("node:crypto");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");

// A command ends with its line, so a value's line breaks are encoded; % itself is what encodes.
const data = (text) => String(text).replace(/%/g, "%25").replace(/\r/g, "%0D").replace(/\n/g, "%0A");
const property = (text) => data(text).replace(/:/g, "%3A").replace(/,/g, "%2C");

function command(name, message, properties = {}) {
  const said = Object.entries(properties).map(([key, value]) => `${key}=${property(value)}`);
  process.stdout.write(`::${name}${said.length > 0 ? ` ${said.join(",")}` : ""}::${data(message)}\n`);
}

const error = (message, title = "rcluster") => command("error", message, { title });
const notice = (message) => command("notice", message, { title: "rcluster" });

// Lines that somebody else wrote: a server's log may have lines that look like workflow commands.
function quote(text) {
  if (text === "") return;
  const token = randomUUID();
  process.stdout.write(`::stop-commands::${token}\n${text.endsWith("\n") ? text : `${text}\n`}::${token}::\n`);
}

function group(title, text) {
  command("group", title);
  quote(text);
  command("endgroup", "");
}

// Each line, since the runner looks for what it hides line by line.
function mask(secret) {
  for (const line of secret.split(/[\r\n]+/)) if (line !== "") command("add-mask", line);
}

function input(name) {
  return (process.env[`INPUT_${name.replace(/ /g, "_").toUpperCase()}`] ?? "").trim();
}

// true, false, or what else an input may be; nothing given is false.
function choice(name, others = []) {
  const said = input(name).toLowerCase();
  if (said === "" || said === "false") return false;
  if (said === "true") return true;
  if (others.includes(said)) return said;
  throw new Error(`the input ${name} is "${said}": it takes true, false${others.map((other) => `, ${other}`).join("")}`);
}

// Adds to one of the files that the runner reads when the step has ended. The delimiter cannot be foreseen, so that no
// value can end itself and begin another variable.
function put(file, name, value) {
  const end = `rcluster_${randomUUID()}`;
  append(file, `${name}<<${end}\n${value}\n${end}\n`);
}

function append(file, text) {
  const target = process.env[file];
  if (!target) throw new Error(`${file} is not set: this runs only in GitHub Actions, or in something like it`);
  fs.appendFileSync(target, text);
}

// Words as a shell splits them: spaces and line breaks part them, quotes and backslashes keep them together. Nothing is
// expanded and nothing is run.
function words(text) {
  const found = [];
  let word = null;
  let mark = null;
  for (let at = 0; at < text.length; at += 1) {
    const c = text[at];
    if (mark === "'" ? c !== "'" : mark === '"' && c !== '"' && c !== "\\") {
      word += c;
    } else if (mark !== null && c === mark) {
      mark = null;
    } else if (c === "\\") {
      at += 1;
      if (at === text.length) throw new Error("the input args ends in a backslash");
      const plain = mark === '"' && !['"', "\\"].includes(text[at]);
      word = (word ?? "") + (plain ? "\\" : "") + text[at];
    } else if (c === "'" || c === '"') {
      mark = c;
      word ??= "";
    } else if (/\s/.test(c)) {
      if (word !== null) found.push(word);
      word = null;
    } else {
      word = (word ?? "") + c;
    }
  }
  if (mark !== null) throw new Error(`the input args has a ${mark} without its end`);
  if (word !== null) found.push(word);
  return found;
}

// Runs a program without a shell; what it said and how it ended. Signals that we get are its as well: a runner that
// cancels a job tells only us.
function run(program, args, { echo = false, env = process.env } = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { env, stdio: ["ignore", "pipe", "pipe"] });
    const said = { code: null, out: "", err: "", failure: null };
    const pass = (signal) => child.kill(signal);
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, pass);
    for (const [stream, name] of [[child.stdout, "out"], [child.stderr, "err"]]) {
      stream.setEncoding("utf8").on("data", (text) => {
        said[name] += text;
        if (echo) process.stdout.write(text);
      });
    }
    const end = (code, failure) => {
      for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, pass);
      resolve({ ...said, code, failure });
    };
    child.on("error", (cause) => end(null, cause.message));
    child.on("close", (code, signal) => end(code, signal === null ? null : `it was ended by ${signal}`));
  });
}

// The program of that name on PATH.
function which(name) {
  const dirs = (process.env.PATH ?? "").split(path.delimiter).filter((dir) => path.isAbsolute(dir));
  return dirs.map((dir) => path.join(dir, name)).find(isProgram);
}

function isProgram(file) {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

module.exports = { append, choice, data, error, group, input, isProgram, mask, notice, property, put, quote, run, which, words };
