// The action, run as the runner of GitHub Actions would: inputs as INPUT_…, files for what it tells, state from main to post.
// RCLUSTER names the binary. Real clusters; nothing may be left.
"use strict";
const assert = require("node:assert/strict");
const { spawn, spawnSync } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { after, test } = require("node:test");
const runner = require("../../scripts/action/runner.js");

const ACTION = path.join(__dirname, "../../scripts/action");
const PROGRAM = path.resolve(process.env.RCLUSTER ?? path.join(__dirname, "../../target/debug/rcluster"));
const FILES = ["GITHUB_ENV", "GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_PATH", "GITHUB_STEP_SUMMARY"];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Processes whose working directory lies below `dir`.
function living(dir) {
  return fs.readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return fs.readlinkSync(`/proc/${pid}/cwd`).startsWith(`${dir}/`);
    } catch {
      return false;
    }
  });
}

// What the runner makes of a file: NAME=VALUE, or NAME<<END, lines, END.
function variables(text) {
  const found = {};
  const lines = text.split("\n");
  while (lines.length > 0) {
    const line = lines.shift();
    const heredoc = /^([^=<]+)<<(.+)$/.exec(line);
    if (heredoc !== null) {
      const end = lines.indexOf(heredoc[2]);
      assert.ok(end >= 0, `no end of ${line}`);
      found[heredoc[1]] = lines.splice(0, end + 1).slice(0, -1).join("\n");
    } else if (line !== "") {
      const at = line.indexOf("=");
      assert.ok(at > 0, `not understood by the runner: ${line}`);
      found[line.slice(0, at)] = line.slice(at + 1);
    }
  }
  return found;
}

// The commands that the runner would obey, those within stop-commands left out.
function commands(out) {
  const found = [];
  let token = null;
  for (const line of out.split("\n")) {
    const parsed = /^\s*(?:::|.*##\[)([\w-]+)\s*([^\]]*?)(?:::|\])(.*)$/.exec(line);
    if (token !== null) {
      if (line === `::${token}::`) token = null;
    } else if (parsed?.[1] === "stop-commands") {
      token = parsed[3];
    } else if (parsed !== null) {
      found.push({ name: parsed[1], properties: parsed[2], message: parsed[3] });
    }
  }
  assert.equal(token, null, "commands were stopped for good");
  return found;
}

class Job {
  constructor(inputs = {}) {
    this.dir = fs.realpathSync(fs.mkdtempSync(path.join(os.tmpdir(), "rca-")));
    this.temp = path.join(this.dir, "t");
    fs.mkdirSync(this.temp);
    this.inputs = { path: PROGRAM, name: "default", port: "auto", "job-status": "success", ...inputs };
    this.env = { PATH: process.env.PATH, HOME: this.dir, RUNNER_TEMP: this.temp, RUNNER_TRACKING_ID: "github_test" };
    for (const file of FILES) {
      this.env[file] = path.join(this.dir, file);
      fs.writeFileSync(this.env[file], "");
    }
    after(() => {
      const left = living(this.dir);
      for (const pid of left) process.kill(Number(pid), "SIGKILL");
      fs.rmSync(this.dir, { recursive: true });
      assert.deepEqual(left, [], "servers were left");
    });
  }

  read(file) {
    return fs.readFileSync(this.env[file], "utf8");
  }

  start(step, more = {}) {
    const inputs = Object.entries(this.inputs).map(([name, value]) => [`INPUT_${name.toUpperCase()}`, value]);
    const state = Object.entries(variables(this.read("GITHUB_STATE"))).map(([name, value]) => [`STATE_${name}`, value]);
    const env = { ...this.env, ...Object.fromEntries([...inputs, ...state]), ...more };
    const child = spawn(process.execPath, [path.join(ACTION, `${step}.js`)], { env, cwd: this.dir });
    let out = "";
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (out += text));
    child.ended = new Promise((resolve) => child.on("close", (code, signal) => resolve({ code, signal, out })));
    return child;
  }

  step(step, more) {
    return this.start(step, more).ended;
  }

  // The post step, after which nothing may be left.
  async post(more) {
    const post = await this.step("post", more);
    assert.equal(post.code, 0, post.out);
    assert.deepEqual(living(this.dir), []);
    const left = fs.existsSync(path.join(this.temp, "rcluster")) ? fs.readdirSync(path.join(this.temp, "rcluster")) : [];
    assert.deepEqual(left.filter((name) => !name.startsWith(".")), []);
    return post;
  }
}

