module.exports = () => new Promise((resolve) => globalThis.rcluster.on("exit", resolve).stdin.end());
