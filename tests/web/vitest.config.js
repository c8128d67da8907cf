// No imports: the packages live in the user's cache, not beside this file (lab/web.py).
export default {
  test: {
    globals: true,
    include: ["tests/web/unit/**/*.test.js"],
    testTimeout: 120_000, // against a test that hangs; a busy machine is no fault
  },
  cacheDir: process.env.VITE_CACHE,
};