test("main makes a cluster that later steps can use, and post ends it", async () => {
  const job = new Job({ primaries: "3", replicas: "0", ephemeral: "true", args: "--set 'maxmemory=100mb'" });
  const main = await job.step("main");
  assert.equal(main.code, 0, main.out);
  assert.deepEqual(commands(main.out).filter(({ name }) => name !== "add-mask"), []);
  const env = variables(job.read("GITHUB_ENV"));
  const outputs = variables(job.read("GITHUB_OUTPUT"));
  assert.equal(env.REDIS_CLUSTER_NODES.split(",").length, 3);
  assert.deepEqual(
    [outputs.nodes, outputs.ports, outputs.url, outputs.name, outputs.ca],
    [env.REDIS_CLUSTER_NODES, env.RCLUSTER_PORTS, env.REDIS_URL, "default", ""],
  );
  assert.ok(runner.isProgram(path.join(job.read("GITHUB_PATH").trim(), "rcluster")), "later steps find it");
  assert.equal(job.read("GITHUB_STEP_SUMMARY").match(/^\| \d/gm).length, 3);
  // A later step: the environment of the job and what main added, and nothing else.
  const later = spawnSync(PROGRAM, ["status", "--json"], { env: { ...job.env, ...env }, encoding: "utf8" });
  assert.equal(JSON.parse(later.stdout).state, "ok", later.stderr);
  const set = spawnSync("redis-cli", ["-c", "-u", env.REDIS_URL, "SET", "a", "1"], { encoding: "utf8" });
  assert.equal(set.stdout, "OK\n", set.stderr);
  await job.post();
  // Twice is no failure: a runner that was restarted may do it.
  await job.post();
});

test("a password is hidden, and handed on only when asked for", async () => {
  for (const asked of ["", "true"]) {
    const job = new Job({ primaries: "1", replicas: "0", args: "--password-file secret", "with-secrets": asked });
    const password = "p%w;'\"é/@:x";
    fs.writeFileSync(path.join(job.dir, "secret"), `${password}\n`);
    const main = await job.step("main");
    assert.equal(main.code, 0, main.out);
    const masks = main.out.split("\n").filter((line) => line.startsWith("::add-mask::"));
    assert.ok(masks.includes(`::add-mask::${runner.data(password)}`), main.out);
    const rest = main.out.split("\n").filter((line) => !line.startsWith("::add-mask::")).join("\n");
    const encoded = encodeURIComponent(password).replace("'", "%27");
    assert.ok(masks.includes(`::add-mask::${runner.data(encoded)}`), main.out);
    const env = variables(job.read("GITHUB_ENV"));
    assert.equal(env.REDIS_PASSWORD, asked ? password : undefined);
    assert.equal(env.REDIS_URL.includes(encoded), asked === "true");
    for (const text of [rest, job.read("GITHUB_OUTPUT"), job.read("GITHUB_STEP_SUMMARY"), job.read("GITHUB_STATE")]) {
      assert.ok(!text.includes(password) && !text.includes(encoded), text);
    }
    await job.post();
  }
});

test("what goes wrong is an error of the job, and post ends what there is", async () => {
  const hostile = "none\n::set-output name=x::y\r\n::add-mask::z%0A::error::w";
  const cases = [
    [{ server: "/nowhere/redis-server" }, /exit 10/],
    [{ server: hostile }, /exit/],
    [{ primaries: "three" }, /exit 2/],
    [{ args: "'open" }, /without its end/],
    [{ tls: "perhaps" }, /takes true, false, both/],
    [{ path: "/nowhere/rcluster" }, /no program/],
    [{ name: "../x" }, /exit 2/],
    [{ primaries: "1", replicas: "0", args: "--set maxmemory=1" }, /OOM/],
    [{ args: "-n other" }, /args has -n: give the input name/],
    [{ args: "--replicas 0 -qnother" }, /args has -qnother: give the input name/],
    [{ args: "--name=other" }, /args has --name=other: give the input name/],
    [{ args: "'--home' /tmp/elsewhere" }, /args has --home: give the input home/],
    [{ args: "--foreground" }, /args has --foreground: this step would wait/],
    [{ args: "--foreground=yes" }, /args has --foreground=yes: this step would wait/],
  ];
  for (const [inputs, pattern] of cases) {
    const job = new Job(inputs);
    const main = await job.step("main");
    assert.equal(main.code, 1, `${JSON.stringify(inputs)}: ${main.out}`);
    const said = commands(main.out);
    const errors = said.filter(({ name }) => name === "error");
    assert.equal(errors.length, 1, main.out);
    assert.match(`${errors[0].properties} ${errors[0].message}`, pattern);
    assert.deepEqual(said.filter(({ name }) => !["error", "group", "endgroup"].includes(name)), [], main.out);
    const post = await job.step("post", { "INPUT_JOB-STATUS": "failure" });
    // A name that is none has no cluster that could be ended, which post says.
    assert.equal(post.code, inputs.name ? 1 : 0, post.out);
    assert.deepEqual(living(job.dir), []);
  }
});

