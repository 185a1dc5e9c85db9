const { Cluster } = require("ioredis");

const cluster = new Cluster([process.env.REDIS_URL]);
afterAll(() => cluster.quit());

test("keys of all primaries", async () => {
  await Promise.all([...Array(100).keys()].map((number) => cluster.set(`key:${number}`, number)));
  expect(await cluster.get("key:42")).toBe("42");
  const sizes = await Promise.all(cluster.nodes("master").map((node) => node.dbsize()));
  expect(sizes.length).toBe(3);
  expect(Math.min(...sizes)).toBeGreaterThan(0);
});

test("what only a cluster refuses", async () => {
  await expect(cluster.sinter("one", "two")).rejects.toThrow(/same slot|CROSSSLOT/);
});