test("a binary is looked for on PATH, and its absence is one sentence", async () => {
  const job = new Job({ path: "", primaries: "1", replicas: "0" });
  job.env.PATH = "/nonexistent";
  const main = await job.step("main");
  assert.equal(main.code, 1);
  assert.match(main.out, /no rcluster on PATH and no cargo/);
  job.env.PATH = `${path.dirname(PROGRAM)}:${process.env.PATH}`;
  const found = await job.step("main");
  assert.equal(found.code, 0, found.out);
  // It is there already, and would come before what other steps put on PATH.
  assert.equal(job.read("GITHUB_PATH"), "");
  await job.post();
  assert.ok(!fs.readdirSync(job.temp).some((name) => name.startsWith("rcluster-logs")), "only of jobs that failed");
});

test("a server that is installed is the one that runs, whatever is on PATH", async () => {
  const server = spawnSync("sh", ["-c", 'command -v "${RCLUSTER_TEST_SERVER:-redis-server}"'], { encoding: "utf8" }).stdout.trim();
  const said = spawnSync(server, ["--version"], { encoding: "utf8" }).stdout;
  const [, kind, version] = /^(\w+) server v=([\d.]+)/i.exec(said);
  const job = new Job({ primaries: "1", replicas: "0", "install-server": "wanted" });
  // A source whose Makefile copies the server; and rcluster, but that it installs this source for what is named.
  const source = path.join(job.dir, "source");
  fs.mkdirSync(path.join(source, "src"), { recursive: true });
  fs.writeFileSync(path.join(source, "src/version.h"), `#define ${kind.toUpperCase()}_VERSION "${version}"\n`);
  fs.writeFileSync(path.join(source, "Makefile"), `all:\n\tcp ${server} src/${kind.toLowerCase()}-server\n`);
  const wrapper = path.join(job.dir, "wrapper");
  const install = `exec ${PROGRAM} --name "$2" --home "$4" server install wanted --from ${source} --json`;
  fs.writeFileSync(wrapper, `#!/bin/sh\ncase "$5 $6" in "server install") ${install} ;; esac\nexec ${PROGRAM} "$@"\n`, { mode: 0o755 });
  job.inputs.path = wrapper;
  const main = await job.step("main");
  assert.equal(main.code, 0, main.out);
  // A later step's cluster has it too.
  const env = { ...job.env, ...variables(job.read("GITHUB_ENV")) };
  const status = JSON.parse(spawnSync(PROGRAM, ["status", "--json"], { env, encoding: "utf8" }).stdout);
  const home = path.join(job.temp, "rcluster");
  assert.ok(status.server.path.startsWith(`${home}/.servers/wanted`), status.server.path);
  const later = spawnSync(PROGRAM, ["server", "list", "--json"], { env, encoding: "utf8" });
  const chosen = JSON.parse(later.stdout).servers.find((listed) => listed.chosen);
  assert.equal(chosen?.name, "wanted", later.stdout);
  await job.post();
});

test("when main fails after up, post ends the cluster", async () => {
  const job = new Job({ primaries: "1", replicas: "0" });
  // `up` is done when the file cannot be written.
  const summary = job.env.GITHUB_STEP_SUMMARY;
  job.env.GITHUB_STEP_SUMMARY = "/nowhere/summary";
  const main = await job.step("main");
  assert.equal(main.code, 1, main.out);
  assert.equal(living(job.dir).length, 1, "the cluster runs");
  // The recipe's step for failures means this cluster.
  const dir = path.join(job.dir, "logs");
  const env = { ...job.env, ...variables(job.read("GITHUB_ENV")) };
  const exported = spawnSync(PROGRAM, ["logs", "--export", dir], { env, encoding: "utf8" });
  assert.equal(exported.status, 0, exported.stderr);
  assert.ok(fs.readdirSync(dir).length > 0);
  job.env.GITHUB_STEP_SUMMARY = summary;
  const post = await job.post({ "INPUT_JOB-STATUS": "failure" });
  assert.deepEqual(commands(post.out).filter(({ name }) => name === "error"), []);
});

test("a job that is cancelled leaves nothing", async () => {
  for (const signals of [["SIGINT"], ["SIGINT", "SIGTERM"], ["SIGKILL"]]) {
    const job = new Job({ primaries: "10", replicas: "1", ephemeral: "true" });
    const main = job.start("main");
    while (living(job.dir).length < 3 && main.exitCode === null) await sleep(5);
    for (const signal of signals) main.kill(signal);
    const ended = await main.ended;
    assert.notEqual(ended.code, 0, "it was in the middle of it");
    await job.post({ "INPUT_JOB-STATUS": "cancelled" });
  }
});

test("a job that failed has what went wrong in its log, quoted", async () => {
  const job = new Job({ primaries: "3", replicas: "0" });
  const main = await job.step("main");
  assert.equal(main.code, 0, main.out);
  for (const pid of living(job.dir).slice(0, 1)) process.kill(Number(pid), "SIGSEGV");
  const nodes = path.join(job.temp, "rcluster/default/nodes");
  for (const port of fs.readdirSync(nodes)) {
    const log = path.join(nodes, port, "server.log");
    while (!/crashed|BUG REPORT/.test(fs.readFileSync(log, "utf8")) && port === fs.readdirSync(nodes)[0]) await sleep(5);
    fs.appendFileSync(log, "::error::hostile\n1:M 23 Nov 2026 00:00:00.000 # WARNING ::error::hostile\n##[error]hostile\n::add-mask::hostile\n");
  }
  const post = await job.post({ "INPUT_JOB-STATUS": "failure" });
  const said = commands(post.out);
  assert.ok(said.some(({ name }) => name === "group"), post.out);
  assert.ok(!said.some(({ message }) => message.includes("hostile")), post.out);
  // The logs outlive the cluster, and where they are is said.
  const kept = path.join(job.temp, "rcluster-logs-default");
  assert.ok(said.some(({ name, message }) => name === "notice" && message.endsWith(kept)), post.out);
  const files = fs.readdirSync(kept, { recursive: true }).filter((name) => name.endsWith(".log"));
  assert.equal(files.length, 3, files.join());
  assert.ok(files.some((name) => fs.readFileSync(path.join(kept, name), "utf8").includes("crashed")), "all of them");
  // Twice is no failure, though the place is taken, or there is no cluster.
  await job.post({ "INPUT_JOB-STATUS": "failure" });
});

test("a cluster that cannot be ended fails the job, and nothing else in post does", async () => {
  const job = new Job();
  const fake = path.join(job.dir, "fake");
  fs.writeFileSync(fake, "#!/bin/sh\ncase \"$*\" in *down*) echo 'error: cannot' >&2; exit 6;; *) exit 1;; esac\n", { mode: 0o755 });
  fs.writeFileSync(job.env.GITHUB_STATE, `program=${fake}\nname=default\nhome=${job.temp}\n`);
  const post = await job.step("post", { "INPUT_JOB-STATUS": "failure" });
  assert.equal(post.code, 1);
  assert.match(commands(post.out)[0].message, /cannot.*may still run/);
  fs.writeFileSync(job.env.GITHUB_STATE, "");
  assert.equal((await job.step("post")).code, 0, "main ended before it began");
});

test("words are split as a shell splits them, and hostile text is data", () => {
  const cases = [
    ["", []],
    ["  --set a=b\n--yes\t", ["--set", "a=b", "--yes"]],
    [`--set 'save=60 1' "x y"z`, ["--set", "save=60 1", "x yz"]],
    [String.raw`a\ b "c\"d\$e" '\n' ''`, ["a b", String.raw`c"d\$e`, String.raw`\n`, ""]],
    ["$(id) `id` $HOME ; rm -rf / # x", ["$(id)", "`id`", "$HOME", ";", "rm", "-rf", "/", "#", "x"]],
  ];
  for (const [text, wanted] of cases) {
    assert.deepEqual(runner.words(text), wanted);
    // And as a real shell does, where it expands nothing.
    if (!/[$`;#]/.test(text)) {
      const shell = spawnSync("sh", ["-c", `printf '%s\\n' x ${text.replace(/\n/g, " ")}`], { encoding: "utf8" });
      assert.deepEqual(shell.stdout.split("\n").slice(1, -1), wanted);
    }
  }
  for (const open of ["'", 'a "b', "a\\"]) assert.throws(() => runner.words(open));
  assert.equal(runner.data("a%\r\nb"), "a%25%0D%0Ab");
  assert.equal(runner.property("a:b,c\n"), "a%3Ab%2Cc%0A");
});
